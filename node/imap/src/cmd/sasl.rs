//! AUTHENTICATE: the mechanisms as dialogues.

use crate::backend::{Auth, ChannelBinding, LoginError, TokenError, Transport};
use crate::cmd::capability;
use crate::cmd::login::Login;
use crate::config::TokenService;
use crate::grammar::{Item, Secret};
use crate::respond::Code;
use crate::sasl::{self, Bearer, Binding, ClientFirst, Plain, Scram};
use crate::state::{Result, Stop};

impl<T: Transport, A: Auth> Login<'_, '_, T, A> {
    pub(crate) async fn authenticate(
        &mut self,
        mechanism: &str,
        initial: Option<&Secret>,
    ) -> Result<A::Account> {
        let tokens = self.conn.config.tokens.as_ref();
        let is_offered = match mechanism {
            "PLAIN" | "LOGIN" | "SCRAM-SHA-256" => true,
            "SCRAM-SHA-256-PLUS" => capability::binds_channel(self.conn.transport),
            "EXTERNAL" => self.conn.transport.certified_user().is_some(),
            "OAUTHBEARER" | "XOAUTH2" => tokens.is_some(),
            _ => false,
        };
        if !is_offered {
            return Err(Stop::No(None, "This mechanism is not offered".into()));
        }
        if mechanism == "LOGIN" {
            return self.plain_in_two(initial).await;
        }
        let first = match initial {
            Some(initial) => decoded(initial.expose())?,
            None => self.exchange(b"").await?,
        };
        match (mechanism, tokens) {
            ("PLAIN", _) => {
                let plain = Plain::parse(&first).ok_or(Stop::Bad("Malformed response"))?;
                Ok(self.auth.login(plain.user, plain.password).await?)
            }
            ("EXTERNAL", _) => self.external(&first).await,
            ("SCRAM-SHA-256", _) => self.scram(&first, false).await,
            ("OAUTHBEARER", Some(tokens)) => {
                self.bearer(Bearer::parse(&first), tokens, sasl::refused_bearer)
                    .await
            }
            ("XOAUTH2", Some(tokens)) => {
                self.bearer(Bearer::parse_xoauth2(&first), tokens, sasl::refused_xoauth2)
                    .await
            }
            _ => self.scram(&first, true).await,
        }
    }

    /// LOGIN (draft-murchison-sasl-login): old, and all that some clients know. The server speaks
    /// first, but a user's name may come at once.
    async fn plain_in_two(&mut self, initial: Option<&Secret>) -> Result<A::Account> {
        let user = match initial {
            Some(initial) => decoded(initial.expose())?,
            None => self.exchange(b"Username:").await?,
        };
        let password = self.exchange(b"Password:").await?;
        let words = (std::str::from_utf8(&user), std::str::from_utf8(&password));
        let (Ok(user), Ok(password)) = words else {
            return Err(Stop::Bad("User and password must be UTF-8"));
        };
        Ok(self.auth.login(user, password).await?)
    }

    /// EXTERNAL (RFC 4422 appendix A): who somebody is was proved in the handshake.
    async fn external(&mut self, act_as: &[u8]) -> Result<A::Account> {
        let user = self
            .conn
            .transport
            .certified_user()
            .ok_or(LoginError::Denied)?;
        if !act_as.is_empty() && !act_as.eq_ignore_ascii_case(user.as_bytes()) {
            return Err(other_user());
        }
        Ok(self.auth.certified(&user).await?)
    }

    /// SCRAM (RFC 5802), with the channel bound or without.
    async fn scram(&mut self, first: &[u8], is_plus: bool) -> Result<A::Account> {
        let first = ClientFirst::parse(first).ok_or(Stop::Bad("Malformed response"))?;
        let transport = &self.conn.transport;
        let bound = match (first.binding(), is_plus) {
            (Binding::None, false) => Some(Default::default()),
            // The client would bind the channel and believes that we cannot: somebody has taken
            // the mechanism out of the list (RFC 5802 section 6).
            (Binding::NotOffered, false) if capability::binds_channel(*transport) => None,
            (Binding::NotOffered, false) => Some(Default::default()),
            (Binding::Bound(name), true) => match name.as_str() {
                "tls-exporter" => transport.channel_binding(ChannelBinding::TlsExporter),
                "tls-server-end-point" => {
                    transport.channel_binding(ChannelBinding::TlsServerEndPoint)
                }
                _ => None,
            },
            _ => None,
        };
        let Some(bound) = bound else {
            let text = "The channel binding does not fit";
            return Err(Stop::no(Code::AuthenticationFailed, text));
        };
        let verifier = self.auth.scram_verifier(&first.user).await?;
        let secret = self.auth.salt_secret();
        let scram = Scram::new(first, &bound, verifier, self.auth.nonce(), &secret);
        let proof = match self.exchange(scram.challenge()).await {
            Ok(proof) => proof,
            Err(stop) => {
                self.auth.scram_given_up();
                return Err(stop);
            }
        };
        let Some(last) = scram.verify(&proof) else {
            self.auth.scram_failed(scram.user()).await;
            return Err(LoginError::Denied.into());
        };
        let account = self.auth.account(scram.user()).await?;
        self.exchange(&last).await?;
        Ok(account)
    }

    /// A token of OAuth 2.0. A refusal is told in JSON, to which the client says something empty,
    /// and then by the tagged NO (RFC 7628 section 3.2.3).
    async fn bearer(
        &mut self,
        message: Option<Bearer<'_>>,
        tokens: &TokenService,
        refused: fn(&TokenService, &str) -> String,
    ) -> Result<A::Account> {
        let result = match message {
            Some(bearer) if bearer.token.is_empty() => Err(TokenError::Invalid),
            Some(bearer) => self.auth.bearer(bearer.user, bearer.token).await,
            None => {
                let json = refused(tokens, "invalid_request");
                self.exchange(json.as_bytes()).await?;
                return Err(Stop::Bad("Malformed response"));
            }
        };
        let error = match result {
            Ok(account) => return Ok(account),
            Err(TokenError::Login(error)) => return Err(error.into()),
            Err(TokenError::OtherUser) => return Err(other_user()),
            Err(error) => error,
        };
        self.exchange(refused(tokens, &error.to_string()).as_bytes())
            .await?;
        Err(LoginError::Denied.into())
    }

    /// Sends a challenge and reads the response.
    async fn exchange(&mut self, challenge: &[u8]) -> Result<Vec<u8>> {
        self.conn.out.challenge(&sasl::encode(challenge));
        self.conn.framer.expect_line();
        match self.conn.item().await? {
            Item::Line(line) if line.as_ref() == b"*" => Err(Stop::Bad("AUTHENTICATE cancelled")),
            Item::Line(line) => decoded(&line),
            _ => Err(Stop::Bad("The response is too long")),
        }
    }
}

fn other_user() -> Stop {
    Stop::no(
        Code::AuthorizationFailed,
        "Nobody may act as somebody else here",
    )
}

fn decoded(base64: &[u8]) -> Result<Vec<u8>> {
    sasl::decode(base64).ok_or(Stop::Bad("The response is not base64"))
}

//! Before login: STARTTLS, LOGIN and AUTHENTICATE.

use crate::backend::{Auth, LoginError, Transport};
use crate::cmd::capability;
use crate::connection::{Connection, Request};
use crate::grammar::{Command, CommandBody, Item, Secret, Tag};
use crate::limits::{self, Limits};
use crate::respond::Code;
use crate::sasl::{self, ClientFirst, Plain, Scram};
use crate::state::{End, Result, Stop};

/// What a client may do before it is somebody, and how often it failed to become somebody.
pub(crate) struct Login<'l, 'a, T, A> {
    conn: &'l mut Connection<'a, T>,
    auth: &'l A,
    bad: u32,
    failed: u32,
}

impl<'l, 'a, T: Transport, A: Auth> Login<'l, 'a, T, A> {
    pub(crate) fn new(conn: &'l mut Connection<'a, T>, auth: &'l A) -> Login<'l, 'a, T, A> {
        Login {
            conn,
            auth,
            bad: 0,
            failed: 0,
        }
    }

    /// Greets, and reads commands until somebody has logged in.
    pub(crate) async fn run(mut self) -> Result<A::Account> {
        let code = Code::Capability(capability::names(self.conn.transport, false));
        let greeting = format!("{} ready", self.conn.config.server_name);
        self.conn.out.untagged_ok(Some(&code), &greeting);
        loop {
            let result = match self.conn.request().await? {
                Request::Command(command) => match Box::pin(self.command(&command)).await {
                    Ok(None) => Ok(()),
                    Ok(Some(account)) => {
                        self.welcome(&command.tag);
                        return Ok(account);
                    }
                    Err(stop) => Err((command.tag, stop)),
                },
                Request::Append(start) => {
                    self.conn.framer.refuse_literal();
                    Err((start.tag, Stop::Bad("Log in first")))
                }
                Request::Bad(bad) => {
                    self.conn.out.bad_command(&bad);
                    self.count_bad()?;
                    Ok(())
                }
            };
            if let Err((tag, stop)) = result {
                self.refuse(&tag, stop)?;
            }
        }
    }

    fn refuse(&mut self, tag: &Tag, stop: Stop) -> Result<()> {
        match stop {
            Stop::No(code, text) => {
                self.conn.out.no(tag, code.as_ref(), &text);
                self.failed += 1;
                if self.failed >= limits::FAILED_LOGINS_MAX {
                    return Err(Stop::bye("Too many failed logins"));
                }
                Ok(())
            }
            Stop::Bad(text) => {
                self.conn.out.bad(tag, None, text);
                self.count_bad()
            }
            Stop::BadCode(code, text) => {
                self.conn.out.bad(tag, Some(&code), text);
                self.count_bad()
            }
            Stop::Close(..) => Err(stop),
        }
    }

    fn count_bad(&mut self) -> Result<()> {
        self.bad += 1;
        if self.bad >= limits::BAD_BEFORE_LOGIN_MAX {
            return Err(Stop::bye("Too many bad commands"));
        }
        Ok(())
    }

    /// The account, if the command was a login.
    async fn command(&mut self, command: &Command) -> Result<Option<A::Account>> {
        let tag = &command.tag;
        match &command.body {
            CommandBody::Capability => {
                let names = capability::names(self.conn.transport, false);
                self.conn.out.capability(names.iter().map(String::as_str));
                self.conn.out.ok(tag, None, "CAPABILITY completed");
            }
            CommandBody::Noop => self.conn.out.ok(tag, None, "NOOP completed"),
            CommandBody::Id(_) => {
                self.conn
                    .out
                    .id(&[("name", self.conn.config.server_name.as_str())]);
                self.conn.out.ok(tag, None, "ID completed");
            }
            CommandBody::Logout => return Err(log_out(self.conn, tag)),
            CommandBody::StartTls => self.start_tls(tag).await?,
            CommandBody::Login { user, password } => {
                self.check_privacy()?;
                let words = (
                    std::str::from_utf8(user),
                    std::str::from_utf8(password.expose()),
                );
                let (Ok(user), Ok(password)) = words else {
                    return Err(Stop::Bad("User and password must be UTF-8"));
                };
                return Ok(Some(self.auth.login(user, password).await?));
            }
            CommandBody::Authenticate { mechanism, initial } => {
                self.check_privacy()?;
                return self
                    .authenticate(mechanism, initial.as_ref())
                    .await
                    .map(Some);
            }
            _ => return Err(Stop::Bad("Log in first")),
        }
        Ok(None)
    }

    fn check_privacy(&self) -> Result<()> {
        let transport = &self.conn.transport;
        if transport.is_tls() || transport.plain_login_allowed() {
            return Ok(());
        }
        Err(Stop::no(Code::PrivacyRequired, "Use TLS to log in"))
    }

    /// What was received in plain text after STARTTLS is thrown away, before the handshake and
    /// again after it.
    async fn start_tls(&mut self, tag: &Tag) -> Result<()> {
        if self.conn.transport.is_tls() {
            return Err(Stop::Bad("TLS is on already"));
        }
        if !self.conn.transport.can_start_tls() {
            return Err(Stop::Bad("STARTTLS is not offered"));
        }
        self.conn.framer.discard_buffered();
        self.conn.out.ok(tag, None, "Begin TLS now");
        self.conn.flush().await?;
        self.conn.transport.start_tls().await?;
        self.conn.framer.discard_buffered();
        Ok(())
    }

    async fn authenticate(
        &mut self,
        mechanism: &str,
        initial: Option<&Secret>,
    ) -> Result<A::Account> {
        let is_known = matches!(mechanism, "PLAIN" | "SCRAM-SHA-256");
        if !is_known {
            return Err(Stop::No(None, "This mechanism is not offered".into()));
        }
        let first = match initial {
            Some(initial) => decoded(initial.expose())?,
            None => self.exchange(b"").await?,
        };
        if mechanism == "PLAIN" {
            let plain = Plain::parse(&first).ok_or(Stop::Bad("Malformed response"))?;
            return Ok(self.auth.login(plain.user, plain.password).await?);
        }
        self.scram(&first).await
    }

    async fn scram(&mut self, first: &[u8]) -> Result<A::Account> {
        let first = ClientFirst::parse(first).ok_or(Stop::Bad("Malformed response"))?;
        let verifier = self.auth.scram_verifier(&first.user).await?;
        let secret = self.auth.salt_secret();
        let scram = Scram::new(first, verifier, self.auth.nonce(), &secret);
        let proof = self.exchange(scram.challenge()).await?;
        let Some(last) = scram.verify(&proof) else {
            self.auth.scram_failed(scram.user()).await;
            return Err(LoginError::Denied.into());
        };
        let account = self.auth.account(scram.user()).await?;
        self.exchange(&last).await?;
        Ok(account)
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

    fn welcome(&mut self, tag: &Tag) {
        self.conn.framer.set_limits(Limits::AUTHENTICATED);
        self.conn.transport.logged_in();
        let code = Code::Capability(capability::names(self.conn.transport, true));
        self.conn.out.ok(tag, Some(&code), "Logged in");
    }
}

fn decoded(base64: &[u8]) -> Result<Vec<u8>> {
    sasl::decode(base64).ok_or(Stop::Bad("The response is not base64"))
}

/// LOGOUT, in every state.
pub(crate) fn log_out<T: Transport>(conn: &mut Connection<'_, T>, tag: &Tag) -> Stop {
    conn.out.bye(None, "See you");
    conn.out.ok(tag, None, "LOGOUT completed");
    Stop::Close(End::LoggedOut, None)
}

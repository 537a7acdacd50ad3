//! Before login: STARTTLS, LOGIN and AUTHENTICATE; and back to it: UNAUTHENTICATE.

use crate::backend::{Auth, Backend, Transport};
use crate::cmd::capability::{self, User};
use crate::connection::{Connection, Request};
use crate::grammar::{Command, CommandBody, Tag};
use crate::limits::{self, Limits};
use crate::respond::Code;
use crate::state::{End, Result, Session, Stop};

/// What a client may do before it is somebody, and how often it failed to become somebody.
pub(crate) struct Login<'l, 'a, T, A> {
    pub(crate) conn: &'l mut Connection<'a, T>,
    pub(crate) auth: &'l A,
    failures: &'l mut Failures,
}

/// How often the client of a connection failed, also if it was somebody in between.
#[derive(Default)]
pub(crate) struct Failures {
    /// Bad commands since somebody logged in.
    bad: u32,
    /// Logins.
    failed: u32,
}

impl<'l, 'a, T: Transport, A: Auth> Login<'l, 'a, T, A> {
    pub(crate) fn new(
        conn: &'l mut Connection<'a, T>,
        auth: &'l A,
        failures: &'l mut Failures,
    ) -> Login<'l, 'a, T, A> {
        Login {
            conn,
            auth,
            failures,
        }
    }

    /// Reads commands until somebody has logged in.
    pub(crate) async fn run(mut self) -> Result<A::Account> {
        loop {
            let result = match self.conn.request().await? {
                Request::Command(command) => match Box::pin(self.command(&command)).await {
                    Ok(None) => Ok(()),
                    Ok(Some(account)) => {
                        self.welcome(&command.tag, &account);
                        return Ok(account);
                    }
                    Err(stop) => Err((command.tag, stop)),
                },
                Request::Append(start) => {
                    self.conn.framer.refuse_append();
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
                self.failures.failed += 1;
                if self.failures.failed >= limits::FAILED_LOGINS_MAX {
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
            Stop::Close(..) | Stop::Unauthenticated => Err(stop),
        }
    }

    fn count_bad(&mut self) -> Result<()> {
        self.failures.bad += 1;
        if self.failures.bad >= limits::BAD_BEFORE_LOGIN_MAX {
            return Err(Stop::bye("Too many bad commands"));
        }
        Ok(())
    }

    /// The account, if the command was a login.
    async fn command(&mut self, command: &Command) -> Result<Option<A::Account>> {
        let tag = &command.tag;
        match &command.body {
            CommandBody::Capability => {
                let names = capability::names(self.conn.transport, self.conn.config, User::Nobody);
                self.conn.out.capability(names.iter().map(String::as_str));
                self.conn.out.ok(tag, None, "CAPABILITY completed");
            }
            CommandBody::Noop => self.conn.out.ok(tag, None, "NOOP completed"),
            CommandBody::Id(id) => {
                if let Some(id) = id {
                    self.conn.transport.identified(id);
                }
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

    fn welcome(&mut self, tag: &Tag, account: &A::Account) {
        self.failures.bad = 0;
        self.conn.framer.set_limits(Limits::AUTHENTICATED);
        self.conn.transport.logged_in();
        let code = Code::Capability(capability::names(
            self.conn.transport,
            self.conn.config,
            User::of(account),
        ));
        self.conn.out.ok(tag, Some(&code), "Logged in");
    }
}

impl<T: Transport, B: Backend> Session<'_, T, B> {
    /// UNAUTHENTICATE (RFC 8437 section 3): what the session held goes with it, and nothing is
    /// expunged. TLS and compression stay (section 4).
    pub(crate) fn unauthenticate(&mut self, tag: &Tag) -> Stop {
        let conn = &mut self.conn;
        conn.framer.set_limits(Limits::NOT_AUTHENTICATED);
        conn.transport.logged_out();
        conn.out.set_utf8(false);
        let code = Code::Capability(capability::names(conn.transport, conn.config, User::Nobody));
        conn.out.ok(tag, Some(&code), "You are nobody now");
        Stop::Unauthenticated
    }
}

/// LOGOUT, in every state.
pub(crate) fn log_out<T: Transport>(conn: &mut Connection<'_, T>, tag: &Tag) -> Stop {
    conn.out.bye(None, "See you");
    conn.out.ok(tag, None, "LOGOUT completed");
    Stop::Close(End::LoggedOut, None)
}

//! The IMAP door: gives `imap::serve` a connection, a way to log in, and an account.

use std::future::Future;
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use imap::backend::{Auth, Backend, BackendError, LoginError, ScramVerifier, Transport};
use mailbox::{AccountId, Answer, Body, Command, Flags, MailboxId, Millis, Outcome, Query, Uid};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::accept::{Guest, Shutdown};
use super::limits::{IMAP_IDLE, LOGIN_IDLE, LOGIN_PENALTY, READ_IDLE_BYTES, WRITE_STALL};
use super::stream::{Reader, Stream};
use crate::config::Config;
use crate::service::body::Incoming;
use crate::service::login::LoginError as ServiceLoginError;
use crate::service::{Account, Failure, Service, now_ms};
use crate::tls::Tls;

/// What all connections of this door share.
pub struct ImapDoor {
    service: Service,
    tls: Tls,
    config: Arc<Config>,
    session: imap::Config,
    wait: Duration,
}

impl ImapDoor {
    /// A door with this node's settings.
    #[must_use]
    pub fn new(service: Service, tls: Tls, config: Arc<Config>) -> Self {
        let session = imap::Config {
            append_limit: config.limits.message_bytes_max,
            ..imap::Config::default()
        };
        let wait = Duration::from_secs(config.limits.imap_leader_wait_secs);
        Self {
            service,
            tls,
            config,
            session,
            wait,
        }
    }

    /// Serves one connection to its end.
    pub async fn serve(
        self: Arc<Self>,
        socket: TcpStream,
        guest: Guest,
        implicit_tls: bool,
        mut shutdown: Shutdown,
    ) {
        let peer = guest.peer;
        let mut stream = Stream::Plain(socket);
        if implicit_tls && let Err(error) = stream.start_tls(self.tls.mail_server()).await {
            tracing::debug!(%peer, %error, "TLS handshake failed");
            return;
        }
        let mut connection = Connection {
            door: Arc::clone(&self),
            guest,
            stream,
            reader: Reader::new(READ_IDLE_BYTES),
            silence: LOGIN_IDLE,
        };
        let auth = Doorkeeper {
            door: Arc::clone(&self),
        };
        let end = tokio::select! {
            end = imap::serve(&mut connection, &auth, &self.session) => Some(end),
            () = shutdown.wait() => None,
        };
        match end {
            Some(end) => tracing::debug!(%peer, ?end, "imap connection ended"),
            None => {
                let bye = Bytes::from_static(b"* BYE server is shutting down\r\n");
                drop(connection.write(bye).await);
                drop(connection.flush().await);
            }
        }
        drop(tokio::time::timeout(Duration::from_secs(1), connection.stream.shutdown()).await);
    }
}

/// One client's connection.
struct Connection {
    door: Arc<ImapDoor>,
    guest: Guest,
    stream: Stream,
    reader: Reader,
    silence: Duration,
}

impl Transport for Connection {
    type Sleep = tokio::time::Sleep;

    async fn read(&mut self) -> io::Result<Option<Bytes>> {
        let input = tokio::time::timeout(self.silence, self.reader.read(&mut self.stream))
            .await
            .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        Ok((!input.is_empty()).then_some(input))
    }

    async fn write(&mut self, bytes: Bytes) -> io::Result<()> {
        tokio::time::timeout(WRITE_STALL, self.stream.write_all(&bytes))
            .await
            .map_err(|_| io::Error::other("the client does not read"))?
    }

    async fn flush(&mut self) -> io::Result<()> {
        tokio::time::timeout(WRITE_STALL, self.stream.flush())
            .await
            .map_err(|_| io::Error::other("the client does not read"))?
    }

    async fn start_tls(&mut self) -> io::Result<()> {
        self.stream.start_tls(self.door.tls.mail_server()).await
    }

    fn is_tls(&self) -> bool {
        self.stream.is_tls()
    }

    fn can_start_tls(&self) -> bool {
        !self.stream.is_tls()
    }

    fn plain_login_allowed(&self) -> bool {
        self.door.config.login.plain.allows(self.guest.peer.ip())
    }

    fn logged_in(&mut self) {
        self.guest.authenticated();
        self.silence = IMAP_IDLE;
    }

    fn now(&self) -> Millis {
        Millis(now_ms())
    }

    fn sleep(&self, time: Duration) -> tokio::time::Sleep {
        tokio::time::sleep(time)
    }
}

/// Knows who may log in.
struct Doorkeeper {
    door: Arc<ImapDoor>,
}

impl Auth for Doorkeeper {
    type Account = Mail;

    async fn login(&self, user: &str, password: &str) -> Result<Mail, LoginError> {
        let login = self
            .door
            .service
            .login(user, password, self.door.wait)
            .await;
        match login {
            Ok(account) => Ok(Mail { account }),
            Err(ServiceLoginError::Denied) => {
                self.denied(user).await;
                Err(LoginError::Denied)
            }
            Err(ServiceLoginError::Unavailable(_)) => Err(LoginError::Unavailable),
        }
    }

    async fn scram_verifier(&self, user: &str) -> Result<Option<ScramVerifier>, LoginError> {
        let (verifiers, _) = self.door.service.verifiers(user);
        Ok(verifiers.scram.map(|scram| ScramVerifier {
            salt: scram.salt,
            iterations: scram.iterations,
            stored_key: scram.stored_key,
            server_key: scram.server_key,
        }))
    }

    async fn account(&self, user: &str) -> Result<Mail, LoginError> {
        let account = self.door.service.account(user, self.door.wait);
        account
            .map(|account| Mail { account })
            .ok_or(LoginError::Denied)
    }

    async fn scram_failed(&self, user: &str) {
        self.denied(user).await;
    }

    fn nonce(&self) -> [u8; 24] {
        rand::random()
    }

    fn salt_secret(&self) -> [u8; 32] {
        self.door
            .service
            .view()
            .read()
            .cluster()
            .map_or([0; 32], |cluster| cluster.secret)
    }
}

impl Doorkeeper {
    /// A wrong password costs whoever tried it some time.
    async fn denied(&self, user: &str) {
        metrics::counter!("rookery_logins_denied_total").increment(1);
        tracing::info!(user = user.escape_default().to_string(), "login denied");
        tokio::time::sleep(LOGIN_PENALTY).await;
    }
}

/// One account's mail.
struct Mail {
    account: Account,
}

/// A message on its way in; what was uploaded of it is freed if it is dropped before it is
/// appended.
struct Upload(Option<Incoming>);

impl Drop for Upload {
    fn drop(&mut self) {
        if let Some(incoming) = self.0.take() {
            tokio::spawn(incoming.abandon());
        }
    }
}

/// What a session is told. "Not done" only when nothing was done.
fn failed(failure: Failure) -> BackendError {
    match failure {
        Failure::Unknown => BackendError::Unknown,
        Failure::NoAccount | Failure::Moved => BackendError::Gone,
        Failure::NoMailbox => BackendError::NoMailbox,
        Failure::Busy(_) | Failure::NotLeader(_) => BackendError::Unavailable,
        Failure::Rejected(why) => BackendError::Rejected(why),
        Failure::NotFound | Failure::Broken(_) | Failure::Invalid(_) => {
            tracing::error!(%failure, "a request failed");
            BackendError::Broken
        }
    }
}

impl Backend for Mail {
    type Upload = Upload;

    fn account(&self) -> AccountId {
        self.account.id()
    }

    async fn read(&self, query: Query) -> Result<Answer, BackendError> {
        self.account.read(query).await.map_err(failed)
    }

    async fn propose(&self, command: Command) -> Result<Outcome, BackendError> {
        self.account.propose(command).await.map_err(failed)
    }

    async fn body(&self, body: &Body, range: Range<u64>) -> Result<Bytes, BackendError> {
        let first = self
            .account
            .body(body, range.clone())
            .await
            .map_err(failed)?;
        let wanted = (range.end - range.start) as usize;
        if first.len() == wanted {
            return Ok(first);
        }
        // The range goes over the end of a chunk.
        let mut bytes = BytesMut::with_capacity(wanted);
        bytes.extend_from_slice(&first);
        while bytes.len() < wanted {
            let from = range.start + bytes.len() as u64;
            let next = self
                .account
                .body(body, from..range.end)
                .await
                .map_err(failed)?;
            if next.is_empty() {
                return Err(BackendError::Broken);
            }
            bytes.extend_from_slice(&next);
        }
        Ok(bytes.freeze())
    }

    fn upload(&self, _size: u64) -> Upload {
        Upload(Some(self.account.upload()))
    }

    async fn upload_put(&self, upload: &mut Upload, bytes: Bytes) -> Result<(), BackendError> {
        match &mut upload.0 {
            Some(incoming) => incoming.put(bytes).await.map_err(failed),
            None => Err(BackendError::Broken),
        }
    }

    async fn append(
        &self,
        mut upload: Upload,
        mailbox: MailboxId,
        flags: Flags,
        date: Millis,
    ) -> Result<Outcome, BackendError> {
        let incoming = upload.0.take().ok_or(BackendError::Broken)?;
        let arrived = incoming.finish().await.map_err(failed)?;
        let account = self.account.id();
        let append = |body| Command::Append {
            account,
            mailbox,
            flags,
            date,
            body,
        };
        self.account
            .propose_arrived(&arrived, append)
            .await
            .map_err(failed)
    }

    async fn recent_from(&self, mailbox: MailboxId, claim_below: Uid) -> Result<Uid, BackendError> {
        self.account
            .recent_from(mailbox, claim_below)
            .await
            .map_err(failed)
    }

    fn changed(&self) -> impl Future<Output = ()> + Send {
        self.account.changed()
    }
}

//! The IMAP door: gives `imap::serve` a connection, a way to log in, and an account.

mod doorkeeper;

use std::future::Future;
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use imap::TokenService;
use imap::backend::{Backend, BackendError, ChannelBinding, Content, DerivedKey, Transport};
use imap::mime::NeedleGrams;
use mailbox::{
    AccountId, Answer, Body, Command, MailboxId, Millis, ModSeq, MoveId, NewBody, Outcome, Query,
    Uid, UidRanges,
};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::accept::{Guest, Phase, Shutdown};
use super::audit::Audit;
use super::deflate::{Compressors, Deflate};
use super::limits::{
    COMPRESSOR_REST, ID_LOGGED_BYTES, IMAP_IDLE, LOGIN_IDLE, READ_IDLE_BYTES, WRITE_STALL,
    WRITTEN_PIECE_BYTES,
};
use super::mail::Mail;
use super::stream::{Reader, Stream};
use super::tokens::Tokens;
use super::upload::{Sent, Upload, Whole};
use crate::config::Config;
use crate::derived::Derived;
use crate::service::{Account, Failure, Service, now_ms};
use crate::tls::{Tls, email_of};
use doorkeeper::Doorkeeper;

/// What all connections of this door share.
pub struct ImapDoor {
    service: Service,
    tls: Tls,
    config: Arc<Config>,
    session: imap::Config,
    wait: Duration,
    tokens: Option<Tokens>,
    compressors: Compressors,
    derived: Arc<Derived>,
}

impl ImapDoor {
    /// A door with this node's settings.
    #[must_use]
    /// `derived` is what is remembered of messages.
    pub fn new(
        service: Service,
        tls: Tls,
        tokens: Option<Tokens>,
        config: Arc<Config>,
        derived: Arc<Derived>,
    ) -> Self {
        let discovery = &config.oauth.discovery;
        let session = imap::Config {
            append_limit: config.limits.message_bytes_max,
            message_limit: Some(config.limits.imap_messages_per_command_max)
                .filter(|limit| *limit > 0),
            tokens: tokens.as_ref().map(|_| TokenService {
                discovery: Some(discovery.clone()).filter(|url| !url.is_empty()),
                scope: config.oauth.scope.clone(),
            }),
            ..imap::Config::default()
        };
        let wait = Duration::from_secs(config.limits.imap_leader_wait_secs);
        Self {
            service,
            tls,
            config,
            session,
            wait,
            tokens,
            compressors: Compressors::default(),
            derived,
        }
    }

    fn mail(&self, account: Account) -> Mail {
        let admins = &self.config.imap.quota_admins;
        let name = account.name().unwrap_or_default();
        let is_administrator = admins.iter().any(|admin| name.eq_ignore_ascii_case(admin));
        Mail::own(account, Arc::clone(&self.derived), is_administrator)
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
        let mut connection = Connection {
            door: Arc::clone(&self),
            guest,
            stream: Stream::Plain(socket),
            reader: Reader::new(READ_IDLE_BYTES),
            silence: LOGIN_IDLE,
            end_point: None,
            deflate: None,
            is_identified: false,
            stop: shutdown.clone(),
        };
        if implicit_tls && let Err(error) = connection.start_tls().await {
            tracing::debug!(%peer, %error, "TLS handshake failed");
            return;
        }
        let auth = Doorkeeper::new(Arc::clone(&self), peer.ip());
        let end = tokio::select! {
            end = imap::serve(&mut connection, &auth, &self.session) => Some(end),
            () = shutdown.reached(Phase::Over) => None,
        };
        // Who is cut off in the middle of a command is told nothing: its answer may be half
        // written, and whether it was done may not be known.
        tracing::debug!(%peer, ?end, "imap connection ended");
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
    /// The hash of the certificate that the client was shown.
    end_point: Option<Bytes>,
    /// Both directions, if they are compressed.
    deflate: Option<Box<Deflate>>,
    /// The client has said who it is.
    is_identified: bool,
    /// Says when the node stops.
    stop: Shutdown,
}

impl Connection {
    /// The next bytes; none at the end. A compressor rests while nothing is said.
    async fn next(&mut self) -> io::Result<Bytes> {
        let Some(deflate) = &mut self.deflate else {
            return self.reader.read(&mut self.stream).await;
        };
        let read = deflate.read(&mut self.reader, &mut self.stream);
        if let Ok(read) = tokio::time::timeout(COMPRESSOR_REST, read).await {
            return read;
        }
        deflate.rest();
        deflate.read(&mut self.reader, &mut self.stream).await
    }
}

impl Transport for Connection {
    type Sleep = tokio::time::Sleep;

    async fn read(&mut self) -> io::Result<Option<Bytes>> {
        let input = tokio::time::timeout(self.silence, self.next())
            .await
            .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        Ok((!input.is_empty()).then_some(input))
    }

    async fn read_command(&mut self) -> io::Result<Option<Bytes>> {
        let mut stop = self.stop.clone();
        tokio::select! {
            () = stop.reached(Phase::Ending) => Err(io::ErrorKind::ConnectionAborted.into()),
            read = self.read() => read,
        }
    }

    fn is_closing(&self) -> bool {
        self.stop.is_ending()
    }

    async fn write(&mut self, bytes: Bytes) -> io::Result<()> {
        // Whoever reads slowly reads: each piece has its time.
        for piece in bytes.chunks(WRITTEN_PIECE_BYTES) {
            let write = async {
                match &mut self.deflate {
                    Some(deflate) => deflate.write(piece, &mut self.stream).await,
                    None => self.stream.write_all(piece).await,
                }
            };
            tokio::time::timeout(WRITE_STALL, write)
                .await
                .map_err(|_| io::Error::other("the client does not read"))??;
        }
        Ok(())
    }

    async fn flush(&mut self) -> io::Result<()> {
        let flush = async {
            match &mut self.deflate {
                Some(deflate) => deflate.flush(&mut self.stream).await,
                None => self.stream.flush().await,
            }
        };
        tokio::time::timeout(WRITE_STALL, flush)
            .await
            .map_err(|_| io::Error::other("the client does not read"))?
    }

    async fn start_tls(&mut self) -> io::Result<()> {
        let (config, end_point) = self.door.tls.mail();
        self.stream.start_tls(config).await?;
        self.end_point = end_point;
        Ok(())
    }

    fn is_tls(&self) -> bool {
        self.stream.is_tls()
    }

    fn can_start_tls(&self) -> bool {
        // What came in plain text is still in the inflater's window, and would go on after it.
        !self.stream.is_tls() && self.deflate.is_none()
    }

    fn start_compression(&mut self) {
        let compressors = self.door.compressors.clone();
        self.deflate = Some(Box::new(Deflate::new(compressors)));
    }

    fn is_compressed(&self) -> bool {
        self.deflate.is_some()
    }

    fn channel_binding(&self, kind: ChannelBinding) -> Option<Bytes> {
        match kind {
            ChannelBinding::TlsExporter => self.stream.exporter(),
            ChannelBinding::TlsServerEndPoint => {
                self.end_point.clone().filter(|_| self.stream.is_tls())
            }
        }
    }

    fn certified_user(&self) -> Option<String> {
        email_of(&self.stream.client_certificate()?)
    }

    fn plain_login_allowed(&self) -> bool {
        self.door.config.login.plain.allows(self.guest.peer.ip())
    }

    fn logged_in(&mut self) {
        self.guest.authenticated();
        self.silence = IMAP_IDLE;
    }

    fn logged_out(&mut self) {
        self.guest.unauthenticated();
        self.silence = LOGIN_IDLE;
    }

    /// Logged once, cut short, and nothing that could end a line.
    fn identified(&mut self, id: &[(Bytes, Option<Bytes>)]) {
        if std::mem::replace(&mut self.is_identified, true) {
            return;
        }
        let cut = |bytes: &Bytes| {
            let cut = &bytes[..bytes.len().min(ID_LOGGED_BYTES)];
            cut.escape_ascii().to_string()
        };
        let known = ["name", "version", "vendor", "os", "os-version"];
        let fields: Vec<String> = id
            .iter()
            .filter(|(field, _)| {
                known
                    .iter()
                    .any(|name| field.eq_ignore_ascii_case(name.as_bytes()))
            })
            .filter_map(|(field, value)| Some(format!("{}={}", cut(field), cut(value.as_ref()?))))
            .take(known.len())
            .collect();
        let client = fields.join(" ");
        tracing::debug!(peer = %self.guest.peer, client, "a client says what it is");
    }

    fn now(&self) -> Millis {
        Millis(now_ms())
    }

    fn sleep(&self, time: Duration) -> tokio::time::Sleep {
        tokio::time::sleep(time)
    }
}

/// What a session is told. "Not done" only when nothing was done.
fn failed(failure: Failure) -> BackendError {
    match failure {
        Failure::Unknown => BackendError::Unknown,
        Failure::NoAccount | Failure::Moved => BackendError::Gone,
        Failure::NoMailbox => BackendError::NoMailbox,
        Failure::NoRight => BackendError::NoRight,
        Failure::Busy(_) | Failure::NotLeader(_) => BackendError::Unavailable,
        Failure::Rejected(why) => BackendError::Rejected(why),
        Failure::NoSpace => {
            metrics::counter!("rookery_imap_no_space_total").increment(1);
            BackendError::NoSpace
        }
        Failure::TooLarge => BackendError::TooLarge,
        Failure::NotFound | Failure::Broken(_) | Failure::Invalid(_) => {
            tracing::error!(%failure, "a request failed");
            BackendError::Broken
        }
    }
}

impl Mail {
    /// Before anything is asked of the account of another.
    fn check_user(&self) -> Result<(), BackendError> {
        match self.has_user() {
            true => Ok(()),
            false => Err(BackendError::Gone),
        }
    }
}

impl Content for Mail {
    async fn body(&self, body: &Body, range: Range<u64>) -> Result<Bytes, BackendError> {
        self.check_user()?;
        self.account.body(body, range).await.map_err(failed)
    }

    fn derived(&self, key: &DerivedKey) -> Option<Bytes> {
        self.derived.get(key)
    }

    fn keep_derived(&self, key: DerivedKey, value: Bytes) {
        self.derived.asked(&key.item);
        self.derived.put(key, value);
    }
}

impl Backend for Mail {
    type Upload = Upload;
    type Arrived = Whole;

    fn account(&self) -> AccountId {
        self.account.id()
    }

    async fn user(&self) -> Result<String, BackendError> {
        self.account.name().ok_or(BackendError::Gone)
    }

    async fn find_user(&self, name: &str) -> Result<Option<(AccountId, String)>, BackendError> {
        self.account.find(name).await.map_err(failed)
    }

    async fn of(&self, user: &str) -> Result<Option<Mail>, BackendError> {
        let found = self.account.find(user).await.map_err(failed)?;
        // A name has one spelling, so that a mailbox has one name.
        let found = found.filter(|(_, name)| name == user);
        Ok(found.and_then(|(id, name)| self.other(id, &name)))
    }

    async fn sharing(&self) -> Result<Vec<Mail>, BackendError> {
        let owners = self.account.sharing().into_iter();
        Ok(owners
            .filter_map(|(id, name)| self.other(id, &name))
            .collect())
    }

    async fn sharing_users(&self) -> Result<Vec<(AccountId, String)>, BackendError> {
        Ok(self.account.sharing())
    }

    async fn share_with(&self, user: AccountId) -> Result<(), BackendError> {
        self.account.share_with(user).await.map_err(failed)
    }

    fn guest(&self) -> Option<&imap::guest::Guest> {
        self.guest.as_deref()
    }

    fn new_move(&self) -> MoveId {
        MoveId(rand::random())
    }

    async fn read(&self, query: Query) -> Result<Answer, BackendError> {
        self.check_user()?;
        let Some(guest) = &self.guest else {
            return self.account.read(query).await.map_err(failed);
        };
        let answer = self.account.read(guest.query(query)).await;
        answer.map(|answer| guest.answer(answer)).map_err(failed)
    }

    async fn read_near(&self, query: Query, at_least: ModSeq) -> Result<Answer, BackendError> {
        self.check_user()?;
        let Some(guest) = &self.guest else {
            return self
                .account
                .read_near(query, at_least)
                .await
                .map_err(failed);
        };
        let answer = self.account.read_near(guest.query(query), at_least).await;
        answer.map(|answer| guest.answer(answer)).map_err(failed)
    }

    async fn propose(&self, command: Command) -> Result<Outcome, BackendError> {
        self.check_user()?;
        let command = self.on_behalf(command);
        let Command::SetQuota {
            bytes, messages, ..
        } = command
        else {
            return self.account.propose(command).await.map_err(failed);
        };
        let who = self.own_account().name().unwrap_or_default();
        let name = self.account.name().unwrap_or_default();
        let of = format!("{name}: bytes {bytes:?}, messages {messages:?}");
        let audit = Audit::begin(&who, "quota by IMAP", &of);
        let outcome = self.account.propose(command).await;
        audit.end(&outcome);
        outcome.map_err(failed)
    }

    fn is_administrator(&self) -> bool {
        self.is_administrator
    }

    async fn administered(&self, user: &str) -> Result<Option<Mail>, BackendError> {
        let found = self.of(user).await?;
        let found = found.map(Mail::for_its_owner);
        if let Some(mail) = &found {
            mail.check_user()?;
        }
        Ok(found)
    }

    async fn spare(&self) -> Box<dyn Send + Sync> {
        Box::new(self.derived.spare.take().await)
    }

    async fn read_ahead(&self, wanted: &[(Body, u64)]) -> usize {
        self.account.read_ahead(wanted).await
    }

    async fn lacking(&self, mailbox: MailboxId, texts: Vec<NeedleGrams>) -> Vec<UidRanges> {
        self.account.lacking(mailbox, texts).await
    }

    fn upload(&self) -> Result<Upload, BackendError> {
        self.check_user()?;
        let upload = self.account.upload().map_err(failed)?;
        Ok(Upload(Some(upload)))
    }

    async fn upload_put(&self, upload: &mut Upload, bytes: Bytes) -> Result<(), BackendError> {
        match &mut upload.0 {
            Some(incoming) => incoming.put(bytes).await.map_err(failed),
            None => Err(BackendError::Broken),
        }
    }

    async fn upload_end(&self, mut upload: Upload, apart: bool) -> Result<Whole, BackendError> {
        let incoming = upload.0.take().ok_or(BackendError::Broken)?;
        let sent = if apart {
            Sent::Leaving(self.account.send_ahead(incoming).await)
        } else {
            Sent::Arrived(incoming.finish(false).await.map_err(failed)?)
        };
        Ok(Whole(Some(sent)))
    }

    async fn arrived_body(&self, whole: &mut Whole) -> Result<NewBody, BackendError> {
        if let Some(Sent::Leaving(leaving)) = &mut whole.0 {
            let arrived = leaving.arrived().await;
            whole.0 = None;
            whole.0 = Some(Sent::Arrived(arrived.map_err(failed)?));
        }
        let arrived = whole.arrived().ok_or(BackendError::Broken)?;
        Ok(self.account.arrived_body(arrived))
    }

    async fn append(&self, command: Command, whole: Vec<Whole>) -> Result<Outcome, BackendError> {
        self.check_user()?;
        let arrived = whole.iter().filter_map(Whole::arrived);
        let command = self.on_behalf(command);
        let outcome = self.account.propose_arrived(command, arrived).await;
        if let Ok(Outcome::Done(_)) = outcome {
            // The messages refer to what was uploaded.
            whole.into_iter().for_each(Whole::keep);
        }
        outcome.map_err(failed)
    }

    async fn recent_from(&self, mailbox: MailboxId, claim_below: Uid) -> Result<Uid, BackendError> {
        self.check_user()?;
        self.account
            .recent_from(mailbox, claim_below)
            .await
            .map_err(failed)
    }

    fn changed(&self) -> impl Future<Output = ()> + Send {
        self.account.changed()
    }
}

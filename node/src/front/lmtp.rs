//! The LMTP door (RFC 2033): drives an [`lmtp::Session`] and hands its messages to the service.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::FutureExt as _;
use lmtp::{Delivered, Event, HangUp, Session, Verdict};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::accept::{Guest, Phase, Shutdown};
use super::limits::{
    LMTP_IDLE, READ_BYTES, REPLIES_BYTES, RESOLVE_WAIT, WAITING_BYTES, WRITE_STALL,
};
use super::stream::{Reader, Stream};
use crate::config::Config;
use crate::service::delivery::{Recipient, Result as Delivery1, Told};
use crate::service::login::Resolved;
use crate::service::{Delivery, Failure, Lane, Service, now_ms};
use crate::tls::{Identity, Tls, identity};

/// What all connections of this door share.
pub struct LmtpDoor {
    service: Service,
    tls: Tls,
    config: Arc<Config>,
    session: Arc<lmtp::Config>,
    wait: Duration,
}

impl LmtpDoor {
    /// A door with this node's settings.
    ///
    /// # Errors
    ///
    /// When the host name cannot stand in a greeting.
    pub fn new(service: Service, tls: Tls, config: Arc<Config>) -> Result<Self, lmtp::Error> {
        let mut session = lmtp::Config::new(&config.node.hostname)?;
        session.size_bytes_max = config.limits.message_bytes_max;
        session.starttls = true;
        let wait = Duration::from_secs(config.limits.lmtp_leader_wait_secs);
        Ok(Self {
            service,
            tls,
            config,
            session: Arc::new(session),
            wait,
        })
    }

    /// Serves one connection to its end.
    pub async fn serve(self: Arc<Self>, socket: TcpStream, mut guest: Guest, shutdown: Shutdown) {
        let address = guest.peer.ip();
        if !self.config.lmtp.may_connect(address) {
            metrics::counter!("rookery_lmtp_refused_total").increment(1);
            return;
        }
        let trusted = self.config.lmtp.allows(address);
        if trusted {
            guest.authenticated();
        }
        let lane = self.service.lanes().open();
        let mut connection = Connection {
            session: Session::new(Arc::clone(&self.session)),
            stream: Stream::Plain(socket),
            reader: Reader::new(READ_BYTES),
            replies: BytesMut::new(),
            lane,
            trusted,
            accepted: Vec::new(),
            delivery: None,
            failed: None,
            told: Told::new(),
            door: self,
            guest,
            stop: shutdown,
        };
        if let Err(error) = connection.run().await {
            tracing::debug!(peer = %address, %error, "lmtp connection ended");
        }
        if let Some(delivery) = connection.delivery.take() {
            delivery.abandon().await;
        }
    }
}

struct Connection {
    door: Arc<LmtpDoor>,
    guest: Guest,
    session: Session,
    stream: Stream,
    reader: Reader,
    /// Replies that were not written yet: those to commands that came together go together
    /// (RFC 2920 section 3.2).
    replies: BytesMut,
    lane: Lane,
    /// By its address or its certificate, this client may deliver.
    trusted: bool,
    /// The accounts of the recipients that were accepted since the last message, in order; those of
    /// the transaction come last.
    accepted: Vec<Resolved>,
    delivery: Option<Delivery>,
    /// Why the message that is arriving cannot be stored.
    failed: Option<Failure>,
    /// Deliveries whose replies the client has not shown to have seen.
    told: Told,
    /// Says when the node stops.
    stop: Shutdown,
}

impl Connection {
    async fn run(&mut self) -> io::Result<()> {
        self.replies.extend_from_slice(&self.session.greeting());
        self.write().await?;
        loop {
            if !self.work().await? {
                return self.stream.shutdown().await;
            }
            // A message that has begun may still come; when time is up it need not.
            let patience = match self.session.in_transaction() {
                true => Phase::Over,
                false => Phase::Ending,
            };
            let read = tokio::select! {
                read = tokio::time::timeout(LMTP_IDLE, self.reader.read(&mut self.stream)) => read,
                () = self.stop.reached(patience) => {
                    self.session.hang_up(HangUp::Shutdown);
                    continue;
                }
            };
            match read {
                Ok(Ok(input)) if input.is_empty() => {
                    self.session.disconnected();
                    self.work().await?;
                    return Ok(());
                }
                Ok(Ok(input)) => self.session.push(input).map_err(io::Error::other)?,
                Ok(Err(error)) => {
                    self.session.disconnected();
                    self.work().await?;
                    return Err(error);
                }
                Err(_) => self.session.hang_up(HangUp::Idle),
            }
        }
    }

    /// Does everything that the session asks for, and writes the replies; `false` when the
    /// connection is to be closed.
    async fn work(&mut self) -> io::Result<bool> {
        let goes_on = self.events().await?;
        self.write().await?;
        Ok(goes_on)
    }

    async fn events(&mut self) -> io::Result<bool> {
        while let Some(event) = self.session.next() {
            match event {
                Event::Reply(bytes) => {
                    self.replies.extend_from_slice(&bytes);
                    if self.replies.len() > REPLIES_BYTES {
                        self.write().await?;
                    }
                }
                Event::Recipient(address) => {
                    let verdict = self.recipient(&address).await;
                    self.session.recipient(verdict).map_err(io::Error::other)?;
                }
                Event::Begin {
                    sender,
                    recipients,
                    utf8,
                    ..
                } => {
                    self.begin(sender.as_ref(), &recipients, utf8);
                }
                Event::Data(bytes) => self.data(bytes).await,
                Event::End => {
                    let outcomes = self.end().await;
                    self.push_waiting()?;
                    self.session
                        .delivered(&outcomes)
                        .map_err(io::Error::other)?;
                    if self.stop.is_ending() {
                        // The next message, which may have come along, goes to another node.
                        self.session.hang_up(HangUp::Shutdown);
                    }
                }
                Event::Abort => {
                    if let Some(delivery) = self.delivery.take() {
                        delivery.abandon().await;
                    }
                }
                Event::Seen => {
                    let told = std::mem::take(&mut self.told);
                    self.door.service.confirm(told);
                }
                Event::StartTls => self.start_tls().await?,
                Event::Quit => return Ok(false),
            }
        }
        Ok(true)
    }

    /// Takes what the client has sent meanwhile: it was sent before any reply, so it shows nothing.
    fn push_waiting(&mut self) -> io::Result<()> {
        let mut bytes = 0;
        // The end of the connection, and errors, are met again by whoever waits for more.
        while bytes < WAITING_BYTES
            && let Some(Ok(input)) = self.reader.read(&mut self.stream).now_or_never()
            && !input.is_empty()
        {
            bytes += input.len();
            self.session.push(input).map_err(io::Error::other)?;
        }
        Ok(())
    }

    async fn write(&mut self) -> io::Result<()> {
        if self.replies.is_empty() {
            return Ok(());
        }
        let replies = self.replies.split();
        let write = async {
            self.stream.write_all(&replies).await?;
            self.stream.flush().await
        };
        tokio::time::timeout(WRITE_STALL, write)
            .await
            .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "the client does not read"))?
    }

    async fn start_tls(&mut self) -> io::Result<()> {
        self.write().await?;
        self.stream.start_tls(self.door.tls.lmtp_server()).await?;
        let certificate = self.stream.client_certificate();
        let shown = certificate.map(|der| identity(&der));
        if matches!(shown, Some(Identity::LmtpClient(_)))
            && self.door.config.lmtp.client_certificates
        {
            self.trusted = true;
            self.guest.authenticated();
        }
        Ok(())
    }

    async fn recipient(&mut self, address: &lmtp::Address) -> Verdict {
        if !self.trusted {
            return Verdict::Rejected("this client may not deliver here".into());
        }
        let name = match &address.domain {
            Some(domain) => format!("{}@{domain}", address.local),
            None => address.local.clone(),
        };
        match self.door.service.resolve(&name, RESOLVE_WAIT).await {
            Ok(Some(resolved)) if !self.door.service.takes_mail(resolved.group) => {
                metrics::counter!("rookery_lmtp_no_space_total").increment(1);
                Verdict::NoSpace
            }
            Ok(Some(resolved)) => {
                // Of transactions that were reset some are left over; they are the oldest.
                if self.accepted.len() > self.session.config().recipients_max {
                    self.accepted.remove(0);
                }
                self.accepted.push(resolved);
                Verdict::Accept
            }
            Ok(None) => Verdict::NoSuchUser,
            Err(_) => Verdict::Unavailable,
        }
    }

    fn begin(&mut self, sender: Option<&lmtp::Address>, recipients: &[lmtp::Address], utf8: bool) {
        let now_ms = now_ms();
        let id = format!("{:012x}{:04x}", now_ms, rand::random::<u16>());
        let accepted = std::mem::take(&mut self.accepted);
        // The session accepts exactly those that were accepted here, in order; of an earlier
        // transaction that was reset none counts.
        let first = accepted.len().saturating_sub(recipients.len());
        let recipients = recipients
            .iter()
            .zip(&accepted[first..])
            .map(|(address, resolved)| {
                let trace = lmtp::trace::Trace {
                    sender,
                    recipient: address,
                    lhlo: self.session.lhlo().unwrap_or("unknown"),
                    peer: Some(self.guest.peer.ip().to_canonical()),
                    host: self.session.config().hostname(),
                    tls: self.stream.is_tls(),
                    utf8,
                    id: &id,
                    unix_seconds: now_ms / 1000,
                };
                Recipient {
                    account: resolved.account,
                    group: resolved.group,
                    address: address.raw.clone(),
                    folder: address.detail.clone(),
                    prefix: Bytes::from(lmtp::trace::prefix(&trace)),
                }
            })
            .collect();
        let sender = sender.map(|sender| sender.raw.clone()).unwrap_or_default();
        tracing::debug!(id, "delivery begins");
        self.failed = None;
        self.delivery = Some(Delivery::begin(
            &self.door.service,
            sender,
            recipients,
            self.door.wait,
        ));
    }

    async fn data(&mut self, bytes: Bytes) {
        if self.failed.is_some() {
            return;
        }
        if let Some(delivery) = &mut self.delivery
            && let Err(failure) = delivery.put(bytes).await
        {
            self.failed = Some(failure);
        }
    }

    async fn end(&mut self) -> Vec<Delivered> {
        let Some(delivery) = self.delivery.take() else {
            return Vec::new();
        };
        if let Some(failure) = self.failed.take() {
            let count = delivery.recipients();
            delivery.abandon().await;
            let result = Delivery1::Unknown(failure);
            (0..count).for_each(|_| tally(&result));
            return vec![reply(&result); count];
        }
        let (results, told) = delivery.finish(&mut self.lane, true).await;
        if results
            .iter()
            .any(|result| matches!(result, Delivery1::Unknown(_)))
        {
            // What this lane did last is not known: it is not used again.
            self.lane = self.door.service.lanes().open();
        }
        self.told.extend(told);
        results.iter().for_each(tally);
        results.iter().map(reply).collect()
    }
}

/// Counts what became of a message for one recipient.
fn tally(result: &Delivery1) {
    metrics::counter!("rookery_deliveries_total", "outcome" => outcome(result)).increment(1);
}

/// What the README calls it.
fn outcome(result: &Delivery1) -> &'static str {
    use mailbox::Delivered as Decided;
    match result {
        Delivery1::Decided(Decided::Stored { .. }) => "stored",
        Delivery1::Decided(Decided::Duplicate) => "duplicate",
        Delivery1::Decided(Decided::OverQuota) => "over_quota",
        Delivery1::Unknown(Failure::Unknown) => "unknown",
        Delivery1::Decided(_) | Delivery1::Unknown(_) => "refused",
    }
}

/// What a client is told. An outcome that is not known is never a permanent error.
fn reply(result: &Delivery1) -> Delivered {
    use mailbox::Delivered as Decided;
    match result {
        Delivery1::Decided(Decided::Stored { mailbox, uid }) => Delivered::Ok {
            id: format!("{}.{}", mailbox.0, uid.0),
        },
        Delivery1::Decided(Decided::Duplicate) => Delivered::Duplicate,
        Delivery1::Decided(Decided::NoAccount) => Delivered::NoSuchUser,
        Delivery1::Decided(Decided::OverQuota) => Delivered::OverQuota,
        Delivery1::Decided(Decided::Moved | Decided::NoUpload | Decided::MailboxFull) => {
            Delivered::Busy
        }
        Delivery1::Unknown(Failure::Busy(_) | Failure::Unknown) => Delivered::Unavailable,
        Delivery1::Unknown(Failure::NoSpace) => {
            metrics::counter!("rookery_lmtp_no_space_total").increment(1);
            Delivered::NoSpace
        }
        Delivery1::Unknown(Failure::TooLarge) => Delivered::TooLarge,
        Delivery1::Unknown(_) => Delivered::Busy,
    }
}

#[cfg(test)]
mod tests {
    use mailbox::{Delivered as Decided, MailboxId, Uid};

    use super::*;

    #[test]
    fn what_is_not_stored_does_not_count_as_stored() {
        let stored = Decided::Stored {
            mailbox: MailboxId(1),
            uid: Uid(1),
        };
        for (result, wanted) in [
            (Delivery1::Decided(stored), "stored"),
            (Delivery1::Decided(Decided::Duplicate), "duplicate"),
            (Delivery1::Decided(Decided::OverQuota), "over_quota"),
            (Delivery1::Decided(Decided::NoAccount), "refused"),
            (Delivery1::Decided(Decided::MailboxFull), "refused"),
            (Delivery1::Unknown(Failure::NoSpace), "refused"),
            (Delivery1::Unknown(Failure::Unknown), "unknown"),
        ] {
            assert_eq!(outcome(&result), wanted);
        }
    }
}

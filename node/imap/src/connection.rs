//! A transport with the framer behind it and the writer before it.

use std::io;
use std::pin::{Pin, pin};
use std::task::Poll;

use futures_util::future::poll_fn;
use mailbox::AccountId;

use crate::backend::{Backend, Transport};
use crate::cmd::capability::{self, User};
use crate::config::Config;
use crate::grammar::{AppendStart, Bad, Command, Framer, Item};
use crate::limits::{self, Limits};
use crate::respond::{Code, Writer};
use crate::state::{End, Stop};

/// One client's connection, for the whole session.
pub(crate) struct Connection<'a, T> {
    pub(crate) transport: &'a mut T,
    pub(crate) framer: Framer,
    /// What is to be sent; whoever writes much calls [`Connection::relieve`] often.
    pub(crate) out: Writer,
    /// Something was sent that the transport may have kept back.
    is_held_back: bool,
    pub(crate) config: &'a Config,
}

/// What a client begins.
pub(crate) enum Request {
    Command(Command),
    Append(AppendStart),
    Bad(Bad),
}

/// What ended a wait, in IDLE or with NOTIFY.
pub(crate) enum Woken<W> {
    /// The client said something.
    Read(Option<bytes::Bytes>),
    /// Something in these accounts may have changed.
    Changed(Vec<AccountId>),
    /// What was worked on meanwhile is done.
    Worked(W),
    /// The time is over.
    Timer,
}

impl<'a, T: Transport> Connection<'a, T> {
    pub(crate) fn new(transport: &'a mut T, config: &'a Config) -> Connection<'a, T> {
        let framer = Framer::new(Limits::NOT_AUTHENTICATED);
        Connection {
            transport,
            framer,
            out: Writer::new(),
            is_held_back: false,
            config,
        }
    }

    /// Greets, with the capabilities.
    pub(crate) fn greet(&mut self) {
        let code = Code::Capability(capability::names(self.transport, self.config, User::Nobody));
        let greeting = format!("{} ready", self.config.server_name);
        self.out.untagged_ok(Some(&code), &greeting);
    }

    /// The next command, or the beginning of an APPEND. None is begun once the server is about to
    /// stop: the client is told so, where a command ends and the next one has not begun.
    pub(crate) async fn request(&mut self) -> Result<Request, Stop> {
        loop {
            if self.transport.is_closing() {
                return Err(closing());
            }
            let Some(item) = self.next_item()? else {
                self.flush().await?;
                let bytes = self.transport.read_command().await.map_err(read_failed)?;
                self.push(bytes)?;
                continue;
            };
            if let Some(request) = self.request_of(item) {
                return Ok(request);
            }
        }
    }

    /// The next command, or the beginning of an APPEND, if it has arrived whole.
    pub(crate) fn begun(&mut self) -> Result<Option<Request>, Stop> {
        if self.transport.is_closing() {
            return Err(closing());
        }
        while let Some(item) = self.next_item()? {
            if let Some(request) = self.request_of(item) {
                return Ok(Some(request));
            }
        }
        Ok(None)
    }

    /// What an item between commands begins.
    fn request_of(&mut self, item: Item) -> Option<Request> {
        match item {
            Item::Command(command) => return Some(Request::Command(command)),
            Item::Append(start) => return Some(Request::Append(start)),
            Item::Bad(bad) => return Some(Request::Bad(bad)),
            Item::Continue => self.out.continuation("Ready for the literal"),
            Item::Message(_)
            | Item::Url(_)
            | Item::Literal(_)
            | Item::Body(_)
            | Item::AppendEnd
            | Item::Line(_) => {}
        }
        None
    }

    /// The next item of whatever kind. What was written is sent before the client is waited for.
    pub(crate) async fn item(&mut self) -> Result<Item, Stop> {
        loop {
            if let Some(item) = self.next_item()? {
                return Ok(item);
            }
            self.flush().await?;
            let bytes = self.transport.read().await.map_err(read_failed)?;
            self.push(bytes)?;
        }
    }

    /// The next item, if it has arrived whole.
    pub(crate) fn next_item(&mut self) -> Result<Option<Item>, Stop> {
        self.framer
            .next()
            .map_err(|_| Stop::bye("Too much input that is no command"))
    }

    /// Takes what [`Transport::read`] returned.
    pub(crate) fn push(&mut self, bytes: Option<bytes::Bytes>) -> Result<(), Stop> {
        let Some(bytes) = bytes else {
            return Err(Stop::Close(End::PeerClosed, None));
        };
        self.framer.push(&bytes);
        Ok(())
    }

    /// Sends what was written if it is much.
    pub(crate) async fn relieve(&mut self) -> Result<(), Stop> {
        if self.out.len() >= limits::WRITE_BYTES {
            self.send().await?;
        }
        Ok(())
    }

    /// Sends what was written, without the last flush.
    pub(crate) async fn send(&mut self) -> Result<(), Stop> {
        if !self.out.is_empty() {
            let bytes = self.out.take();
            self.write(bytes).await?;
        }
        Ok(())
    }

    /// Sends bytes that do not go through the writer, after all that was written.
    pub(crate) async fn write(&mut self, bytes: bytes::Bytes) -> Result<(), Stop> {
        self.is_held_back = true;
        Ok(self.transport.write(bytes).await?)
    }

    /// Whether the client will hear something with the next [`Connection::flush`].
    pub(crate) fn has_news(&self) -> bool {
        self.is_held_back || !self.out.is_empty()
    }

    /// Sends all that was written, and lets its buffer go: what follows is a wait.
    pub(crate) async fn flush(&mut self) -> Result<(), Stop> {
        if !self.out.is_empty() {
            let bytes = self.out.take_all();
            self.write(bytes).await?;
        }
        if self.is_held_back {
            self.transport.flush().await?;
            self.is_held_back = false;
        }
        Ok(())
    }

    /// Waits for the client, for a change in one of these accounts, for some work to be done, or
    /// for the timer, whatever comes first, in this order.
    pub(crate) async fn wait<B: Backend, W: Future>(
        &mut self,
        accounts: &[&B],
        work: W,
        mut timer: Pin<&mut T::Sleep>,
    ) -> Result<Woken<W::Output>, Stop> {
        let mut read = pin!(self.transport.read_command());
        let mut work = pin!(work);
        let accounts = accounts.iter();
        let mut changes: Vec<_> = accounts
            .map(|backend| (backend.account(), Box::pin(backend.changed())))
            .collect();
        poll_fn(|context| {
            if let Poll::Ready(read) = read.as_mut().poll(context) {
                return Poll::Ready(read.map(Woken::Read).map_err(read_failed));
            }
            let mut which = Vec::new();
            for (account, changed) in &mut changes {
                if changed.as_mut().poll(context).is_ready() {
                    which.push(*account);
                }
            }
            if !which.is_empty() {
                return Poll::Ready(Ok(Woken::Changed(which)));
            }
            if let Poll::Ready(done) = work.as_mut().poll(context) {
                return Poll::Ready(Ok(Woken::Worked(done)));
            }
            timer.as_mut().poll(context).map(|()| Ok(Woken::Timer))
        })
        .await
    }
}

fn read_failed(error: io::Error) -> Stop {
    match error.kind() {
        io::ErrorKind::TimedOut => {
            Stop::Close(End::TimedOut, Some((None, "Too long without a command")))
        }
        io::ErrorKind::ConnectionAborted => closing(),
        _ => Stop::from(error),
    }
}

/// RFC 3501 section 7.1.5: the server announces that it shuts down.
fn closing() -> Stop {
    let why = "The server shuts down, please connect again";
    Stop::Close(End::Closing, Some((None, why)))
}

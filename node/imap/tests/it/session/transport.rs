//! A connection whose other end is a test.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use imap::backend::{ChannelBinding, Transport};
use mailbox::Millis;

/// When every test takes place.
pub const NOW: Millis = Millis(1_704_164_645_000);

/// What identifies the channel of every test.
pub const EXPORTER: &[u8] = &[5; 32];

/// The same by the server's certificate.
pub const END_POINT: &[u8] = &[6; 32];

/// Both ends see this.
#[derive(Default)]
struct Wire {
    input: VecDeque<Bytes>,
    is_closed: bool,
    is_silent: bool,
    is_closing: bool,
    /// What was written and not flushed: a client does not hear of it.
    held: Vec<u8>,
    output: Vec<u8>,
    largest_write: usize,
    is_tls: bool,
    is_private: bool,
    is_compressed: bool,
    binds_channel: bool,
    certified: Option<String>,
    passed: Duration,
    /// So much time passes each time that somebody looks at the clock.
    tick: Duration,
    wakers: Vec<Waker>,
}

impl Wire {
    fn wake(&mut self) {
        self.wakers.drain(..).for_each(Waker::wake);
    }
}

/// The test's end.
#[derive(Clone, Default)]
pub struct Client(Arc<Mutex<Wire>>);

impl Client {
    /// A connection on which anybody may log in.
    pub fn plain() -> Client {
        let client = Client::default();
        client.0.lock().unwrap().is_private = true;
        client
    }

    /// A connection whose channel can be bound, once it is encrypted.
    pub fn bind_channel(&self) {
        self.0.lock().unwrap().binds_channel = true;
    }

    /// Whom the client's certificate names.
    pub fn certify(&self, user: &str) {
        self.0.lock().unwrap().certified = Some(user.to_owned());
    }

    pub fn tick(&self, time: Duration) {
        self.0.lock().unwrap().tick = time;
    }

    pub fn send(&self, bytes: impl Into<Bytes>) {
        let mut wire = self.0.lock().unwrap();
        wire.input.push_back(bytes.into());
        wire.wake();
    }

    /// All that was received since the last time.
    pub fn take(&self) -> Vec<u8> {
        std::mem::take(&mut self.0.lock().unwrap().output)
    }

    pub fn largest_write(&self) -> usize {
        self.0.lock().unwrap().largest_write
    }

    pub fn close(&self) {
        let mut wire = self.0.lock().unwrap();
        wire.is_closed = true;
        wire.wake();
    }

    /// Lets the server think that nothing came for very long.
    pub fn fall_silent(&self) {
        let mut wire = self.0.lock().unwrap();
        wire.is_silent = true;
        wire.wake();
    }

    /// Lets the server be about to stop.
    pub fn shut_down(&self) {
        let mut wire = self.0.lock().unwrap();
        wire.is_closing = true;
        wire.wake();
    }

    pub fn advance(&self, time: Duration) {
        let mut wire = self.0.lock().unwrap();
        wire.passed += time;
        wire.wake();
    }

    pub fn server(&self) -> Server {
        Server(Arc::clone(&self.0))
    }
}

/// The server's end.
pub struct Server(Arc<Mutex<Wire>>);

impl Transport for Server {
    type Sleep = Sleep;

    async fn read(&mut self) -> io::Result<Option<Bytes>> {
        poll_fn(|context| {
            let mut wire = self.0.lock().unwrap();
            if let Some(bytes) = wire.input.pop_front() {
                return Poll::Ready(Ok(Some(bytes)));
            }
            if wire.is_closed {
                return Poll::Ready(Ok(None));
            }
            if wire.is_silent {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            wire.wakers.push(context.waker().clone());
            Poll::Pending
        })
        .await
    }

    async fn read_command(&mut self) -> io::Result<Option<Bytes>> {
        let wire = Arc::clone(&self.0);
        let mut read = std::pin::pin!(self.read());
        poll_fn(|context| {
            if wire.lock().unwrap().is_closing {
                return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
            }
            read.as_mut().poll(context)
        })
        .await
    }

    fn is_closing(&self) -> bool {
        self.0.lock().unwrap().is_closing
    }

    async fn write(&mut self, bytes: Bytes) -> io::Result<()> {
        let mut wire = self.0.lock().unwrap();
        wire.largest_write = wire.largest_write.max(bytes.len());
        wire.held.extend_from_slice(&bytes);
        Ok(())
    }

    async fn flush(&mut self) -> io::Result<()> {
        let mut wire = self.0.lock().unwrap();
        let held = std::mem::take(&mut wire.held);
        wire.output.extend_from_slice(&held);
        Ok(())
    }

    async fn start_tls(&mut self) -> io::Result<()> {
        let mut wire = self.0.lock().unwrap();
        wire.output.extend_from_slice(b"(TLS handshake)\r\n");
        wire.is_tls = true;
        Ok(())
    }

    fn is_tls(&self) -> bool {
        self.0.lock().unwrap().is_tls
    }

    fn can_start_tls(&self) -> bool {
        !self.0.lock().unwrap().is_compressed
    }

    fn start_compression(&mut self) {
        let mut wire = self.0.lock().unwrap();
        wire.output.extend_from_slice(b"(compressed)\r\n");
        wire.is_compressed = true;
    }

    fn is_compressed(&self) -> bool {
        self.0.lock().unwrap().is_compressed
    }

    fn channel_binding(&self, kind: ChannelBinding) -> Option<Bytes> {
        let wire = self.0.lock().unwrap();
        (wire.is_tls && wire.binds_channel).then_some(match kind {
            ChannelBinding::TlsExporter => Bytes::from_static(EXPORTER),
            ChannelBinding::TlsServerEndPoint => Bytes::from_static(END_POINT),
        })
    }

    fn certified_user(&self) -> Option<String> {
        let wire = self.0.lock().unwrap();
        wire.certified.clone().filter(|_| wire.is_tls)
    }

    fn plain_login_allowed(&self) -> bool {
        self.0.lock().unwrap().is_private
    }

    fn logged_in(&mut self) {}

    fn logged_out(&mut self) {}

    fn identified(&mut self, id: &[(Bytes, Option<Bytes>)]) {
        assert!(id.len() <= imap::limits::ID_PAIRS_MAX);
    }

    fn now(&self) -> Millis {
        let mut wire = self.0.lock().unwrap();
        let tick = wire.tick;
        wire.passed += tick;
        Millis(NOW.0 + wire.passed.as_millis() as u64)
    }

    fn sleep(&self, time: Duration) -> Sleep {
        let until = self.0.lock().unwrap().passed + time;
        Sleep {
            wire: Arc::clone(&self.0),
            until,
        }
    }
}

pub struct Sleep {
    wire: Arc<Mutex<Wire>>,
    until: Duration,
}

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut wire = self.wire.lock().unwrap();
        if wire.passed >= self.until {
            return Poll::Ready(());
        }
        wire.wakers.push(context.waker().clone());
        Poll::Pending
    }
}

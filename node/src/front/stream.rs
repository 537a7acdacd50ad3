//! A client's connection: plain, or TLS.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use rustls::{ProtocolVersion, ServerConfig};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::limits::{HANDSHAKE, READ_BODY_BYTES};

/// A client's connection.
pub enum Stream {
    /// As it was accepted.
    Plain(TcpStream),
    /// Encrypted.
    Tls(Box<TlsStream<TcpStream>>),
    /// Between the two, or after a failed handshake.
    Closed,
}

impl Stream {
    /// Whether it is encrypted.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        matches!(self, Self::Tls(_))
    }

    /// Does the server's side of a TLS handshake.
    ///
    /// # Errors
    ///
    /// When the handshake fails or takes too long; the connection is closed then.
    pub async fn start_tls(&mut self, config: Arc<ServerConfig>) -> io::Result<()> {
        let Self::Plain(socket) = std::mem::replace(self, Self::Closed) else {
            return Err(io::Error::other("not a plain connection"));
        };
        let handshake = TlsAcceptor::from(config).accept(socket);
        let stream = tokio::time::timeout(HANDSHAKE, handshake)
            .await
            .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "TLS handshake"))??;
        *self = Self::Tls(Box::new(stream));
        Ok(())
    }

    /// What `tls-exporter` binds a channel to (RFC 9266 section 2); only TLS 1.3 has it for sure.
    #[must_use]
    pub fn exporter(&self) -> Option<Bytes> {
        let Self::Tls(stream) = self else {
            return None;
        };
        let connection = stream.get_ref().1;
        if connection.protocol_version() != Some(ProtocolVersion::TLSv1_3) {
            return None;
        }
        let label = b"EXPORTER-Channel-Binding";
        let secret = connection.export_keying_material([0; 32], label, Some(&[]));
        Some(Bytes::copy_from_slice(&secret.ok()?))
    }

    /// The client's certificate, DER, if it showed one.
    #[must_use]
    pub fn client_certificate(&self) -> Option<Vec<u8>> {
        match self {
            Self::Tls(stream) => Some(
                stream
                    .get_ref()
                    .1
                    .peer_certificates()?
                    .first()?
                    .as_ref()
                    .to_vec(),
            ),
            _ => None,
        }
    }
}

/// Reads what clients send: little at a time while commands come, more while a message does, so
/// that an idle connection is cheap and no small message holds a large buffer.
pub struct Reader {
    least: usize,
    next: usize,
}

impl Reader {
    /// One that reads at least so many bytes at once.
    #[must_use]
    pub fn new(least: usize) -> Self {
        Self { least, next: least }
    }

    /// The next bytes; none at the end. Nothing is lost when this is dropped.
    ///
    /// # Errors
    ///
    /// Those of the connection.
    pub async fn read(&mut self, stream: &mut Stream) -> io::Result<Bytes> {
        let mut input = BytesMut::with_capacity(self.next);
        let read = stream.read_buf(&mut input).await?;
        self.next = match read == input.capacity() {
            true => (self.next * 4).min(READ_BODY_BYTES),
            false => self.least,
        };
        Ok(input.freeze())
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_read(context, buffer),
            Self::Closed => Poll::Ready(Ok(())),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_write(context, bytes),
            Self::Closed => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(context),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_flush(context),
            Self::Closed => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_shutdown(context),
            Self::Closed => Poll::Ready(Ok(())),
        }
    }
}

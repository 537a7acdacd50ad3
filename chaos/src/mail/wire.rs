//! A client that sends what it is told, byte for byte, and hears everything: in plain text, behind
//! STARTTLS, compressed.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};
use node::tls::provider;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::response::Framer;
use crate::limits::{CONNECT_WAIT, REPLY_WAIT, RESPONSE_BYTES_MAX};

/// Bytes that are read, or inflated, at once.
const PIECE_BYTES: usize = 64 << 10;

/// One connection to an IMAP server.
pub struct Wire {
    socket: Socket,
    framer: Framer,
    /// What was read and not yet taken.
    got: Vec<u8>,
    /// Both directions, if they are compressed.
    deflate: Option<(Compress, Decompress)>,
}

enum Socket {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Wire {
    /// Connects; the greeting is the first response.
    ///
    /// # Errors
    ///
    /// When nobody takes the connection.
    pub async fn connect(address: SocketAddr) -> io::Result<Self> {
        let socket = timeout(CONNECT_WAIT, TcpStream::connect(address)).await??;
        socket.set_nodelay(true)?;
        Ok(Self {
            socket: Socket::Plain(socket),
            framer: Framer::default(),
            got: Vec::new(),
            deflate: None,
        })
    }

    /// Does the client's side of a handshake, trusting the authority in this file.
    ///
    /// # Errors
    ///
    /// As the handshake fails, or when something was said before it.
    pub async fn start_tls(self, authority: &Path) -> anyhow::Result<Self> {
        let Socket::Plain(socket) = self.socket else {
            anyhow::bail!("encrypted already");
        };
        anyhow::ensure!(self.got.is_empty(), "said before the handshake");
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(authority)?)?;
        let config = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let connector = TlsConnector::from(Arc::new(config));
        let name = ServerName::try_from("localhost").context("a name")?;
        let stream = timeout(CONNECT_WAIT, connector.connect(name, socket)).await??;
        Ok(Self {
            socket: Socket::Tls(Box::new(stream)),
            ..self
        })
    }

    /// Compresses from now on, both ways (RFC 4978).
    ///
    /// # Errors
    ///
    /// When something was said in plain text already that should have been compressed.
    pub fn compress(&mut self) -> io::Result<()> {
        if !self.got.is_empty() {
            return Err(io::Error::other("said before the compression"));
        }
        let compress = Compress::new(Compression::default(), false);
        self.deflate = Some((compress, Decompress::new(false)));
        Ok(())
    }

    /// Sends all of it.
    ///
    /// # Errors
    ///
    /// When the server does not take it.
    pub async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut deflated = Vec::new();
        let bytes = match &mut self.deflate {
            Some((compress, _)) => {
                // Stored blocks are the worst case, with some bytes for each.
                deflated.reserve(bytes.len() + bytes.len() / 1000 + 1024);
                let flush = FlushCompress::Sync;
                compress
                    .compress_vec(bytes, &mut deflated, flush)
                    .map_err(io::Error::other)?;
                &deflated
            }
            None => bytes,
        };
        let write = async {
            match &mut self.socket {
                Socket::Plain(socket) => socket.write_all(bytes).await,
                Socket::Tls(socket) => {
                    socket.write_all(bytes).await?;
                    socket.flush().await
                }
            }
        };
        timeout(REPLY_WAIT, write).await?
    }

    /// The next response with its literals, without the last line's end; none at the end of the
    /// connection.
    ///
    /// # Errors
    ///
    /// When nothing comes for a long time, or something that has no end.
    pub async fn response(&mut self) -> io::Result<Option<String>> {
        loop {
            if let Some(length) = self.framer.next(&self.got) {
                let response: Vec<u8> = self.got.drain(..length).collect();
                let response = String::from_utf8_lossy(&response);
                return Ok(Some(response.trim_end_matches("\r\n").to_owned()));
            }
            if !self.fill().await? {
                return Ok(None);
            }
        }
    }

    /// Reads until so many bytes wait to be taken, or the connection ends.
    ///
    /// # Errors
    ///
    /// When they do not come for a long time.
    pub async fn await_bytes(&mut self, bytes: usize) -> io::Result<()> {
        while self.got.len() < bytes && self.fill().await? {}
        Ok(())
    }

    /// Reads more; `false` at the end of the connection.
    async fn fill(&mut self) -> io::Result<bool> {
        if self.got.len() > RESPONSE_BYTES_MAX {
            return Err(io::Error::other("a response without an end"));
        }
        let mut buffer = vec![0; PIECE_BYTES];
        let read = async {
            match &mut self.socket {
                Socket::Plain(socket) => socket.read(&mut buffer).await,
                Socket::Tls(socket) => socket.read(&mut buffer).await,
            }
        };
        let read = match timeout(REPLY_WAIT, read).await? {
            Ok(read) => read,
            // A close with input unread reaches the client as a reset.
            Err(error) => match error.kind() {
                io::ErrorKind::ConnectionReset
                | io::ErrorKind::BrokenPipe
                | io::ErrorKind::UnexpectedEof => 0,
                _ => return Err(error),
            },
        };
        self.take(&buffer[..read])?;
        Ok(read > 0)
    }

    fn take(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        let Some((_, decompress)) = &mut self.deflate else {
            self.got.extend_from_slice(bytes);
            return Ok(());
        };
        loop {
            self.got.reserve(PIECE_BYTES);
            let (before, length) = (decompress.total_in(), self.got.len());
            decompress
                .decompress_vec(bytes, &mut self.got, FlushDecompress::None)
                .map_err(io::Error::other)?;
            let used = usize::try_from(decompress.total_in() - before).unwrap_or(bytes.len());
            bytes = &bytes[used..];
            if bytes.is_empty() && self.got.len() == length {
                return Ok(());
            }
        }
    }
}

//! A socket with a deadline on everything.

use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::limits::{CONNECT_WAIT, REPLY_WAIT};

/// A connection and what was read from it.
pub(super) struct Stream {
    socket: TcpStream,
    /// Bytes that were read and not yet taken.
    pub(super) buffer: Vec<u8>,
}

impl Stream {
    pub(super) async fn connect(address: SocketAddr) -> io::Result<Self> {
        let socket = timeout(CONNECT_WAIT, TcpStream::connect(address)).await??;
        socket.set_nodelay(true)?;
        Ok(Self {
            socket,
            buffer: Vec::new(),
        })
    }

    pub(super) async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        timeout(REPLY_WAIT, self.socket.write_all(bytes)).await?
    }

    /// Reads more into the buffer.
    pub(super) async fn fill(&mut self) -> io::Result<()> {
        let read = timeout(REPLY_WAIT, self.socket.read_buf(&mut self.buffer)).await??;
        if read == 0 {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the server hung up",
            ));
        }
        Ok(())
    }

    /// The next line, without its CRLF.
    pub(super) async fn line(&mut self) -> io::Result<String> {
        let mut seen = 0;
        loop {
            let rest = &self.buffer[seen..];
            if let Some(end) = rest.windows(2).position(|pair| pair == b"\r\n") {
                let mut line: Vec<u8> = self.buffer.drain(..seen + end + 2).collect();
                line.truncate(seen + end);
                return Ok(String::from_utf8_lossy(&line).into_owned());
            }
            seen = self.buffer.len().saturating_sub(1);
            self.fill().await?;
        }
    }
}

//! COMPRESS=DEFLATE on a connection (RFC 4978): raw deflate (RFC 1951) both ways, above TLS.
//!
//! ```text
//!   socket ─► TLS ─► input ─► inflate ─► at most INFLATED_BYTES at once ─► session
//!   socket ◄─ TLS ◄─ output ◄─ deflate, or stored blocks ◄─────────────── session
//! ```
//!
//! - **What small input may become is bounded**: a read returns a piece of fixed size, and the rest
//!   stays compressed until the session asks for more.
//! - **Deflating costs memory only while there is something to say**: a compressor lives for as
//!   long as a conversation goes on, and there are a bounded number of them on a node. Who gets
//!   none is sent stored blocks, which every inflater reads. A new one may begin wherever the last
//!   one was flushed, since a block begins there: it refers to nothing that was said before.
//! - **All that was written is sent on a flush**: it ends with an empty stored block, as `zlib`'s
//!   `Z_SYNC_FLUSH` does.

use std::io;
use std::sync::Arc;

use bytes::{Buf, Bytes, BytesMut};
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::limits::{COMPRESSORS_MAX, DEFLATED_BYTES, INFLATED_BYTES};
use super::stream::{Reader, Stream};

/// A good part of what can be saved, at a third of the time that the default takes.
const LEVEL: u32 = 3;

/// Bytes of one stored block (RFC 1951 section 3.2.4).
const STORED_BYTES_MAX: usize = 65_535;

/// The compressors of a node. Clones share them.
#[derive(Clone)]
pub struct Compressors(Arc<Semaphore>);

impl Default for Compressors {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(COMPRESSORS_MAX)))
    }
}

/// Both directions of a connection that is compressed.
pub struct Deflate {
    inflater: Decompress,
    /// What was received and not yet inflated.
    input: Bytes,
    /// The inflater may hold more for which there was no room.
    is_full: bool,
    /// The client's stream has ended.
    is_over: bool,
    compressors: Compressors,
    deflater: Option<(Compress, OwnedSemaphorePermit)>,
    /// Something was written since the last flush.
    is_dirty: bool,
    /// What was deflated and not yet sent.
    output: BytesMut,
}

impl Deflate {
    /// A connection that is compressed from its next byte on.
    #[must_use]
    pub fn new(compressors: Compressors) -> Self {
        Self {
            inflater: Decompress::new(false),
            input: Bytes::new(),
            is_full: false,
            is_over: false,
            compressors,
            deflater: None,
            is_dirty: false,
            output: BytesMut::new(),
        }
    }

    /// The next bytes of the client; none at the end. Nothing is lost when this is dropped.
    ///
    /// # Errors
    ///
    /// Those of the connection, and when what was received is not deflated.
    pub async fn read(&mut self, reader: &mut Reader, stream: &mut Stream) -> io::Result<Bytes> {
        loop {
            let inflated = self.inflate()?;
            if !inflated.is_empty() || self.is_over {
                return Ok(inflated);
            }
            self.input = reader.read(stream).await?;
            if self.input.is_empty() {
                return Ok(Bytes::new());
            }
        }
    }

    /// Inflates what was received, up to the size of a piece.
    fn inflate(&mut self) -> io::Result<Bytes> {
        if self.is_over || (self.input.is_empty() && !self.is_full) {
            return Ok(Bytes::new());
        }
        let mut piece = vec![0; INFLATED_BYTES];
        let before = (self.inflater.total_in(), self.inflater.total_out());
        let status = self
            .inflater
            .decompress(&self.input, &mut piece, FlushDecompress::None)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        let read = (self.inflater.total_in() - before.0) as usize;
        let written = (self.inflater.total_out() - before.1) as usize;
        self.input.advance(read);
        self.is_full = written == piece.len();
        self.is_over = status == Status::StreamEnd;
        let is_stuck = read == 0 && written == 0 && !self.is_over && !self.input.is_empty();
        if is_stuck {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "not deflated"));
        }
        piece.truncate(written);
        // A small command must not hold a large buffer.
        piece.shrink_to_fit();
        Ok(Bytes::from(piece))
    }

    /// Sends bytes, some of which may wait for a flush.
    ///
    /// # Errors
    ///
    /// Those of the connection.
    pub async fn write<W: AsyncWrite + Unpin>(
        &mut self,
        bytes: &[u8],
        stream: &mut W,
    ) -> io::Result<()> {
        self.is_dirty = true;
        if self.deflater.is_none()
            && let Ok(permit) = Arc::clone(&self.compressors.0).try_acquire_owned()
        {
            let compress = Compress::new(Compression::new(LEVEL), false);
            self.deflater = Some((compress, permit));
        }
        if self.deflater.is_some() {
            return self.deflate(bytes, FlushCompress::None, stream).await;
        }
        for block in bytes.chunks(STORED_BYTES_MAX) {
            let length = (block.len() as u16).to_le_bytes();
            let header = [0, length[0], length[1], !length[0], !length[1]];
            self.output.extend_from_slice(&header);
            self.output.extend_from_slice(block);
            stream.write_all_buf(&mut self.output).await?;
        }
        Ok(())
    }

    /// Sends all that was written.
    ///
    /// # Errors
    ///
    /// Those of the connection.
    pub async fn flush<W: AsyncWrite + Unpin>(&mut self, stream: &mut W) -> io::Result<()> {
        if self.is_dirty && self.deflater.is_some() {
            self.deflate(&[], FlushCompress::Sync, stream).await?;
        }
        stream.write_all_buf(&mut self.output).await?;
        self.is_dirty = false;
        self.output = BytesMut::new();
        stream.flush().await
    }

    /// Gives the compressor back: nothing has been said for a while.
    pub fn rest(&mut self) {
        if !self.is_dirty {
            self.deflater = None;
        }
    }

    async fn deflate<W: AsyncWrite + Unpin>(
        &mut self,
        mut bytes: &[u8],
        flush: FlushCompress,
        stream: &mut W,
    ) -> io::Result<()> {
        loop {
            let Some((deflater, _)) = &mut self.deflater else {
                return Ok(());
            };
            let mut piece = vec![0; DEFLATED_BYTES];
            let before = (deflater.total_in(), deflater.total_out());
            deflater
                .compress(bytes, &mut piece, flush)
                .map_err(io::Error::other)?;
            let read = (deflater.total_in() - before.0) as usize;
            let written = (deflater.total_out() - before.1) as usize;
            bytes = &bytes[read..];
            self.output.extend_from_slice(&piece[..written]);
            stream.write_all_buf(&mut self.output).await?;
            if bytes.is_empty() && written < piece.len() {
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a client that inflates has received.
    struct Client(Decompress);

    impl Client {
        fn inflated(&mut self, sent: &[u8]) -> Vec<u8> {
            let mut out = Vec::new();
            let from = self.0.total_in();
            loop {
                let at = (self.0.total_in() - from) as usize;
                let before = out.len();
                out.reserve(64 << 10);
                let flush = FlushDecompress::None;
                self.0.decompress_vec(&sent[at..], &mut out, flush).unwrap();
                if out.len() == before {
                    assert_eq!((self.0.total_in() - from) as usize, sent.len());
                    return out;
                }
            }
        }
    }

    fn pair(compressors: &Compressors) -> (Deflate, Client) {
        let deflate = Deflate::new(compressors.clone());
        (deflate, Client(Decompress::new(false)))
    }

    /// Something that is neither all alike nor random.
    fn text(lines: usize) -> Vec<u8> {
        let line = |number| format!("* {number} FETCH (FLAGS (\\Seen) UID {})\r\n", number * 7);
        (0..lines).map(line).collect::<String>().into_bytes()
    }

    #[tokio::test]
    async fn every_flush_sends_all() {
        let (mut deflate, mut client) = pair(&Compressors::default());
        let mut total = (0, 0);
        for lines in [1, 10, 3000, 1, 0, 40_000] {
            let mut sent = Vec::new();
            let said = text(lines);
            for part in said.chunks(10_000) {
                deflate.write(part, &mut sent).await.unwrap();
            }
            deflate.flush(&mut sent).await.unwrap();
            assert!(client.inflated(&sent) == said, "{lines}");
            total = (total.0 + said.len(), total.1 + sent.len());
        }
        assert!(total.1 * 4 < total.0, "{total:?}");
    }

    #[tokio::test]
    async fn compressors_come_and_go_and_may_be_short() {
        let compressors = Compressors(Arc::new(Semaphore::new(1)));
        let (mut one, mut client_one) = pair(&compressors);
        let (mut two, mut client_two) = pair(&compressors);
        for round in 0..4 {
            for (deflate, client) in [(&mut one, &mut client_one), (&mut two, &mut client_two)] {
                let (mut sent, said) = (Vec::new(), text(5000));
                deflate.write(&said, &mut sent).await.unwrap();
                deflate.flush(&mut sent).await.unwrap();
                assert!(client.inflated(&sent) == said);
                let has_one = sent.len() < said.len() / 2;
                assert_eq!(has_one, deflate.deflater.is_some());
            }
            assert_ne!(one.deflater.is_some(), two.deflater.is_some(), "{round}");
            match round {
                0 => one.rest(),
                1 => two.rest(),
                _ => {}
            }
        }
        let mut sent = Vec::new();
        one.write(b"x", &mut sent).await.unwrap();
        one.rest();
        assert!(one.is_dirty);
    }

    /// All that a peer gets to hear of `sent`, in pieces; an error where it ends with one.
    fn received(sent: &[u8], cut: usize) -> (Vec<u8>, usize, bool) {
        let mut deflate = Deflate::new(Compressors::default());
        let (mut all, mut largest) = (Vec::new(), 0);
        for part in sent.chunks(cut) {
            deflate.input = [&deflate.input[..], part].concat().into();
            loop {
                match deflate.inflate() {
                    Ok(piece) if piece.is_empty() && deflate.input.is_empty() => break,
                    Ok(piece) if piece.is_empty() && deflate.is_over => break,
                    Ok(piece) => {
                        largest = largest.max(piece.len());
                        all.extend_from_slice(&piece);
                    }
                    Err(_) => return (all, largest, true),
                }
            }
        }
        (all, largest, false)
    }

    fn deflated(said: &[u8], flush: FlushCompress) -> Vec<u8> {
        let mut compress = Compress::new(Compression::best(), false);
        let mut sent = Vec::with_capacity(said.len() + 1024);
        compress.compress_vec(said, &mut sent, flush).unwrap();
        assert_eq!(compress.total_in() as usize, said.len());
        sent
    }

    #[test]
    fn input_is_inflated_however_it_is_cut() {
        let said = text(3000);
        for sent in [
            deflated(&said, FlushCompress::Sync),
            deflated(&said, FlushCompress::Finish),
        ] {
            for cut in [1, 7, 1000, usize::MAX] {
                let (got, _, is_error) = received(&sent, cut);
                assert!(got == said && !is_error, "{cut}");
            }
        }
    }

    /// Little that becomes much comes in pieces, and what waits is what was received.
    #[test]
    fn bombs_come_in_pieces() {
        let zeros = vec![0; 32 << 20];
        let bomb = deflated(&zeros, FlushCompress::Sync);
        assert!(bomb.len() < 64 << 10);
        let (got, largest, is_error) = received(&bomb, usize::MAX);
        assert!(got == zeros && largest == INFLATED_BYTES && !is_error);
    }

    #[test]
    fn noise_is_an_error() {
        assert!(received(b"a1 NOOP\r\na2 NOOP\r\n", usize::MAX).2);
        assert!(received(&[0xff; 100], usize::MAX).2);
        // Stored, and its length does not fit its complement.
        assert!(received(&[0, 5, 0, 0, 0, 1, 2], 1).2);
    }
}

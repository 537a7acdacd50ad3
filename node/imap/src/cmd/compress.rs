//! COMPRESS (RFC 4978).

use crate::backend::{Backend, Transport};
use crate::grammar::Tag;
use crate::respond::Code;
use crate::state::{Result, Session, Stop};

impl<T: Transport, B: Backend> Session<'_, T, B> {
    /// Compresses from the end of the tagged OK on (section 3). It answers itself, since nothing
    /// may come between that answer and what is compressed.
    ///
    /// A client waits for the answer before it goes on. What came behind the command can be meant
    /// as plain or as compressed, so it is not guessed: the command is refused and the stream
    /// stays as it is.
    pub(crate) async fn compress(&mut self, tag: &Tag, algorithm: &str) -> Result<()> {
        if algorithm != "DEFLATE" {
            self.conn.out.bad(tag, None, "Only DEFLATE is known");
            return self.count_bad();
        }
        if self.conn.transport.is_compressed() {
            let code = Some(&Code::CompressionActive);
            self.conn.out.bad(tag, code, "COMPRESS is active already");
            return self.count_bad();
        }
        if !self.conn.framer.is_idle() {
            return Err(Stop::bye("Wait for the answer of COMPRESS"));
        }
        self.bad_in_a_row = 0;
        self.conn.out.ok(tag, None, "DEFLATE active");
        self.conn.flush().await?;
        self.conn.transport.start_compression();
        Ok(())
    }
}

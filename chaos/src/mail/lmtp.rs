//! A client that delivers (RFC 2033), as an MTA does.

use std::io;
use std::net::SocketAddr;

use super::stream::Stream;
use super::{Alive, Trouble};
use crate::history::Receipt;

/// One connection.
pub struct Lmtp {
    stream: Stream,
}

/// A transaction whose data may now be sent.
pub struct Transaction<'a> {
    connection: &'a mut Lmtp,
    /// What became of each recipient so far; none for those that were accepted.
    receipts: Vec<Option<Receipt>>,
    /// The last bytes that were sent, to find dots at the beginning of lines.
    at_line_start: bool,
    after_cr: bool,
}

/// What a server replied.
struct Reply {
    code: u16,
    text: String,
}

impl Reply {
    fn positive(&self) -> bool {
        (200..400).contains(&self.code)
    }

    fn temporary(&self) -> bool {
        (400..500).contains(&self.code)
    }

    fn told(&self) -> String {
        format!("{} {}", self.code, self.text)
    }
}

impl Lmtp {
    /// Connects and says LHLO.
    ///
    /// # Errors
    ///
    /// When nobody answers as an LMTP server does.
    pub async fn connect(address: SocketAddr) -> io::Result<Self> {
        let mut lmtp = Self {
            stream: Stream::connect(address).await?,
        };
        let greeting = lmtp.reply().await?;
        if greeting.code != 220 {
            return Err(io::Error::other(greeting.told()));
        }
        lmtp.stream.write(b"LHLO chaos.example.net\r\n").await?;
        let hello = lmtp.reply().await?;
        if hello.code != 250 {
            return Err(io::Error::other(hello.told()));
        }
        Ok(lmtp)
    }

    /// Delivers a message, given with CRLF after each line.
    ///
    /// # Errors
    ///
    /// [`Trouble::NotDone`] if the data was never sent, [`Trouble::Unknown`] if it was, and not
    /// every recipient has a reply.
    pub async fn deliver(
        &mut self,
        sender: &str,
        recipients: &[String],
        message: &[u8],
    ) -> Result<Vec<Receipt>, Trouble> {
        let mut transaction = match self.begin(sender, recipients).await? {
            Ok(transaction) => transaction,
            Err(receipts) => return Ok(receipts),
        };
        transaction.data(message).await?;
        transaction.finish().await
    }

    /// Sends the envelope and DATA. Answers the receipts if no recipient was accepted.
    ///
    /// # Errors
    ///
    /// When the connection breaks, or the sender or DATA is refused: nothing is delivered.
    pub async fn begin(
        &mut self,
        sender: &str,
        recipients: &[String],
    ) -> Result<Result<Transaction<'_>, Vec<Receipt>>, Trouble> {
        let broken = |error: io::Error| Trouble::before(&error);
        let mut envelope = format!("MAIL FROM:<{sender}> BODY=8BITMIME\r\n");
        for recipient in recipients {
            envelope.push_str(&format!("RCPT TO:<{recipient}>\r\n"));
        }
        envelope.push_str("DATA\r\n");
        self.stream
            .write(envelope.as_bytes())
            .await
            .map_err(broken)?;

        let mail = self.reply().await.map_err(broken)?;
        let mut receipts = Vec::new();
        for _ in recipients {
            let reply = self.reply().await.map_err(broken)?;
            receipts.push(match reply.positive() {
                true => None,
                false => Some(Receipt::Refused(reply.told())),
            });
        }
        let data = self.reply().await.map_err(broken)?;
        match data.code {
            354 => {
                let at_line_start = true;
                let after_cr = false;
                Ok(Ok(Transaction {
                    connection: self,
                    receipts,
                    at_line_start,
                    after_cr,
                }))
            }
            _ if mail.positive() && receipts.iter().all(Option::is_some) => {
                self.reset().await.map_err(broken)?;
                Ok(Err(receipts.into_iter().flatten().collect()))
            }
            _ => {
                let why = if mail.positive() {
                    data.told()
                } else {
                    mail.told()
                };
                self.reset().await.map_err(broken)?;
                Err(Trouble::NotDone(why, Alive::Yes))
            }
        }
    }

    async fn reset(&mut self) -> io::Result<()> {
        self.stream.write(b"RSET\r\n").await?;
        self.reply().await.map(drop)
    }

    /// Says goodbye, which also tells the server that its replies were seen.
    pub async fn quit(mut self) {
        if self.stream.write(b"QUIT\r\n").await.is_ok() {
            drop(self.reply().await);
        }
    }

    async fn reply(&mut self) -> io::Result<Reply> {
        loop {
            let line = self.stream.line().await?;
            let code = line.get(..3).and_then(|digits| digits.parse().ok());
            let code = code.ok_or_else(|| {
                let why = format!("no reply: {line:?}");
                io::Error::new(io::ErrorKind::InvalidData, why)
            })?;
            if line.as_bytes().get(3) != Some(&b'-') {
                let text = line.get(4..).unwrap_or_default().to_owned();
                return Ok(Reply { code, text });
            }
        }
    }
}

impl Transaction<'_> {
    /// Sends a part of the message; lines that begin with a dot get a second one (RFC 5321
    /// section 4.5.2).
    ///
    /// # Errors
    ///
    /// When the connection breaks. The end of the data was not sent, so nothing is delivered by a
    /// server that is right; that is for the judge to find, so it counts as unknown.
    pub async fn data(&mut self, part: &[u8]) -> Result<(), Trouble> {
        let mut stuffed = Vec::with_capacity(part.len() + part.len() / 64);
        for byte in part {
            if self.at_line_start && *byte == b'.' {
                stuffed.push(b'.');
            }
            stuffed.push(*byte);
            self.at_line_start = self.after_cr && *byte == b'\n';
            self.after_cr = *byte == b'\r';
        }
        let sent = self.connection.stream.write(&stuffed).await;
        sent.map_err(|error| Trouble::after(&error))
    }

    /// Ends the message and reads a reply per recipient.
    ///
    /// # Errors
    ///
    /// When the connection breaks before all replies are there.
    pub async fn finish(mut self) -> Result<Vec<Receipt>, Trouble> {
        let unknown = |error: io::Error| Trouble::after(&error);
        let end: &[u8] = if self.at_line_start {
            b".\r\n"
        } else {
            b"\r\n.\r\n"
        };
        self.connection.stream.write(end).await.map_err(unknown)?;
        for receipt in self.receipts.iter_mut().filter(|receipt| receipt.is_none()) {
            let reply = self.connection.reply().await.map_err(unknown)?;
            *receipt = Some(match &reply {
                reply if reply.positive() => Receipt::Stored,
                reply if reply.temporary() => Receipt::Unknown(reply.told()),
                reply => Receipt::Refused(reply.told()),
            });
        }
        Ok(self.receipts.drain(..).flatten().collect())
    }
}

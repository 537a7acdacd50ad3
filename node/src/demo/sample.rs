//! One mail, in through one node and out through another.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, ensure};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long a reply may take; the server itself holds a delivery for a minute at most.
const REPLY_WAIT: Duration = Duration::from_secs(120);

/// Delivers a mail to `user` at one node and finds it at another.
///
/// # Errors
///
/// When either node does not do its part.
pub(super) async fn send_and_read(
    lmtp: SocketAddr,
    imap: SocketAddr,
    user: &str,
    domain: &str,
    password: &str,
) -> anyhow::Result<()> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
    let id = now.as_millis().to_string();
    let mail = mail(&id, now.as_secs(), user, domain);
    deliver(lmtp, user, domain, &mail)
        .await
        .context("the sample mail was not delivered")?;
    let found = find(imap, user, password, &id)
        .await
        .context("the sample mail was not read")?;
    ensure!(found, "the sample mail is not in {user}'s INBOX");
    Ok(())
}

fn mail(id: &str, seconds: u64, user: &str, domain: &str) -> String {
    let date = lmtp::trace::date(seconds);
    format!(
        "From: Rookery <rookery@{domain}>\r\n\
         To: {user}@{domain}\r\n\
         Subject: Welcome to Rookery ({id})\r\n\
         Date: {date}\r\n\
         Message-ID: <{id}@{domain}>\r\n\
         MIME-Version: 1.0\r\n\
         Content-Type: text/plain; charset=utf-8\r\n\
         \r\n\
         This mail came in through one node and was read through another.\r\n\
         \r\n\
         Three nodes have it on their disks. Kill one of them with -9: the mail is still\r\n\
         there, and new mail still comes in.\r\n"
    )
}

async fn deliver(address: SocketAddr, user: &str, domain: &str, mail: &str) -> anyhow::Result<()> {
    let mut lines = Lines::connect(address).await?;
    lines.reply('2').await?;
    let steps = [
        ("LHLO localhost\r\n".to_owned(), '2'),
        (format!("MAIL FROM:<rookery@{domain}>\r\n"), '2'),
        (format!("RCPT TO:<{user}@{domain}>\r\n"), '2'),
        ("DATA\r\n".to_owned(), '3'),
        (format!("{mail}.\r\n"), '2'),
        ("QUIT\r\n".to_owned(), '2'),
    ];
    for (say, expected) in steps {
        lines.say(&say).await?;
        lines.reply(expected).await?;
    }
    Ok(())
}

/// Whether the newest mail of an INBOX has `id` in its subject.
async fn find(address: SocketAddr, user: &str, password: &str, id: &str) -> anyhow::Result<bool> {
    let mut lines = Lines::connect(address).await?;
    lines.line().await?;
    let mut found = false;
    let commands = [
        format!("LOGIN {user} {password}"),
        "SELECT INBOX".to_owned(),
        "FETCH * (BODY.PEEK[HEADER.FIELDS (SUBJECT)])".to_owned(),
        "LOGOUT".to_owned(),
    ];
    for command in commands {
        lines.say(&format!("a {command}\r\n")).await?;
        let ended = loop {
            let line = lines.line().await?;
            found |= line.starts_with("Subject:") && line.contains(id);
            if let Some(ended) = line.strip_prefix("a ") {
                break ended.to_owned();
            }
        };
        let verb = command.split(' ').next().unwrap_or_default();
        ensure!(ended.starts_with("OK"), "{verb} was answered {ended}");
    }
    Ok(found)
}

/// A conversation in lines.
struct Lines(BufReader<TcpStream>);

impl Lines {
    async fn connect(address: SocketAddr) -> io::Result<Self> {
        let socket = timeout(REPLY_WAIT, TcpStream::connect(address)).await??;
        Ok(Self(BufReader::new(socket)))
    }

    async fn say(&mut self, text: &str) -> io::Result<()> {
        self.0.get_mut().write_all(text.as_bytes()).await
    }

    async fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        let read = timeout(REPLY_WAIT, self.0.read_line(&mut line)).await??;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(line.trim_end().to_owned())
    }

    /// The last line of a reply of LMTP, which must begin with this digit.
    async fn reply(&mut self, digit: char) -> anyhow::Result<()> {
        loop {
            let line = self.line().await?;
            if line.as_bytes().get(3) != Some(&b'-') {
                ensure!(line.starts_with(digit), "the server said {line}");
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    /// A server that says these lines, one for each that it hears, and more where there are more.
    async fn script(replies: &'static [&'static str]) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let (socket, _) = listener.accept().await.unwrap();
            let mut socket = BufReader::new(socket);
            let mut heard = String::new();
            for reply in replies {
                socket.get_mut().write_all(reply.as_bytes()).await.unwrap();
                loop {
                    heard.clear();
                    if socket.read_line(&mut heard).await.unwrap() == 0 {
                        return;
                    }
                    let header = heard.contains(": ") || heard.trim().is_empty();
                    if !header && (heard.len() < 50 || heard == ".\r\n") {
                        break;
                    }
                }
            }
        });
        address
    }

    #[tokio::test]
    async fn a_mail_that_is_not_there_is_missed() {
        let imap = script(&[
            "* OK hello\r\n",
            "a OK in\r\n",
            "* 1 EXISTS\r\na OK [READ-WRITE] selected\r\n",
            "* 1 FETCH (BODY[HEADER.FIELDS (SUBJECT)] {17}\r\nSubject: (77)\r\n\r\n)\r\na OK\r\n",
            "* BYE\r\na OK\r\n",
        ]);
        assert!(find(imap.await, "alice", "pass", "77").await.unwrap());
        let imap = script(&["* OK hello\r\n", "a NO [AUTHENTICATIONFAILED] no\r\n"]);
        let error = find(imap.await, "alice", "pass", "77").await.unwrap_err();
        assert!(error.to_string().contains("LOGIN"), "{error}");
    }

    #[tokio::test]
    async fn a_refusal_is_told() {
        let lmtp = script(&[
            "220 hi\r\n",
            "250-a\r\n250 b\r\n",
            "250 ok\r\n",
            "550 no\r\n",
        ]);
        let error = deliver(lmtp.await, "bob", "demo.example", "x\r\n")
            .await
            .unwrap_err();
        assert!(error.to_string().contains("550 no"), "{error}");
    }
}

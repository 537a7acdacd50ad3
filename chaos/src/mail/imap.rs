//! A client that reads and changes mailboxes (RFC 3501, with UIDPLUS and MOVE).

use std::fmt::Write as _;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::timeout;

use super::message::{Received, serial_of};
use super::response::{Code, Fetched, Framer, Response, Status, Untagged, parse};
use super::stream::Stream;
use super::{Alive, Trouble};
use crate::history::{Flags, Listed, Mode};
use crate::limits::RESPONSE_BYTES_MAX;

/// One connection that is logged in.
pub struct Imap {
    stream: Stream,
    framer: Framer,
    tag: u32,
    /// Messages came or went since the mailbox was selected, as far as was told.
    has_changed: bool,
    selected: Option<Selected>,
}

/// What SELECT said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selected {
    /// The mailbox's name.
    pub name: String,
    /// EXISTS.
    pub exists: u32,
    /// UIDVALIDITY.
    pub validity: u32,
    /// UIDNEXT.
    pub uid_next: u32,
    /// HIGHESTMODSEQ; 0 if not told.
    pub modseq: u64,
}

/// What came back for a command that was done.
struct Done {
    code: Option<Code>,
    untagged: Vec<Untagged>,
}

/// UIDs as a set.
fn set(uids: &[u32]) -> String {
    let mut text = String::new();
    for uid in uids {
        let comma = if text.is_empty() { "" } else { "," };
        let _ = write!(text, "{comma}{uid}");
    }
    text
}

impl Imap {
    /// Connects and logs in.
    ///
    /// # Errors
    ///
    /// When nobody answers as an IMAP server does, or the login fails.
    pub async fn connect(address: SocketAddr, user: &str, password: &str) -> Result<Self, Trouble> {
        let stream = Stream::connect(address)
            .await
            .map_err(|error| Trouble::NotDone(error.to_string(), Alive::No))?;
        let mut imap = Self {
            stream,
            framer: Framer::default(),
            tag: 0,
            has_changed: false,
            selected: None,
        };
        match imap
            .response()
            .await
            .map_err(|error| Trouble::before(&error))?
        {
            Response::Untagged(Untagged::Status {
                status: Status::Ok, ..
            }) => {}
            other => {
                let why = format!("no greeting: {other:?}");
                return Err(Trouble::NotDone(why, Alive::No));
            }
        }
        imap.command(&format!("LOGIN {user} {password}")).await?;
        Ok(imap)
    }

    /// What is selected.
    #[must_use]
    pub fn selected(&self) -> Option<&Selected> {
        self.selected.as_ref()
    }

    /// Makes a mailbox, unless it exists.
    ///
    /// # Errors
    ///
    /// As for every call: [`Trouble`].
    pub async fn create(&mut self, mailbox: &str) -> Result<(), Trouble> {
        match self.command(&format!("CREATE {mailbox}")).await {
            Err(Trouble::NotDone(why, Alive::Yes)) if why.contains("ALREADYEXISTS") => Ok(()),
            other => other.map(drop),
        }
    }

    /// Selects a mailbox anew, so that everything that was answered before is in its view.
    ///
    /// # Errors
    ///
    /// As for every call; also when the server leaves something out.
    pub async fn select(&mut self, mailbox: &str) -> Result<Selected, Trouble> {
        self.selected = None;
        let done = self.command(&format!("SELECT {mailbox}")).await?;
        let mut selected = Selected {
            name: mailbox.to_owned(),
            ..Selected::default()
        };
        let mut exists = None;
        for untagged in done.untagged {
            let code = match untagged {
                Untagged::Status { code, .. } => code,
                Untagged::Exists(count) => {
                    exists = Some(count);
                    None
                }
                _ => None,
            };
            match code {
                Some(Code::UidValidity(validity)) => selected.validity = validity,
                Some(Code::UidNext(uid)) => selected.uid_next = uid,
                Some(Code::HighestModSeq(modseq)) => selected.modseq = modseq,
                _ => {}
            }
        }
        // RFC 9051 section 6.3.2.
        let missing = || Trouble::Broken(format!("no EXISTS: {mailbox}"));
        selected.exists = exists.ok_or_else(missing)?;
        self.has_changed = false;
        self.selected = Some(selected.clone());
        Ok(selected)
    }

    /// Everything in the selected mailbox, by UID; with whole messages if asked.
    ///
    /// # Errors
    ///
    /// As for every call; also when nothing was told to have changed, and messages are not as many
    /// as there should be, or do not have the sequence numbers that follow from their UIDs
    /// (RFC 9051 section 2.3.1.2).
    pub async fn list(&mut self, whole: bool) -> Result<Vec<Listed>, Trouble> {
        let section = if whole {
            "BODY.PEEK[]"
        } else {
            "BODY.PEEK[HEADER.FIELDS (X-Chaos-Serial)]"
        };
        let (mut listed, mut places) = (Vec::new(), Vec::new());
        let take = |untagged| {
            if let Untagged::Fetch(fetched) = untagged {
                let sequence = fetched.sequence;
                if let Some(message) = listing(fetched, whole) {
                    places.push((sequence, message.uid));
                    listed.push(message);
                }
            }
        };
        let command = format!("UID FETCH 1:* (UID FLAGS {section})");
        let code = self.command_with(&command, take).await?;
        // Gone since it was selected, and not told yet (RFC 9051 section 7.1).
        let is_gone = matches!(&code, Some(Code::Other(code)) if code == "EXPUNGEISSUED");
        let exists = self.selected.as_ref().map(|selected| selected.exists);
        if !self.has_changed
            && let Some(why) = misplaced(places, exists.unwrap_or(0), is_gone)
        {
            return Err(Trouble::Broken(why));
        }
        listed.sort_by_key(|message: &Listed| message.uid);
        Ok(listed)
    }

    /// The UIDs of the selected mailbox.
    ///
    /// # Errors
    ///
    /// As for every call.
    pub async fn uids(&mut self) -> Result<Vec<u32>, Trouble> {
        let mut uids = Vec::new();
        let take = |untagged| {
            if let Untagged::Fetch(fetched) = untagged {
                uids.extend(fetched.uid);
            }
        };
        self.command_with("UID FETCH 1:* (UID)", take).await?;
        Ok(uids)
    }

    /// How many messages of the selected mailbox match a search key.
    ///
    /// # Errors
    ///
    /// As for every call; also when the server does not say it.
    pub async fn count(&mut self, key: &str) -> Result<u64, Trouble> {
        let done = self
            .command(&format!("SEARCH RETURN (COUNT) {key}"))
            .await?;
        let counted = done.untagged.iter().find_map(|untagged| match untagged {
            Untagged::Other(text) => text.rsplit_once(" COUNT ")?.1.trim().parse().ok(),
            _ => None,
        });
        counted.ok_or_else(|| Trouble::Broken("no count was told".into()))
    }

    /// One message of the selected mailbox, whole.
    ///
    /// # Errors
    ///
    /// As for every call.
    pub async fn read(&mut self, uid: u32) -> Result<Option<Received>, Trouble> {
        let done = self
            .command(&format!("UID FETCH {uid} (UID BODY.PEEK[])"))
            .await?;
        let found = done
            .untagged
            .into_iter()
            .find_map(|untagged| match untagged {
                Untagged::Fetch(fetched) if fetched.uid == Some(uid) => fetched.body,
                _ => None,
            });
        Ok(found.map(|bytes| Received::of(&bytes)))
    }

    /// Changes flags in the selected mailbox; answers those that were told with it.
    ///
    /// # Errors
    ///
    /// As for every call.
    pub async fn store(
        &mut self,
        uids: &[u32],
        mode: Mode,
        flags: Flags,
    ) -> Result<Vec<(u32, Flags)>, Trouble> {
        let sign = match mode {
            Mode::Add => "+",
            Mode::Remove => "-",
            Mode::Replace => "",
        };
        let command = format!("UID STORE {} {sign}FLAGS {flags}", set(uids));
        let done = self.command(&command).await?;
        let told = done
            .untagged
            .into_iter()
            .filter_map(|untagged| match untagged {
                Untagged::Fetch(Fetched {
                    uid: Some(uid),
                    flags: Some(flags),
                    ..
                }) => Some((uid, flags)),
                _ => None,
            });
        Ok(told.filter(|(uid, _)| uids.contains(uid)).collect())
    }

    /// Copies or moves messages of the selected mailbox; answers UIDVALIDITY of the target and the
    /// UIDs there and here.
    ///
    /// # Errors
    ///
    /// As for every call.
    pub async fn copy(
        &mut self,
        moving: bool,
        uids: &[u32],
        to: &str,
    ) -> Result<(u32, Vec<(u32, u32)>), Trouble> {
        let verb = if moving { "MOVE" } else { "COPY" };
        let done = self
            .command(&format!("UID {verb} {} {to}", set(uids)))
            .await?;
        let untagged = done
            .untagged
            .into_iter()
            .filter_map(|untagged| match untagged {
                Untagged::Status { code, .. } => code,
                _ => None,
            });
        let copied = done
            .code
            .into_iter()
            .chain(untagged)
            .find_map(|code| match code {
                Code::CopyUid(validity, from, to) => {
                    Some((validity, from.into_iter().zip(to).collect()))
                }
                _ => None,
            });
        Ok(copied.unwrap_or_default())
    }

    /// Expunges these messages of the selected mailbox, those that have `\Deleted`.
    ///
    /// # Errors
    ///
    /// As for every call.
    pub async fn expunge(&mut self, uids: &[u32]) -> Result<(), Trouble> {
        self.command(&format!("UID EXPUNGE {}", set(uids)))
            .await
            .map(drop)
    }

    /// Appends a message; answers UIDVALIDITY and UID.
    ///
    /// # Errors
    ///
    /// As for every call; also when the server does not tell the UID.
    pub async fn append(
        &mut self,
        mailbox: &str,
        flags: Flags,
        message: &[u8],
    ) -> Result<(u32, u32), Trouble> {
        self.append_begin(mailbox, flags, message.len()).await?;
        self.append_part(message).await?;
        self.append_finish().await
    }

    /// Announces a message of so many bytes and waits until it is asked for.
    ///
    /// # Errors
    ///
    /// When it is refused or the connection breaks: not done.
    pub async fn append_begin(
        &mut self,
        mailbox: &str,
        flags: Flags,
        length: usize,
    ) -> Result<(), Trouble> {
        let broken = |error: io::Error| Trouble::before(&error);
        self.tag += 1;
        let command = format!("a{} APPEND {mailbox} {flags} {{{length}}}\r\n", self.tag);
        self.stream
            .write(command.as_bytes())
            .await
            .map_err(broken)?;
        loop {
            match self.response().await.map_err(broken)? {
                Response::Continue => return Ok(()),
                Response::Tagged {
                    status, text, code, ..
                } => {
                    let why = format!("{status:?} {}", told(code.as_ref(), &text));
                    return Err(Trouble::NotDone(why, Alive::Yes));
                }
                Response::Untagged(_) => {}
            }
        }
    }

    /// Sends a part of the message that was announced.
    ///
    /// # Errors
    ///
    /// When the connection breaks; an incomplete message must not be stored, which is for the judge
    /// to find.
    pub async fn append_part(&mut self, part: &[u8]) -> Result<(), Trouble> {
        let sent = self.stream.write(part).await;
        sent.map_err(|error| Trouble::after(&error))
    }

    /// Ends the command; answers UIDVALIDITY and UID.
    ///
    /// # Errors
    ///
    /// As for every call; also when the server does not tell the UID.
    pub async fn append_finish(&mut self) -> Result<(u32, u32), Trouble> {
        let sent = self.stream.write(b"\r\n").await;
        sent.map_err(|error| Trouble::after(&error))?;
        match self.finish(drop).await? {
            Some(Code::AppendUid(validity, uid)) => Ok((validity, uid)),
            other => Err(Trouble::Broken(format!("no APPENDUID: {other:?}"))),
        }
    }

    /// Idles until the mailbox has something new, or that long. Answers whether it has.
    ///
    /// # Errors
    ///
    /// As for every call.
    pub async fn idle(&mut self, wait: Duration) -> Result<bool, Trouble> {
        let unknown = |error: io::Error| Trouble::after(&error);
        self.tag += 1;
        let command = format!("a{} IDLE\r\n", self.tag);
        self.stream
            .write(command.as_bytes())
            .await
            .map_err(unknown)?;
        let news = async {
            loop {
                match self.response().await.map_err(unknown)? {
                    Response::Untagged(Untagged::Exists(_)) => return Ok(true),
                    Response::Tagged {
                        status, code, text, ..
                    } => {
                        let why = format!("{status:?} {}", told(code.as_ref(), &text));
                        return Err(Trouble::NotDone(why, Alive::Yes));
                    }
                    _ => {}
                }
            }
        };
        // A response that is half read stays in the buffer: nothing is lost by giving up waiting.
        let news = timeout(wait, news).await.unwrap_or(Ok(false))?;
        self.stream.write(b"DONE\r\n").await.map_err(unknown)?;
        self.finish(drop).await?;
        Ok(news)
    }

    /// Says goodbye.
    pub async fn logout(mut self) {
        drop(self.command("LOGOUT").await);
    }

    async fn command(&mut self, command: &str) -> Result<Done, Trouble> {
        let mut untagged = Vec::new();
        let code = self
            .command_with(command, |response| untagged.push(response))
            .await?;
        Ok(Done { code, untagged })
    }

    async fn command_with(
        &mut self,
        command: &str,
        take: impl FnMut(Untagged),
    ) -> Result<Option<Code>, Trouble> {
        self.tag += 1;
        let line = format!("a{} {command}\r\n", self.tag);
        let sent = self.stream.write(line.as_bytes()).await;
        sent.map_err(|error| Trouble::after(&error))?;
        self.finish(take).await
    }

    /// Reads until the command's own response.
    async fn finish(&mut self, mut take: impl FnMut(Untagged)) -> Result<Option<Code>, Trouble> {
        let own = format!("a{}", self.tag);
        loop {
            let response = self.response().await;
            match response.map_err(|error| Trouble::after(&error))? {
                Response::Tagged {
                    tag,
                    status,
                    code,
                    text,
                } if tag == own => {
                    return match status {
                        Status::Ok => Ok(code),
                        _ => {
                            let why = format!("{status:?} {}", told(code.as_ref(), &text));
                            Err(Trouble::NotDone(why, Alive::Yes))
                        }
                    };
                }
                Response::Tagged { tag, .. } => {
                    return Err(Trouble::Broken(format!("a response to {tag}, not {own}")));
                }
                Response::Untagged(untagged) => take(untagged),
                Response::Continue => {}
            }
        }
    }

    async fn response(&mut self) -> io::Result<Response> {
        loop {
            if let Some(length) = self.framer.next(&self.stream.buffer) {
                let frame: Vec<u8> = self.stream.buffer.drain(..length).collect();
                let response = parse(&frame).map_err(|why| {
                    let start = String::from_utf8_lossy(&frame[..frame.len().min(100)]);
                    let why = format!("a bad response: {why}: {start:?}");
                    io::Error::new(io::ErrorKind::InvalidData, why)
                })?;
                self.has_changed |= tells_of_change(&response);
                return Ok(response);
            }
            if self.stream.buffer.len() > RESPONSE_BYTES_MAX {
                let why = "a response without an end";
                return Err(io::Error::new(io::ErrorKind::InvalidData, why));
            }
            self.stream.fill().await?;
        }
    }
}

/// Whether it says that messages came or went.
fn tells_of_change(response: &Response) -> bool {
    match response {
        Response::Untagged(Untagged::Exists(_) | Untagged::Expunge(_)) => true,
        Response::Untagged(Untagged::Other(text)) => text.starts_with("VANISHED"),
        _ => false,
    }
}

/// What is wrong with the sequence numbers and UIDs of a mailbox in which so many messages `exist`;
/// some may be missing if it was said that they are gone.
fn misplaced(mut places: Vec<(u32, u32)>, exists: u32, is_gone: bool) -> Option<String> {
    places.sort_unstable();
    let rise = places
        .windows(2)
        .all(|pair| pair[0].0 < pair[1].0 && pair[0].1 < pair[1].1);
    let within = places
        .first()
        .zip(places.last())
        .is_none_or(|(first, last)| first.0 >= 1 && last.0 <= exists);
    let all = is_gone || places.len() == exists as usize;
    let wrong = match (rise, within && all) {
        (false, _) => "sequence numbers and UIDs do not rise together",
        (_, false) => "there are other messages than EXISTS says",
        (true, true) => return None,
    };
    Some(format!("{wrong}: {exists} exist, {places:?}"))
}

/// What a client makes of one message in a list. A FETCH that only tells of changed flags is none.
fn listing(fetched: Fetched, whole: bool) -> Option<Listed> {
    let (uid, flags, bytes) = (fetched.uid?, fetched.flags?, fetched.body?);
    if whole {
        let body = Received::of(&bytes);
        return Some(Listed {
            uid,
            flags,
            serial: body.serial,
            body: Some(body),
        });
    }
    Some(Listed {
        uid,
        flags,
        serial: serial_of(&bytes),
        body: None,
    })
}

fn told(code: Option<&Code>, text: &str) -> String {
    match code {
        Some(Code::Other(code)) => format!("[{code}] {text}"),
        Some(code) => format!("[{code:?}] {text}"),
        None => text.to_owned(),
    }
}

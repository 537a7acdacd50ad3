//! APPEND (RFC 3501 section 6.3.11) with MULTIAPPEND (RFC 3502), CATENATE (RFC 4469), `literal8`
//! (RFC 3516) and UTF8 (RFC 6855); REPLACE and UID REPLACE (RFC 8508).
//!
//! ```text
//!   Append ─► is there the mailbox?   Message ─► begin     Literal ─► fits it? "+"
//!   Body ─► to the backend            Url ─► read from the backend, to the backend
//!   AppendEnd ─► ONE command with all messages
//! ```
//!
//! No message is held: what arrives goes to the backend piece by piece. What can be refused is
//! refused before a client that asks has sent it. When something fails in the middle of a literal,
//! the rest of the command is read up to where the client can hear of it.

mod catenate;

use mailbox::limits::KEYWORDS_PER_MESSAGE_MAX;
use mailbox::{Command, MailboxId, Millis, NewMessage, Rejection, Replaced, Reply, UidRanges};

use crate::backend::{Backend, BackendError, Transport};
use crate::flags;
use crate::grammar::{
    AppendStart, AppendVerb, Bad, IdRange, Item, LiteralStart, MessageForm, MessageStart, ValidIn,
};
use crate::limits;
use crate::respond::Code;
use crate::state::{Done, Result, Session, Stop, reply};
use crate::sync::Expunges;

/// The messages of one command, as far as they have come.
struct Intake<B: Backend> {
    /// All but the last one, whole.
    whole: Vec<Whole<B>>,
    last: Option<Coming<B>>,
    /// Bytes of all of them.
    bytes: u64,
}

/// A message that is whole.
struct Whole<B: Backend> {
    start: MessageStart,
    arrived: B::Arrived,
}

/// A message that is coming.
struct Coming<B: Backend> {
    start: MessageStart,
    upload: B::Upload,
    bytes: u64,
    /// URLs and literals so far.
    parts: usize,
    /// Whether the bytes that come now are a `literal8`, which may hold NUL; it is not stored.
    binary: bool,
}

/// Where the messages go.
struct Target {
    mailbox: MailboxId,
    replaced: Option<Replaced>,
}

impl<T: Transport, B: Backend> Session<'_, T, B> {
    pub(crate) async fn append(&mut self, start: &AppendStart) -> Result<Done> {
        let target = match self.append_target(start).await {
            Ok(target) => target,
            Err(stop) => {
                self.conn.framer.refuse_append();
                return Err(stop);
            }
        };
        let intake = self.receive().await?;
        self.append_all(start, &target, intake).await
    }

    async fn append_target(&mut self, start: &AppendStart) -> Result<Target> {
        let replaced = match &start.verb {
            AppendVerb::Append => None,
            AppendVerb::Replace { uid, message } => {
                self.allows(ValidIn::Selected)?;
                self.takes_numbers(!*uid)?;
                if *uid && self.is_beyond(message) {
                    Box::pin(self.refresh(Expunges::Hold)).await?;
                }
                let selected = self.writable()?;
                let named = selected.view.resolve(message, *uid)?;
                let found = named.first();
                let uid = found.ok_or(Stop::No(None, "There is no such message".into()))?;
                let mailbox = selected.mailbox;
                Some(Replaced { mailbox, uid })
            }
        };
        let mailbox = self.target(&start.mailbox).await?.id;
        if replaced.is_some() && self.backend.account() != self.opened.account() {
            // It would not be all or nothing (RFC 8508 section 3.3).
            let text = "A message is not replaced by one of another user";
            return Err(Stop::no(Code::Cannot, text));
        }
        Ok(Target { mailbox, replaced })
    }

    /// Takes all messages. After a failure the rest of what was accepted is still read.
    async fn receive(&mut self) -> Result<Intake<B>> {
        let mut intake = Intake {
            whole: Vec::new(),
            last: None,
            bytes: 0,
        };
        let mut failed = None;
        loop {
            let item = self.conn.item().await?;
            let result = match item {
                Item::AppendEnd => break,
                Item::Bad(Bad { error, .. }) => return Err(error.into()),
                Item::Literal(_) | Item::Continue if failed.is_some() => {
                    self.conn.framer.refuse_append();
                    break;
                }
                _ if failed.is_some() => Ok(()),
                Item::Continue => {
                    self.conn.out.continuation("Ready for the literal");
                    Ok(())
                }
                Item::Message(start) => self.begin_message(&mut intake, start).await,
                Item::Literal(literal) => match self.admit(&mut intake, literal) {
                    Ok(()) => Ok(()),
                    Err(stop) => {
                        self.conn.framer.refuse_append();
                        return Err(stop);
                    }
                },
                Item::Url(url) => self.catenate(&mut intake, &url).await,
                Item::Body(bytes) => self.put(&mut intake, bytes).await,
                Item::Append(_) | Item::Command(_) | Item::Line(_) => Ok(()),
            };
            failed = failed.or(result.err());
            if let Some(Stop::Close(..)) = failed {
                break;
            }
        }
        match failed {
            Some(stop) => Err(stop),
            None => Ok(intake),
        }
    }

    async fn begin_message(&mut self, intake: &mut Intake<B>, start: MessageStart) -> Result<()> {
        if start.form == MessageForm::Utf8 && !self.utf8_accept {
            // RFC 6855 section 4.
            return Err(Stop::Bad("Enable UTF8=ACCEPT first"));
        }
        if let Some(last) = intake.last.take() {
            intake.whole.push(self.finish_message(last, true).await?);
        }
        if intake.whole.len() == mailbox::limits::APPEND_MESSAGES_MAX {
            return Err(Stop::no(Code::Limit, "Too many messages at once"));
        }
        // What no mailbox takes is not gathered: keywords of 500 messages are many.
        if flags::parsed(&start.flags).keywords().len() > KEYWORDS_PER_MESSAGE_MAX {
            return Err(Rejection::KeywordLimit.into());
        }
        intake.last = Some(Coming {
            upload: self.backend.upload()?,
            start,
            bytes: 0,
            parts: 0,
            binary: false,
        });
        Ok(())
    }

    /// Whether a literal may be sent; it is accepted then.
    fn admit(&mut self, intake: &mut Intake<B>, literal: LiteralStart) -> Result<()> {
        let coming = intake.last.as_mut().ok_or(BackendError::Broken)?;
        let is_whole = coming.start.form != MessageForm::Catenate;
        if literal.size == 0 && is_whole {
            // With several messages that is how a client gives up (RFC 3502 section 6.3.11).
            return Err(Stop::No(None, "The message is empty".into()));
        }
        coming.binary = literal.binary;
        let (has, all) = (coming.bytes, intake.bytes);
        check_size(has, all, literal.size, self.conn.config.append_limit)?;
        coming.add_part()?;
        self.conn.framer.accept_literal();
        if literal.sync {
            self.conn.out.continuation("Ready for the message");
        }
        Ok(())
    }

    async fn put(&mut self, intake: &mut Intake<B>, bytes: bytes::Bytes) -> Result<()> {
        let coming = intake.last.as_mut().ok_or(BackendError::Broken)?;
        if bytes.contains(&0) {
            // What is stored can be fetched with BODY as well, and NUL cannot stand in the literals
            // of that, nor in those that came (RFC 3516 section 4.4, RFC 3501 section 9).
            let code = match coming.binary {
                true => Code::UnknownCte,
                false => Code::Cannot,
            };
            return Err(Stop::no(
                code,
                "Messages with NUL are not stored, encode them",
            ));
        }
        let size = bytes.len() as u64;
        check_size(
            coming.bytes,
            intake.bytes,
            size,
            self.conn.config.append_limit,
        )?;
        coming.bytes += size;
        intake.bytes += size;
        self.backend.upload_put(&mut coming.upload, bytes).await?;
        Ok(())
    }

    async fn finish_message(&mut self, coming: Coming<B>, apart: bool) -> Result<Whole<B>> {
        if coming.bytes == 0 {
            return Err(Stop::No(None, "The message is empty".into()));
        }
        let arrived = self.backend.upload_end(coming.upload, apart).await?;
        let start = coming.start;
        Ok(Whole { start, arrived })
    }

    /// All messages have come: appends all or none.
    async fn append_all(
        &mut self,
        start: &AppendStart,
        target: &Target,
        mut intake: Intake<B>,
    ) -> Result<Done> {
        let last = intake.last.take().ok_or(BackendError::Broken)?;
        intake.whole.push(self.finish_message(last, false).await?);
        let mut messages = Vec::with_capacity(intake.whole.len());
        let mut arrived = Vec::with_capacity(intake.whole.len());
        for mut whole in intake.whole {
            messages.push(NewMessage {
                flags: flags::parsed(&whole.start.flags),
                date: self.date(&whole.start),
                body: self.backend.arrived_body(&mut whole.arrived).await?,
            });
            arrived.push(whole.arrived);
        }
        let count = u32::try_from(messages.len()).unwrap_or(u32::MAX);
        let command = self.append_command(target, messages);
        let outcome = self.backend.append(command, arrived).await?;
        let Reply::Appended {
            uid_validity, uid, ..
        } = reply(outcome).map_err(super::try_create)?
        else {
            return Err(BackendError::Broken.into());
        };
        self.note_added(target.mailbox, uid, count);
        if let Some(replaced) = target.replaced {
            self.note_gone(&UidRanges::range(replaced.uid, replaced.uid));
        }
        let code = Code::AppendUid {
            uid_validity: uid_validity.0,
            uids: IdRange::between(uid.0, uid.0 + (count - 1)),
        };
        if target.replaced.is_some() {
            // Before the EXPUNGE, which is told with the changes (RFC 8508 section 4.3).
            self.conn
                .out
                .untagged_ok(Some(&code), "The replacement is stored");
            return Ok(Done::text(match start.verb.name() {
                "UID REPLACE" => "UID REPLACE completed",
                _ => "REPLACE completed",
            }));
        }
        Ok(Done {
            code: Some(code),
            text: "APPEND completed",
        })
    }

    fn append_command(&self, target: &Target, mut messages: Vec<NewMessage>) -> Command {
        let (account, mailbox) = (self.backend.account(), target.mailbox);
        match (messages.pop(), messages.is_empty(), target.replaced) {
            (Some(message), true, None) => Command::Append {
                account,
                mailbox,
                flags: message.flags,
                date: message.date,
                body: message.body,
            },
            (message, _, replaced) => Command::AppendMany {
                account,
                mailbox,
                messages: messages.into_iter().chain(message).collect(),
                replaced,
            },
        }
    }

    /// INTERNALDATE: as the client says, else now. Before 1970 is 1970.
    fn date(&self, start: &MessageStart) -> Millis {
        match start.date {
            Some(date) => {
                let seconds = u64::try_from(date.unix_seconds()).unwrap_or(0);
                Millis(seconds * 1000)
            }
            None => self.conn.transport.now(),
        }
    }
}

impl<B: Backend> Coming<B> {
    /// One URL or literal more.
    fn add_part(&mut self) -> Result<()> {
        self.parts += 1;
        if self.parts > limits::CATENATE_PARTS_MAX {
            return Err(Stop::no(Code::Limit, "Too many parts of one message"));
        }
        Ok(())
    }
}

/// Whether `more` bytes fit into a message that has `has`, in a command that has `all`
/// (RFC 7889, RFC 4469 section 4.2).
fn check_size(has: u64, all: u64, more: u64, append_limit: u64) -> Result<()> {
    if has.saturating_add(more) > append_limit {
        return Err(Stop::no(Code::TooBig, "The message is too big"));
    }
    if all.saturating_add(more) > limits::APPEND_BYTES_MAX {
        return Err(Stop::no(Code::Limit, "Too many bytes at once"));
    }
    Ok(())
}

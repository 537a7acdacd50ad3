//! GETMETADATA and SETMETADATA (RFC 5464), and METADATA along with LIST (RFC 9590).
//!
//! The server's annotations are each account's own. A mailbox's special use is its entry
//! `/private/specialuse` (RFC 6154 section 4). METADATA is sent only when it is asked for.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use mailbox::{
    Annotate, Annotation, Answer, Command, Folder, MailboxId, NewMetadata, Query, metadata,
};

use crate::backend::{Backend, Transport};
use crate::cmd::list::{grammar_use, machine_use};
use crate::grammar::{Depth, GetMetadata, SetMetadata, SpecialUse};
use crate::respond::Code;
use crate::state::{Done, Result, Session, Stop};

/// The server's contact, which only its operators could set (RFC 5464 section 6.2.1.2).
const ADMIN: &str = "/shared/admin";

/// The annotations of a mailbox, or of the server, by name.
#[derive(Default)]
pub(crate) struct Annotations(BTreeMap<String, Bytes>);

/// What GETMETADATA found.
#[derive(Default)]
struct Found<'a> {
    /// In the order of the command, each once.
    entries: Vec<(&'a str, Option<&'a Bytes>)>,
    /// Bytes of the largest value that was left out.
    longest: u64,
}

impl Annotations {
    /// Of a mailbox: its special use is one of them.
    fn of(folder: &Folder, found: impl IntoIterator<Item = Annotation>) -> Annotations {
        let mut all = Annotations::of_server(found);
        if let Some(special_use) = folder.special_use {
            let value = Bytes::from_static(grammar_use(special_use).as_str().as_bytes());
            all.0.insert(metadata::SPECIAL_USE.to_owned(), value);
        }
        all
    }

    fn of_server(found: impl IntoIterator<Item = Annotation>) -> Annotations {
        let pairs = found.into_iter().map(|one| (one.name, one.value));
        Annotations(pairs.collect())
    }

    /// What is asked for. An entry that is named and not set has no value; of those below it only
    /// such are told as are set (RFC 5464 section 4.2).
    fn find<'a>(&'a self, asked: &'a [String], depth: Depth, max_size: Option<u64>) -> Found<'a> {
        let mut found = Found::default();
        let mut told = BTreeSet::new();
        for name in asked {
            let own = self.0.get(name).map(|value| (name.as_str(), Some(value)));
            let missing = (depth == Depth::Zero).then_some((name.as_str(), None));
            let below = self.below(name, depth);
            for (name, value) in own.or(missing).into_iter().chain(below) {
                let size = value.map_or(0, |value| value.len() as u64);
                if max_size.is_some_and(|max| size > max) {
                    found.longest = found.longest.max(size);
                } else if told.insert(name) {
                    found.entries.push((name, value));
                }
            }
        }
        found
    }

    fn below(&self, name: &str, depth: Depth) -> impl Iterator<Item = (&str, Option<&Bytes>)> {
        let prefix = format!("{name}/");
        let is_wanted = move |below: &str| match (depth, below.strip_prefix(&prefix)) {
            (Depth::Zero, _) | (_, None) => false,
            (Depth::One, Some(rest)) => !rest.contains('/'),
            (Depth::Infinity, Some(_)) => true,
        };
        let all = self.0.iter();
        all.filter(move |(name, _)| is_wanted(name))
            .map(|(name, value)| (name.as_str(), Some(value)))
    }
}

impl<T: Transport, B: Backend> Session<'_, T, B> {
    pub(crate) async fn get_metadata(&mut self, get: &GetMetadata) -> Result<Done> {
        let (name, all) = match self.annotated(&get.mailbox).await? {
            Some(folder) => {
                let found = self.annotations(Some(folder.id)).await?;
                (folder.name.clone(), Annotations::of(&folder, found))
            }
            None => {
                let found = self.annotations(Some(MailboxId(0))).await?;
                (String::new(), Annotations::of_server(found))
            }
        };
        let found = all.find(&get.entries, get.depth, get.max_size);
        self.conn.out.metadata(&name, &found.entries);
        let is_cut = found.longest > 0;
        Ok(Done {
            code: is_cut.then_some(Code::MetadataLongEntries(found.longest)),
            text: "GETMETADATA completed",
        })
    }

    /// All entries are set, or none.
    pub(crate) async fn set_metadata(&mut self, set: &SetMetadata) -> Result<Done> {
        let mailbox = self.annotated(&set.mailbox).await?;
        let limit = mailbox::limits::METADATA_VALUE_BYTES_MAX;
        let (mut entries, mut special_use) = (Vec::new(), None);
        for (name, value) in &set.entries {
            if value.as_ref().is_some_and(|value| value.len() > limit) {
                let code = Code::MetadataMaxSize(limit as u64);
                return Err(Stop::no(code, "The value is too long"));
            }
            match &mailbox {
                None if name == ADMIN => {
                    return Err(Stop::no(Code::NoPerm, "Only an operator sets this entry"));
                }
                Some(_) if name == metadata::SPECIAL_USE => {
                    special_use = Some(wanted_use(value.as_ref())?);
                }
                _ => entries.push(NewMetadata {
                    name: name.clone(),
                    value: value.clone(),
                }),
            }
        }
        let (account, user) = (self.backend.account(), self.home.account());
        self.change(match mailbox {
            Some(folder) => Command::Annotate(Annotate {
                account,
                mailbox: folder.id,
                user,
                entries,
                special_use,
            }),
            None => Command::SetMetadata {
                account,
                mailbox: None,
                user,
                entries,
                special_use,
            },
        })
        .await?;
        Ok(Done::text("SETMETADATA completed"))
    }

    /// The mailbox that is meant, `None` for the server.
    async fn annotated(&mut self, raw: &[u8]) -> Result<Option<Folder>> {
        match raw {
            b"" => Ok(None),
            raw => self.folder(raw).await.map(Some),
        }
    }

    /// Those of a mailbox, of the account as a whole (mailbox 0), or of all mailboxes.
    pub(crate) async fn annotations(
        &mut self,
        mailbox: Option<MailboxId>,
    ) -> Result<Vec<Annotation>> {
        let query = Query::Metadata {
            account: self.backend.account(),
            mailbox,
            user: self.home.account(),
        };
        let found = self.ask(query, |answer| match answer {
            Answer::Metadata(found) => Some(found),
            _ => None,
        });
        found.await
    }

    /// Those of all mailboxes, for LIST: few enough to be read at once.
    pub(crate) async fn all_annotations(&mut self) -> Result<BTreeMap<MailboxId, Vec<Annotation>>> {
        let mut all: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for one in self.annotations(None).await? {
            all.entry(one.mailbox).or_default().push(one);
        }
        Ok(all)
    }

    /// METADATA along with LIST: all entries that were asked for, NIL if not set (RFC 9590
    /// section 3).
    pub(crate) fn tell_metadata(
        &mut self,
        folder: &Folder,
        found: Vec<Annotation>,
        asked: &[String],
    ) {
        let all = Annotations::of(folder, found);
        let found = all.find(asked, Depth::Zero, None);
        self.conn.out.metadata(&folder.name, &found.entries);
    }
}

/// A value of `/private/specialuse` as the machine has it: one attribute, or none.
fn wanted_use(value: Option<&Bytes>) -> Result<Option<mailbox::SpecialUse>> {
    let Some(value) = value else { return Ok(None) };
    let bad = || Stop::no(Code::UseAttr, "One known attribute at most");
    let mut words = std::str::from_utf8(value)
        .map_err(|_| bad())?
        .split_ascii_whitespace();
    let Some(word) = words.next() else {
        return Ok(None);
    };
    match (SpecialUse::from_text(word), words.next()) {
        (Some(one), None) if !one.is_virtual() => Ok(Some(machine_use(one))),
        _ => Err(bad()),
    }
}

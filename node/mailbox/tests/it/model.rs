//! Mailboxes as RFC 9051 has them, without rows: a list of messages for each, and names.
//!
//! Written without looking at the machine, to hold it against (M2, M3, M5).

use std::collections::{BTreeMap, BTreeSet};

use mailbox::{Delivered, Flags, Rejection, StoreMode, SystemFlags};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mail {
    pub uid: u32,
    /// Names of system flags and keywords, in lower case.
    pub flags: BTreeSet<String>,
    pub size: u64,
}

#[derive(Clone, Debug, Default)]
pub struct Mailbox {
    pub uid_next: u32,
    pub mails: Vec<Mail>,
    /// What was expunged, and when.
    pub gone: Vec<(Mail, u64)>,
}

#[derive(Clone, Debug, Default)]
pub struct Name {
    /// Which of the account's mailboxes.
    pub mailbox: Option<usize>,
    pub subscribed: bool,
}

/// A mailbox that was deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deleted {
    pub mailbox: usize,
    pub name: String,
    pub at: u64,
}

#[derive(Clone, Debug)]
pub struct Account {
    /// All that there ever were.
    pub mailboxes: Vec<Mailbox>,
    pub names: BTreeMap<String, Name>,
    /// What was deleted and is not gone for good.
    pub deleted: Vec<Deleted>,
    /// The deleted mailbox that had a name last, if none has it now.
    left: BTreeMap<String, usize>,
    pub retention: u64,
    quota: u64,
    /// What was delivered here: content by address.
    seen: BTreeSet<(u64, String)>,
}

impl Account {
    pub fn new(quota: u64) -> Account {
        let mut account = Account {
            mailboxes: Vec::new(),
            names: BTreeMap::new(),
            deleted: Vec::new(),
            left: BTreeMap::new(),
            retention: 7 * 86_400_000,
            quota,
            seen: BTreeSet::new(),
        };
        account.make("INBOX");
        account
            .names
            .get_mut("INBOX")
            .expect("just made")
            .subscribed = true;
        account
    }

    pub fn mailbox(&mut self, name: &str) -> Option<&mut Mailbox> {
        let mailbox = self.names.get(name)?.mailbox?;
        Some(&mut self.mailboxes[mailbox])
    }

    pub fn bytes(&self) -> u64 {
        let named = self.names.values().filter_map(|name| name.mailbox);
        named
            .flat_map(|mailbox| &self.mailboxes[mailbox].mails)
            .map(|mail| mail.size)
            .sum()
    }

    pub fn create(&mut self, name: &str) -> Result<(), Rejection> {
        if self.exists(name) {
            return Err(Rejection::Exists);
        }
        self.make(name);
        Ok(())
    }

    pub fn delete(&mut self, name: &str, now: u64) -> Result<(), Rejection> {
        match self.names.get_mut(name) {
            _ if name == "INBOX" => Err(Rejection::NotPermitted),
            Some(known) if known.mailbox.is_some() => {
                let mailbox = known.mailbox.take().expect("just seen");
                self.deleted.push(Deleted {
                    mailbox,
                    name: name.to_owned(),
                    at: now,
                });
                self.left.insert(name.to_owned(), mailbox);
                self.tidy();
                Ok(())
            }
            _ => Err(Rejection::NoMailbox),
        }
    }

    pub fn rename(&mut self, from: &str, to: &str) -> Result<(), Rejection> {
        if self.exists(to) {
            return Err(Rejection::Exists);
        }
        if from == "INBOX" {
            self.make(to);
            let mails = std::mem::take(&mut self.mailbox("INBOX").expect("always").mails);
            for mail in mails {
                self.mailbox(to).expect("just made").arrive(mail);
            }
            return Ok(());
        }
        if to.starts_with(&format!("{from}/")) {
            return Err(Rejection::NotPermitted);
        }
        let below = format!("{from}/");
        let moving: Vec<(String, usize)> = self
            .names
            .iter()
            .filter(|(name, _)| *name == from || name.starts_with(&below))
            .filter_map(|(name, known)| Some((name.clone(), known.mailbox?)))
            .collect();
        if moving.is_empty() {
            return Err(Rejection::NoMailbox);
        }
        let kept = self.names.clone();
        for (name, _) in &moving {
            self.names.get_mut(name).expect("found there").mailbox = None;
        }
        for (name, mailbox) in moving {
            let new = format!("{to}{}", &name[from.len()..]);
            if self.exists(&new) {
                self.names = kept;
                return Err(Rejection::Exists);
            }
            self.names.entry(new).or_default().mailbox = Some(mailbox);
        }
        self.take_names();
        if let Some((above, _)) = to.rsplit_once('/') {
            self.make(above);
        }
        self.tidy();
        Ok(())
    }

    pub fn subscribe(&mut self, name: &str, on: bool) {
        self.names.entry(name.to_owned()).or_default().subscribed = on;
        self.tidy();
    }

    pub fn deliver(&mut self, address: &str, content: u64, size: u64) -> Delivered {
        if self.seen.contains(&(content, address.to_owned())) {
            return Delivered::Duplicate;
        }
        if self.bytes() + size > self.quota {
            return Delivered::OverQuota;
        }
        self.seen.insert((content, address.to_owned()));
        let uid = self.mailbox("INBOX").expect("always").arrive(Mail {
            uid: 0,
            flags: BTreeSet::new(),
            size,
        });
        Delivered::Stored {
            mailbox: mailbox::MailboxId::INBOX,
            uid: mailbox::Uid(uid),
        }
    }

    pub fn append(&mut self, name: &str, flags: &Flags, size: u64) -> Result<u32, Rejection> {
        if !self.exists(name) {
            return Err(Rejection::NoMailbox);
        }
        if self.bytes() + size > self.quota {
            return Err(Rejection::OverQuota);
        }
        let mailbox = self.mailbox(name).expect("it exists");
        Ok(mailbox.arrive(Mail {
            uid: 0,
            flags: words(flags),
            size,
        }))
    }

    /// Copies or moves; says the UIDs there and here.
    pub fn copy(
        &mut self,
        from: &str,
        to: &str,
        uids: &BTreeSet<u32>,
        and_expunge: bool,
    ) -> Result<(Vec<u32>, Vec<u32>), Rejection> {
        if !self.exists(from) || !self.exists(to) {
            return Err(Rejection::NoMailbox);
        }
        let source = self.mailbox(from).expect("it exists");
        let mails: Vec<Mail> = source
            .mails
            .iter()
            .filter(|mail| uids.contains(&mail.uid))
            .cloned()
            .collect();
        let bytes: u64 = mails.iter().map(|mail| mail.size).sum();
        if !and_expunge && !mails.is_empty() && self.bytes() + bytes > self.quota {
            return Err(Rejection::OverQuota);
        }
        let old: Vec<u32> = mails.iter().map(|mail| mail.uid).collect();
        let target = self.mailbox(to).expect("it exists");
        let new = mails.into_iter().map(|mail| target.arrive(mail)).collect();
        if and_expunge {
            self.mailbox(from)
                .expect("it exists")
                .mails
                .retain(|mail| !old.contains(&mail.uid));
        }
        Ok((old, new))
    }

    /// Puts expunged messages back; says the UIDs there and here.
    pub fn undelete(
        &mut self,
        from: &str,
        to: &str,
        uids: &BTreeSet<u32>,
        since: u64,
        now: u64,
    ) -> Result<(Vec<u32>, Vec<u32>), Rejection> {
        if !self.exists(from) || !self.exists(to) {
            return Err(Rejection::NoMailbox);
        }
        let retention = self.retention;
        let comes = |(mail, at): &(Mail, u64)| {
            uids.contains(&mail.uid) && *at >= since && *at + retention > now
        };
        let source = self.mailbox(from).expect("it exists");
        let mut coming: Vec<Mail> = source
            .gone
            .iter()
            .filter(|gone| comes(gone))
            .map(|(mail, _)| mail.clone())
            .collect();
        coming.sort_by_key(|mail| mail.uid);
        let bytes: u64 = coming.iter().map(|mail| mail.size).sum();
        if !coming.is_empty() && self.bytes() + bytes > self.quota {
            return Err(Rejection::OverQuota);
        }
        let source = self.mailbox(from).expect("it exists");
        source.gone.retain(|gone| !comes(gone));
        let old = coming.iter().map(|mail| mail.uid).collect();
        let target = self.mailbox(to).expect("it exists");
        let back = |mut mail: Mail| {
            mail.flags.remove("\\deleted");
            target.arrive(mail)
        };
        Ok((old, coming.into_iter().map(back).collect()))
    }

    /// Removes for good what was expunged; says how many and how much.
    pub fn purge(&mut self, name: &str) -> Result<(u64, u64), Rejection> {
        let mailbox = self.mailbox(name).ok_or(Rejection::NoMailbox)?;
        let gone = std::mem::take(&mut mailbox.gone);
        let bytes = gone.iter().map(|(mail, _)| mail.size).sum();
        Ok((gone.len() as u64, bytes))
    }

    /// Removes a deleted mailbox for good.
    pub fn purge_deleted(&mut self, mailbox: usize) -> Result<(), Rejection> {
        let at = self.deleted.iter().position(|one| one.mailbox == mailbox);
        let gone = self.deleted.remove(at.ok_or(Rejection::NoMailbox)?);
        if self.left.get(&gone.name) == Some(&mailbox) {
            self.left.remove(&gone.name);
        }
        Ok(())
    }

    /// Brings a deleted mailbox back; says whether it is what clients remember.
    pub fn restore(
        &mut self,
        mailbox: usize,
        name: Option<&str>,
        now: u64,
    ) -> Result<bool, Rejection> {
        let retention = self.retention;
        let found = self.deleted.iter().position(|one| one.mailbox == mailbox);
        let at = found
            .filter(|at| self.deleted[*at].at + retention > now)
            .ok_or(Rejection::NoMailbox)?;
        let had = self.deleted[at].name.clone();
        let name = name.unwrap_or(&had);
        if self.exists(name) {
            return Err(Rejection::Exists);
        }
        let bytes: u64 = self.mailboxes[mailbox]
            .mails
            .iter()
            .map(|mail| mail.size)
            .sum();
        if bytes > 0 && self.bytes() + bytes > self.quota {
            return Err(Rejection::OverQuota);
        }
        let is_last = self.left.get(&had) == Some(&mailbox);
        if is_last {
            self.left.remove(&had);
        }
        if name != had
            && let Some((above, _)) = name.rsplit_once('/')
        {
            self.make(above);
        }
        self.deleted.remove(at);
        self.names.entry(name.to_owned()).or_default().mailbox = Some(mailbox);
        self.take_names();
        Ok(is_last && name == had)
    }

    /// What the retention has ended is gone, once ticks have run.
    pub fn expire(&mut self, now: u64) {
        let retention = self.retention;
        for name in self.names.values() {
            if let Some(mailbox) = name.mailbox {
                let gone = &mut self.mailboxes[mailbox].gone;
                gone.retain(|(_, at)| at + retention > now);
            }
        }
        let over = self.deleted.iter().filter(|one| one.at + retention <= now);
        let over: Vec<usize> = over.map(|one| one.mailbox).collect();
        for mailbox in over {
            self.purge_deleted(mailbox).expect("it was just there");
        }
    }

    /// Messages and bytes that can be restored.
    pub fn held(&self) -> (u64, u64) {
        let named = self.names.values().filter_map(|name| name.mailbox);
        let deleted = self.deleted.iter().map(|one| one.mailbox);
        let live = deleted
            .clone()
            .flat_map(|mailbox| &self.mailboxes[mailbox].mails);
        let gone = named
            .chain(deleted)
            .flat_map(|mailbox| &self.mailboxes[mailbox].gone)
            .map(|(mail, _)| mail);
        live.chain(gone).fold((0, 0), |(count, bytes), mail| {
            (count + 1, bytes + mail.size)
        })
    }

    /// Names that have a mailbox are left by none.
    fn take_names(&mut self) {
        let names = &self.names;
        let free = |name: &String| names.get(name).is_none_or(|known| known.mailbox.is_none());
        self.left.retain(|name, _| free(name));
    }

    fn exists(&self, name: &str) -> bool {
        self.names
            .get(name)
            .is_some_and(|known| known.mailbox.is_some())
    }

    fn make(&mut self, name: &str) {
        let levels: Vec<&str> = name.split('/').collect();
        for level in 1..=levels.len() {
            let known = self.names.entry(levels[..level].join("/")).or_default();
            if known.mailbox.is_none() {
                known.mailbox = Some(self.mailboxes.len());
                self.mailboxes.push(Mailbox {
                    uid_next: 1,
                    mails: Vec::new(),
                    gone: Vec::new(),
                });
            }
        }
        self.take_names();
    }

    fn tidy(&mut self) {
        self.names
            .retain(|_, name| name.mailbox.is_some() || name.subscribed);
    }
}

impl Mailbox {
    fn arrive(&mut self, mail: Mail) -> u32 {
        let uid = self.uid_next;
        self.uid_next += 1;
        self.mails.push(Mail { uid, ..mail });
        uid
    }

    /// Stores flags; says which messages changed.
    pub fn store(&mut self, uids: &BTreeSet<u32>, mode: StoreMode, flags: &Flags) -> BTreeSet<u32> {
        let flags = words(flags);
        let mut changed = BTreeSet::new();
        for mail in self
            .mails
            .iter_mut()
            .filter(|mail| uids.contains(&mail.uid))
        {
            let new: BTreeSet<String> = match mode {
                StoreMode::Add => &mail.flags | &flags,
                StoreMode::Remove => &mail.flags - &flags,
                StoreMode::Replace => flags.clone(),
            };
            if new != mail.flags {
                mail.flags = new;
                changed.insert(mail.uid);
            }
        }
        changed
    }

    /// Expunges; says which.
    pub fn expunge(&mut self, uids: Option<&BTreeSet<u32>>, now: u64) -> BTreeSet<u32> {
        let goes = |mail: &Mail| {
            mail.flags.contains("\\deleted") && uids.is_none_or(|uids| uids.contains(&mail.uid))
        };
        let gone = self
            .mails
            .iter()
            .filter(|mail| goes(mail))
            .map(|mail| mail.uid)
            .collect();
        let (gone_now, kept) = std::mem::take(&mut self.mails).into_iter().partition(goes);
        self.mails = kept;
        let gone_now: Vec<Mail> = gone_now;
        self.gone
            .extend(gone_now.into_iter().map(|mail| (mail, now)));
        gone
    }
}

pub fn words(flags: &Flags) -> BTreeSet<String> {
    let system = SystemFlags::NAMES
        .iter()
        .filter(|(flag, _)| flags.system.has(*flag));
    let system = system.map(|(_, name)| name.to_ascii_lowercase());
    system
        .chain(
            flags
                .keywords()
                .iter()
                .map(|word| word.to_ascii_lowercase()),
        )
        .collect()
}

//! Who changes the folder of mail, and who changes the account.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, ensure};
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::book::{Book, Found, Known, text};
use super::maildir::Maildir;
use crate::cluster::{DOMAIN, PASSWORD};
use crate::history::{Flags, MAILBOXES, Mode};
use crate::load::{Door, Scene};
use crate::mail::Trouble;
use crate::mail::imap::Imap;
use crate::mail::message::Serial;
use crate::mail::wire::Wire;
use crate::seed;

/// Between two changes of the account.
const FAR_PAUSE_MS: std::ops::Range<u64> = 50..400;

/// Between two bursts of changes of the folder: mbsync waits for one that was quiet for a while.
const NEAR_PAUSE_MS: std::ops::Range<u64> = 2500..5000;

/// Changes in one burst, at most.
const BURST_MAX: u32 = 8;

/// Lines of a message, at most.
const LINES_MAX: usize = 400;

/// Serial numbers of messages that begin in the folder have this bit.
const NEAR_BIT: u64 = 1 << 32;

/// Flags with which messages are marked.
const MARKS: [Flags; 3] = [Flags::SEEN, Flags::ANSWERED, Flags::FLAGGED];

/// What is done next.
#[derive(Clone, Copy)]
enum Deed {
    Add,
    Mark(Flags),
    Delete,
}

fn next_deed(rng: &mut ChaCha8Rng) -> Deed {
    match rng.random_range(0..10) {
        0..5 => Deed::Add,
        5..8 => Deed::Mark(MARKS[rng.random_range(0..MARKS.len())]),
        _ => Deed::Delete,
    }
}

/// What both sides know.
struct Shared {
    scene: Arc<Scene>,
    near: Vec<Maildir>,
    book: Mutex<Book>,
    /// UIDVALIDITY of each mailbox, as it was seen.
    validity: Mutex<BTreeMap<usize, Vec<u32>>>,
}

/// Both sides.
pub struct Sides {
    shared: Arc<Shared>,
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<anyhow::Result<()>>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Sides {
    /// Begins to change both.
    pub fn begin(scene: &Arc<Scene>, folders: &[PathBuf], seed: u64) -> Self {
        let shared = Arc::new(Shared {
            scene: Arc::clone(scene),
            near: folders.iter().cloned().map(Maildir::new).collect(),
            book: Mutex::default(),
            validity: Mutex::default(),
        });
        let (stop, stopped) = watch::channel(false);
        let far = far(
            Arc::clone(&shared),
            seed::generator(seed, "far", 0),
            stopped.clone(),
        );
        let near = near(
            Arc::clone(&shared),
            seed::generator(seed, "near", 0),
            stopped,
        );
        Self {
            shared,
            stop,
            tasks: vec![tokio::spawn(far), tokio::spawn(near)],
        }
    }

    /// Lets both end what they are at.
    ///
    /// # Errors
    ///
    /// When the folder could not be changed.
    pub async fn end(mut self) -> anyhow::Result<Self> {
        self.stop.send_replace(true);
        for task in std::mem::take(&mut self.tasks) {
            task.await??;
        }
        Ok(self)
    }

    /// How many messages were added, deleted and marked.
    pub fn counts(&self) -> (usize, usize, usize) {
        lock(&self.shared.book).counts()
    }

    /// What is wrong with what was found on both sides, and with what was seen before.
    pub fn judge(&self, near: &[Found], far: &[Found]) -> Vec<String> {
        let book = lock(&self.shared.book);
        let mut wrong = book.judge("near", near);
        wrong.extend(book.judge("far", far));
        let seen = lock(&self.shared.validity);
        let changed = seen.iter().filter(|(_, values)| values.len() > 1);
        let told = |(mailbox, values)| format!("UIDVALIDITY of mailbox {mailbox}: {values:?}");
        wrong.extend(changed.map(told));
        wrong
    }

    /// Everything in the folder.
    ///
    /// # Errors
    ///
    /// When it cannot be read.
    pub fn near(&self) -> anyhow::Result<Vec<Found>> {
        let mut found = Vec::new();
        for (mailbox, maildir) in self.shared.near.iter().enumerate() {
            for file in maildir.list()? {
                let text = file.read()?.context("nobody changes it any more")?;
                found.push(Found::new(mailbox, file.flags, &text));
            }
        }
        found.sort();
        Ok(found)
    }

    /// Everything in the account.
    ///
    /// # Errors
    ///
    /// When it cannot be read.
    pub async fn far(&self, door: Door) -> anyhow::Result<Vec<Found>> {
        let user = &self.shared.scene.account(0).name;
        let mut wire = Wire::connect(door.imap).await?;
        wire.response().await?.context("a greeting")?;
        let login = format!("LOGIN {user}@{DOMAIN} {PASSWORD}");
        said(&mut wire, &login).await?;
        let mut found = Vec::new();
        for (mailbox, name) in MAILBOXES.iter().enumerate() {
            said(&mut wire, &format!("EXAMINE {name}")).await?;
            let fetched = said(&mut wire, "UID FETCH 1:* (UID FLAGS BODY.PEEK[])").await?;
            for line in fetched.iter().filter(|line| line.contains(" FETCH (UID ")) {
                let (head, text) = line.split_once("}\r\n").context("a literal")?;
                let flags = head.split_once("FLAGS (").context("flags")?.1;
                let flags = flags.split_once(')').context("an end of the flags")?.0;
                let text = text.strip_suffix(')').context("an end of the response")?;
                found.push(Found::new(mailbox, Flags::parse(flags), text));
            }
        }
        wire.send(b"l LOGOUT\r\n").await?;
        found.sort();
        Ok(found)
    }
}

async fn said(wire: &mut Wire, command: &str) -> anyhow::Result<Vec<String>> {
    wire.send(format!("t {command}\r\n").as_bytes()).await?;
    let mut said = Vec::new();
    loop {
        let line = wire.response().await?.context("the server hung up")?;
        if line.starts_with("t ") {
            ensure!(line.starts_with("t OK"), "{command}: {line}");
            return Ok(said);
        }
        said.push(line);
    }
}

/// The name in the history of the client that changes the account.
const FAR: &str = "far";

async fn far(
    shared: Arc<Shared>,
    mut rng: ChaCha8Rng,
    stopped: watch::Receiver<bool>,
) -> anyhow::Result<()> {
    let mut session = None;
    let mut number = 0;
    while !*stopped.borrow() {
        sleep(Duration::from_millis(rng.random_range(FAR_PAUSE_MS))).await;
        let deed = next_deed(&mut rng);
        let mailbox = rng.random_range(0..MAILBOXES.len());
        let door = shared.scene.any_node(&mut rng);
        if session.is_none() {
            // The node may be the one that was killed.
            session = shared.scene.log_in(FAR, door, 0).await.ok();
        }
        let Some(imap) = &mut session else {
            continue;
        };
        number += 1;
        let done = match deed {
            Deed::Add => {
                shared
                    .add_far(imap, mailbox, Serial(number), &mut rng)
                    .await
            }
            deed => shared.change_far(imap, mailbox, deed, &mut rng).await,
        };
        if let Err(trouble) = done {
            shared.scene.recorder.trouble(FAR, door.node, &trouble);
            if !trouble.alive() {
                session = None;
            }
        }
    }
    Ok(())
}

impl Shared {
    async fn add_far(
        &self,
        imap: &mut Imap,
        mailbox: usize,
        serial: Serial,
        rng: &mut ChaCha8Rng,
    ) -> Result<(), Trouble> {
        let text = text(serial, rng.random_range(0..LINES_MAX));
        lock(&self.book).adds(serial, mailbox, &text);
        let bytes = text.replace('\n', "\r\n");
        let name = MAILBOXES[mailbox];
        let done = imap.append(name, Flags::default(), bytes.as_bytes()).await;
        lock(&self.book).added(serial, known(&done));
        done.map(drop)
    }

    /// Marks or deletes a message that nobody has marked or deleted.
    async fn change_far(
        &self,
        imap: &mut Imap,
        mailbox: usize,
        deed: Deed,
        rng: &mut ChaCha8Rng,
    ) -> Result<(), Trouble> {
        let selected = imap.select(MAILBOXES[mailbox]).await?;
        {
            let mut seen = lock(&self.validity);
            let seen = seen.entry(mailbox).or_default();
            if !seen.contains(&selected.validity) {
                seen.push(selected.validity);
            }
        }
        let listed = imap.list(false).await?;
        if listed.is_empty() {
            return Ok(());
        }
        let message = &listed[rng.random_range(0..listed.len())];
        let Some(serial) = message.serial else {
            return Ok(());
        };
        let uids = [message.uid];
        match deed {
            Deed::Mark(flag) if lock(&self.book).marks(serial, flag) => {
                let done = imap.store(&uids, Mode::Add, flag).await;
                // Somebody else may have deleted it meanwhile; then it is not marked.
                let found = done.as_ref().is_ok_and(|told| !told.is_empty());
                let known = match known(&done) {
                    Known::Yes if !found => Known::Maybe,
                    known => known,
                };
                lock(&self.book).marked(serial, known);
                done.map(drop)
            }
            Deed::Delete if lock(&self.book).deletes(serial) => {
                let marked = imap.store(&uids, Mode::Add, Flags::DELETED).await;
                if let Err(trouble) = marked {
                    if known(&Err::<(), _>(trouble.clone())) == Known::No {
                        lock(&self.book).deleted(serial, Known::No);
                    }
                    return Err(trouble);
                }
                // From here on mbsync may expunge it.
                let done = imap.expunge(&uids).await;
                if done.is_ok() {
                    lock(&self.book).deleted(serial, Known::Yes);
                }
                done
            }
            _ => Ok(()),
        }
    }

    fn change_near(&self, deed: Deed, serial: Serial, rng: &mut ChaCha8Rng) -> anyhow::Result<()> {
        let mailbox = rng.random_range(0..MAILBOXES.len());
        let maildir = &self.near[mailbox];
        if let Deed::Add = deed {
            let text = text(serial, rng.random_range(0..LINES_MAX));
            let mut book = lock(&self.book);
            book.adds(serial, mailbox, &text);
            maildir.deliver(&format!("{}.chaos.here", serial.0), &text)?;
            book.added(serial, Known::Yes);
            return Ok(());
        }
        let mut files = maildir.list()?;
        files.retain(|file| file.is_known);
        if files.is_empty() {
            return Ok(());
        }
        let file = &files[rng.random_range(0..files.len())];
        let Some(found) = file
            .read()?
            .map(|text| Found::new(mailbox, file.flags, &text))
        else {
            return Ok(());
        };
        let Some(serial) = found.serial else {
            return Ok(());
        };
        let mut book = lock(&self.book);
        let known = |done: bool| if done { Known::Yes } else { Known::No };
        match deed {
            Deed::Mark(flag) if book.marks(serial, flag) => {
                let done = maildir.flag(file, flag)?;
                book.marked(serial, known(done));
            }
            Deed::Delete if book.deletes(serial) => {
                let done = match rng.random() {
                    true => maildir.flag(file, Flags::DELETED)?,
                    false => maildir.remove(file)?,
                };
                book.deleted(serial, known(done));
            }
            _ => {}
        }
        Ok(())
    }
}

async fn near(
    shared: Arc<Shared>,
    mut rng: ChaCha8Rng,
    stopped: watch::Receiver<bool>,
) -> anyhow::Result<()> {
    let mut number = NEAR_BIT;
    while !*stopped.borrow() {
        for _ in 0..rng.random_range(1..=BURST_MAX) {
            number += 1;
            let deed = next_deed(&mut rng);
            shared.change_near(deed, Serial(number), &mut rng)?;
        }
        sleep(Duration::from_millis(rng.random_range(NEAR_PAUSE_MS))).await;
    }
    Ok(())
}

fn known<T>(done: &Result<T, Trouble>) -> Known {
    match done {
        Ok(_) => Known::Yes,
        Err(Trouble::NotDone(..)) => Known::No,
        Err(Trouble::Unknown(_) | Trouble::Broken(_)) => Known::Maybe,
    }
}

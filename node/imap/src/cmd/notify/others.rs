//! Reading all mailboxes that are watched, comparing them with what the client knows, and telling
//! the difference.
//!
//! ```text
//!   one's own, if due ─► who shares his mail, what is subscribed ─► whose mail is watched
//!   others', if due   ─► one after the other; those that fail come last the next time
//! ```
//!
//! The mail of others is in other partitions, which may have no leader while one's own has: so
//! reading it ends when the client says something, or when there is something else to be told, and
//! is given up when it takes long. It is read again then.

use std::collections::BTreeSet;
use std::time::Duration;

use mailbox::{AccountId, Annotation, Answer, Folder, Millis, Query};

use super::Watch;
use super::known::{Known, News, Terms};
use super::watch::Watched;
use crate::backend::{Backend, BackendError, Transport};
use crate::cmd::list;
use crate::cmd::others::visible;
use crate::connection::Woken;
use crate::guest::{OTHERS, owner_of};
use crate::limits;
use crate::respond::{Code, ListAttribute};
use crate::state::{Result, Session, Stop};

/// The mailboxes of an account as they are, and their annotations if those are watched.
pub(super) struct Seen {
    pub(super) folders: Vec<Folder>,
    pub(super) annotations: Option<Vec<Annotation>>,
}

/// How far a comparison came.
enum Round {
    /// All that was due was compared, or is to be tried again later.
    Over,
    /// The client has said something, or there is more to be compared.
    Interrupted,
    /// There is more than can be remembered.
    Overflow,
}

/// The answer to a NOTIFY that asks for too much, or comes to (RFC 5465 section 5.8).
pub(super) const TOO_MANY: &str = "There are too many mailboxes to be watched";

impl<T: Transport, B: Backend> Session<'_, T, B> {
    /// Reads all that a new watch is about, and notes it as known. Returns what was found, account
    /// by account.
    pub(super) async fn begin_watching(&mut self, watch: &mut Watch<B>) -> Result<Vec<Seen>> {
        let mut home = self.own(watch).await?;
        watch.accounts.push(Watched::new(self.home.clone()));
        let subscribed = of_others(&home.folders);
        let sharing = self.sharing(watch, &subscribed).await?;
        // Those who are named count whether or not there is such a user: nobody learns who is one.
        let mut owners = watch.named_owners();
        let mut named = owners.clone();
        for (_, name) in &sharing {
            named.remove(name);
            owners.insert(name.clone());
        }
        if owners.len() > limits::NOTIFY_OTHERS_MAX {
            return Err(Stop::no(Code::NotificationOverflow, TOO_MANY));
        }
        self.add_sharing(watch, sharing).await?;
        for name in named {
            let other = self.home.of(&name).await?;
            let is_self = |other: &B| other.account() == self.home.account();
            if let Some(other) = other.filter(|other| !is_self(other)) {
                watch.add(Watched::named(other));
            }
        }
        watch.hand_out(&mut home.folders);
        let now = self.conn.transport.now();
        watch.begin(0, &home, now)?;
        let mut all = vec![home];
        let me = self.home.account();
        for at in 1..=watch.others().len() {
            let Some(other) = watch.backend_at(at) else {
                break;
            };
            let subscribed = watch.subscribed_at(at);
            let seen = look(&other, me, watch.wants_annotations(), &subscribed).await?;
            watch.begin(at, &seen, now)?;
            all.push(seen);
        }
        Ok(all)
    }

    /// Compares what may have changed with what the client knows of it, and tells the difference.
    pub(super) async fn tell_others(&mut self) -> Result<()> {
        let Some(mut watch) = self.notify.take() else {
            return Ok(());
        };
        let round = self.compare(&mut watch).await;
        self.notify = Some(watch);
        match round? {
            Round::Over => {}
            Round::Interrupted => self.watch_interrupted(),
            Round::Overflow => {
                // As if NOTIFY NONE were received.
                let code = Code::NotificationOverflow;
                self.conn.out.untagged_ok(Some(&code), TOO_MANY);
                self.watch(Watch::default());
            }
        }
        Ok(())
    }

    async fn compare(&mut self, watch: &mut Watch<B>) -> Result<Round> {
        watch.age(self.conn.transport.now());
        watch.is_stale = false;
        let is_home_due = watch.accounts.first().is_some_and(|home| home.is_due);
        if is_home_due {
            match self.compare_home(watch).await {
                Ok(Round::Over) => {}
                Err(stop @ (Stop::Close(..) | Stop::Unauthenticated)) => return Err(stop),
                Err(_) => watch.is_stale = true,
                round => return round,
            }
        }
        for at in watch.due_others() {
            let round = self.compare_other(watch, at).await?;
            if !matches!(round, Round::Over) {
                return Ok(round);
            }
        }
        watch.let_go();
        Ok(Round::Over)
    }

    async fn compare_home(&mut self, watch: &mut Watch<B>) -> Result<Round> {
        let mut seen = self.own(watch).await?;
        let subscribed = of_others(&seen.folders);
        let sharing = self.sharing(watch, &subscribed).await?;
        let ids: BTreeSet<AccountId> = sharing.iter().map(|(id, _)| *id).collect();
        watch.keep_those(|id| ids.contains(&id));
        let is_new = |id: AccountId| {
            let mut others = watch.others().iter();
            !others.any(|other| other.backend.account() == id)
        };
        let new: Vec<_> = sharing.into_iter().filter(|(id, _)| is_new(*id)).collect();
        if watch.others_kept() + new.len() > limits::NOTIFY_OTHERS_MAX {
            return Ok(Round::Overflow);
        }
        self.add_sharing(watch, new).await?;
        watch.hand_out(&mut seen.folders);
        self.tell_difference(watch, 0, seen).await
    }

    /// Compares the mail of another.
    async fn compare_other(&mut self, watch: &mut Watch<B>, at: usize) -> Result<Round> {
        let Some(other) = watch.backend_at(at) else {
            return Ok(Round::Over);
        };
        // What was found so far does not wait for it.
        self.conn.flush().await?;
        let subscribed = watch.subscribed_at(at);
        let me = self.home.account();
        let looking = look(&other, me, watch.wants_annotations(), &subscribed);
        let mut looking = Box::pin(looking);
        let times = [limits::NOTIFY_OTHER_SHORT_MS, limits::NOTIFY_OTHER_LONG_MS];
        for (tries, time) in times.into_iter().enumerate() {
            // What takes no time is not given up for every hint.
            let accounts = match tries {
                0 => Vec::new(),
                _ => watch.waited_for(&self.opened),
            };
            let mut timer = Box::pin(self.conn.transport.sleep(Duration::from_millis(time)));
            let waiting = self.conn.wait(&accounts, looking.as_mut(), timer.as_mut());
            let woken = waiting.await?;
            match woken {
                Woken::Worked(Ok(seen)) => return self.tell_difference(watch, at, seen).await,
                Woken::Worked(Err(_)) => break,
                Woken::Timer => continue,
                Woken::Read(bytes) => self.conn.push(bytes)?,
                Woken::Changed(which) => watch.hint(&which),
            }
            watch.postpone(at);
            return Ok(Round::Interrupted);
        }
        watch.is_stale = true;
        watch.postpone(at);
        Ok(Round::Over)
    }

    async fn tell_difference(
        &mut self,
        watch: &mut Watch<B>,
        at: usize,
        seen: Seen,
    ) -> Result<Round> {
        let now = self.conn.transport.now();
        let Some(account) = watch.accounts.get_mut(at) else {
            return Ok(Round::Over);
        };
        account.is_due = false;
        account.is_stale = false;
        account.read = now;
        let is_opened = self.opened.account() == account.backend.account();
        let selected = self.selected.as_ref().filter(|_| is_opened);
        let mut known = std::mem::take(&mut account.known);
        let odd = match at {
            0 => odd_names(&known, &seen.folders),
            _ => BTreeSet::new(),
        };
        let is_own = |name: &str| at == 0 && (owner_of(name).is_none() || odd.contains(name));
        let news = known.update(
            &seen.folders,
            &Terms {
                wanted: |name: &str, is_subscribed| watch.wanted(name, is_subscribed, is_own(name)),
                server_metadata: at == 0 && watch.wants_server_metadata(),
                selected: selected.map(|selected| selected.mailbox),
                condstore: self.condstore,
                annotations: seen.annotations.as_deref(),
            },
        );
        if let Some(account) = watch.accounts.get_mut(at) {
            account.known = known;
        }
        if watch.bytes() > limits::NOTIFY_STATE_BYTES_MAX {
            return Ok(Round::Overflow);
        }
        self.tell_news(seen.folders, news).await?;
        Ok(Round::Over)
    }

    async fn tell_news(&mut self, folders: Vec<Folder>, news: News) -> Result<()> {
        let has_names = !(news.gone.is_empty() && news.renamed.is_empty() && news.names.is_empty());
        if has_names {
            let gone = news.gone.len();
            let renamed = news.renamed.into_iter();
            let renamed = renamed.map(|(name, old)| (name, Some(old)));
            let plain = |names: BTreeSet<String>| names.into_iter().map(|name| (name, None));
            let told: Vec<_> = plain(news.gone)
                .chain(renamed)
                .chain(plain(news.names))
                .collect();
            let names: Vec<String> = told.iter().map(|(name, _)| name.clone()).collect();
            let described = list::described(folders, names).into_iter().zip(told);
            for (at, ((name, mut attributes), (_, old))) in described.enumerate() {
                if at < gone && !attributes.contains(&ListAttribute::NonExistent) {
                    // Another mailbox has the name by now: it is told again.
                    attributes = vec![ListAttribute::NonExistent, ListAttribute::NoSelect];
                }
                match old {
                    Some(old) => self.conn.out.list_renamed(&attributes, &name, &old),
                    None => self.conn.out.list(&attributes, &name, &[]),
                }
                self.conn.relieve().await?;
            }
        }
        for (folder, items) in &news.status {
            self.tell_status(folder, items).await?;
            self.conn.relieve().await?;
        }
        for (name, entries) in &news.metadata {
            self.conn.out.metadata_changed(name, entries);
            self.conn.relieve().await?;
        }
        Ok(())
    }

    /// One's own mailboxes, and what is subscribed to.
    async fn own(&mut self, watch: &Watch<B>) -> Result<Seen> {
        self.backend = self.home.clone();
        let folders = self.folders().await?;
        let annotations = match watch.wants_annotations() {
            true => Some(self.annotations(None).await?),
            false => None,
        };
        Ok(Seen {
            folders,
            annotations,
        })
    }

    /// Those of whom mailboxes may be wanted and who may have given the user rights.
    async fn sharing(
        &mut self,
        watch: &Watch<B>,
        subscribed: &BTreeSet<String>,
    ) -> Result<Vec<(AccountId, String)>> {
        if !watch.may_cover_others(subscribed) {
            return Ok(Vec::new());
        }
        let mut sharing = self.home.sharing_users().await?;
        sharing.retain(|(id, name)| {
            let prefix = format!("{OTHERS}{name}/");
            *id != self.home.account() && watch.covers(&prefix, subscribed)
        });
        Ok(sharing)
    }

    async fn add_sharing(
        &mut self,
        watch: &mut Watch<B>,
        sharing: Vec<(AccountId, String)>,
    ) -> Result<()> {
        for (_, name) in sharing {
            // He may be gone by now.
            if let Some(other) = self.home.of(&name).await? {
                watch.add(Watched::new(other));
            }
        }
        Ok(())
    }
}

impl<B: Backend> Watch<B> {
    /// The client knows what was seen of an account.
    fn begin(&mut self, at: usize, seen: &Seen, now: Millis) -> Result<()> {
        if let Some(account) = self.accounts.get_mut(at) {
            account.known = Known::of(&seen.folders, seen.annotations.as_deref());
            account.is_due = false;
            account.read = now;
        }
        if self.bytes() > limits::NOTIFY_STATE_BYTES_MAX {
            return Err(Stop::no(Code::NotificationOverflow, TOO_MANY));
        }
        Ok(())
    }

    /// Another account is compared before this one the next time.
    fn postpone(&mut self, at: usize) {
        if let Some(account) = self.accounts.get_mut(at) {
            account.is_stale = true;
        }
    }

    fn backend_at(&self, at: usize) -> Option<B> {
        self.accounts.get(at).map(|account| account.backend.clone())
    }

    /// Accounts of others that are to be compared, those that could not be read last.
    fn due_others(&self) -> Vec<usize> {
        let accounts = self.accounts.iter().enumerate().skip(1);
        let due = accounts.filter(|(_, account)| account.is_due);
        let mut due: Vec<_> = due.map(|(at, account)| (account.is_stale, at)).collect();
        due.sort_unstable();
        due.into_iter().map(|(_, at)| at).collect()
    }

    fn subscribed_at(&self, at: usize) -> BTreeSet<String> {
        let account = self.accounts.get(at);
        account.map_or_else(BTreeSet::new, |account| account.subscribed.clone())
    }
}

/// One's own mailboxes that have names of others', from before there were such.
fn odd_names(known: &Known, now: &[Folder]) -> BTreeSet<String> {
    let exist = now.iter().filter(|folder| folder.exists);
    let all = known
        .names()
        .chain(exist.map(|folder| folder.name.as_str()));
    let odd = all.filter(|name| owner_of(name).is_some());
    odd.map(str::to_owned).collect()
}

/// Names below `user/` that are subscribed to and are no mailboxes of one's own.
fn of_others(folders: &[Folder]) -> BTreeSet<String> {
    let subscribed = folders.iter().filter(|folder| !folder.exists);
    let names = subscribed.map(|folder| &folder.name);
    names
        .filter(|name| owner_of(name).is_some())
        .cloned()
        .collect()
}

/// The mailboxes of another that the user may look up, and names there that he has subscribed to.
async fn look<B: Backend>(
    other: &B,
    user: AccountId,
    wants_annotations: bool,
    subscribed: &BTreeSet<String>,
) -> std::result::Result<Seen, BackendError> {
    let mut folders = visible(other).await?;
    let mut names: BTreeSet<&str> = subscribed.iter().map(String::as_str).collect();
    for folder in &mut folders {
        folder.subscribed = names.remove(folder.name.as_str());
    }
    let unknown: Vec<Folder> = names
        .into_iter()
        .map(|name| Folder {
            name: name.to_owned(),
            subscribed: true,
            ..Folder::default()
        })
        .collect();
    folders.extend(unknown);
    let annotations = match wants_annotations {
        true => Some(annotations(other, user).await?),
        false => None,
    };
    Ok(Seen {
        folders,
        annotations,
    })
}

async fn annotations<B: Backend>(
    other: &B,
    user: AccountId,
) -> std::result::Result<Vec<Annotation>, BackendError> {
    let query = Query::Metadata {
        account: other.account(),
        mailbox: None,
        user,
    };
    match other.read(query).await {
        Ok(Answer::Metadata(found)) => Ok(found),
        Ok(_) => Err(BackendError::Broken),
        Err(BackendError::NoMailbox | BackendError::NoRight | BackendError::Gone) => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

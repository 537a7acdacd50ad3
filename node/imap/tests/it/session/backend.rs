//! A partition in memory: the real machine on rows in a map, bodies beside them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::future::poll_fn;
use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};

use bytes::{Bytes, BytesMut};
use imap::backend::{Backend, BackendError, Content, DerivedKey, LoginError};
use imap::guest::Guest;
use imap::mime::{self, NeedleGrams};
use mailbox::limits::ENTRY_BODY_BYTES_MAX;
use mailbox::{
    AccountId, Answer, Body, BodyAt, BodySource, Command, Deliver, EntryAt, Envelope, Hash16, Lane,
    MailboxId, Message, ModSeq, MoveId, NewBody, Outcome, Query, QueryError, Recipient, Stamp, Uid,
    UidRanges, UploadId,
};
use rows::Staged;

use super::counted::Counted;
use super::transport::NOW;

/// The password of everybody.
pub const PASSWORD: &str = "secret";

/// A partition, shared by all sessions of a test.
#[derive(Clone, Default)]
pub struct Partition(pub(super) Arc<Mutex<State>>);

#[derive(Default)]
pub(super) struct State {
    pub(super) rows: Counted,
    index: u64,
    bodies: BTreeMap<u64, Bytes>,
    uploads: BTreeMap<UploadId, Bytes>,
    users: BTreeMap<String, AccountId>,
    /// Those who set quotas.
    administrators: BTreeSet<AccountId>,
    /// Who may have been given rights by whom.
    shares: BTreeSet<(AccountId, AccountId)>,
    recent: BTreeMap<(AccountId, MailboxId), Uid>,
    version: u64,
    wakers: Vec<Waker>,
    /// What the next proposals come to instead, if anything; the next one last.
    failures: Vec<Option<BackendError>>,
    /// What the next reads come to instead, if anything; the next one last.
    read_failures: Vec<Option<BackendError>>,
    /// What the next reads of bodies come to instead, if anything; the next one last.
    body_failures: Vec<Option<BackendError>>,
    /// Proposals and reads of bodies wait.
    is_stalled: bool,
    /// Messages that have been uploaded wait.
    are_uploads_stalled: bool,
    /// What others ask of this account waits.
    stalled_for_others: Option<AccountId>,
    /// What FETCH told.
    derived: HashMap<DerivedKey, Bytes>,
    /// Ranges of bodies that were read.
    read: Vec<Range<u64>>,
    proposals: u64,
    moves: u128,
    /// Milliseconds that have passed since the test began.
    passed: u64,
    /// There is no search index.
    is_without_index: bool,
}

impl State {
    fn apply(&mut self, command: Command, body: Bytes) -> Outcome {
        self.index += 1;
        let lane = Lane {
            node: 1,
            boot: 1,
            lane: self.index,
        };
        let now = NOW.after(self.passed);
        let stamp = Stamp {
            lane,
            sequence: 1,
            issued: now,
        };
        let at = EntryAt {
            index: self.index,
            term: 1,
            body_length: body.len() as u64,
        };
        let envelope = Envelope {
            stamp,
            time: now,
            command,
        };
        let mut staged = Staged::new(&self.rows);
        let applied = mailbox::apply(&mut staged, at, &envelope).unwrap();
        let writes = staged.into_writes().unwrap();
        self.rows.commit(writes);
        self.bodies.insert(self.index, body);
        if !applied.events.is_empty() {
            self.version += 1;
            self.wakers.drain(..).for_each(Waker::wake);
        }
        applied.outcome
    }
}

impl State {
    fn bytes(&self, message: &Message) -> Vec<u8> {
        let body = match message.body.at {
            BodyAt::Entry { index, .. } => &self.bodies[&index],
            BodyAt::Upload(upload) => &self.uploads[&upload],
        };
        [&message.prefix[..], &body[..]].concat()
    }

    /// A body as a command names it, and what rides beside the command: a large one goes before it.
    fn arrive(&mut self, account: AccountId, body: Bytes, apart: bool) -> (NewBody, Bytes) {
        let (hash, length) = (Hash16::of(&body), body.len() as u64);
        if length <= ENTRY_BODY_BYTES_MAX && !apart {
            return (
                NewBody {
                    hash,
                    length,
                    source: BodySource::Inline,
                },
                body,
            );
        }
        let upload = UploadId(self.index.into());
        for (number, chunk) in (0..).zip(body.chunks(1 << 20)) {
            let length = chunk.len() as u32;
            let command = Command::Chunk {
                upload,
                account,
                number,
                length,
            };
            let outcome = self.apply(command, Bytes::copy_from_slice(chunk));
            assert!(matches!(outcome, Outcome::Done(_)), "{outcome:?}");
        }
        self.uploads.insert(upload, body);
        (
            NewBody {
                hash,
                length,
                source: BodySource::Upload(upload),
            },
            Bytes::new(),
        )
    }
}

impl Partition {
    /// Lets a user set quotas.
    pub fn administrator(&self, name: &str) {
        let mut state = self.0.lock().unwrap();
        let account = state.users[name];
        state.administrators.insert(account);
    }

    /// Makes an account with an INBOX.
    pub fn user(&self, name: &str) -> AccountId {
        let mut state = self.0.lock().unwrap();
        let account = AccountId(state.users.len() as u64 + 1);
        state.users.insert(name.to_owned(), account);
        let command = Command::CreateAccount {
            account,
            folders: Vec::new(),
            quota_bytes: None,
        };
        state.apply(command, Bytes::new());
        account
    }

    /// Delivers a message, which gets a trace header.
    pub fn deliver(&self, user: &str, folder: Option<&str>, message: &[u8]) -> Outcome {
        let mut state = self.0.lock().unwrap();
        let account = state.users[user];
        let (body, bytes) = state.arrive(account, Bytes::copy_from_slice(message), false);
        let recipient = Recipient {
            account,
            address: format!("{user}@example.org"),
            folder: folder.map(str::to_owned),
            prefix: Bytes::from(format!("Delivered-To: {user}\r\n")),
        };
        let deliver = Deliver {
            sender: String::new(),
            recipients: vec![recipient],
            body,
            received: NOW,
            suppress_duplicates: false,
            confirmed: Vec::new(),
        };
        let outcome = state.apply(Command::Deliver(deliver), bytes);
        assert!(matches!(outcome, Outcome::Done(_)), "{outcome:?}");
        outcome
    }

    /// Does something to an account as if by another door.
    pub fn apply(&self, command: Command) -> Outcome {
        self.0.lock().unwrap().apply(command, Bytes::new())
    }

    /// Deletes an account with all its mail.
    pub fn delete_user(&self, name: &str) {
        let mut state = self.0.lock().unwrap();
        let account = state.users.remove(name).unwrap();
        state.apply(Command::DeleteAccount { account }, Bytes::new());
    }

    /// The messages of an INBOX.
    pub fn uids(&self, user: &str) -> UidRanges {
        let state = self.0.lock().unwrap();
        let query = Query::Open {
            account: state.users[user],
            mailbox: MailboxId::INBOX,
        };
        match mailbox::query(&state.rows, &query) {
            Ok(Answer::Opened(opened)) => opened.uids,
            other => panic!("{other:?}"),
        }
    }

    /// Lets so much time pass that what was expunged until now is forgotten.
    pub fn forget_expunged(&self) {
        let mut state = self.0.lock().unwrap();
        state.passed += 2 * mailbox::limits::RETENTION_MS;
        let now = NOW.after(state.passed);
        while mailbox::next_due(&state.rows)
            .unwrap()
            .is_some_and(|due| due <= now)
        {
            state.apply(Command::Tick, Bytes::new());
        }
    }

    pub fn account(&self, user: &str) -> AccountId {
        self.0.lock().unwrap().users[user]
    }

    /// Lets a proposal fail, after so many that do not.
    pub fn fail(&self, error: BackendError, after: usize) {
        let failures = &mut self.0.lock().unwrap().failures;
        failures.push(Some(error));
        failures.extend(vec![None; after]);
    }

    /// Lets a read fail, after so many that do not.
    pub fn fail_read(&self, error: BackendError, after: usize) {
        let failures = &mut self.0.lock().unwrap().read_failures;
        failures.push(Some(error));
        failures.extend(vec![None; after]);
    }

    /// Lets a read of a body fail, after so many that do not.
    pub fn fail_body(&self, error: BackendError, after: usize) {
        let failures = &mut self.0.lock().unwrap().body_failures;
        failures.push(Some(error));
        failures.extend(vec![None; after]);
    }

    /// Lets proposals and reads of bodies wait, or go on.
    pub fn stall(&self, is_stalled: bool) {
        let mut state = self.0.lock().unwrap();
        state.is_stalled = is_stalled;
        state.wakers.drain(..).for_each(Waker::wake);
    }

    /// Lets messages that have been uploaded wait, or go on.
    pub fn stall_uploads(&self, are_stalled: bool) {
        let mut state = self.0.lock().unwrap();
        state.are_uploads_stalled = are_stalled;
        state.wakers.drain(..).for_each(Waker::wake);
    }

    /// Lets others wait for what they ask of an account, or of none.
    pub fn stall_others(&self, user: Option<&str>) {
        let mut state = self.0.lock().unwrap();
        state.stalled_for_others = user.map(|user| state.users[user]);
        state.wakers.drain(..).for_each(Waker::wake);
    }

    /// Ranges of bodies that were read since the last time.
    pub fn take_read(&self) -> Vec<Range<u64>> {
        std::mem::take(&mut self.0.lock().unwrap().read)
    }

    /// Messages are searched without an index.
    pub fn drop_index(&self) {
        self.0.lock().unwrap().is_without_index = true;
    }

    /// How many commands sessions have proposed.
    pub fn proposals(&self) -> u64 {
        self.0.lock().unwrap().proposals
    }

    pub fn open(&self, user: &str) -> Result<Account, LoginError> {
        let id = *self
            .0
            .lock()
            .unwrap()
            .users
            .get(user)
            .ok_or(LoginError::Denied)?;
        Ok(Account {
            partition: self.clone(),
            id,
            seen: Arc::default(),
            guest: None,
        })
    }
}

/// One account as a session uses it.
#[derive(Clone)]
pub struct Account {
    partition: Partition,
    id: AccountId,
    seen: Arc<Mutex<u64>>,
    guest: Option<Guest>,
}

impl Account {
    /// Waits while the partition is stalled.
    async fn wait(&self) {
        self.wait_while(|state| state.is_stalled).await;
    }

    async fn wait_while(&self, is_stalled: impl Fn(&State) -> bool) {
        poll_fn(|context| {
            let mut state = self.partition.0.lock().unwrap();
            if !is_stalled(&state) {
                return Poll::Ready(());
            }
            state.wakers.push(context.waker().clone());
            Poll::Pending
        })
        .await;
    }

    /// The mail of another.
    fn other(&self, id: AccountId, name: &str) -> Account {
        Account {
            partition: self.partition.clone(),
            id,
            seen: Arc::default(),
            guest: Some(Guest::new(self.id, name)),
        }
    }

    fn propose_with(&self, command: Command, body: Bytes) -> Result<Outcome, BackendError> {
        let mut state = self.partition.0.lock().unwrap();
        state.proposals += 1;
        let command = match &self.guest {
            Some(guest) => guest.command(command),
            None => command,
        };
        match state.failures.pop().flatten() {
            Some(error) => Err(error),
            None => Ok(state.apply(command, body)),
        }
    }
}

impl Content for Account {
    async fn body(&self, body: &Body, range: Range<u64>) -> Result<Bytes, BackendError> {
        assert!(range.end - range.start <= imap::limits::PIECE_BYTES);
        self.wait().await;
        let mut state = self.partition.0.lock().unwrap();
        if let Some(Some(error)) = state.body_failures.pop() {
            return Err(error);
        }
        state.read.push(range.clone());
        let bytes = match body.at {
            BodyAt::Entry { index, .. } => &state.bodies[&index],
            BodyAt::Upload(upload) => &state.uploads[&upload],
        };
        Ok(bytes.slice(range.start as usize..range.end as usize))
    }

    fn derived(&self, key: &DerivedKey) -> Option<Bytes> {
        let state = self.partition.0.lock().unwrap();
        state.derived.get(key).cloned()
    }

    fn keep_derived(&self, key: DerivedKey, value: Bytes) {
        let mut state = self.partition.0.lock().unwrap();
        state.derived.insert(key, value);
    }
}

impl Backend for Account {
    type Upload = BytesMut;
    type Arrived = (NewBody, Bytes);

    fn account(&self) -> AccountId {
        self.id
    }

    async fn user(&self) -> Result<String, BackendError> {
        let state = self.partition.0.lock().unwrap();
        let found = state.users.iter().find(|(_, id)| **id == self.id);
        Ok(found.unwrap().0.clone())
    }

    async fn find_user(&self, name: &str) -> Result<Option<(AccountId, String)>, BackendError> {
        let state = self.partition.0.lock().unwrap();
        Ok(state
            .users
            .get_key_value(name)
            .map(|(name, id)| (*id, name.clone())))
    }

    async fn of(&self, user: &str) -> Result<Option<Account>, BackendError> {
        let state = self.partition.0.lock().unwrap();
        Ok(state.users.get(user).map(|id| self.other(*id, user)))
    }

    fn is_administrator(&self) -> bool {
        let state = self.partition.0.lock().unwrap();
        self.guest.is_none() && state.administrators.contains(&self.id)
    }

    async fn administered(&self, user: &str) -> Result<Option<Account>, BackendError> {
        let other = self.of(user).await?;
        Ok(other.map(|other| Account {
            guest: None,
            ..other
        }))
    }

    async fn sharing(&self) -> Result<Vec<Account>, BackendError> {
        let users = self.sharing_users().await?.into_iter();
        Ok(users.map(|(id, name)| self.other(id, &name)).collect())
    }

    async fn sharing_users(&self) -> Result<Vec<(AccountId, String)>, BackendError> {
        let state = self.partition.0.lock().unwrap();
        let given = |to: u64, id: &AccountId| state.shares.contains(&(AccountId(to), *id));
        let owners = state.users.iter().map(|(name, id)| (*id, name.clone()));
        let others = owners.filter(|(id, _)| *id != self.id);
        Ok(others
            .filter(|(id, _)| given(self.id.0, id) || given(0, id))
            .collect())
    }

    async fn share_with(&self, user: AccountId) -> Result<(), BackendError> {
        let mut state = self.partition.0.lock().unwrap();
        state.shares.insert((user, self.id));
        Ok(())
    }

    fn guest(&self) -> Option<&Guest> {
        self.guest.as_ref()
    }

    fn new_move(&self) -> MoveId {
        let mut state = self.partition.0.lock().unwrap();
        state.moves += 1;
        MoveId(state.moves)
    }

    async fn read(&self, query: Query) -> Result<Answer, BackendError> {
        let is_other = self.guest.is_some();
        self.wait_while(|state| is_other && state.stalled_for_others == Some(self.id))
            .await;
        let mut state = self.partition.0.lock().unwrap();
        if let Some(Some(error)) = state.read_failures.pop() {
            return Err(error);
        }
        let query = match &self.guest {
            Some(guest) => guest.query(query),
            None => query,
        };
        let answer = mailbox::query(&state.rows, &query).map_err(|error| match error {
            QueryError::NoAccount => BackendError::Gone,
            QueryError::NoMailbox => BackendError::NoMailbox,
            QueryError::NoRight => BackendError::NoRight,
            _ => BackendError::Broken,
        })?;
        Ok(match &self.guest {
            Some(guest) => guest.answer(answer),
            None => answer,
        })
    }

    async fn read_near(&self, query: Query, at_least: ModSeq) -> Result<Answer, BackendError> {
        {
            let state = self.partition.0.lock().unwrap();
            if let Ok(now) = mailbox::modseq(&state.rows, self.id) {
                assert!(now >= at_least, "more was seen than there is");
            }
        }
        self.read(query).await
    }

    async fn propose(&self, command: Command) -> Result<Outcome, BackendError> {
        self.wait().await;
        self.propose_with(command, Bytes::new())
    }

    async fn read_ahead(&self, wanted: &[(Body, u64)]) -> usize {
        wanted.len().min(2)
    }

    /// An index that is always new.
    async fn lacking(&self, mailbox: MailboxId, texts: Vec<NeedleGrams>) -> Vec<UidRanges> {
        let state = self.partition.0.lock().unwrap();
        let query = Query::Messages {
            account: self.id,
            mailbox,
            uids: UidRanges::all(),
            changed_since: None,
            limit: u32::MAX,
            include_expunged: true,
        };
        let Ok(Answer::Messages(page)) = mailbox::query(&state.rows, &query) else {
            return Vec::new();
        };
        let mut lacking = vec![UidRanges::new(); texts.len()];
        for message in page.messages.iter().filter(|_| !state.is_without_index) {
            let bytes = state.bytes(message);
            let from = |range: Range<u64>| {
                let range = range.start as usize..range.end as usize;
                Ok::<_, BackendError>(Bytes::copy_from_slice(&bytes[range]))
            };
            let grams = mime::grams(&mime::scan(&bytes), from).unwrap();
            for (text, lacking) in texts.iter().zip(&mut lacking) {
                if !text.may_be_in(&grams) {
                    lacking.insert(message.uid);
                }
            }
        }
        lacking
    }

    fn upload(&self) -> Result<BytesMut, BackendError> {
        let mut state = self.partition.0.lock().unwrap();
        if state.failures.last() == Some(&Some(BackendError::NoSpace)) {
            state.failures.pop();
            return Err(BackendError::NoSpace);
        }
        Ok(BytesMut::new())
    }

    async fn upload_put(&self, upload: &mut BytesMut, bytes: Bytes) -> Result<(), BackendError> {
        upload.extend_from_slice(&bytes);
        Ok(())
    }

    async fn upload_end(
        &self,
        upload: BytesMut,
        apart: bool,
    ) -> Result<(NewBody, Bytes), BackendError> {
        self.wait_while(|state| state.are_uploads_stalled).await;
        let mut state = self.partition.0.lock().unwrap();
        Ok(state.arrive(self.id, upload.freeze(), apart))
    }

    async fn arrived_body(&self, arrived: &mut (NewBody, Bytes)) -> Result<NewBody, BackendError> {
        Ok(arrived.0)
    }

    async fn append(
        &self,
        command: Command,
        arrived: Vec<(NewBody, Bytes)>,
    ) -> Result<Outcome, BackendError> {
        let riding = arrived.into_iter().map(|(_, bytes)| bytes);
        let mut riding = riding.filter(|bytes| !bytes.is_empty());
        let body = riding.next().unwrap_or_default();
        assert!(riding.next().is_none(), "one body rides");
        self.propose_with(command, body)
    }

    async fn recent_from(&self, mailbox: MailboxId, claim_below: Uid) -> Result<Uid, BackendError> {
        let mut state = self.partition.0.lock().unwrap();
        let mark = state.recent.entry((self.id, mailbox)).or_insert(Uid(1));
        let from = *mark;
        *mark = from.max(claim_below);
        Ok(from)
    }

    async fn changed(&self) {
        poll_fn(|context| {
            let mut state = self.partition.0.lock().unwrap();
            let mut seen = self.seen.lock().unwrap();
            if *seen != state.version {
                *seen = state.version;
                return Poll::Ready(());
            }
            state.wakers.push(context.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

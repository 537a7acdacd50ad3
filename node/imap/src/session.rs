//! A session from the greeting to its end: reads commands, runs them, and says how they went.

use std::future::Future;

use crate::backend::{Auth, Backend, Transport};
use crate::cmd::fetch::beforehand::Usual;
use crate::cmd::login::{Failures, Login, log_out};
use crate::cmd::progress::Progress;
use crate::cmd::uid_only::names_numbers;
use crate::config::Config;
use crate::connection::{Connection, Request};
use crate::grammar::{AppendVerb, Command, CommandBody, CommandInfo, SequenceSet, Tag, ValidIn};
use crate::limits;
use crate::respond::Code;
use crate::state::{Done, End, Result, Session, Stop};
use crate::sync::Expunges;

/// Serves one client, from the greeting to the end of its connection, which the caller then closes.
///
/// Between commands the future is small (a few hundred bytes and the view); a handler that needs
/// more is boxed while it runs.
#[expect(clippy::manual_async_fn, reason = "it promises to be Send")]
pub fn serve<T: Transport, A: Auth>(
    transport: &mut T,
    auth: &A,
    config: &Config,
) -> impl Future<Output = End> + Send {
    async move {
        let mut conn = Connection::new(transport, config);
        let mut failures = Failures::default();
        conn.greet();
        loop {
            let login = Login::new(&mut conn, auth, &mut failures);
            let account = match Box::pin(login.run()).await {
                Ok(account) => account,
                Err(stop) => return close(conn, stop).await,
            };
            // Boxed, so that a connection does not cost room for a session before there is one,
            // nor twice for the parts that outlive it.
            let mut session = Box::new(Session::new(conn, account));
            let stop = session.run().await;
            conn = session.conn;
            match stop {
                Stop::Unauthenticated => {}
                stop => return close(conn, stop).await,
            }
        }
    }
}

/// Says BYE if it is to be said, and sends what was written.
async fn close<T: Transport>(mut conn: Connection<'_, T>, stop: Stop) -> End {
    let (end, bye) = match stop {
        Stop::Close(end, bye) => (end, bye),
        Stop::No(..) | Stop::Bad(_) | Stop::BadCode(..) | Stop::Unauthenticated => {
            (End::Refused, None)
        }
    };
    if let Some((code, text)) = bye {
        conn.out.bye(code.as_ref(), text);
    }
    match (conn.flush().await, end) {
        // A client that is gone does not hear it.
        (Err(Stop::Close(failed, _)), End::LoggedOut | End::Refused) => failed,
        (_, end) => end,
    }
}

/// When changes that others made are read, and what may be told of them.
struct Rules {
    /// Before the command, so that it sees all that anybody was told.
    before: bool,
    after: After,
    expunges: Expunges,
    /// Whether HIGHESTMODSEQ is told when it is done.
    tells_modseq: bool,
}

enum After {
    /// Nothing is told.
    Nothing,
    /// What is known is told, and if there is a hint, what is new.
    IfHinted,
    /// What is new is read and told.
    Always,
}

impl<'a, T: Transport, B: Backend> Session<'a, T, B> {
    pub(crate) fn new(conn: Connection<'a, T>, backend: B) -> Session<'a, T, B> {
        let structures = Vec::new();
        Session {
            conn,
            home: backend.clone(),
            opened: backend.clone(),
            backend,
            selected: None,
            condstore: false,
            qresync: false,
            uid_only: false,
            utf8_accept: false,
            rev2: false,
            notify: None,
            usual: Usual::default(),
            bad_in_a_row: 0,
            structures,
            progress: Progress::default(),
        }
    }

    /// Reads and runs commands until the connection is to be closed.
    pub(crate) async fn run(&mut self) -> Stop {
        loop {
            if let Err(stop) = self.turn().await {
                return stop;
            }
        }
    }

    /// One command.
    async fn turn(&mut self) -> Result<()> {
        match self.next_request().await? {
            Request::Bad(bad) => {
                self.conn.out.bad_command(&bad);
                self.count_bad()
            }
            Request::Append(start) => {
                let result = Box::pin(self.append(&start)).await;
                // What is replaced counts as expunged by UID EXPUNGE (RFC 8508 section 4.5).
                let removes = start.verb != AppendVerb::Append;
                let rules = Rules {
                    before: false,
                    after: After::Always,
                    expunges: Expunges::Tell,
                    tells_modseq: self.qresync && removes,
                };
                self.finish(&start.tag, result, &rules).await
            }
            Request::Command(command) => self.command(&command).await,
        }
    }

    async fn command(&mut self, command: &Command) -> Result<()> {
        if matches!(command.body, CommandBody::Logout) {
            return Err(log_out(&mut self.conn, &command.tag));
        }
        if let CommandBody::Compress { algorithm } = &command.body {
            return Box::pin(self.compress(&command.tag, algorithm)).await;
        }
        if matches!(command.body, CommandBody::Unauthenticate) {
            return Err(self.unauthenticate(&command.tag));
        }
        let info = CommandInfo::of(command.body.name()).expect("every command has a row");
        let rules = self.rules(&command.body);
        self.progress = Progress::of(command, self.conn.transport.now());
        let result = self.prepare_and_run(command, info.valid_in, &rules).await;
        self.progress = Progress::default();
        self.settle(&command.body, &result);
        self.finish(&command.tag, result, &rules).await
    }

    async fn prepare_and_run(
        &mut self,
        command: &Command,
        valid_in: ValidIn,
        rules: &Rules,
    ) -> Result<Done> {
        self.allows(valid_in)?;
        self.takes(&command.body)?;
        if rules.before {
            Box::pin(self.refresh(Expunges::Hold)).await?;
        }
        self.turn_to(valid_in);
        self.dispatch(command).await
    }

    async fn dispatch(&mut self, command: &Command) -> Result<Done> {
        let tag = &command.tag;
        match &command.body {
            CommandBody::Capability => self.capability(),
            CommandBody::Id(id) => self.id(id.as_deref()),
            CommandBody::Enable { capabilities } => self.enable(capabilities),
            CommandBody::Namespace => self.namespace(),
            CommandBody::Noop => Ok(Done::text("NOOP completed")),
            CommandBody::Check => Ok(Done::text("CHECK completed")),
            CommandBody::Select(select) => Box::pin(self.select(select, false)).await,
            CommandBody::Examine(select) => Box::pin(self.select(select, true)).await,
            CommandBody::Unselect => self.unselect(),
            CommandBody::Close => Box::pin(self.close()).await,
            CommandBody::Create(create) => Box::pin(self.create(create)).await,
            CommandBody::Delete { mailbox } => Box::pin(self.delete(mailbox)).await,
            CommandBody::Rename { from, to } => Box::pin(self.rename(from, to)).await,
            CommandBody::Subscribe { mailbox } => Box::pin(self.subscribe(mailbox, true)).await,
            CommandBody::Unsubscribe { mailbox } => Box::pin(self.subscribe(mailbox, false)).await,
            CommandBody::List(list) => Box::pin(self.list(list)).await,
            CommandBody::Lsub(lsub) => Box::pin(self.lsub(lsub)).await,
            CommandBody::Status(status) => Box::pin(self.status(status)).await,
            CommandBody::GetQuota { root } => Box::pin(self.get_quota(root)).await,
            CommandBody::GetQuotaRoot { mailbox } => Box::pin(self.get_quota_root(mailbox)).await,
            CommandBody::SetQuota(asked) => Box::pin(self.set_quota(asked)).await,
            CommandBody::SetAcl(set) => Box::pin(self.set_acl(set)).await,
            CommandBody::DeleteAcl(of) => Box::pin(self.delete_acl(of)).await,
            CommandBody::GetAcl { mailbox } => Box::pin(self.get_acl(mailbox)).await,
            CommandBody::ListRights(of) => Box::pin(self.list_rights(of)).await,
            CommandBody::MyRights { mailbox } => Box::pin(self.my_rights(mailbox)).await,
            CommandBody::GetMetadata(get) => Box::pin(self.get_metadata(get)).await,
            CommandBody::SetMetadata(set) => Box::pin(self.set_metadata(set)).await,
            CommandBody::Idle => Box::pin(self.idle()).await,
            CommandBody::Notify(notify) => Box::pin(self.notify(notify)).await,
            CommandBody::Expunge => Box::pin(self.expunge(None)).await,
            CommandBody::UidExpunge { set } => Box::pin(self.expunge(Some(set))).await,
            CommandBody::Search(search) => Box::pin(self.search(tag, search)).await,
            CommandBody::MultiSearch(multi) => Box::pin(self.multi_search(tag, multi)).await,
            CommandBody::CancelUpdate(tags) => self.cancel_update(tags),
            CommandBody::Sort(sort) => Box::pin(self.sort(tag, sort)).await,
            CommandBody::Thread(thread) => Box::pin(self.thread(thread)).await,
            CommandBody::UidBatches(batches) => Box::pin(self.uid_batches(tag, batches)).await,
            CommandBody::Fetch(fetch) => Box::pin(self.fetch(fetch)).await,
            CommandBody::Store(store) => Box::pin(self.store(store)).await,
            CommandBody::Copy(copy) => Box::pin(self.copy(copy)).await,
            CommandBody::Move(copy) => Box::pin(self.r#move(copy)).await,
            // The gate refuses the rest: they are valid before login only, or were done before.
            CommandBody::StartTls
            | CommandBody::Login { .. }
            | CommandBody::Authenticate { .. }
            | CommandBody::Compress { .. }
            | CommandBody::Unauthenticate
            | CommandBody::Logout => Err(Stop::Bad("You are logged in already")),
        }
    }

    /// The rules of RFC 3501 section 7.4.1: no EXPUNGE while FETCH, STORE or SEARCH is answered,
    /// unless with UID; SORT and THREAD are searches as well (RFC 5256 section 3). Nor while a
    /// search with UID is that names messages by number (RFC 7162 section 3.2.10.2).
    fn rules(&self, body: &CommandBody) -> Rules {
        let (before, after, by_number) = match body {
            CommandBody::Fetch(fetch) => (
                fetch.uid && self.is_beyond(&fetch.set),
                After::IfHinted,
                !fetch.uid,
            ),
            CommandBody::Search(search) => (
                true,
                After::IfHinted,
                !search.uid || names_numbers(&search.key),
            ),
            CommandBody::MultiSearch(multi) => {
                (true, After::IfHinted, names_numbers(&multi.search.key))
            }
            CommandBody::Sort(sort) => {
                (true, After::IfHinted, !sort.uid || names_numbers(&sort.key))
            }
            CommandBody::Thread(thread) => (
                true,
                After::IfHinted,
                !thread.uid || names_numbers(&thread.key),
            ),
            CommandBody::Store(store) => (
                store.uid && self.is_beyond(&store.set),
                After::Always,
                !store.uid,
            ),
            CommandBody::Copy(copy) | CommandBody::Move(copy) => {
                (copy.uid && self.is_beyond(&copy.set), After::Always, false)
            }
            CommandBody::UidExpunge { set } => (self.is_beyond(set), After::Always, false),
            CommandBody::Expunge | CommandBody::Noop | CommandBody::Check => {
                (false, After::Always, false)
            }
            CommandBody::Select(_)
            | CommandBody::Examine(_)
            | CommandBody::Close
            | CommandBody::Unselect
            | CommandBody::Idle => (false, After::Nothing, false),
            _ => (false, After::IfHinted, false),
        };
        let expunges = if by_number {
            Expunges::Hold
        } else {
            Expunges::Tell
        };
        Rules {
            before: before && self.selected.is_some(),
            after,
            expunges,
            tells_modseq: self.qresync && removes(body),
        }
    }

    /// Whether a set of UIDs may name messages that arrived after the view was read. The client
    /// may know of them from elsewhere, so they must be found.
    pub(crate) fn is_beyond(&self, set: &SequenceSet) -> bool {
        let next = self
            .selected
            .as_ref()
            .map_or(0, |selected| selected.view.next_uid().0);
        set.has_star() || set.largest() >= next
    }

    /// Tells what is to be told, then how the command went.
    async fn finish(&mut self, tag: &Tag, result: Result<Done>, rules: &Rules) -> Result<()> {
        if let Err(stop @ (Stop::Close(..) | Stop::Unauthenticated)) = result {
            return Err(stop);
        }
        if let Err(Stop::Bad(text)) = result {
            self.conn.out.bad(tag, None, text);
            return self.count_bad();
        }
        if let Err(Stop::BadCode(code, text)) = result {
            self.conn.out.bad(tag, Some(&code), text);
            return self.count_bad();
        }
        self.bad_in_a_row = 0;
        match rules.after {
            After::Nothing => {}
            After::IfHinted => self.refresh_if_hinted(rules.expunges).await?,
            After::Always => self.refresh_after(rules.expunges).await?,
        }
        match result {
            Ok(done) => {
                let code = self.settled_code(done.code, rules.tells_modseq);
                self.conn.out.ok(tag, code.as_ref(), done.text);
            }
            Err(Stop::No(code, text)) => {
                let code = self.settled_code(code, false);
                self.conn.out.no(tag, code.as_ref(), &text);
            }
            Err(stop) => return Err(stop),
        }
        self.conn.relieve().await
    }

    /// Sees to it that a client that was shown a mod-sequence does not take it for HIGHESTMODSEQ
    /// while there are changes below it that were not told (RFC 7162 section 3.2); returns the code
    /// of the tagged response.
    fn settled_code(&mut self, code: Option<Code>, must: bool) -> Option<Code> {
        let Some(selected) = &self.selected else {
            return code;
        };
        let view = &selected.view;
        if !(must || self.condstore && view.is_unsettled()) {
            return code;
        }
        let highest = Code::HighestModSeq(view.highest_modseq().0);
        if code.is_some() {
            self.conn
                .out
                .untagged_ok(Some(&highest), "Highest mod-sequence");
            return code;
        }
        Some(highest)
    }

    pub(crate) fn count_bad(&mut self) -> Result<()> {
        self.bad_in_a_row += 1;
        if self.bad_in_a_row >= limits::BAD_AFTER_LOGIN_MAX {
            return Err(Stop::bye("Too many bad commands"));
        }
        Ok(())
    }
}

/// Commands after which a client with QRESYNC learns HIGHESTMODSEQ (RFC 7162 sections 3.2.7 and
/// 3.2.9, RFC 6851 section 4.4). CLOSE is not one: what others changed would be passed over.
fn removes(body: &CommandBody) -> bool {
    matches!(
        body,
        CommandBody::Expunge | CommandBody::UidExpunge { .. } | CommandBody::Move(_)
    )
}

//! Every command with the states in which it is valid (RFC 3501 section 3).

use super::command::CommandBody;

/// In which states of a session a command is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValidIn {
    /// In every state.
    Any,
    /// Only before login.
    NotAuthenticated,
    /// After login, with or without a selected mailbox.
    Authenticated,
    /// Only with a selected mailbox.
    Selected,
}

/// A row of [`COMMANDS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommandInfo {
    /// Upper case; the commands with UID before them have rows of their own.
    pub name: &'static str,
    /// When it is valid.
    pub valid_in: ValidIn,
}

const fn row(name: &'static str, valid_in: ValidIn) -> CommandInfo {
    CommandInfo { name, valid_in }
}

/// All commands that the grammar knows, by state, then by name.
pub const COMMANDS: &[CommandInfo] = &[
    row("CAPABILITY", ValidIn::Any),
    row("ID", ValidIn::Any),
    row("LOGOUT", ValidIn::Any),
    row("NOOP", ValidIn::Any),
    row("AUTHENTICATE", ValidIn::NotAuthenticated),
    row("LOGIN", ValidIn::NotAuthenticated),
    row("STARTTLS", ValidIn::NotAuthenticated),
    row("APPEND", ValidIn::Authenticated),
    row("COMPRESS", ValidIn::Authenticated),
    row("CREATE", ValidIn::Authenticated),
    row("DELETE", ValidIn::Authenticated),
    row("DELETEACL", ValidIn::Authenticated),
    row("ENABLE", ValidIn::Authenticated),
    row("ESEARCH", ValidIn::Authenticated),
    row("EXAMINE", ValidIn::Authenticated),
    row("GETACL", ValidIn::Authenticated),
    row("GETMETADATA", ValidIn::Authenticated),
    row("GETQUOTA", ValidIn::Authenticated),
    row("GETQUOTAROOT", ValidIn::Authenticated),
    row("IDLE", ValidIn::Authenticated),
    row("LIST", ValidIn::Authenticated),
    row("LISTRIGHTS", ValidIn::Authenticated),
    row("LSUB", ValidIn::Authenticated),
    row("MYRIGHTS", ValidIn::Authenticated),
    row("NAMESPACE", ValidIn::Authenticated),
    row("NOTIFY", ValidIn::Authenticated),
    row("RENAME", ValidIn::Authenticated),
    row("SELECT", ValidIn::Authenticated),
    row("SETACL", ValidIn::Authenticated),
    row("SETMETADATA", ValidIn::Authenticated),
    row("SETQUOTA", ValidIn::Authenticated),
    row("STATUS", ValidIn::Authenticated),
    row("SUBSCRIBE", ValidIn::Authenticated),
    row("UNAUTHENTICATE", ValidIn::Authenticated),
    row("UNSUBSCRIBE", ValidIn::Authenticated),
    row("CANCELUPDATE", ValidIn::Selected),
    row("CHECK", ValidIn::Selected),
    row("CLOSE", ValidIn::Selected),
    row("COPY", ValidIn::Selected),
    row("EXPUNGE", ValidIn::Selected),
    row("FETCH", ValidIn::Selected),
    row("MOVE", ValidIn::Selected),
    row("REPLACE", ValidIn::Selected),
    row("SEARCH", ValidIn::Selected),
    row("SORT", ValidIn::Selected),
    row("STORE", ValidIn::Selected),
    row("THREAD", ValidIn::Selected),
    row("UID COPY", ValidIn::Selected),
    row("UID EXPUNGE", ValidIn::Selected),
    row("UID FETCH", ValidIn::Selected),
    row("UID MOVE", ValidIn::Selected),
    row("UID REPLACE", ValidIn::Selected),
    row("UID SEARCH", ValidIn::Selected),
    row("UID SORT", ValidIn::Selected),
    row("UID STORE", ValidIn::Selected),
    row("UID THREAD", ValidIn::Selected),
    row("UIDBATCHES", ValidIn::Selected),
    row("UNSELECT", ValidIn::Selected),
];

impl CommandInfo {
    /// The row of a name in upper case, such as `UID FETCH`.
    pub fn of(name: &str) -> Option<CommandInfo> {
        COMMANDS.iter().copied().find(|info| info.name == name)
    }
}

/// Whether a command's text begins with a tag and the name of a command.
pub(super) fn is_known(text: &[u8]) -> bool {
    let mut words = text.split(|&byte| byte == b' ').skip(1);
    let mut next = || words.next().unwrap_or_default();
    let is = |word: &[u8], name: &str| word.eq_ignore_ascii_case(name.as_bytes());
    let (name, by_uid) = match next() {
        uid if is(uid, "UID") => (next(), true),
        name => (name, false),
    };
    COMMANDS
        .iter()
        .any(|info| match info.name.strip_prefix("UID ") {
            Some(command) => by_uid && is(name, command),
            None => !by_uid && is(name, info.name),
        })
}

impl CommandBody {
    /// The command's name as in [`COMMANDS`].
    pub fn name(&self) -> &'static str {
        let by = |uid: bool, with: &'static str, without| if uid { with } else { without };
        match self {
            CommandBody::Authenticate { .. } => "AUTHENTICATE",
            CommandBody::CancelUpdate(_) => "CANCELUPDATE",
            CommandBody::Capability => "CAPABILITY",
            CommandBody::Check => "CHECK",
            CommandBody::Close => "CLOSE",
            CommandBody::Compress { .. } => "COMPRESS",
            CommandBody::Copy(copy) => by(copy.uid, "UID COPY", "COPY"),
            CommandBody::Create(_) => "CREATE",
            CommandBody::Delete { .. } => "DELETE",
            CommandBody::Enable { .. } => "ENABLE",
            CommandBody::Examine(_) => "EXAMINE",
            CommandBody::Expunge => "EXPUNGE",
            CommandBody::Fetch(fetch) => by(fetch.uid, "UID FETCH", "FETCH"),
            CommandBody::DeleteAcl(_) => "DELETEACL",
            CommandBody::GetAcl { .. } => "GETACL",
            CommandBody::ListRights(_) => "LISTRIGHTS",
            CommandBody::MyRights { .. } => "MYRIGHTS",
            CommandBody::SetAcl(_) => "SETACL",
            CommandBody::GetMetadata(_) => "GETMETADATA",
            CommandBody::GetQuota { .. } => "GETQUOTA",
            CommandBody::GetQuotaRoot { .. } => "GETQUOTAROOT",
            CommandBody::Id(_) => "ID",
            CommandBody::Idle => "IDLE",
            CommandBody::List(_) => "LIST",
            CommandBody::Login { .. } => "LOGIN",
            CommandBody::Logout => "LOGOUT",
            CommandBody::Lsub(_) => "LSUB",
            CommandBody::Move(copy) => by(copy.uid, "UID MOVE", "MOVE"),
            CommandBody::MultiSearch(_) => "ESEARCH",
            CommandBody::Namespace => "NAMESPACE",
            CommandBody::Noop => "NOOP",
            CommandBody::Notify(_) => "NOTIFY",
            CommandBody::Rename { .. } => "RENAME",
            CommandBody::Search(search) => by(search.uid, "UID SEARCH", "SEARCH"),
            CommandBody::Select(_) => "SELECT",
            CommandBody::Sort(sort) => by(sort.uid, "UID SORT", "SORT"),
            CommandBody::SetMetadata(_) => "SETMETADATA",
            CommandBody::SetQuota(_) => "SETQUOTA",
            CommandBody::StartTls => "STARTTLS",
            CommandBody::Status(_) => "STATUS",
            CommandBody::Store(store) => by(store.uid, "UID STORE", "STORE"),
            CommandBody::Subscribe { .. } => "SUBSCRIBE",
            CommandBody::Thread(thread) => by(thread.uid, "UID THREAD", "THREAD"),
            CommandBody::UidBatches(_) => "UIDBATCHES",
            CommandBody::UidExpunge { .. } => "UID EXPUNGE",
            CommandBody::Unauthenticate => "UNAUTHENTICATE",
            CommandBody::Unselect => "UNSELECT",
            CommandBody::Unsubscribe { .. } => "UNSUBSCRIBE",
        }
    }

    /// The states in which it is valid.
    pub fn valid_in(&self) -> ValidIn {
        CommandInfo::of(self.name())
            .expect("every command has a row")
            .valid_in
    }
}

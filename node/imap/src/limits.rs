//! Every bound on what a client may send, with its unit and its reason.
//!
//! The bounds on a connection's buffers differ before and after login and so are a value,
//! [`Limits`]; all others are constants.

/// Bounds on what one connection may make the framer hold or throw away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one command's text, or of one raw line, without the contents of its literals.
    pub line_bytes_max: usize,
    /// Bytes of all literals of one command together. APPEND's message is not among them: it is
    /// never held.
    pub literal_bytes_max: usize,
    /// Bytes of one refused command that are read and thrown away before the connection is given
    /// up. They are never held.
    pub skip_bytes_max: u64,
    /// The same for a refused APPEND: higher, since closing would make the client try the same
    /// message again without having seen why it was refused.
    pub append_skip_bytes_max: u64,
}

impl Limits {
    /// Before login: an unknown peer may make a connection hold 16 KiB and no more. 8 KiB a line
    /// fits the largest tokens of OAUTHBEARER in use, and is what other servers allow.
    pub const NOT_AUTHENTICATED: Limits = Limits {
        line_bytes_max: 8 * 1024,
        literal_bytes_max: 8 * 1024,
        skip_bytes_max: 64 * 1024,
        append_skip_bytes_max: 64 * 1024,
    };

    /// After login. 64 KiB hold the longest UID lists that clients send (RFC 7162 section 4 asks
    /// for 8 KiB at least); 128 KiB of literals hold any search text and header list.
    pub const AUTHENTICATED: Limits = Limits {
        line_bytes_max: 64 * 1024,
        literal_bytes_max: 128 * 1024,
        skip_bytes_max: 1024 * 1024,
        append_skip_bytes_max: 64 * 1024 * 1024,
    };
}

/// Bytes that a caller should read from its socket at once: one read more than the limits is the
/// most that a framer holds.
pub const READ_BYTES: usize = 16 * 1024;

/// Bytes of a tag, which we must echo. Clients use fewer than 16.
pub const TAG_BYTES_MAX: usize = 128;

/// Levels of parentheses, NOT and OR in a SEARCH. People write fewer than 10; the parser recurses,
/// so this also bounds its stack.
pub const SEARCH_DEPTH_MAX: usize = 100;

/// Numbers in the part of a section (`1.2.3`): the depth of nesting of a message that can be asked
/// for, equal to the depth to which messages are parsed.
pub const SECTION_DEPTH_MAX: usize = 100;

/// Ranges in one sequence set as the client wrote it. A line of 64 KiB could hold 32,768.
pub const SET_RANGES_MAX: usize = 16 * 1024;

/// Data items of one FETCH. Each one may be a whole message, so it bounds how much one small
/// command can make a server send.
pub const FETCH_ITEMS_MAX: usize = 256;

/// Parameters of one SELECT; there are two.
pub const SELECT_PARAMETERS_MAX: usize = 4;

/// Modifiers of one FETCH; there are three.
pub const FETCH_MODIFIERS_MAX: usize = 4;

/// Messages of the smallest batch that UIDBATCHES makes (RFC 10022 section 3.1.5): smaller ones
/// would make commands of no use.
pub const BATCH_MESSAGES_MIN: u32 = 500;

/// Messages of all batches that one UIDBATCHES names by number (RFC 10022 section 3.1.5).
pub const BATCHED_MESSAGES_MAX: u64 = 100_000;

/// Messages that one COPY may name: what one command of the machine may touch. It is told as
/// SAVELIMIT (RFC 9738).
pub const SAVED_MESSAGES_MAX: u32 = 10_000;
const _: () = assert!(SAVED_MESSAGES_MAX as usize <= mailbox::limits::MESSAGES_PER_COMMAND_MAX);

/// Bytes of an object id (RFC 8474 section 4).
pub const OBJECT_ID_BYTES_MAX: usize = 255;

/// Ranges of UIDs in one VANISHED: a line of at most 24 KiB, since clients have line buffers as
/// well. More are told in several.
pub const VANISHED_RANGES: usize = 1_000;

/// Flags and keywords in one STORE or APPEND.
pub const FLAGS_MAX: usize = 256;

/// Bytes of one keyword; each lives in the rows of every message that has it.
pub const KEYWORD_BYTES_MAX: usize = 128;

/// Patterns of one LIST, each of which is matched with every mailbox.
pub const LIST_PATTERNS_MAX: usize = 32;

/// Resources in one SETQUOTA; there are four (RFC 9208 section 5).
pub const QUOTA_RESOURCES_MAX: usize = 16;

/// Entries in one GETMETADATA, SETMETADATA or METADATA of LIST: as many as a mailbox can have.
pub const METADATA_ENTRIES_MAX: usize = mailbox::limits::METADATA_ENTRIES_MAX;

/// Field and value pairs in ID (RFC 2971 section 3.3).
pub const ID_PAIRS_MAX: usize = 30;

/// Bytes of a field name in ID (RFC 2971 section 3.3).
pub const ID_FIELD_BYTES_MAX: usize = 30;

/// Bytes of a value in ID (RFC 2971 section 3.3).
pub const ID_VALUE_BYTES_MAX: usize = 1024;

/// Capability names in one ENABLE.
pub const ENABLE_MAX: usize = 64;

/// Bytes of a mailbox name in UTF-8. It bounds the keys of rows.
pub const NAME_BYTES_MAX: usize = 1000;

/// Levels of a mailbox name. It bounds what CREATE of one name may make.
pub const NAME_LEVELS_MAX: usize = 64;

/// Bytes of all patterns of one LIST, each with the reference: what a name costs that is matched
/// with them.
pub const PATTERN_BYTES_MAX: usize = 4096;

/// The largest mod-sequence: 2^63-1 (RFC 7162 section 7).
pub const MODSEQ_MAX: u64 = i64::MAX as u64;

/// Bytes of a string that is written as `"quoted"`; a longer one becomes a literal, since clients
/// have line buffers as well.
pub const QUOTED_BYTES_MAX: usize = 1024;

/// Bytes of a body that are asked for at once.
pub const PIECE_BYTES: u64 = 256 * 1024;

/// Bytes of a body that are read at first by a FETCH that looks at headers only: most headers fit.
pub const HEADER_PIECE_BYTES: u64 = 16 * 1024;

/// Messages that the backend is told of whose bodies will be asked for next, at most: enough for
/// one call, and for the one after it, which it may begin.
pub const AHEAD_MESSAGES: usize = 256;

/// Messages of which what is remembered is looked up at once by FETCH, at most: few enough to be
/// held, with items of the largest size.
pub const RECALLED_MESSAGES: usize = 512;

/// Bytes of what an item of FETCH is of a message, up to which it is remembered: an ENVELOPE of
/// usual length, not one with a thousand recipients.
pub const DERIVED_BYTES_MAX: usize = 4096;

/// Names of header fields in an item of FETCH that is remembered: each takes more than its bytes.
/// Mail clients ask for fewer than 32.
pub const DERIVED_FIELDS_MAX: usize = 64;

/// Bytes of these names.
pub const DERIVED_FIELDS_BYTES_MAX: usize = 1024;

/// Items of FETCH that a session keeps in mind as what its client asks for of messages: mail
/// clients use fewer. Only what is remembered is among them.
pub const USUAL_ITEMS_MAX: usize = 8;

/// New messages, the newest ones, of which a session works out beforehand what its client may ask
/// for. A client that was away for longer asks for more than that, and then it is worked out.
pub const FRESH_MESSAGES_MAX: u64 = 64;

/// Bytes of a body of which more than the header is read for that: few messages are longer, and
/// those would keep others waiting.
pub const FRESH_BYTES_MAX: u64 = 1024 * 1024;

/// Seconds after which one of these messages is given up.
pub const FRESH_SECONDS_MAX: u64 = 5;

/// Bytes of responses that are gathered before they are sent.
pub const WRITE_BYTES: usize = 32 * 1024;

/// Bytes of a message up to which they are copied to the responses around them: a call of the
/// system for each costs more.
pub const COPIED_BYTES_MAX: usize = 16 * 1024;

/// Bad commands in a row, before login, that end a connection: no mail client needs more than one.
pub const BAD_BEFORE_LOGIN_MAX: u32 = 3;

/// Bad commands in a row, after login, that end a connection.
pub const BAD_AFTER_LOGIN_MAX: u32 = 50;

/// Failed or aborted logins that end a connection.
pub const FAILED_LOGINS_MAX: u32 = 10;

/// Messages in one page that FETCH reads, each with a round of the partition's majority.
pub const PAGE_MESSAGES: u32 = 1_000;

/// Messages among which one page looks for those that changed: it bounds the ranges of a query.
pub const REACH_MESSAGES: u64 = 10_000;

/// Bytes of filtered header fields that are held; more are filtered twice, once to be counted.
pub const HELD_FIELDS_BYTES: usize = 64 * 1024;

/// Structures that a session keeps between commands, of messages that are long to scan: a client
/// that reads a large part in slices needs the same one again and again.
pub const KEPT_STRUCTURES: usize = 2;

/// Bytes of the largest structure that is kept.
pub const KEPT_STRUCTURE_BYTES: usize = 64 * 1024;

/// Bytes that are parsed or searched before others get their turn.
pub const TURN_BYTES: usize = 256 * 1024;

/// Messages that SEARCH decides by their rows before others get their turn.
pub const TURN_MESSAGES: usize = 500;

/// Tests of SEARCH that are tried on rows before others get their turn: about a millisecond. It is
/// less than [`TURN_MESSAGES`] if there are very many tests.
pub const TURN_TESTS: usize = 64 * 1024;

/// Bytes of one message's header in which SEARCH looks for a field.
pub const SEARCHED_HEADER_BYTES: usize = 1024 * 1024;

/// Rounds of PBKDF2 that a user who does not exist seems to have: the directory's default.
pub const SCRAM_ITERATIONS: u32 = 4096;

/// Seconds after which a client hears of a command that takes long, and then again (RFC 9585
/// section 3.1 asks for 10 to 15).
pub const PROGRESS_SECONDS: u64 = 10;

/// Seconds after which IDLE tries again to read what changed, after a failure.
pub const IDLE_RETRY_SECONDS: u64 = 5;

/// Keys of one SEARCH, those among them that hold others: each is tried on every message. A line of
/// 64 KiB could hold 32,768. People write fewer than 10, and programs that look for many messages
/// name them by one set.
pub const SEARCH_KEYS_MAX: usize = 1_000;

/// Sets of messages among them: each becomes as many ranges as there are between expunged messages.
pub const SEARCH_SETS_MAX: usize = 32;

/// Texts, fields and dates of messages that one SEARCH may look for: each is a pass over a header
/// or a message.
pub const SEARCH_CONTENTS_MAX: usize = 100;

/// Words of one FUZZY key that are looked for, the first ones: each is a pass over a message. Few
/// people look for as many.
pub const FUZZY_WORDS_MAX: usize = 16;

/// Messages from which on an index is asked: fewer are as quickly read.
pub const INDEX_MESSAGES_MIN: u64 = 8;

/// Options of one RETURN: there are fewer, so more are repetitions.
pub const RETURN_OPTIONS_MAX: usize = 16;

/// Sources of one ESEARCH with all the names in them: each is compared with every mailbox.
pub const SEARCH_SOURCES_MAX: usize = 256;

/// Searches of one session that are followed by updates: each is done again for every message that
/// changes, and its keys are held. RFC 5267 section 4.3.1 asks for one at least.
pub const UPDATE_CONTEXTS_MAX: usize = 8;

/// Ranges in the sets of one search that is followed by updates: they are held, and gone through
/// whenever something changes. All messages of a mailbox with 200,000 UIDs are no more than that.
pub const UPDATE_RANGES_MAX: usize = 100_000;

/// Groups of one NOTIFY; their names are bounded by [`SEARCH_SOURCES_MAX`].
pub const NOTIFY_GROUPS_MAX: usize = 64;

/// Events of one group of NOTIFY: there are eight.
pub const NOTIFY_EVENTS_MAX: usize = 32;

/// Users whose mail one NOTIFY may be about beside one's own; beyond it the answer is NO with
/// NOTIFICATIONOVERFLOW. Each is a question to another partition whenever something changes there,
/// and from time to time without a reason.
pub const NOTIFY_OTHERS_MAX: usize = 64;

/// Seconds after which accounts that NOTIFY is about are read again without a reason, when another
/// one is read: a hint may have been lost.
pub const NOTIFY_READ_AGAIN_SECONDS: u64 = 60;

/// Milliseconds that are waited for the mailboxes of another before anything but what the client
/// says: his partition may have no leader.
pub const NOTIFY_OTHER_SHORT_MS: u64 = 500;

/// Milliseconds that are waited for them after that, unless there is something else to be told,
/// before those of the next one are looked at. It is tried again.
pub const NOTIFY_OTHER_LONG_MS: u64 = 5_000;

/// Bytes that a session with NOTIFY may need to remember the state of all mailboxes, with their
/// names, those of others among them; beyond it the answer is NO with NOTIFICATIONOVERFLOW. It is
/// enough for some 5,000.
pub const NOTIFY_STATE_BYTES_MAX: usize = 1024 * 1024;

/// Bytes of what a view remembers of a client's own changes until it reads them; beyond it the
/// oldest are forgotten, and each is told once more. It is enough for 100,000 messages far apart
/// in one command, or for 10,000 commands of a client that wants to hear of no changes.
pub const TOLD_BYTES_MAX: usize = 1024 * 1024;

/// Criteria of one SORT: there are fewer, so more are repetitions.
pub const SORT_CRITERIA_MAX: usize = 32;

/// Messages that one SORT or THREAD orders. Of each its keys are held, and all are ordered at once;
/// beyond it the answer is NO with LIMIT.
pub const SORT_MESSAGES_MAX: u64 = 250_000;

/// Bytes of one text that SORT and THREAD compare; texts that are equal so far are equal. It is
/// more than anybody sees of a subject or a name in a list.
pub const SORT_TEXT_BYTES_MAX: usize = 512;

/// Bytes of texts that one SORT or THREAD holds; beyond it the answer is NO with LIMIT. Subjects of
/// 200,000 messages are about 10 MiB.
pub const SORT_BYTES_MAX: usize = 32 * 1024 * 1024;

/// Message ids that one THREAD knows, of messages and of what they refer to; beyond it the answer
/// is NO with LIMIT. Each costs about 200 bytes.
pub const THREAD_IDS_MAX: usize = 500_000;

/// Message ids in one References field that THREAD looks at, the last ones: programs cut the field
/// long before.
pub const REFERENCES_MAX: usize = 1_000;

/// Things that are ordered before others get their turn: about a millisecond.
pub const TURN_ORDERED: usize = 2_048;

/// Bytes at the beginning of a message in which PREVIEW looks for a text: it is nearly always the
/// first part, and a list of many messages must not cost a pass over each.
pub const PREVIEW_SCAN_BYTES: u64 = PIECE_BYTES;

/// Bytes of one part that PREVIEW decodes: a page of HTML has some KiB of styles before its text.
pub const PREVIEW_PART_BYTES: u64 = 64 * 1024;

/// Parts of one message that PREVIEW tries, should the first have no text.
pub const PREVIEW_PARTS_MAX: usize = 4;

/// Characters of a preview (RFC 8970 section 3.2).
pub const PREVIEW_CHARS_MAX: usize = 200;

/// URLs and literals of one message that is put together by CATENATE: each URL is a question to the
/// store. A message with 100 attachments has 201.
pub const CATENATE_PARTS_MAX: usize = 256;

/// Bytes of all messages of one APPEND: they are uploads until the last one has come, of which an
/// account may have twice as many.
pub const APPEND_BYTES_MAX: u64 = 256 << 20;

/// Seconds that a session works at most at one batch of a move from one user to another, once it
/// has said so. Of what is longer under way it is thought that its session is gone, and others
/// finish it; so it is much less than they wait. Each of its three commands may wait for a leader.
pub const MOVE_SECONDS: u64 = 120;

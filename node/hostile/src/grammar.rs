//! Target `grammar`: what a client of IMAP sends, to the framer and the parser of commands.

use bytes::{Bytes, BytesMut};
use imap::Error;
use imap::grammar::{
    AppendVerb, Bad, Command, CommandBody, DateTime, Fetch, FetchItem, Flag, Framer, IdRange, Item,
    MessageUrl, SearchKey, SequenceSet, Tag,
};
use imap::limits::{self, Limits};
use imap::names::{self, Pattern};
use imap::respond::{Writer, id_set};

use crate::{codec, cuts};

/// Limits that short inputs come to.
const TIGHT: Limits = Limits {
    line_bytes_max: 96,
    literal_bytes_max: 48,
    skip_bytes_max: 160,
    append_skip_bytes_max: 200,
};

/// Names that patterns are held against.
const NAMES: [&str; 4] = ["INBOX", "inbox/a", "a/b/c", "\u{e4}/\u{1f980}"];

/// Commands in a stream, with literals, appended messages and raw lines.
///
/// # Panics
/// If something does not hold.
pub fn check(stream: &[u8]) {
    for limits in [TIGHT, Limits::NOT_AUTHENTICATED] {
        let mut ways = cuts::ways(stream).into_iter();
        let whole = read(limits, &ways.next().unwrap_or_default());
        for way in ways {
            assert_eq!(read(limits, &way), whole, "cut otherwise");
        }
        assert!(whole.items.len() <= 3 * stream.len() + 4, "too many items");
        whole.items.iter().for_each(item);
    }
    codec::agree(stream);
}

/// All that came of a stream.
#[derive(Debug, PartialEq)]
struct Read {
    items: Vec<Item>,
    ended: Option<Error>,
}

/// Plays a session that decides by what it is told and nothing else.
fn read(limits: Limits, chunks: &[&[u8]]) -> Read {
    let mut framer = Framer::new(limits);
    let mut items = Vec::new();
    for chunk in chunks {
        framer.push(chunk);
        loop {
            match framer.next() {
                Ok(None) => break,
                Ok(Some(item)) => {
                    decide(&mut framer, &item);
                    keep(&mut items, item);
                }
                Err(error) => {
                    assert!(matches!(error, Error::Fatal(_)));
                    assert_eq!(framer.next(), Err(error), "an end is an end");
                    assert_eq!(framer.buffered(), 0);
                    let ended = Some(error);
                    return Read { items, ended };
                }
            }
        }
        assert!(framer.buffered() <= framer.buffered_max());
    }
    Read { items, ended: None }
}

fn decide(framer: &mut Framer, item: &Item) {
    match item {
        Item::Literal(literal) if literal.size % 5 == 4 => framer.refuse_append(),
        Item::Literal(_) => framer.accept_literal(),
        Item::Append(start) if start.mailbox.len() % 7 == 6 => framer.refuse_append(),
        Item::Url(url) if url.len() % 3 == 2 => framer.refuse_append(),
        Item::Command(Command {
            body: CommandBody::Idle | CommandBody::Authenticate { initial: None, .. },
            ..
        }) => framer.expect_line(),
        _ => {}
    }
}

/// The bytes of a message may come in any pieces.
fn keep(items: &mut Vec<Item>, item: Item) {
    match (items.last_mut(), item) {
        (Some(Item::Body(before)), Item::Body(bytes)) => {
            assert!(!bytes.is_empty());
            *before = [&before[..], &bytes].concat().into();
        }
        (_, item) => items.push(item),
    }
}

fn item(item: &Item) {
    match item {
        Item::Command(Command { tag, body }) => {
            self::tag(tag);
            command(body);
        }
        Item::Append(start) => {
            tag(&start.tag);
            mailbox(&start.mailbox);
            if let AppendVerb::Replace { message, .. } = &start.verb {
                set(message);
            }
        }
        Item::Message(start) => {
            flags(&start.flags);
            if let Some(date) = start.date {
                assert_eq!(DateTime::parse(format!("\"{date}\"").as_bytes()), Ok(date));
            }
        }
        Item::Url(url) => drop(MessageUrl::parse(url)),
        Item::Bad(refused) => bad(refused),
        Item::Continue | Item::Literal(_) | Item::Body(_) | Item::AppendEnd | Item::Line(_) => {}
    }
}

/// A tag is echoed.
fn tag(tag: &Tag) {
    let text = tag.as_str();
    assert!((1..=limits::TAG_BYTES_MAX).contains(&text.len()));
    assert!(text.bytes().all(|byte| byte.is_ascii_graphic()));
    let mut writer = Writer::new();
    writer.ok(tag, None, "done");
    codec::reads(&writer.take());
}

/// What is no command is answered in one line, which is safe to show.
fn bad(bad: &Bad) {
    assert!(matches!(bad.error, Error::Syntax(_) | Error::TooBig(_)));
    let mut writer = Writer::new();
    writer.bad_command(bad);
    let answer = writer.take();
    let line = answer.strip_suffix(b"\r\n").expect("a line");
    assert!(line.iter().all(|byte| matches!(byte, b' '..=b'~')));
    codec::reads(&answer);
}

fn command(body: &CommandBody) {
    match body {
        CommandBody::Select(select) | CommandBody::Examine(select) => {
            mailbox(&select.mailbox);
            if let Some(known) = select.qresync.as_ref().and_then(|of| of.known.as_ref()) {
                set(known);
            }
        }
        CommandBody::Create(create) => mailbox(&create.mailbox),
        CommandBody::Rename { from, to } => [from, to].into_iter().for_each(mailbox),
        CommandBody::Delete { mailbox: name }
        | CommandBody::Subscribe { mailbox: name }
        | CommandBody::Unsubscribe { mailbox: name } => mailbox(name),
        CommandBody::Status(status) => mailbox(&status.mailbox),
        CommandBody::List(list) => {
            for name in &list.patterns {
                pattern(&list.reference, name);
            }
        }
        CommandBody::Lsub(lsub) => pattern(&lsub.reference, &lsub.pattern),
        CommandBody::Id(Some(pairs)) => assert!(pairs.len() <= limits::ID_PAIRS_MAX),
        CommandBody::UidExpunge { set: uids } => set(uids),
        CommandBody::Search(search) => key(&search.key),
        CommandBody::MultiSearch(multi) => key(&multi.search.key),
        CommandBody::Sort(sort) => key(&sort.key),
        CommandBody::Thread(thread) => key(&thread.key),
        CommandBody::Fetch(asked) => fetch(asked),
        CommandBody::Store(store) => {
            set(&store.set);
            flags(&store.flags);
        }
        CommandBody::Copy(copy) | CommandBody::Move(copy) => {
            set(&copy.set);
            mailbox(&copy.mailbox);
        }
        _ => {}
    }
}

/// A name that is valid is spelled in one way, and shown so that it is read again as the same.
fn mailbox(raw: &Bytes) {
    for utf8 in [false, true] {
        let Ok(name) = names::decode(raw, utf8) else {
            continue;
        };
        assert_eq!(names::check(&name), Ok(()));
        let encoded = names::encode(&name);
        assert!(encoded.is_ascii());
        assert_eq!(names::decode(encoded.as_bytes(), false).as_ref(), Ok(&name));
        assert_eq!(names::decode(name.as_bytes(), true).as_ref(), Ok(&name));
        let mut writer = Writer::new();
        writer.list(&[], &name, &[]);
        codec::reads(&writer.take());
        writer.mailbox_status(&name, &[]);
        codec::reads(&writer.take());
    }
}

fn pattern(reference: &Bytes, text: &Bytes) {
    for utf8 in [false, true] {
        let Ok(pattern) = Pattern::new(reference, text, utf8) else {
            continue;
        };
        for name in NAMES {
            pattern.matches(name);
        }
        // A pattern without a wildcard is the name itself.
        let whole = [&reference[..], text].concat();
        if let Ok(name) = names::decode(&whole, utf8) {
            assert!(pattern.matches(&name), "{name}");
        }
    }
}

/// Sorted, disjoint, and read again as the same.
fn set(set: &SequenceSet) {
    let text = set.to_string();
    if !set.is_saved() {
        assert_eq!(SequenceSet::parse(text.as_bytes()).as_ref(), Ok(set));
    }
    for max in [0, 1, 7, u32::MAX] {
        let ranges = set.normalise(max);
        assert!(ranges.len() <= limits::SET_RANGES_MAX);
        let mut before = 0;
        for &IdRange { first, last } in &ranges {
            assert!(first <= last);
            let gap = u64::from(first) > before + u64::from(before > 0);
            assert!(gap, "{text} of {max}: {ranges:?}");
            before = u64::from(last);
        }
        if let Ok(again) = SequenceSet::of(&ranges) {
            assert_eq!(again.normalise(max), ranges);
            let mut out = BytesMut::new();
            id_set(&mut out, &ranges);
            assert_eq!(SequenceSet::parse(&out), Ok(again));
        }
    }
}

/// As deep as it may be and no deeper.
fn key(root: &SearchKey) {
    let mut open = vec![(root, 0)];
    while let Some((key, depth)) = open.pop() {
        assert!(depth <= 2 * limits::SEARCH_DEPTH_MAX, "nested too deeply");
        match key {
            SearchKey::And(keys) => {
                assert!(!keys.is_empty());
                open.extend(keys.iter().map(|key| (key, depth + 1)));
            }
            SearchKey::Or(one, other) => {
                open.extend([(&**one, depth + 1), (&**other, depth + 1)]);
            }
            SearchKey::Not(key) => open.push((key, depth + 1)),
            SearchKey::Set(messages) | SearchKey::Uid(messages) => set(messages),
            _ => {}
        }
    }
}

/// What is asked for stands in the answer, in words that other programs know.
fn fetch(fetch: &Fetch) {
    set(&fetch.set);
    assert!((1..=limits::FETCH_ITEMS_MAX).contains(&fetch.items.len()));
    let mut writer = Writer::new();
    writer.fetch_begin(1);
    writer.fetch_uid(1);
    for item in &fetch.items {
        let is_text = matches!(
            item,
            FetchItem::Section { .. }
                | FetchItem::Rfc822
                | FetchItem::Rfc822Header
                | FetchItem::Rfc822Text
        );
        if is_text {
            writer.fetch_text(item, Some(b"x\"\\\r\n"));
        }
    }
    writer.fetch_end();
    codec::reads(&writer.take());
}

fn flags(flags: &[Flag]) {
    assert!(flags.len() <= limits::FLAGS_MAX);
    for flag in flags {
        assert_eq!(Flag::from_text(flag.as_str()).as_ref(), Ok(flag));
    }
    let mut writer = Writer::new();
    writer.flags(flags.iter().map(Flag::as_str));
    codec::reads(&writer.take());
}

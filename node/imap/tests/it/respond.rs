//! What the writer writes, byte for byte; and imap-codec, standing in for a client, reads it.

use bytes::{Bytes, BytesMut};
use imap::grammar::{
    Bad, CommandBody, DateTime, FetchItem, IdRange, SpecialUse, StatusItem, Tag, parse,
};
use imap::respond::{
    self, Code, Condition, ListAttribute, SearchData, SearchScope, ThreadPart, Writer,
};
use imap::{Error, grammar};
use imap_codec::ResponseCodec;
use imap_codec::decode::Decoder as _;
use proptest::collection::vec;
use proptest::prelude::*;

fn tag() -> Tag {
    parse(Bytes::from_static(b"a1 NOOP")).unwrap().tag
}

fn written(write: impl FnOnce(&mut Writer)) -> Bytes {
    let mut writer = Writer::new();
    write(&mut writer);
    writer.take()
}

/// Whether a client that imap-codec stands for reads all of it.
fn is_readable(mut bytes: &[u8]) -> bool {
    while !bytes.is_empty() {
        match ResponseCodec::default().decode(bytes) {
            Ok((rest, _)) => bytes = rest,
            Err(_) => return false,
        }
    }
    true
}

/// Asserts what is written and that it can be read.
#[track_caller]
fn writes(expected: &str, write: impl FnOnce(&mut Writer)) {
    let bytes = written(write);
    assert_eq!(String::from_utf8_lossy(&bytes), expected);
    assert!(is_readable(&bytes), "imap-codec refuses {expected:?}");
}

/// The items of a FETCH command.
fn items(text: &str) -> Vec<FetchItem> {
    let command = parse(Bytes::from(format!("a FETCH 1 {text}"))).unwrap();
    let CommandBody::Fetch(fetch) = command.body else {
        unreachable!()
    };
    fetch.items
}

#[test]
fn status_responses() {
    writes("a1 OK done\r\n", |w| w.ok(&tag(), None, "done"));
    writes("a1 NO [CANNOT] not so\r\n", |w| {
        w.no(&tag(), Some(&Code::Cannot), "not so")
    });
    writes("a1 BAD what?\r\n", |w| w.bad(&tag(), None, "what?"));
    writes("* OK still here\r\n", |w| w.untagged_ok(None, "still here"));
    writes("* BYE [UNAVAILABLE] later\r\n", |w| {
        w.bye(Some(&Code::Unavailable), "later")
    });
    writes("+ go on\r\n", |w| w.continuation("go on"));
    writes("+ AGFi\r\n", |w| w.challenge("AGFi"));
    // RFC 3501 has a space after the plus also when nothing follows.
    assert_eq!(written(|w| w.challenge("")), "+ \r\n");
    // A greeting only.
    let preauth = written(|w| w.status(None, Condition::PreAuth, None, "hello"));
    assert_eq!(preauth, "* PREAUTH hello\r\n");
}

#[test]
fn bad_commands() {
    let syntax = Bad {
        tag: Some(tag()),
        error: Error::Syntax("unknown command"),
    };
    writes("a1 BAD unknown command\r\n", |w| w.bad_command(&syntax));
    let too_big = Bad {
        tag: Some(tag()),
        error: Error::TooBig("a literal is too big"),
    };
    writes("a1 BAD [TOOBIG] a literal is too big\r\n", |w| {
        w.bad_command(&too_big)
    });
    let untagged = Bad {
        tag: None,
        error: Error::Syntax("a command begins with a tag"),
    };
    writes("* BAD a command begins with a tag\r\n", |w| {
        w.bad_command(&untagged)
    });
}

#[test]
fn texts_stay_on_their_line() {
    writes("* OK a??b?? * BYE\r\n", |w| {
        w.untagged_ok(None, "a\r\nb\0\u{e9} * BYE")
    });
    writes("* OK (ALERT] x\r\n", |w| w.untagged_ok(None, "[ALERT] x"));
    writes("* OK [ALERT] Done\r\n", |w| {
        w.untagged_ok(Some(&Code::Alert), "")
    });
}

#[test]
fn response_codes() {
    let plain = [
        (Code::Alert, "ALERT"),
        (Code::AlreadyExists, "ALREADYEXISTS"),
        (Code::AuthenticationFailed, "AUTHENTICATIONFAILED"),
        (Code::AuthorizationFailed, "AUTHORIZATIONFAILED"),
        (Code::ClientBug, "CLIENTBUG"),
        (Code::Closed, "CLOSED"),
        (Code::CompressionActive, "COMPRESSIONACTIVE"),
        (Code::ContactAdmin, "CONTACTADMIN"),
        (Code::Corruption, "CORRUPTION"),
        (Code::Expired, "EXPIRED"),
        (Code::ExpungeIssued, "EXPUNGEISSUED"),
        (Code::HasChildren, "HASCHILDREN"),
        (
            Code::HighestModSeq(9_223_372_036_854_775_807),
            "HIGHESTMODSEQ 9223372036854775807",
        ),
        // The examples of RFC 9585 section 4.
        (
            Code::InProgress {
                tag: tag(),
                progress: Some((454, 1000)),
            },
            "INPROGRESS (\"a1\" 454 1000)",
        ),
        (
            Code::InProgress {
                tag: tag(),
                progress: None,
            },
            "INPROGRESS (\"a1\" NIL NIL)",
        ),
        (Code::InUse, "INUSE"),
        (Code::Limit, "LIMIT"),
        (Code::NoModSeq, "NOMODSEQ"),
        (Code::NonExistent, "NONEXISTENT"),
        (Code::NoPerm, "NOPERM"),
        (Code::NotificationOverflow, "NOTIFICATIONOVERFLOW"),
        (
            Code::BadEvent,
            "BADEVENT (MessageNew MessageExpunge FlagChange MailboxName SubscriptionChange \
             MailboxMetadataChange ServerMetadataChange)",
        ),
        (Code::MessageLimit(1000, None), "MESSAGELIMIT 1000"),
        (
            Code::MessageLimit(1000, Some(23_221)),
            "MESSAGELIMIT 1000 23221",
        ),
        (Code::NoUpdate("a\\1".into()), "NOUPDATE \"a\\\\1\""),
        (Code::OverQuota, "OVERQUOTA"),
        (Code::Parse, "PARSE"),
        (Code::PrivacyRequired, "PRIVACYREQUIRED"),
        (Code::ReadOnly, "READ-ONLY"),
        (Code::ReadWrite, "READ-WRITE"),
        (Code::ServerBug, "SERVERBUG"),
        (Code::TooBig, "TOOBIG"),
        (Code::TryCreate, "TRYCREATE"),
        (Code::UidNext(4_294_967_295), "UIDNEXT 4294967295"),
        (Code::UidNotSticky, "UIDNOTSTICKY"),
        (Code::UidValidity(7), "UIDVALIDITY 7"),
        (Code::Unseen(3), "UNSEEN 3"),
        (Code::UseAttr, "USEATTR"),
    ];
    for (code, expected) in plain {
        writes(&format!("* OK [{expected}] x\r\n"), |w| {
            w.untagged_ok(Some(&code), "x")
        });
    }
}

#[test]
fn response_codes_with_lists() {
    let code = Code::Capability(vec!["IMAP4rev1".into(), "IDLE".into()]);
    writes("* OK [CAPABILITY IMAP4rev1 IDLE] x\r\n", |w| {
        w.untagged_ok(Some(&code), "x")
    });
    let flags = vec!["\\Seen".into(), "$Junk".into(), "bad flag".into()];
    let code = Code::PermanentFlags {
        flags,
        may_create: true,
    };
    writes("* OK [PERMANENTFLAGS (\\Seen $Junk \\*)] x\r\n", |w| {
        w.untagged_ok(Some(&code), "x")
    });
    let code = Code::PermanentFlags {
        flags: Vec::new(),
        may_create: false,
    };
    writes("* OK [PERMANENTFLAGS ()] x\r\n", |w| {
        w.untagged_ok(Some(&code), "x")
    });
    let code = Code::AppendUid {
        uid_validity: 38_505,
        uids: IdRange::single(3955),
    };
    writes("a1 OK [APPENDUID 38505 3955] x\r\n", |w| {
        w.ok(&tag(), Some(&code), "x")
    });
    let code = Code::CopyUid {
        uid_validity: 38_505,
        from: vec![IdRange::single(304), IdRange::between(319, 320)],
        to: vec![IdRange::between(3956, 3958)],
    };
    writes("a1 OK [COPYUID 38505 304,319:320 3956:3958] x\r\n", |w| {
        w.ok(&tag(), Some(&code), "x")
    });
    let code = Code::Modified(vec![IdRange::single(7), IdRange::between(9, 11)]);
    writes("a1 OK [MODIFIED 7,9:11] x\r\n", |w| {
        w.ok(&tag(), Some(&code), "x")
    });
}

#[test]
fn mailbox_data() {
    writes("* FLAGS (\\Seen $Junk)\r\n", |w| {
        w.flags(["\\Seen", "$Junk", "a)b", "", "\\"])
    });
    writes("* 23 EXISTS\r\n* 5 RECENT\r\n* 44 EXPUNGE\r\n", |w| {
        w.exists(23);
        w.recent(5);
        w.expunge(44);
    });
    let gone = [IdRange::single(41), IdRange::between(43, 116)];
    writes("* VANISHED 41,43:116\r\n", |w| w.vanished(false, &gone));
    writes("* VANISHED (EARLIER) 41,43:116\r\n", |w| {
        w.vanished(true, &gone)
    });
    assert_eq!(written(|w| w.vanished(true, &[])), "");
    writes("* SEARCH 2 84 882\r\n", |w| w.search([2, 84, 882], None));
    writes("* SEARCH\r\n", |w| w.search([], Some(5)));
    assert_eq!(
        written(|w| w.search([2, 5], Some(917))),
        "* SEARCH 2 5 (MODSEQ 917)\r\n"
    );
    let status = [(StatusItem::Messages, 231), (StatusItem::UidNext, 44292)];
    writes("* STATUS \"a b\" (MESSAGES 231 UIDNEXT 44292)\r\n", |w| {
        w.mailbox_status("a b", &status)
    });
    let status = [(StatusItem::Size, 9_000_000_000), (StatusItem::Unseen, 0)];
    writes("* STATUS INBOX (SIZE 9000000000 UNSEEN 0)\r\n", |w| {
        w.mailbox_status("INBOX", &status)
    });
}

#[test]
fn lists() {
    writes("* LIST (\\Noselect \\HasChildren) \"/\" foo\r\n", |w| {
        w.list(
            &[ListAttribute::NoSelect, ListAttribute::HasChildren],
            "foo",
            &[],
        );
    });
    let sent = [
        ListAttribute::HasNoChildren,
        ListAttribute::SpecialUse(SpecialUse::Sent),
    ];
    writes(
        "* LIST (\\HasNoChildren \\Sent) \"/\" Entw&APw-rfe\r\n",
        |w| {
            w.list(&sent, "Entwürfe", &[]);
        },
    );
    writes("* LIST () \"/\" \"a \\\"b\\\\\"\r\n", |w| {
        w.list(&[], "a \"b\\", &[])
    });
    writes("* LIST () \"/\" \"NIL\"\r\n", |w| w.list(&[], "NIL", &[]));
    writes("* LIST (\\Noselect) \"/\" \"\"\r\n", Writer::list_separator);
    writes("* LSUB () \"/\" foo/bar\r\n", |w| w.lsub(&[], "foo/bar"));
    let info = written(|w| w.list(&[ListAttribute::NonExistent], "foo", &["SUBSCRIBED"]));
    assert_eq!(
        info,
        "* LIST (\\NonExistent) \"/\" foo (\"CHILDINFO\" (\"SUBSCRIBED\"))\r\n"
    );
}

#[test]
fn names_in_utf8() {
    let bytes = written(|w| {
        w.set_utf8(true);
        w.lsub(&[], "Entwürfe \"1\"");
        w.lsub(&[], "INBOX");
        w.namespace(&[""], &["Benutzer ü/"], &[]);
    });
    let expected = "* LSUB () \"/\" \"Entwürfe \\\"1\\\"\"\r\n* LSUB () \"/\" INBOX\r\n\
        * NAMESPACE ((\"\" \"/\")) ((\"Benutzer ü/\" \"/\")) NIL\r\n";
    assert_eq!(String::from_utf8_lossy(&bytes), expected);
}

#[test]
fn server_data() {
    writes("* CAPABILITY IMAP4rev1 IDLE\r\n", |w| {
        w.capability(["IMAP4rev1", "IDLE"])
    });
    writes("* ENABLED CONDSTORE\r\n", |w| w.enabled(["CONDSTORE"]));
    assert_eq!(written(|w| w.enabled([])), "* ENABLED\r\n");
    writes(
        "* ID (\"name\" \"Rookery\" \"version\" \"1\\\"\")\r\n",
        |w| {
            w.id(&[("name", "Rookery"), ("version", "1\"")]);
        },
    );
    writes("* ID NIL\r\n", |w| w.id(&[]));
    writes(
        "* NAMESPACE ((\"\" \"/\")) NIL ((\"Shared/\" \"/\"))\r\n",
        |w| {
            w.namespace(&[""], &[], &["Shared/"]);
        },
    );
}

#[test]
fn fetches() {
    writes(
        "* 2 FETCH (UID 7 FLAGS (\\Seen \\Recent $x) INTERNALDATE \"17-Jul-1996 02:44:25 -0700\" \
         RFC822.SIZE 44827 MODSEQ (65402))\r\n",
        |w| {
            w.fetch_begin(2);
            w.fetch_uid(7);
            w.fetch_flags(["\\Seen", "\\Recent", "$x", "a\r\nb"]);
            w.fetch_internal_date(DateTime::new(837_596_665, -420));
            w.fetch_size(44_827);
            w.fetch_modseq(65_402);
            w.fetch_end();
        },
    );
    writes("* 1 FETCH (FLAGS ())\r\n* 2 FETCH (UID 1)\r\n", |w| {
        w.fetch_begin(1);
        w.fetch_flags([]);
        w.fetch_end();
        w.fetch_begin(2);
        w.fetch_uid(1);
        w.fetch_end();
    });
    let rendered = items("(ENVELOPE BODYSTRUCTURE BODY)");
    let text = b"(\"TEXT\" \"PLAIN\" NIL NIL NIL \"7BIT\" 1 1)";
    writes(
        "* 1 FETCH (ENVELOPE (NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL) \
         BODY (\"TEXT\" \"PLAIN\" NIL NIL NIL \"7BIT\" 1 1))\r\n",
        |w| {
            w.fetch_begin(1);
            w.fetch_rendered(&rendered[0], b"(NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL)");
            w.fetch_rendered(&rendered[2], text);
            w.fetch_end();
        },
    );
}

/// The caller sends a literal's bytes between what it takes.
#[test]
fn bodies_are_streamed() {
    let asked = items(
        "(BODY.PEEK[]<100.5> BODY[1.2.MIME] BODY[HEADER.FIELDS (From {1}\r\nx)] \
         BODY[3.HEADER.FIELDS.NOT (\"To\")] RFC822.TEXT RFC822 RFC822.HEADER)",
    );
    let mut writer = Writer::new();
    let mut sent = BytesMut::new();
    writer.fetch_begin(9);
    for item in &asked[..5] {
        writer.fetch_body(item, 5);
        sent.extend_from_slice(&writer.take());
        sent.extend_from_slice(b"a)\r\nb");
    }
    writer.fetch_body(&asked[5], 0);
    writer.fetch_text(&asked[6], None);
    writer.fetch_end();
    sent.extend_from_slice(&writer.take());
    let expected = "* 9 FETCH (BODY[]<100> {5}\r\na)\r\nb BODY[1.2.MIME] {5}\r\na)\r\nb \
        BODY[HEADER.FIELDS (From x)] {5}\r\na)\r\nb \
        BODY[3.HEADER.FIELDS.NOT (To)] {5}\r\na)\r\nb RFC822.TEXT {5}\r\na)\r\nb \
        RFC822 {0}\r\n RFC822.HEADER NIL)\r\n";
    assert_eq!(String::from_utf8_lossy(&sent), expected);
    assert!(is_readable(&sent));
    assert!(writer.is_empty());
}

#[test]
fn strings() {
    let encoded = |bytes: &[u8]| {
        let mut out = BytesMut::new();
        respond::nstring(&mut out, Some(bytes));
        String::from_utf8_lossy(&out).into_owned()
    };
    assert_eq!(encoded(b""), "\"\"");
    assert_eq!(encoded(b"a \"\\"), "\"a \\\"\\\\\"");
    assert_eq!(encoded("ü".as_bytes()), "{2}\r\nü");
    assert_eq!(encoded(b"a\r\nb\0"), "{5}\r\na\r\nb?");
    assert!(encoded(&[b'x'; 1025]).starts_with("{1025}\r\nxx"));
    let mut out = BytesMut::new();
    respond::nstring(&mut out, None);
    respond::quoted(&mut out, "é\r\n\"\u{85}");
    assert_eq!(out, "NIL\"é??\\\"?\"".as_bytes());
}

proptest! {
    /// Whatever a text or a name holds, it stays one response of one line.
    #[test]
    fn nothing_forges_a_response(text in any::<String>(), flags in vec(any::<String>(), 0..3),
                                 utf8 in any::<bool>()) {
        let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
        for bytes in [
            written(|w| w.untagged_ok(None, &text)),
            written(|w| w.no(&tag(), Some(&Code::Limit), &text)),
            written(|w| w.flags(flags)),
            written(|w| { w.set_utf8(utf8); w.list(&[], text.get(..9).unwrap_or(""), &[]); }),
        ] {
            prop_assert_eq!(bytes.iter().filter(|&&byte| byte == b'\n').count(), 1);
            prop_assert!(bytes.ends_with(b"\r\n"));
        }
        prop_assert!(is_readable(&written(|w| w.bye(None, &text))));
        prop_assert!(is_readable(&written(|w| w.lsub(&[], &text))));
        prop_assert!(is_readable(&written(|w| w.id(&[(&text, &text)]))) || text.len() > 30);
    }

    /// Sets are written so that they are read as the same numbers.
    #[test]
    fn id_sets_round_trip(ends in vec((1u32.., 1u32..), 1..10)) {
        let range = |&(one, other): &(u32, u32)| IdRange::between(one, other);
        let ranges: Vec<_> = ends.iter().map(range).collect();
        let mut out = BytesMut::new();
        respond::id_set(&mut out, &ranges);
        let read = grammar::SequenceSet::parse(&out).unwrap();
        prop_assert_eq!(read.normalise(1), grammar::sequence::merge(ranges));
    }
}

#[test]
fn what_was_found() {
    let range = |first, last| grammar::IdRange { first, last };
    let esearch = |data: SearchData, uid| written(|w| w.esearch(&tag(), None, uid, &data));
    let all = SearchData {
        min: Some(1),
        max: Some(9),
        all: vec![range(9, 9), range(1, 3)],
        count: Some(4),
        modseq: Some(7),
        ..SearchData::default()
    };
    assert_eq!(
        esearch(all, true),
        "* ESEARCH (TAG \"a1\") UID MIN 1 MAX 9 ALL 9,1:3 COUNT 4 MODSEQ 7\r\n"
    );
    assert_eq!(
        esearch(SearchData::default(), false),
        "* ESEARCH (TAG \"a1\")\r\n"
    );
    let ranked = SearchData {
        all: vec![range(1, 1), range(5, 5)],
        relevancy: Some(vec![4, 99]),
        ..SearchData::default()
    };
    assert_eq!(
        esearch(ranked, false),
        "* ESEARCH (TAG \"a1\") ALL 1,5 RELEVANCY (4 99)\r\n"
    );
    let scope = SearchScope {
        mailbox: "B\u{fc}ro",
        uid_validity: 5,
    };
    let count = SearchData {
        count: Some(0),
        ..SearchData::default()
    };
    assert_eq!(
        written(|w| w.esearch(&tag(), Some(scope), true, &count)),
        "* ESEARCH (TAG \"a1\" MAILBOX B&APw-ro UIDVALIDITY 5) UID COUNT 0\r\n"
    );
    assert_eq!(
        written(|w| w.esearch_update(&tag(), true, true, &[range(3, 4)])),
        "* ESEARCH (TAG \"a1\") UID ADDTO (0 3:4)\r\n"
    );
    assert_eq!(
        written(|w| w.esearch_update(&tag(), false, false, &[range(3, 3)])),
        "* ESEARCH (TAG \"a1\") REMOVEFROM (0 3)\r\n"
    );
    writes("* SEARCH 1 2 (MODSEQ 3)\r\n", |w| w.search([1, 2], Some(3)));
    assert_eq!(written(|w| w.sort([2, 1], None)), "* SORT 2 1\r\n");
    assert_eq!(written(|w| w.sort([], Some(3))), "* SORT\r\n");
    assert_eq!(written(|w| w.thread([])), "* THREAD\r\n");
    // RFC 5256 section 4: (2)(3 6 (4 23)(44 7 96)), and children of what is not there.
    use ThreadPart::{Close, Id, Open};
    let parts = [
        vec![
            Open,
            Id(2),
            Close,
            Open,
            Id(3),
            Id(6),
            Open,
            Id(4),
            Id(23),
            Close,
        ],
        vec![Open, Id(44), Id(7), Id(96), Close, Close],
        vec![Open, Open, Id(5), Close, Open, Id(8), Close, Close],
    ];
    assert_eq!(
        written(|w| w.thread(parts.concat())),
        "* THREAD (2)(3 6 (4 23)(44 7 96))((5)(8))\r\n"
    );
}

#[test]
fn ids_and_batches() {
    let id = |w: &mut Writer| {
        w.uid_fetch_begin(7);
        w.fetch_email_id("M6d99ac3275bb4e");
        w.fetch_thread_id(Some("T64b478a75b7ea9"));
        w.fetch_save_date(DateTime::new(1_704_164_645, 0));
        w.fetch_end();
    };
    assert_eq!(
        written(id),
        "* 7 UIDFETCH (EMAILID (M6d99ac3275bb4e) THREADID (T64b478a75b7ea9) \
         SAVEDATE \" 2-Jan-2024 03:04:05 +0000\")\r\n"
    );
    let status = |w: &mut Writer| w.mailbox_status_with_id("foo", &[], Some("F1-2"));
    assert_eq!(written(status), "* STATUS foo (MAILBOXID (F1-2))\r\n");
    let tag = parse("A143 NOOP".into()).unwrap().tag;
    let batches = [IdRange::between(99_696, 215_295), IdRange::between(1, 1)];
    assert_eq!(
        written(|w| w.uid_batches(&tag, &batches)),
        "* UIDBATCHES (TAG \"A143\") 215295:99696,1:1\r\n"
    );
    assert_eq!(
        written(|w| w.uid_batches(&tag, &[])),
        "* UIDBATCHES (TAG \"A143\")\r\n"
    );
}

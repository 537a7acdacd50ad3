//! The clients against servers that follow a script.

use std::net::SocketAddr;

use chaos::history::{Flags, Mode, Receipt};
use chaos::mail::imap::Imap;
use chaos::mail::lmtp::Lmtp;
use chaos::mail::message::{Serial, Sizes, message};
use chaos::mail::{Alive, Trouble};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// What a scripted server does next.
enum Turn {
    /// It says this.
    Say(&'static [u8]),
    /// It reads so many lines.
    Hear(usize),
    /// It reads up to and with this.
    Until(&'static [u8]),
    /// It reads so many bytes.
    Take(usize),
}

use Turn::{Hear, Say, Take, Until};

/// A server for one connection; answers all that it heard.
async fn server(turns: Vec<Turn>) -> (SocketAddr, JoinHandle<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let served = tokio::spawn(async move {
        let (socket, _) = listener.accept().await.unwrap();
        let mut socket = BufReader::new(socket);
        let mut heard = Vec::new();
        for turn in turns {
            match turn {
                Say(bytes) => {
                    // In small pieces, since that must not matter.
                    for piece in bytes.chunks(7) {
                        socket.get_mut().write_all(piece).await.unwrap();
                        tokio::task::yield_now().await;
                    }
                }
                Hear(lines) => {
                    for _ in 0..lines {
                        socket.read_until(b'\n', &mut heard).await.unwrap();
                    }
                }
                Until(end) => {
                    let from = heard.len();
                    while !heard[from..].ends_with(end) {
                        heard.push(socket.read_u8().await.unwrap());
                    }
                }
                Take(bytes) => {
                    let mut taken = vec![0; bytes];
                    socket.read_exact(&mut taken).await.unwrap();
                    heard.extend(taken);
                }
            }
        }
        heard
    });
    (address, served)
}

const LMTP_HELLO: [Turn; 3] = [
    Say(b"220 hello\r\n"),
    Hear(1),
    Say(b"250-here\r\n250-PIPELINING\r\n250 8BITMIME\r\n"),
];

fn lmtp(turns: impl IntoIterator<Item = Turn>) -> Vec<Turn> {
    LMTP_HELLO.into_iter().chain(turns).collect()
}

#[tokio::test]
async fn every_recipient_has_a_receipt() {
    let (address, served) = server(lmtp([
        Hear(5),
        Say(b"250 ok\r\n250 a\r\n550 b\r\n250 c\r\n354 go\r\n"),
        Until(b"\r\n.\r\n"),
        Say(b"250 stored\r\n451-4.3.0 not\r\n451 now\r\n"),
    ]))
    .await;
    let mut client = Lmtp::connect(address).await.unwrap();
    let to = ["a@x", "b@x", "c@x"].map(str::to_owned);
    let receipts = client
        .deliver("me@y", &to, b"first\r\n.dot\r\n..\r\n.\r\nlast")
        .await
        .unwrap();
    assert_eq!(receipts[0], Receipt::Stored);
    assert!(receipts[1].is_bounce());
    assert_eq!(receipts[2], Receipt::Unknown("451 now".into()));
    let heard = String::from_utf8(served.await.unwrap()).unwrap();
    let data = heard.split_once("DATA\r\n").unwrap().1;
    assert_eq!(data, "first\r\n..dot\r\n...\r\n..\r\nlast\r\n.\r\n");
}

#[tokio::test]
async fn a_message_that_ends_with_a_line_gets_no_second_one() {
    let (address, served) = server(lmtp([
        Hear(3),
        Say(b"250 ok\r\n250 a\r\n354 go\r\n"),
        Until(b"\r\n.\r\n"),
        Say(b"250 stored\r\n"),
    ]))
    .await;
    let bytes = message(7, Serial(5), Sizes { large_per_mille: 0 });
    let mut client = Lmtp::connect(address).await.unwrap();
    let receipts = client
        .deliver("me@y", &["a@x".to_owned()], &bytes)
        .await
        .unwrap();
    assert_eq!(receipts, [Receipt::Stored]);
    let heard = served.await.unwrap();
    let start = heard.windows(6).position(|six| six == b"DATA\r\n").unwrap() + 6;
    let mut unstuffed = Vec::new();
    for line in heard[start..].split_inclusive(|byte| *byte == b'\n') {
        unstuffed.extend_from_slice(line.strip_prefix(b".").unwrap_or(line));
    }
    assert_eq!(unstuffed.strip_suffix(b"\r\n").unwrap(), bytes);
}

#[tokio::test]
async fn a_connection_that_breaks_after_the_data_leaves_the_outcome_unknown() {
    let (address, _) = server(lmtp([
        Hear(3),
        Say(b"250 ok\r\n250 a\r\n354 go\r\n"),
        Until(b"\r\n.\r\n"),
    ]))
    .await;
    let mut client = Lmtp::connect(address).await.unwrap();
    let trouble = client
        .deliver("me@y", &["a@x".to_owned()], b"x\r\n")
        .await
        .unwrap_err();
    assert!(matches!(trouble, Trouble::Unknown(_)), "{trouble}");

    let (address, _) = server(lmtp([Hear(3)])).await;
    let mut client = Lmtp::connect(address).await.unwrap();
    let trouble = client
        .deliver("me@y", &["a@x".to_owned()], b"x\r\n")
        .await
        .unwrap_err();
    assert!(
        matches!(trouble, Trouble::NotDone(_, Alive::No)),
        "{trouble}"
    );
}

#[tokio::test]
async fn a_refused_envelope_is_not_done() {
    let (address, _) = server(lmtp([
        Hear(3),
        Say(b"250 ok\r\n450 later\r\n503 no recipients\r\n"),
        Hear(1),
        Say(b"250 reset\r\n"),
        Hear(3),
        Say(b"452 full\r\n503 no\r\n503 no\r\n"),
        Hear(1),
        Say(b"250 reset\r\n"),
    ]))
    .await;
    let mut client = Lmtp::connect(address).await.unwrap();
    let to = ["a@x".to_owned()];
    let receipts = client.deliver("me@y", &to, b"x\r\n").await.unwrap();
    assert_eq!(receipts, [Receipt::Refused("450 later".into())]);
    let trouble = client.deliver("me@y", &to, b"x\r\n").await.unwrap_err();
    assert_eq!(trouble, Trouble::NotDone("452 full".into(), Alive::Yes));
}

const IMAP_HELLO: [Turn; 3] = [Say(b"* OK hello\r\n"), Hear(1), Say(b"a1 OK in\r\n")];

fn imap(turns: impl IntoIterator<Item = Turn>) -> Vec<Turn> {
    IMAP_HELLO.into_iter().chain(turns).collect()
}

#[tokio::test]
async fn a_mailbox_is_listed() {
    let (address, _) = server(imap([
        Hear(1),
        Say(
            b"* 2 EXISTS\r\n* OK [UIDVALIDITY 9] v\r\n* OK [UIDNEXT 8] n\r\n\
              * OK [HIGHESTMODSEQ 44] m\r\na2 OK [READ-WRITE] done\r\n",
        ),
        Hear(1),
        Say(
            b"* 2 FETCH (UID 7 FLAGS (\\Seen) BODY[HEADER.FIELDS (X-CHAOS-SERIAL)] {36}\r\n\
              X-Chaos-Serial: 00000000000000ff\r\n\r\n)\r\n\
              * 2 FETCH (UID 7 FLAGS (\\Seen \\Flagged))\r\n\
              * 1 FETCH (FLAGS () UID 3 BODY[HEADER.FIELDS (X-CHAOS-SERIAL)] {2}\r\n\r\n)\r\n\
              a3 OK done\r\n",
        ),
    ]))
    .await;
    let mut client = Imap::connect(address, "u", "p").await.unwrap();
    let selected = client.select("INBOX").await.unwrap();
    assert_eq!(
        (selected.validity, selected.uid_next, selected.modseq),
        (9, 8, 44)
    );
    let listed = client.list(false).await.unwrap();
    assert_eq!(listed.len(), 2);
    assert_eq!((listed[0].uid, listed[0].serial), (3, None));
    assert_eq!((listed[1].uid, listed[1].serial), (7, Some(Serial(255))));
    assert_eq!(listed[1].flags, Flags::SEEN);
}

#[tokio::test]
async fn changes_are_answered() {
    let (address, served) = server(imap([
        Hear(1),
        Say(b"* 1 FETCH (UID 3 FLAGS (\\Deleted))\r\n* 9 EXISTS\r\na2 OK\r\n"),
        Hear(1),
        Say(b"* OK [COPYUID 5 3:4 11:12] moved\r\n* 1 EXPUNGE\r\na3 OK done\r\n"),
        Hear(1),
        Say(b"+ go\r\n"),
        Take(5),
        Hear(1),
        Say(b"a4 OK [APPENDUID 5 13] done\r\n"),
        Hear(1),
        Say(b"a5 NO [OVERQUOTA] no\r\n"),
        Hear(1),
    ]))
    .await;
    let mut client = Imap::connect(address, "u", "p").await.unwrap();
    let told = client
        .store(&[3, 4], Mode::Add, Flags::DELETED)
        .await
        .unwrap();
    assert_eq!(told, [(3, Flags::DELETED)]);
    let copied = client.copy(true, &[3, 4], "Work").await.unwrap();
    assert_eq!(copied, (5, vec![(3, 11), (4, 12)]));
    assert_eq!(
        client
            .append("Work", Flags::SEEN, b"a\r\nbc")
            .await
            .unwrap(),
        (5, 13)
    );
    let trouble = client.copy(false, &[3], "Work").await.unwrap_err();
    assert!(matches!(&trouble, Trouble::NotDone(why, Alive::Yes) if why.contains("OVERQUOTA")));
    let trouble = client.expunge(&[3]).await.unwrap_err();
    assert!(matches!(trouble, Trouble::Unknown(_)), "{trouble}");
    let heard = String::from_utf8(served.await.unwrap()).unwrap();
    assert!(
        heard.contains("a2 UID STORE 3,4 +FLAGS (\\Deleted)\r\n"),
        "{heard}"
    );
    assert!(
        heard.contains("a4 APPEND Work (\\Seen) {5}\r\na\r\nbc\r\n"),
        "{heard}"
    );
}

#[tokio::test]
async fn idling_ends_with_news() {
    let (address, _) = server(imap([
        Hear(1),
        Say(b"+ idling\r\n* 3 EXISTS\r\n"),
        Hear(1),
        Say(b"* 1 RECENT\r\na2 OK done\r\n"),
    ]))
    .await;
    let mut client = Imap::connect(address, "u", "p").await.unwrap();
    assert!(
        client
            .idle(std::time::Duration::from_secs(600))
            .await
            .unwrap()
    );
}

/// What no server may say is more than a connection that breaks: nobody knows what was done, and it
/// is told apart.
#[tokio::test]
async fn what_is_no_answer_is_told_apart() {
    let say: [&'static [u8]; 3] = [
        b"a2 PERHAPS later\r\n",
        b"a9 OK done\r\n",
        b"* 1 FETCH (UID x)\r\na2 OK done\r\n",
    ];
    for said in say {
        let (address, _) = server(imap([Hear(1), Say(said)])).await;
        let mut client = Imap::connect(address, "u", "p").await.unwrap();
        let trouble = client.expunge(&[3]).await.unwrap_err();
        assert!(matches!(trouble, Trouble::Broken(_)), "{trouble}");
        assert!(!trouble.alive());
    }
    // An APPEND that was done, and nobody says where.
    let turns = [
        Hear(1),
        Say(b"+ go\r\n"),
        Take(1),
        Hear(1),
        Say(b"a2 OK\r\n"),
    ];
    let (address, _) = server(imap(turns)).await;
    let mut client = Imap::connect(address, "u", "p").await.unwrap();
    let appended = client.append("Work", Flags::SEEN, b"a").await;
    assert!(matches!(appended, Err(Trouble::Broken(_))), "{appended:?}");

    let (address, _) = server(lmtp([Hear(3), Say(b"hello\r\n")])).await;
    let mut client = Lmtp::connect(address).await.unwrap();
    let to = ["a@x".to_owned()];
    let trouble = client.deliver("me@y", &to, b"x\r\n").await.unwrap_err();
    assert!(matches!(trouble, Trouble::Broken(_)), "{trouble}");

    // A login that is refused is an answer.
    let turns = [
        Say(b"* OK hello\r\n"),
        Hear(1),
        Say(b"a1 NO [LIMIT] in\r\n"),
    ];
    let (address, _) = server(turns.into()).await;
    let refused = Imap::connect(address, "u", "p")
        .await
        .map(drop)
        .unwrap_err();
    let expected = Trouble::NotDone("No [LIMIT] in".into(), Alive::Yes);
    assert_eq!(refused, expected);
}

/// What SELECT said, what UID FETCH 1:* says then, and whether that can be.
#[tokio::test]
async fn sequence_numbers_follow_from_uids_and_exists() {
    let two = "* 1 FETCH (UID 3 FLAGS () BODY[] {1}\r\nx)\r\n\
               * 2 FETCH (UID 7 FLAGS () BODY[] {1}\r\nx)\r\na3 OK done\r\n";
    let last = "* 2 FETCH (UID 7 FLAGS () BODY[] {1}\r\nx)\r\n";
    let crossed = "* 1 FETCH (UID 7 FLAGS () BODY[] {1}\r\nx)\r\n\
                   * 2 FETCH (UID 3 FLAGS () BODY[] {1}\r\nx)\r\na3 OK done\r\n";
    let cases = [
        (2, two.to_owned(), true),
        (3, two.to_owned(), false),
        (1, two.to_owned(), false),
        (2, crossed.to_owned(), false),
        (2, format!("{last}a3 OK done\r\n"), false),
        // Somebody else expunged the first, or something came in.
        (2, format!("{last}a3 OK [EXPUNGEISSUED] done\r\n"), true),
        (1, format!("* 3 EXISTS\r\n{two}"), true),
        (2, format!("* 1 EXPUNGE\r\n{last}a3 OK done\r\n"), true),
        (1, format!("{last}a3 OK [EXPUNGEISSUED] done\r\n"), false),
        (0, "a3 OK done\r\n".to_owned(), true),
    ];
    for (exists, said, is_good) in cases {
        let select = format!("* {exists} EXISTS\r\na2 OK [READ-WRITE] done\r\n");
        let [select, said] = [select, said].map(|said| &*Box::leak(said.into_boxed_str()));
        let turns = [
            Hear(1),
            Say(select.as_bytes()),
            Hear(1),
            Say(said.as_bytes()),
        ];
        let (address, _) = server(imap(turns)).await;
        let mut client = Imap::connect(address, "u", "p").await.unwrap();
        assert_eq!(client.select("INBOX").await.unwrap().exists, exists);
        let listed = client.list(true).await;
        let as_expected = match &listed {
            Ok(_) => is_good,
            Err(trouble) => !is_good && matches!(trouble, Trouble::Broken(_)),
        };
        assert!(as_expected, "{exists} exist, {said}: {listed:?}");
    }
    let (address, _) = server(imap([Hear(1), Say(b"a2 OK done\r\n")])).await;
    let mut client = Imap::connect(address, "u", "p").await.unwrap();
    let selected = client.select("INBOX").await;
    assert!(matches!(selected, Err(Trouble::Broken(_))), "{selected:?}");
}

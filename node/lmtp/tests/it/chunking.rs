//! However the bytes are cut, the session does the same.

use lmtp::Config;
use proptest::prelude::*;

use crate::client::{Client, config};

fn small() -> Config {
    let mut config = config();
    config.size_bytes_max = 200;
    config.recipients_max = 3;
    config
}

/// What a client may say, sensible or not.
fn utterance() -> impl Strategy<Value = Vec<u8>> {
    let line = prop::sample::select(vec![
        "LHLO mx.example\r\n",
        "LHLO\r\n",
        "EHLO mx.example\r\n",
        "MAIL FROM:<s@example.org>\r\n",
        "MAIL FROM:<> SIZE=100 BODY=8BITMIME\r\n",
        "MAIL FROM:<j\u{f6}rg@example.org> SMTPUTF8\r\n",
        "MAIL FROM:<s@example.org> SIZE=201\r\n",
        "RCPT TO:<alice@example.org>\r\n",
        "RCPT TO:<bob+x@example.org>\r\n",
        "RCPT TO:<nobody@example.org>\r\n",
        "RCPT TO:<d-full@example.org>\r\n",
        "RCPT TO:<\"\"@d>\r\n",
        "DATA\r\n",
        "DATA\r\nSubject: x\r\n\r\n..dot\r\n.\r\n",
        "DATA\r\n\n.\nMAIL FROM:<evil@example.org>\r\n.\r\n",
        "BDAT 5\r\nab\r\nc",
        "BDAT 0 LAST\r\n",
        "BDAT 6 LAST\r\n.\r\n.\r\n",
        "BDAT 300\r\n",
        "RSET\r\n",
        "NOOP\r\n",
        "VRFY alice\r\n",
        "BOGUS\r\n",
        "bare\n",
        ".\r\n",
        "QUIT\r\n",
    ]);
    let long = (190_usize..210)
        .prop_map(|length| [b"DATA\r\n".as_slice(), &vec![b'x'; length], b"\r\n.\r\n"].concat());
    prop_oneof![20 => line.prop_map(|line| line.as_bytes().to_vec()), 1 => long]
}

fn conversation() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(utterance(), 1..40).prop_map(|lines| {
        let opening = b"LHLO mx\r\nMAIL FROM:<>\r\nRCPT TO:<alice@example.org>\r\n";
        [opening.to_vec(), lines.concat()].concat()
    })
}

fn run(wire: &[u8], cuts: &[usize]) -> Client {
    let mut client = Client::new(small());
    let mut rest = wire;
    for cut in cuts.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (piece, tail) = rest.split_at((*cut).min(rest.len()));
        client.send(piece);
        rest = tail;
    }
    client.session.disconnected();
    client.drain();
    // When the client has shown that it has a reply depends on when it sent what: not compared.
    client.events.retain(|event| *event != lmtp::Event::Seen);
    client
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn any_cut_gives_the_same(
        wire in conversation(),
        cuts in prop::collection::vec(1_usize..40, 1..6),
    ) {
        let whole = run(&wire, &[usize::MAX]);
        for cuts in [cuts.as_slice(), &[1]] {
            let cut = run(&wire, cuts);
            prop_assert_eq!(&cut.events, &whole.events);
            prop_assert_eq!(cut.reply_text(), whole.reply_text());
            prop_assert_eq!(&cut.messages, &whole.messages);
        }
    }
}

//! What FETCH will tell of mail that arrives is worked out before anybody asks.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use imap::backend::DerivedKey;
use imap::grammar::FetchItem;
use mailbox::{MailboxId, Message};
use node::budget::Budget;
use node::derived::Derived;
use node::replica::Hint;

use super::rig::GROUP;
use super::search::{ALICE, Mail, PATIENCE};

/// What is remembered of a message, once it is.
fn remembered(derived: &Derived, message: &Message, item: &FetchItem) -> Bytes {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let key = DerivedKey {
            hash: message.body.hash,
            length: message.body.length,
            item: Arc::new(item.clone()),
        };
        if let Some(bytes) = derived.get(&key) {
            return bytes;
        }
        assert!(Instant::now() < deadline, "{item:?} of {}", message.uid);
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn text(number: u32) -> String {
    format!("From: <bob@example.net>\r\nSubject: number {number}\r\n\r\nbody {number}\r\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn mail_that_arrives_is_worked_out() {
    let mut mail = Mail::new();
    let share = Arc::clone(&Budget::default().derived);
    let derived = Arc::new(Derived::new(share, Arc::clone(&mail.replicas)));
    let working = Arc::clone(&derived);
    let runtime = tokio::runtime::Handle::current();
    let worker = std::thread::spawn(move || {
        let _within = runtime.enter();
        working.run();
    });
    // More than are looked at together, and the first hint is the one that counts.
    for number in 0..200 {
        mail.deliver(&text(number));
    }
    let messages = mail.messages();
    let hint = |message: &Message| Hint {
        account: ALICE.0,
        mailbox: MailboxId::INBOX.0,
        modseq: message.modseq.0,
        brings_mail: true,
    };
    derived.note(GROUP, &[hint(&messages[0]), hint(&messages[199])]);
    for (number, message) in messages.iter().enumerate() {
        let envelope = remembered(&derived, message, &FetchItem::Envelope);
        let subject = format!("\"number {number}\"");
        let envelope = String::from_utf8_lossy(&envelope).into_owned();
        assert!(envelope.contains(&subject), "{envelope}");
    }
    // What clients have asked for since.
    derived.asked(&Arc::new(FetchItem::BodyStructure));
    mail.deliver(&text(200));
    let last = mail.messages().pop().unwrap();
    derived.note(GROUP, &[hint(&last)]);
    let structure = remembered(&derived, &last, &FetchItem::BodyStructure);
    assert!(
        structure.starts_with(b"(\"text\" \"plain\""),
        "{structure:?}"
    );
    derived.stop();
    worker.join().unwrap();
}

//! What guesses cost, and what they tell: nothing.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::cluster::{Cluster, DOMAIN, PASSWORD, cluster};
use super::dialogue_login::{encrypted, folder, shown};
use super::wire::Wire;

/// As many as may fail.
const TRIES: usize = 20;

/// One is forgiven in each minute; a test that takes longer than so many has other troubles.
const FORGIVEN_MAX: usize = 4;

const REFUSED: &str = "a NO [LIMIT] Too many failed logins, try again later";

/// A client at an address of its own, so that nobody else's failures count.
fn guest(cluster: &Cluster, from: &str, node: u64) -> Wire {
    let mut wire = Wire::connect_from(from, &cluster.node(node).imap);
    assert!(wire.line().unwrap().starts_with("* OK "));
    wire
}

/// Wrong passwords, all at once: each waits for its answer.
fn fail(cluster: &Cluster, from: &str, node: u64, users: &[String]) {
    let mut guests: Vec<_> = users.iter().map(|_| guest(cluster, from, node)).collect();
    for (wire, user) in guests.iter_mut().zip(users) {
        wire.send(format!("a LOGIN {user} guess\r\n").as_bytes());
    }
    for wire in &mut guests {
        let said = wire.until("a ");
        let last = said.last().unwrap();
        assert!(last.starts_with("a NO ") && last != REFUSED, "{said:?}");
    }
}

/// Whether too many have failed; some may have been forgiven meanwhile.
fn is_refused(cluster: &Cluster, from: &str, node: u64, user: &str) -> bool {
    let guess = format!("a LOGIN {user} guess\r\n");
    (0..FORGIVEN_MAX).any(|_| guest(cluster, from, node).ask("a", &guess) == [REFUSED])
}

/// Begins an exchange of SCRAM and gives it up; the salt.
fn salt(wire: &mut Wire, user: &str, end: &str) -> String {
    let first = BASE64.encode(format!("n,,n={user},r=abc"));
    wire.send(format!("a AUTHENTICATE SCRAM-SHA-256 {first}\r\n").as_bytes());
    let challenge = wire.line().unwrap();
    let challenge = BASE64
        .decode(challenge.strip_prefix("+ ").unwrap())
        .unwrap();
    let challenge = String::from_utf8(challenge).unwrap();
    let said = wire.ask("a", format!("{end}\r\n"));
    assert!(said.last().unwrap().starts_with("a BAD "), "{said:?}");
    let salt = challenge
        .split(',')
        .find_map(|field| field.strip_prefix("s="));
    salt.unwrap().to_owned()
}

/// RFC 5802 section 5.1: who asks for somebody under several names learns nothing.
#[test]
fn salts_of_nobody_look_like_those_of_users() {
    let (cluster, _use) = cluster();
    for user in ["alice", "nobody"] {
        let spellings = [
            user.to_uppercase(),
            format!("{user}@{DOMAIN}"),
            format!("{user}@{}", DOMAIN.to_uppercase()),
        ];
        let salt = |user: &str| salt(&mut guest(cluster, "127.0.0.21", 1), user, "*");
        let first = salt(user);
        for spelling in spellings {
            assert_eq!(salt(&spelling), first, "{spelling}");
        }
    }
    cluster.serves_imap(1, "salts");
}

/// A user is counted under all his names together.
#[test]
fn other_spellings_are_no_more_tries() {
    const FROM: &str = "127.0.0.22";
    let (cluster, _use) = cluster();
    let spellings = ["alice".to_owned(), format!("Alice@{DOMAIN}")];
    let users: Vec<String> = spellings.iter().cloned().cycle().take(TRIES).collect();
    fail(cluster, FROM, 1, &users);
    for user in &spellings {
        assert!(is_refused(cluster, FROM, 1, user), "{user}");
    }
    cluster.serves_imap(1, "guesses");
}

/// A login by certificate says nothing about the guesses that were made before it.
#[test]
fn a_certificate_forgives_no_guesses() {
    const FROM: &str = "127.0.0.23";
    let (cluster, _use) = cluster();
    let users = vec!["bob".to_owned(); TRIES - 1];
    fail(cluster, FROM, 3, &users);
    let certificate = shown(&folder(cluster), "alice");
    // The exchange is cancelled, or is no base64.
    for end in ["*", "?"] {
        let mut wire = encrypted(cluster, guest(cluster, FROM, 3), Some(&certificate));
        salt(&mut wire, "bob", end);
        let said = wire.ask("a", "a AUTHENTICATE EXTERNAL =\r\n");
        assert!(said.last().unwrap().starts_with("a OK "), "{said:?}");
    }
    // An exchange that was given up is not under way any more: there is room for one guess.
    let mut wire = encrypted(cluster, guest(cluster, FROM, 3), None);
    salt(&mut wire, "bob", "*");
    fail(cluster, FROM, 3, &users[..1]);
    assert!(is_refused(cluster, FROM, 3, "bob"));
    let right = format!("a LOGIN bob {PASSWORD}\r\n");
    assert_eq!(guest(cluster, FROM, 3).ask("a", right), [REFUSED]);
}

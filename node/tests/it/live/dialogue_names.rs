//! Mailbox names never become paths.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::cluster::{DOMAIN, cluster, walk};
use super::wire::Wire;

/// Stands in every name of this test.
const MARK: &str = "escapee";

/// What may become of a name.
#[derive(Clone, Copy, PartialEq)]
enum Fate {
    /// It is a mailbox like any other.
    Stored,
    /// NO or BAD.
    Refused,
}

use Fate::{Refused, Stored};

/// Names as sent in a literal.
fn names() -> Vec<(Vec<u8>, Fate)> {
    let text = |text: String| text.into_bytes();
    vec![
        (text(format!("../../{MARK}")), Stored),
        (text(format!("{MARK}/../up")), Stored),
        (text(format!("..\\{MARK}")), Stored),
        (text(format!("./{MARK}")), Stored),
        (text(format!("~{MARK}")), Stored),
        (text(format!("{MARK}.seg")), Stored),
        (text(format!("C:{MARK}")), Stored),
        (text(format!("&AOk-{MARK}")), Stored),
        (text(format!("/tmp/{MARK}")), Refused),
        (text(format!("{MARK}//x")), Refused),
        (text(format!("%2e%2e/{MARK}")), Refused),
        (text(format!("{MARK}*")), Refused),
        (text(format!("{MARK} ")), Refused),
        (text(format!(" {MARK}")), Refused),
        (text("INBOX ".to_owned()), Refused),
        (text("inbox".to_owned()), Refused),
        (text(String::new()), Refused),
        (text(format!("{MARK}{}", "k".repeat(1024))), Refused),
        (text(format!("{MARK}{}", "k".repeat(64 << 10))), Refused),
        (text(format!("{MARK}{}", "/d".repeat(10_000))), Refused),
        (text(format!("{MARK}{}", "/d".repeat(100))), Refused),
        (text(format!("{MARK}&AAA")), Refused),
        (text(format!("{MARK}&AAA-")), Refused),
        (text(format!("{MARK}&2D0-")), Refused),
        (text(format!("{MARK}&AGE-")), Refused),
        (text(format!("{MARK}&!-")), Refused),
        (text(format!("{MARK}\r\nz NOOP")), Refused),
        (format!("{MARK}\0x").into_bytes(), Refused),
        ([MARK.as_bytes(), b"\xff\xfe"].concat(), Refused),
        ([MARK.as_bytes(), b"\xc3\xa9"].concat(), Refused),
    ]
}

/// A command about a mailbox; the tagged answer.
fn ask(wire: &mut Wire, before: &str, name: &[u8], after: &str) -> String {
    let literal = format!("{{{}+}}\r\n", name.len());
    let command = [
        format!("a {before} ").as_bytes(),
        literal.as_bytes(),
        name,
        after.as_bytes(),
        b"\r\nn NOOP\r\n",
    ]
    .concat();
    let mut said = wire.ask("n", command);
    assert_eq!(said.pop().unwrap(), "n OK NOOP completed", "after {before}");
    let answer = said.into_iter().find(|line| line.starts_with("a "));
    answer.expect("there is an answer")
}

fn is_refused(answer: &str) -> bool {
    answer.starts_with("a NO ") || answer.starts_with("a BAD ")
}

fn is_made(answer: &str) -> bool {
    answer.starts_with("a OK [MAILBOXID (") && answer.ends_with(")] CREATE completed")
}

#[test]
fn names_are_no_paths() {
    let (cluster, _use) = cluster();
    let folder = cluster.folder();
    let outside = |paths: Vec<PathBuf>| -> BTreeSet<PathBuf> {
        let inside = |path: &PathBuf| {
            let nodes = &mut cluster.demo.nodes.iter();
            // Other tests make certificates.
            nodes.any(|node| path.starts_with(&node.data_dir))
                || path.starts_with(folder.join("pki"))
        };
        paths.into_iter().filter(|path| !inside(path)).collect()
    };
    let before = outside(walk(&folder));
    let mut wire = cluster.in_inbox(1, "user2");
    for (name, fate) in names() {
        let shown = String::from_utf8_lossy(&name[..name.len().min(40)]).into_owned();
        let made = ask(&mut wire, "CREATE", &name, "");
        match fate {
            Stored => assert!(is_made(&made), "{shown}: {made}"),
            Refused => assert!(is_refused(&made), "{shown}: {made}"),
        }
        for (command, after, works) in [
            ("SUBSCRIBE", "", true),
            ("STATUS", " (MESSAGES)", true),
            ("APPEND", " {11+}\r\nA: b\r\n\r\nc\r\n", true),
            ("RENAME INBOX", "", false),
            ("LIST \"\"", "", true),
            ("LSUB", " *", true),
        ] {
            let answer = ask(&mut wire, command, &name, after);
            // INBOX is a name, and any pattern may be asked for.
            let free = name == b"inbox" || command.starts_with('L') || command == "SUBSCRIBE";
            let fits = match fate {
                Stored if works => answer.starts_with("a OK "),
                Stored => is_refused(&answer),
                Refused => free || is_refused(&answer),
            };
            assert!(fits, "{command} {shown}: {answer}");
        }
        if fate == Stored {
            let again = [&name[..], b"/again"].concat();
            let renamed = ask(&mut wire, "CREATE", &again, "");
            assert!(is_made(&renamed), "{shown}: {renamed}");
            let gone = ask(&mut wire, "DELETE", &again, "");
            assert_eq!(gone, "a OK DELETE completed", "{shown}");
        }
        cluster.is_well(&shown);
    }
    // The same by mail: a detail that is no folder, and one that is.
    for detail in [format!("../../{MARK}"), format!("/{MARK}"), MARK.to_owned()] {
        let mut wire = cluster.lmtp(1);
        let rcpt = format!("MAIL FROM:<>\r\nRCPT TO:<\"user2+{detail}\"@{DOMAIN}>\r\nDATA\r\n");
        wire.send(rcpt.as_bytes());
        wire.send(b"Subject: x\r\n\r\nx\r\n.\r\nQUIT\r\n");
        let said = wire.rest();
        assert!(
            said.last().unwrap().starts_with("221 "),
            "{detail}: {said:?}"
        );
    }

    assert_eq!(
        outside(walk(&folder)),
        before,
        "files outside of the data directories"
    );
    for path in walk(&folder) {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        assert!(!name.contains(MARK), "{}", path.display());
    }
    for node in &cluster.demo.nodes {
        for from in ["", "log", "index", "index/blobs"] {
            for name in [
                format!("../../{MARK}"),
                format!("../{MARK}"),
                MARK.to_owned(),
            ] {
                let path = node.data_dir.join(from).join(name);
                assert!(!path.exists(), "{}", path.display());
            }
        }
    }
    cluster.serves(1, "names");
}

/// A data directory is for its user alone, whatever it was made by.
#[test]
fn others_cannot_read_a_data_directory() {
    use std::os::unix::fs::PermissionsExt;
    let (cluster, _use) = cluster();
    for node in &cluster.demo.nodes {
        let mut paths = walk(&node.data_dir);
        paths.push(node.data_dir.clone());
        for path in paths {
            // A spare segment may have got its name since.
            let Ok(found) = path.metadata() else { continue };
            let mode = found.permissions().mode();
            assert_eq!(mode & 0o077, 0, "{}: {mode:o}", path.display());
        }
    }
}

//! Every capability that is offered has the examples of its RFC as dialogues, in
//! `tests/scripts/rfc`.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::scripts::Dialogue;
use super::transport::Client;

#[test]
fn examples() {
    crate::scripts::run_all("rfc", Dialogue::new);
}

/// The numbers of the RFCs that a capability stands for, or the names of what is no RFC.
fn documents(capability: &str) -> Option<&'static [&'static str]> {
    let (name, value) = capability.split_once('=').unwrap_or((capability, ""));
    Some(match (name, value) {
        ("IMAP4rev1", "") => &["3501", "5530"],
        ("IMAP4rev2", "") => &["9051"],
        ("STARTTLS" | "LOGINDISABLED", "") => &["3501"],
        ("LITERAL+", "") => &["7888"],
        ("SASL-IR", "") => &["4959"],
        ("AUTH", "PLAIN") => &["4616"],
        ("AUTH", "LOGIN") => &["sasl-login"],
        ("AUTH", "SCRAM-SHA-256" | "SCRAM-SHA-256-PLUS") => &["7677"],
        ("AUTH", "EXTERNAL") => &["4422"],
        ("AUTH", "OAUTHBEARER") => &["7628"],
        ("AUTH", "XOAUTH2") => &["xoauth2"],
        ("ID", "") => &["2971"],
        ("ENABLE", "") => &["5161"],
        ("IDLE", "") => &["2177"],
        ("NAMESPACE", "") => &["2342"],
        ("UNSELECT", "") => &["3691"],
        ("CHILDREN", "") => &["3348"],
        ("UIDPLUS", "") => &["4315"],
        ("MOVE", "") => &["6851"],
        ("SPECIAL-USE" | "CREATE-SPECIAL-USE", "") => &["6154"],
        ("LIST-EXTENDED", "") => &["5258"],
        ("LIST-STATUS", "") => &["5819"],
        ("LIST-MYRIGHTS", "") => &["8440"],
        ("LIST-METADATA", "") => &["9590"],
        ("ACL", "") | ("RIGHTS", _) => &["4314"],
        ("STATUS", "SIZE") => &["8438"],
        ("CONDSTORE" | "QRESYNC", "") => &["7162"],
        ("ESEARCH", "") => &["4731"],
        ("SEARCHRES", "") => &["5182"],
        ("WITHIN", "") => &["5032"],
        ("I18NLEVEL", "1") => &["5255"],
        ("SORT", "") | ("THREAD", "ORDEREDSUBJECT" | "REFERENCES") => &["5256"],
        ("SORT", "DISPLAY") => &["5957"],
        ("THREAD", "REFS") => &["inthread"],
        ("ESORT", "") | ("CONTEXT", "SEARCH") => &["5267"],
        ("PARTIAL", "") => &["9394"],
        ("MULTISEARCH", "") => &["7377"],
        ("SEARCH", "FUZZY") => &["6203"],
        ("OBJECTID", "") => &["8474"],
        ("SAVEDATE", "") => &["8514"],
        ("UIDONLY", "") => &["9586"],
        ("UIDBATCHES", "") => &["10022"],
        ("UNAUTHENTICATE", "") => &["8437"],
        ("INPROGRESS", "") => &["9585"],
        ("QUOTA", "" | "RES-STORAGE" | "RES-MESSAGE" | "RES-MAILBOX") => &["9208"],
        ("QUOTASET", "") => &["9208"],
        ("METADATA", "") => &["5464"],
        ("PREVIEW", "") => &["8970"],
        ("BINARY", "") => &["3516"],
        ("MULTIAPPEND", "") => &["3502"],
        ("CATENATE", "") => &["4469"],
        ("URL-PARTIAL", "") => &["5550"],
        ("REPLACE", "") => &["8508"],
        ("NOTIFY", "") => &["5465"],
        ("UTF8", "ACCEPT") => &["6855"],
        ("COMPRESS", "DEFLATE") => &["4978"],
        ("MESSAGELIMIT" | "SAVELIMIT", _) => &["9738"],
        ("APPENDLIMIT", _) => &["7889"],
        _ => return None,
    })
}

/// All capabilities that are offered to anybody, on any connection.
fn offered() -> BTreeSet<String> {
    let mut dialogue = Dialogue::new();
    dialogue.partition.administrator("alice");
    let mut offered = BTreeSet::new();
    let mut ask = |dialogue: &mut Dialogue| {
        let said = dialogue.say("c", b"a CAPABILITY\r\n");
        let said = String::from_utf8(said).unwrap();
        let line = said.lines().find(|line| line.starts_with("* CAPABILITY "));
        let names = line.unwrap().split(' ').skip(2);
        offered.extend(names.map(str::to_owned));
    };
    let client = Client::default();
    client.bind_channel();
    client.certify("alice");
    dialogue.connect("c", client);
    ask(&mut dialogue);
    dialogue.say("c", b"b STARTTLS\r\n");
    ask(&mut dialogue);
    dialogue.say("c", b"c LOGIN alice secret\r\n");
    ask(&mut dialogue);
    Arc::make_mut(&mut dialogue.config).message_limit = Some(3);
    dialogue.log_in("c", "bob");
    ask(&mut dialogue);
    offered
}

#[test]
fn every_capability_has_its_examples() {
    let mut wanted = BTreeSet::new();
    for capability in offered() {
        let documents = documents(&capability);
        wanted.extend(documents.unwrap_or_else(|| panic!("{capability} has no document")));
    }
    let files: BTreeSet<String> = std::fs::read_dir("tests/scripts/rfc")
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    let files: BTreeSet<&str> = files.iter().map(String::as_str).collect();
    assert_eq!(files, wanted);
}

//! What is in an account, as a new session sees it, and what may differ between two that were
//! treated alike.

use std::collections::BTreeMap;

use anyhow::{Context, bail, ensure};

use super::script::Piece;
use super::script::{Words, message, pieces};
use crate::cluster::{DOMAIN, PASSWORD};
use crate::load::Door;
use crate::mail::wire::Wire;

/// A response longer than this is compared by its hash.
const SHOWN_BYTES: usize = 400;

/// An account, whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// What was said of its mailboxes and messages, without what may differ.
    pub said: Vec<String>,
    /// UIDVALIDITY of each mailbox.
    pub validity: BTreeMap<String, u32>,
    /// UIDs and flags in INBOX.
    pub inbox: Vec<String>,
}

/// Connects and reads the greeting.
///
/// # Errors
///
/// When nobody answers as an IMAP server does.
pub async fn greeted(door: Door) -> anyhow::Result<Wire> {
    let mut wire = Wire::connect(door.imap).await?;
    let greeting = wire.response().await?.context("no greeting")?;
    ensure!(greeting.starts_with("* OK"), "a greeting: {greeting}");
    Ok(wire)
}

/// The same, and logs in.
///
/// # Errors
///
/// When it is not taken.
pub async fn logged_in(door: Door, user: &str) -> anyhow::Result<Wire> {
    let mut wire = greeted(door).await?;
    let login = format!("LOGIN {user}@{DOMAIN} {PASSWORD}");
    done(&mut wire, &login).await?;
    Ok(wire)
}

/// A command that is done; what was said before the tagged response.
///
/// # Errors
///
/// When it is not.
pub async fn done(wire: &mut Wire, command: &str) -> anyhow::Result<Vec<String>> {
    let words = Words {
        user: String::new(),
        validity: 0,
    };
    let said = tell(wire, "d", command, &words).await?;
    let (last, said) = said.split_last().context("an answer")?;
    ensure!(last.starts_with("d OK"), "{command}: {last}");
    Ok(said.to_vec())
}

/// A command with its literals, undisturbed; all that was said, with the tagged response.
///
/// # Errors
///
/// When the connection ends before.
pub async fn tell(
    wire: &mut Wire,
    tag: &str,
    command: &str,
    words: &Words,
) -> anyhow::Result<Vec<String>> {
    let mut said = Vec::new();
    wire.send(format!("{tag} ").as_bytes()).await?;
    for piece in pieces(command, words) {
        match piece {
            Piece::Bytes(bytes) => wire.send(&bytes).await?,
            Piece::Continuation => loop {
                let response = wire.response().await?.context("the server hung up")?;
                if response.starts_with('+') {
                    break;
                }
                ensure!(response.starts_with('*'), "{command}: {response}");
            },
            Piece::Cut | Piece::News => {}
        }
    }
    loop {
        let Some(response) = wire.response().await? else {
            bail!("the server hung up during {command}");
        };
        let is_last = response.starts_with(&format!("{tag} "));
        said.push(response);
        if is_last {
            return Ok(said);
        }
    }
}

/// Fills an account with what every case begins with; answers UIDVALIDITY of INBOX.
///
/// # Errors
///
/// When something is not done.
pub async fn furnish(door: Door, user: &str) -> anyhow::Result<u32> {
    let mut wire = logged_in(door, user).await?;
    let mut append = String::from("APPEND INBOX");
    for number in 1..=6 {
        let flags = match number {
            2 | 5 => "(\\Seen) ",
            3 | 6 => "(\\Flagged) ",
            4 => "(\\Deleted) ",
            _ => "",
        };
        let text = message(number);
        append += &format!(" {flags}$DATE {{{}}}^{text}", text.len());
    }
    for command in [
        append.as_str(),
        "CREATE Box",
        "APPEND Box $DATE $SMALL (\\Seen) $DATE $SMALL",
        "SUBSCRIBE Box",
        "SETMETADATA Box (/private/comment \"first\")",
    ] {
        done(&mut wire, command).await?;
    }
    let status = done(&mut wire, "STATUS INBOX (UIDVALIDITY)").await?;
    done(&mut wire, "LOGOUT").await?;
    let status = status.first().context("STATUS says something")?;
    number_after(status, "UIDVALIDITY ").context("STATUS says UIDVALIDITY")
}

impl State {
    /// Reads an account.
    ///
    /// # Errors
    ///
    /// When it cannot be read: a finding too.
    pub async fn read(door: Door, user: &str) -> anyhow::Result<Self> {
        let mut wire = logged_in(door, user).await?;
        let listed = done(&mut wire, "LIST \"\" * RETURN (SUBSCRIBED SPECIAL-USE)").await?;
        let names: Vec<String> = listed
            .iter()
            .filter(|line| !line.contains("\\NonExistent") && !line.contains("\\Noselect"))
            .filter_map(|line| Some(line.rsplit_once(' ')?.1.trim_matches('"').to_owned()))
            .collect();
        let mut state = Self {
            said: listed,
            validity: BTreeMap::new(),
            inbox: Vec::new(),
        };
        for name in names {
            let items = "MESSAGES UIDNEXT UIDVALIDITY UNSEEN SIZE HIGHESTMODSEQ";
            let status = done(&mut wire, &format!("STATUS {name} ({items})")).await?;
            let validity = status
                .iter()
                .find_map(|line| number_after(line, "UIDVALIDITY "));
            state
                .validity
                .insert(name.clone(), validity.context("UIDVALIDITY")?);
            state.said.extend(status);
            for command in [
                format!("GETACL {name}"),
                format!("GETMETADATA {name} (/private/comment)"),
            ] {
                state.said.extend(done(&mut wire, &command).await?);
            }
            done(&mut wire, &format!("EXAMINE {name}")).await?;
            let fetch = "UID FETCH 1:* (UID FLAGS INTERNALDATE RFC822.SIZE MODSEQ BODY.PEEK[])";
            let fetched = done(&mut wire, fetch).await?;
            if name == "INBOX" {
                state.inbox = view(&fetched);
            }
            state.said.extend(fetched);
        }
        wire.send(b"l LOGOUT\r\n").await?;
        state.said = alike(&state.said, user);
        Ok(state)
    }
}

/// UID and flags of every message in what FETCH said.
#[must_use]
pub fn view(fetched: &[String]) -> Vec<String> {
    let mut view: Vec<String> = fetched
        .iter()
        .filter(|line| line.starts_with("* ") && line.contains(" FETCH ("))
        .filter_map(|line| {
            let uid = number_after(line, "UID ")?;
            let flags = line.split_once("FLAGS (")?.1.split_once(')')?.0;
            let mut flags: Vec<&str> = flags
                .split_whitespace()
                .filter(|flag| *flag != "\\Recent")
                .collect();
            flags.sort_unstable();
            Some(format!("{uid:08} {}", flags.join(" ")))
        })
        .collect();
    view.sort();
    view
}

/// What was said, without what may differ between two accounts and between two runs: ids, names of
/// the accounts, what is recent (after a failover a message may be so twice), and what is only said
/// when something takes long.
#[must_use]
pub fn alike(said: &[String], user: &str) -> Vec<String> {
    said.iter()
        .filter(|line| !line.ends_with(" RECENT"))
        .filter(|line| !line.starts_with("* OK [INPROGRESS") && *line != "* OK Still here")
        .map(|line| {
            let mut line = line.replace(&format!("{user}@{DOMAIN}"), "USER");
            for recent in [" \\Recent", "\\Recent ", "\\Recent"] {
                line = line.replace(recent, "");
            }
            for before in ["UIDVALIDITY ", "APPENDUID ", "COPYUID "] {
                line = masked(&line, before, |byte| byte.is_ascii_digit());
            }
            line = masked(&line, "MAILBOXID (", |byte| byte != b')');
            if line.len() > SHOWN_BYTES {
                let hash = blake3::hash(line.as_bytes()).to_hex();
                let start: String = line.chars().take(80).collect();
                line = format!("{start}.. {} bytes, {}", line.len(), &hash[..16]);
            }
            line
        })
        .collect()
}

fn masked(line: &str, before: &str, is_part: impl Fn(u8) -> bool) -> String {
    let mut masked = String::new();
    let mut rest = line;
    while let Some(at) = rest.find(before) {
        let (head, tail) = rest.split_at(at + before.len());
        let length = tail.bytes().take_while(|byte| is_part(*byte)).count();
        masked.push_str(head);
        masked.push('_');
        rest = &tail[length..];
    }
    masked + rest
}

fn number_after(line: &str, before: &str) -> Option<u32> {
    let rest = line.split_once(before)?.1;
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    rest[..digits].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<String> {
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn two_accounts_are_compared_without_their_ids() {
        let one = "* 3 RECENT\n* OK [UIDVALIDITY 17] x\n* 1 FETCH (FLAGS (\\Seen \\Recent))\n\
                   * ACL Box \"ann@chaos.example\" lr\nt OK [COPYUID 17 1:2 3:4] done";
        let other = "* OK [UIDVALIDITY 4] x\n* 1 FETCH (FLAGS (\\Seen))\n* OK Still here\n\
                     * ACL Box \"bob@chaos.example\" lr\nt OK [COPYUID 4 1:2 3:4] done";
        assert_eq!(alike(&lines(one), "ann"), alike(&lines(other), "bob"));
        let doubled = other.replace("3:4", "5:6");
        assert_ne!(alike(&lines(&doubled), "bob"), alike(&lines(one), "ann"));
    }

    #[test]
    fn a_view_is_uids_and_flags() {
        let said = "* 2 FETCH (UID 12 FLAGS (\\Seen \\Recent a))\n* 3 EXISTS\n\
                    * 1 FETCH (FLAGS () UID 3)";
        assert_eq!(view(&lines(said)), ["00000003 ", "00000012 \\Seen a"]);
    }
}

//! Lines in the log on who changes what.
//!
//! One before anything is done, and one afterwards that says how it ended: done, refused, or not
//! known; also if the caller has gone away meanwhile. They name accounts, mailboxes and nodes, and
//! never passwords or what is kept of them.

use std::fmt::{Debug, Display};

use directory::{Command, NodeReport};

use crate::front::limits::AUDITED_CHARS;

/// A change that is under way.
pub(super) struct Audit<'a> {
    who: &'a str,
    what: &'static str,
    of: String,
    is_over: bool,
}

impl<'a> Audit<'a> {
    /// `who` begins to do `what`, to the account or node `of`.
    pub(super) fn begin(who: &'a str, what: &'static str, of: &str) -> Self {
        let of: String = of.chars().take(AUDITED_CHARS).collect();
        tracing::info!(target: "audit", who, what, of, "begins");
        Self {
            who,
            what,
            of,
            is_over: false,
        }
    }

    /// Says how it ended.
    pub(super) fn end<T: Debug>(mut self, outcome: &Result<T, impl Display>) {
        self.is_over = true;
        let (who, what, of) = (self.who, self.what, &self.of);
        match outcome {
            Ok(outcome) => tracing::info!(target: "audit", who, what, of, ?outcome, "ended"),
            Err(why) => tracing::info!(target: "audit", who, what, of, %why, "failed"),
        }
    }
}

impl Drop for Audit<'_> {
    fn drop(&mut self) {
        if !self.is_over {
            let (who, what, of) = (self.who, self.what, &self.of);
            tracing::info!(
                target: "audit", who, what, of, "the caller went away: it may or may not be done"
            );
        }
    }
}

/// What a command of an operator is about.
pub(super) fn object_of(command: &Command) -> String {
    let node = |report: &NodeReport| format!("node {} at {}", report.node, report.addresses.peer);
    match command {
        Command::CreateAccount { name, .. }
        | Command::SetPassword { name, .. }
        | Command::LockAccount { name, .. }
        | Command::DeleteAccount { name } => name.clone(),
        Command::SetSetting { name, value } => format!("{name}={value}"),
        Command::Init(init) => node(&init.first),
        Command::JoinNode(report) | Command::UpdateNode(report) => node(report),
        Command::ReplaceNode { old, new } => format!("node {old} by {}", node(new)),
        Command::DrainNode { node, shrink } => format!("node {node}, shrink={shrink}"),
        Command::MoveReplica { group, from, to } => format!("group {group} from {from} to {to}"),
        // No operator asks for these.
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::Arc;

    use directory::Verifiers;
    use parking_lot::Mutex;

    use super::*;

    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Log {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// The lines that are logged meanwhile.
    fn logged(work: impl FnOnce()) -> Vec<String> {
        let log = Log::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt().with_writer(move || writer.clone());
        tracing::subscriber::with_default(subscriber.finish(), work);
        let bytes = log.0.lock().clone();
        let text = String::from_utf8(bytes).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn a_change_leaves_two_lines_however_it_ends() {
        let begin = || Audit::begin("ops", "purge", "alice@example.org");
        let ends: [(&str, &dyn Fn()); 3] = [
            ("outcome=7", &|| begin().end(&Ok::<_, String>(7))),
            ("why=not known", &|| begin().end(&Err::<(), _>("not known"))),
            ("went away", &|| drop(begin())),
        ];
        for (end, work) in ends {
            let lines = logged(work);
            assert_eq!(lines.len(), 2, "{lines:?}");
            for line in &lines {
                for wanted in ["audit", "ops", "purge", "alice@example.org"] {
                    assert!(line.contains(wanted), "{line}");
                }
            }
            assert!(lines[1].contains(end), "{lines:?}");
        }
    }

    #[test]
    fn names_end_no_line_and_have_an_end() {
        let name = format!("a\nb{}", "c".repeat(AUDITED_CHARS));
        let lines = logged(|| drop(Audit::begin("ops", "delete", &name)));
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert!(lines[0].len() < AUDITED_CHARS + 200, "{lines:?}");
    }

    #[test]
    fn it_says_whose_and_no_secret() {
        let verifiers = Verifiers::fake(&[1; 32], "alice");
        let set = Command::SetPassword {
            name: "alice".into(),
            verifiers: verifiers.clone(),
        };
        assert_eq!(object_of(&set), "alice");
        let create = Command::CreateAccount {
            name: "bob".into(),
            verifiers,
            quota_bytes: None,
        };
        assert_eq!(object_of(&create), "bob");
        let name = "bob".to_owned();
        assert_eq!(object_of(&Command::DeleteAccount { name }), "bob");
    }
}

//! A directory in memory, asked one command after the other.

use bytes::Bytes;
use directory::verifier::Scram;
use directory::{
    Addresses, Command, EntryAt, Envelope, Event, Init, Millis, NodeId, NodeReport, Outcome,
    RequestId, Staged, Verifiers, View, apply, check,
};
use rows::Memory;

/// A directory in memory, its view, and the log index of its last entry.
#[derive(Default)]
pub struct Cluster {
    pub rows: Memory,
    pub view: View,
    pub index: u64,
}

impl Cluster {
    /// Applies it under a request id of its own.
    pub fn ask(&mut self, command: Command) -> (Outcome, Vec<Event>) {
        self.ask_again(u128::from(self.index) + 1000, command)
    }

    /// Applies it under this request id.
    pub fn ask_again(&mut self, request: u128, command: Command) -> (Outcome, Vec<Event>) {
        self.index += 1;
        let envelope = Envelope {
            request: RequestId(request),
            time: Millis(1_700_000_000_000 + self.index),
            command,
        };
        let mut staged = Staged::new(&self.rows);
        let at = EntryAt {
            index: self.index,
            term: 1,
        };
        let (outcome, events) = apply(&mut staged, at, &envelope).unwrap();
        let writes = staged.into_writes().unwrap();
        self.rows.commit(writes);
        for event in &events {
            self.view.apply(event);
        }
        (outcome, events)
    }

    /// Asserts what must hold between commands.
    pub fn check(&self) {
        check(&self.rows).unwrap();
        assert_eq!(View::load(&self.rows).unwrap(), self.view);
    }
}

pub fn report(node: u64, level: u32) -> NodeReport {
    let at = |port| format!("node{node}.example.org:{port}");
    NodeReport {
        node: NodeId(node),
        addresses: Addresses {
            peer: at(7000),
            imap: at(143),
            imaps: at(993),
            lmtp: at(24),
            admin: String::new(),
        },
        feature_level: level,
    }
}

pub fn init(node: u64, replicas: u32, partitions: u32) -> Command {
    Command::Init(Init {
        cluster: [1; 16],
        secret: [2; 32],
        replicas,
        partitions,
        default_domain: "Example.org".to_owned(),
        first: report(node, 1),
    })
}

/// Verifiers that are cheap to make, different for each text, and match no password.
pub fn verifiers(text: &str) -> Verifiers {
    let mut key = [0; 32];
    for (byte, letter) in key.iter_mut().zip(text.bytes()) {
        *byte = letter;
    }
    let salt = Bytes::from_static(b"pepper and salt");
    let scram = Scram {
        salt,
        iterations: 4096,
        stored_key: key,
        server_key: key,
    };
    Verifiers {
        scram: Some(scram),
        argon2id: None,
    }
}

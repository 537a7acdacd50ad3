//! Breaks real clusters and judges what is left.
//!
//! ```text
//!   seed --> nemesis   when who is killed           --+
//!     |                                               |
//!     +----> load      what clients intend     three real processes of rookeryd
//!              |       (mta, worker, reader)          |
//!              |          LMTP, IMAP  ----------------+
//!              v
//!           history    invoke, ok, fail, unknown: every operation, in order
//!              |
//!              v
//!           oracle     could that be a mail store that loses nothing?
//!              |
//!              v
//!           report     how long failovers took, what went wrong, the exit code
//! ```
//!
//! Nothing of the server is linked in to be spared: the processes are the ones that operators run,
//! with real disks and certificates, killed with -9. What is shared with the server's crate is the
//! folder of its demo, [`node::demo::plan`], and the operators' library, [`client`].
//!
//! What is checked, by the ids of the design: M2 (UIDs and UIDVALIDITY), M3 (MODSEQ does not go
//! back), M4 (exactly once, or at most once where nobody knows), R1 (what was answered is there),
//! R4 (every body is there, byte for byte, on every replica), equal digests of all replicas, and
//! that the cluster heals by itself: in the end every partition takes mail through every node.
//!
//! The same seed gives the same plan: the same strikes, the same messages byte for byte, the same
//! intentions of each client. It does not give the same interleaving, since processes and disks
//! have a will of their own. A seed that finds something is worth running again, not a replay.
//!
//! A run that found nothing because nothing happened is worth nothing: it is void unless all kills
//! were carried out and most operations answered, and says so with an exit code of its own.
//!
//! What this does not do yet: cut or slow down links, turn clocks.
//!
//! Read on: [`scenario`] for whole runs, [`nemesis`] for the plan, [`load`] for the clients,
//! [`history`] for what is written down, [`oracle`] for the judge.

pub mod cluster;
pub mod disk;
pub mod harm;
pub mod history;
pub(crate) mod level;
pub mod limits;
pub mod load;
pub mod mail;
pub mod nemesis;
pub mod oracle;
pub mod process;
pub mod procfs;
pub mod report;
pub mod scenario;
pub mod seed;

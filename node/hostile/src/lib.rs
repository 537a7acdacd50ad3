//! What the parsers promise of any bytes at all, as functions that panic when it does not hold.
//!
//! Each target takes bytes that somebody else has chosen, gives them to one of the parsers in
//! several ways, and compares. Two programs call them: the tests, with the inputs that are kept in
//! `fuzz/corpus`, and libFuzzer, which makes new ones and keeps those that reach new code.
//!
//! ```text
//!   fuzz/corpus/TARGET/* ──► tests/it ───┐
//!                                        ├──► TARGETS ──► imap::grammar, imap::mime, lmtp
//!   libFuzzer ──► fuzz/fuzz_targets/* ───┘
//! ```
//!
//! What is asserted everywhere:
//!
//! - nothing panics, and what comes out is bounded by what went in;
//! - how the bytes were cut into chunks does not matter;
//! - what was parsed and is written again is parsed to the same;
//! - what is encoded and decoded again is the same;
//! - whatever we answer, imap-codec reads it, as far as it knows it.
//!
//! That time is linear is left to libFuzzer, which reports inputs that take too long (target
//! [`long`]); no test measures it. What can be counted is: events, items, the bytes that are held.
//!
//! To look for more, from this folder, with a nightly toolchain and cargo-fuzz:
//! `cargo fuzz run grammar`. `fuzz/run` does the same with the stable toolchain alone. An input
//! that fails becomes a file of the corpus, by a name that says what it is, in the commit that
//! mends what it found.
//!
//! Read on in the module of a target; [`codec`] is the second opinion on commands.

pub mod codec;
mod cuts;
pub mod grammar;
pub mod headers;
pub mod lmtp;
pub mod long;
pub mod mime;

/// Checks what is promised of any bytes.
pub type Check = fn(&[u8]);

/// Every target by the name of its corpus.
pub const TARGETS: &[(&str, Check)] = &[
    ("grammar", grammar::check),
    ("mime", mime::check),
    ("headers", headers::check),
    ("lmtp", lmtp::check),
    ("long", long::check),
];

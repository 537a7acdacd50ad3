//! The library and the binary `rookery` against an admin service with certificates.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod cluster;
mod command_line;
mod library;

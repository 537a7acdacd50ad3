//! The tests of crate `imap`, in one binary.

#![cfg(test)]

mod codec;
mod hostile;
mod mime;
mod respond;
mod scripts;
mod session;
mod stream;
mod values;

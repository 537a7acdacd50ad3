//! The tests of crate `imap`, in one binary.

#![cfg(test)]

mod codec;
mod hostile;
mod respond;
mod scripts;
mod stream;
mod values;

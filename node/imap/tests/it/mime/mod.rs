//! The tests of `imap::mime`.

mod grams;
mod hostile;
mod oracle;
mod random;
mod scripts;
mod tree;
mod trees;

use ::hostile::mime::keeps_promises as check;
use bytes::BytesMut;
use imap::mime::{Structure, write_body};

fn rendered(structure: &Structure, extended: bool) -> BytesMut {
    let mut out = BytesMut::new();
    write_body(structure, extended, &mut out);
    out
}

//! Bytes are taken if they are exactly those that this version writes.

use bytes::{BufMut, Bytes, BytesMut};
use directory::{Command, Envelope, Fault, Millis, Outcome, Rejection, RequestId, codec};

use crate::cluster::init;

fn bytes() -> Bytes {
    let command = init(1, 3, 16);
    codec::encode_envelope(&Envelope {
        request: RequestId(7),
        time: Millis(9),
        command,
    })
}

fn assert_refused(bytes: impl Into<Bytes>, why: &str) {
    let decoded = codec::decode_envelope(&bytes.into());
    assert!(
        matches!(decoded, Err(Fault::Command(_))),
        "{why}: {decoded:?}"
    );
}

#[test]
fn a_field_of_a_later_version_is_refused() {
    let mut longer = BytesMut::from(&bytes()[..]);
    longer.put_slice(&[0x78, 1]); // Field 15, a varint.
    assert_refused(longer, "an unknown field");
}

#[test]
fn a_command_of_a_later_version_is_refused() {
    // A request, and a command whose kind is field 1000, empty.
    let mut later = BytesMut::from(&[0x0a, 16][..]);
    later.put_slice(&[1; 16]);
    later.put_slice(&[0x1a, 3, 0xc2, 0x3e, 0]);
    assert_refused(later, "an unknown kind");
}

#[test]
fn other_bytes_for_the_same_are_refused() {
    let mut twice = BytesMut::from(&bytes()[..]);
    twice.put_slice(&[0x10, 9]); // `time_ms` again.
    assert_refused(twice, "a field that comes twice");
    let mut zero = BytesMut::from(&[0x0a, 16][..]);
    zero.put_slice(&[1; 16]);
    zero.put_slice(&[0x10, 0, 0x1a, 3, 0x52, 0, 0]); // `time_ms` 0 is left out when written.
    assert_refused(zero, "a default that is written");
}

#[test]
fn cut_and_empty_bytes_are_refused() {
    for length in 0..bytes().len() {
        assert_refused(bytes().slice(..length), "cut bytes");
    }
}

#[test]
fn outcomes_travel() {
    for outcome in [Outcome::Done, Outcome::Rejected(Rejection::NodeNotActive)] {
        let bytes = codec::encode_outcome(&outcome);
        assert_eq!(codec::decode_outcome(&bytes), Ok(outcome));
    }
    assert!(
        codec::decode_outcome(&Bytes::from_static(&[0x28, 0x63])).is_err(),
        "unknown reason"
    );
}

#[test]
fn the_format_stays() {
    let command = Command::LockAccount {
        name: "a".to_owned(),
        locked: true,
    };
    let envelope = Envelope {
        request: RequestId(1),
        time: Millis(300),
        command,
    };
    let mut written = BytesMut::from(&[0x0a, 16][..]);
    written.put_u128(1);
    written.put_slice(&[0x10, 0xac, 0x02, 0x1a, 7, 0x6a, 5, 0x0a, 1, b'a', 0x10, 1]);
    assert_eq!(codec::encode_envelope(&envelope), written);
    assert_eq!(codec::decode_envelope(&written.freeze()).unwrap(), envelope);
}

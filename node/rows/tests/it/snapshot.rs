//! A snapshot arrives whole or not at all.

use bytes::Bytes;
use rows::snapshot::{Cursor, SnapshotError, read, write};
use rows::{Digest, Memory, Staged, limits};

fn memory(rows: u32) -> Memory {
    let mut memory = Memory::new();
    let mut staged = Staged::new(&memory);
    for number in 0..rows {
        let mut key = vec![b'k'];
        key.extend_from_slice(&number.to_be_bytes());
        staged.put(key, vec![b'v'; 200 + number as usize % 50]);
    }
    let writes = staged.into_writes().unwrap();
    memory.commit(writes);
    memory
}

fn chunks(memory: &Memory, cursor: Cursor) -> Vec<Bytes> {
    write(memory, cursor).map(Result::unwrap).collect()
}

#[test]
fn all_rows_arrive() {
    for rows in [0, 1, 5000] {
        let (from, mut to, mut reader) = (memory(rows), Memory::new(), read());
        for chunk in chunks(&from, Cursor::default()) {
            assert!(chunk.len() < limits::CHUNK_BYTES_MAX);
            to.load(reader.push(&chunk).unwrap());
        }
        assert_eq!(reader.finish().unwrap(), Digest::kept(&from).unwrap());
        assert_eq!(from, to);
    }
}

#[test]
fn a_transfer_goes_on_elsewhere() {
    let (from, mut to, mut reader) = (memory(5000), Memory::new(), read());
    let first = chunks(&from, Cursor::default());
    assert!(first.len() > 3);
    for chunk in &first[..2] {
        to.load(reader.push(chunk).unwrap());
    }
    let late = reader.push(&first[0]);
    assert_eq!(
        late,
        Err(SnapshotError::OutOfTurn {
            wanted: 2,
            found: 0
        })
    );
    let second = chunks(&from.clone(), reader.cursor().clone());
    assert_eq!(first[2..], second[..]);
    for chunk in &second {
        assert!(!reader.is_done());
        to.load(reader.push(chunk).unwrap());
    }
    assert!(reader.is_done());
    assert_eq!(from, to);
    assert!(matches!(read().finish(), Err(SnapshotError::Damaged(_))));
}

#[test]
fn every_flipped_bit_is_found() {
    let chunk = &chunks(&memory(2), Cursor::default())[0];
    for bit in 0..8 * chunk.len() {
        let mut damaged = chunk.to_vec();
        damaged[bit / 8] ^= 1 << (bit % 8);
        assert!(read().push(&Bytes::from(damaged)).is_err(), "bit {bit}");
    }
    for length in 0..chunk.len() {
        assert!(
            read().push(&chunk.slice(..length)).is_err(),
            "cut to {length}"
        );
    }
}

#[test]
fn rows_that_do_not_belong_together_are_refused() {
    let mut mixed = memory(3);
    mixed.load([(Bytes::from_static(b"z"), Bytes::from_static(b"stray"))]);
    let chunk = &chunks(&mixed, Cursor::default())[0];
    assert_eq!(
        read().push(chunk),
        Err(SnapshotError::Damaged("rows and digest differ"))
    );
}

//! The tests of `imap::mime`.

mod grams;
mod hostile;
mod oracle;
mod random;
mod scripts;
mod tree;
mod trees;

use bytes::BytesMut;
use imap::mime::{Kind, Part, Structure, write_body};

/// What [`imap::mime`] promises of every structure, whatever the message.
fn check(structure: &Structure, message: &[u8]) {
    let size = u64::try_from(message.len()).unwrap();
    assert_eq!(structure.size(), size);
    assert_eq!(structure.root().header.start, 0);
    assert_eq!(structure.root().body.end, size);
    let mut seen = 1;
    for part in structure.parts() {
        assert!(part.header.start <= part.header.end);
        assert_eq!(part.header.end, part.body.start);
        assert!(part.body.start <= part.body.end);
        assert_eq!(part.lines, line_feeds(part, message));
        let children = match &part.kind {
            Kind::Leaf => &[][..],
            Kind::Multipart(children) => {
                assert!(!children.is_empty());
                children
            }
            Kind::Message(inside) => std::slice::from_ref(inside),
        };
        let mut end = part.body.start;
        for &child in children {
            seen += 1;
            let child = structure.part(child);
            assert!(end <= child.header.start, "siblings overlap: {child:?}");
            end = child.body.end;
            assert_eq!(
                child.envelope.is_some(),
                matches!(part.kind, Kind::Message(_))
            );
        }
        assert!(
            end <= part.body.end,
            "a child ends after its parent: {part:?}"
        );
    }
    assert_eq!(seen, structure.parts().len(), "every part has one parent");
}

fn line_feeds(part: &Part, message: &[u8]) -> u64 {
    let range = usize::try_from(part.body.start).unwrap()..usize::try_from(part.body.end).unwrap();
    message[range]
        .iter()
        .map(|&byte| u64::from(byte == b'\n'))
        .sum()
}

fn rendered(structure: &Structure, extended: bool) -> BytesMut {
    let mut out = BytesMut::new();
    write_body(structure, extended, &mut out);
    out
}

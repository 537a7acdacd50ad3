//! The same well-formed messages, taken apart by `mail-parser`.

use imap::mime::{self, Kind, Structure};
use mail_parser::{Message, MessageParser, MessagePart, MimeHeaders, PartType};
use proptest::prelude::*;

use super::tree::{Renderer, tree};

/// Compares a message with our part `number`, and what is inside both.
fn compare(message: &Message, at: u32, structure: &Structure, number: usize, count: &mut usize) {
    let theirs = &message.parts[usize::try_from(at).unwrap()];
    let ours = structure.part(number);
    *count += 1;
    assert_eq!(u64::from(theirs.offset_header), ours.header.start);
    assert_eq!(u64::from(theirs.offset_body), ours.body.start);
    assert_eq!(media_type(theirs), {
        let kind = String::from_utf8_lossy(&ours.media_type.kind);
        format!(
            "{kind}/{}",
            String::from_utf8_lossy(&ours.media_type.subtype)
        )
    });
    match (&theirs.body, &ours.kind) {
        (PartType::Multipart(theirs), Kind::Multipart(ours)) => {
            assert_eq!(theirs.len(), ours.len());
            for (&theirs, &ours) in theirs.iter().zip(ours) {
                compare(message, theirs, structure, ours, count);
            }
        }
        (PartType::Message(inside), &Kind::Message(ours)) => {
            compare(inside, 0, structure, ours, count);
            let subject = structure
                .part(ours)
                .envelope
                .as_ref()
                .unwrap()
                .subject
                .as_deref();
            assert_eq!(inside.subject().map(str::as_bytes), subject);
        }
        (_, Kind::Leaf) => assert_eq!(u64::from(theirs.offset_end), ours.body.end),
        (theirs, ours) => panic!("{theirs:?} is not {ours:?}"),
    }
}

fn media_type(part: &MessagePart) -> String {
    part.content_type()
        .map_or("text/plain".to_owned(), |content_type| {
            format!(
                "{}/{}",
                content_type.ctype(),
                content_type.subtype().unwrap_or_default()
            )
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn structures_agree(tree in tree(), is_crlf in any::<bool>()) {
        let eol = if is_crlf { "\r\n" } else { "\n" };
        let renderer = Renderer::new(eol, "q").render(&tree.tame());
        let structure = mime::scan(&renderer.message);
        let message = MessageParser::default().parse(&renderer.message).unwrap();
        let mut count = 0;
        compare(&message, 0, &structure, 0, &mut count);
        prop_assert_eq!(count, structure.parts().len());
    }
}

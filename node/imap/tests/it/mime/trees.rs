//! Trees rendered and scanned give back their parts, and sections that agree with them.

use imap::mime::{self, Kind, PartText, Scanner, Structure};
use proptest::prelude::*;

use super::tree::{Renderer, Tree, tree};
use super::{check, rendered};

fn as_range(range: std::ops::Range<usize>) -> std::ops::Range<u64> {
    u64::try_from(range.start).unwrap()..u64::try_from(range.end).unwrap()
}

fn compare(structure: &Structure, renderer: &Renderer) {
    assert_eq!(structure.parts().len(), renderer.expected.len());
    for (part, expected) in structure.parts().iter().zip(&renderer.expected) {
        let (kind, subtype) = expected.media_type.split_once('/').unwrap();
        assert!(
            part.media_type.is(kind, subtype),
            "{part:?} is no {}",
            expected.media_type
        );
        assert_eq!(part.header, as_range(expected.header.clone()));
        assert_eq!(part.body, as_range(expected.body.clone()));
        let children = match &part.kind {
            Kind::Leaf => Vec::new(),
            Kind::Multipart(children) => children.clone(),
            Kind::Message(inside) => vec![*inside],
        };
        assert_eq!(children, expected.children);
    }
}

/// Walks all part numbers that a client would make from BODYSTRUCTURE.
fn check_sections(structure: &Structure, number: usize, path: &mut Vec<u32>) {
    let part = structure.part(number);
    let get = |text| mime::section(structure, path, text);
    if !path.is_empty() {
        assert_eq!(get(PartText::Whole), Some(part.body.clone()));
        assert_eq!(get(PartText::Mime), Some(part.header.clone()));
    }
    match &part.kind {
        Kind::Leaf => {
            assert!(path.is_empty() || get(PartText::Text).is_none());
            path.push(1);
            assert_eq!(
                mime::section(structure, path, PartText::Whole).is_some(),
                path.len() == 1
            );
            path.pop();
        }
        Kind::Multipart(children) => {
            for (child, number) in children.iter().zip(1..) {
                path.push(number);
                check_sections(structure, *child, path);
                path.pop();
            }
            path.push(u32::try_from(children.len()).unwrap() + 1);
            assert_eq!(mime::section(structure, path, PartText::Whole), None);
            path.pop();
        }
        Kind::Message(inside) => {
            // At the top, a message/rfc822 is part 1 of the message.
            let pushed = path.is_empty();
            if pushed {
                path.push(1);
            }
            check_inside(structure, *inside, path);
            if pushed {
                path.pop();
            }
        }
    }
}

/// `path` leads to the message/rfc822 around the message `number`.
fn check_inside(structure: &Structure, number: usize, path: &mut Vec<u32>) {
    let message = structure.part(number);
    let get = |path: &[u32], text| mime::section(structure, path, text);
    assert_eq!(get(path, PartText::Header), Some(message.header.clone()));
    assert_eq!(get(path, PartText::Text), Some(message.body.clone()));
    match message.kind {
        Kind::Multipart(_) => {
            let Kind::Multipart(children) = &message.kind else {
                return;
            };
            for (child, number) in children.iter().zip(1..) {
                path.push(number);
                check_sections(structure, *child, path);
                path.pop();
            }
        }
        Kind::Leaf | Kind::Message(_) => {
            path.push(1);
            assert_eq!(get(path, PartText::Whole), Some(message.body.clone()));
            if let Kind::Message(inside) = message.kind {
                check_inside(structure, inside, path);
            }
            path.pop();
        }
    }
}

/// A message of one part is its part 1.
fn check_single(structure: &Structure) {
    if structure.root().kind == Kind::Leaf {
        let body = structure.root().body.clone();
        assert_eq!(mime::section(structure, &[1], PartText::Whole), Some(body));
        assert_eq!(mime::section(structure, &[1], PartText::Header), None);
        assert_eq!(mime::section(structure, &[1, 1], PartText::Whole), None);
    }
}

fn eol() -> impl Strategy<Value = &'static str> {
    prop_oneof![Just("\r\n"), Just("\n")]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn parts_come_back(tree in tree(), eol in eol(), with_hyphen in any::<bool>()) {
        let boundary = if with_hyphen { "-x" } else { "x" };
        let renderer = Renderer::new(eol, boundary).render(&tree);
        let structure = mime::scan(&renderer.message);
        check(&structure, &renderer.message);
        compare(&structure, &renderer);
        check_sections(&structure, 0, &mut Vec::new());
        check_single(&structure);
    }

    /// What we put before a message shifts it, and changes nothing else.
    #[test]
    fn a_prefix_shifts(tree in tree()) {
        let renderer = Renderer::new("\r\n", "b").render(&tree);
        let prefix = b"Return-Path: <a@example.org>\r\nReceived: by mx; now\r\n";
        let mut scanner = Scanner::new();
        scanner.push(prefix);
        scanner.push(&renderer.message);
        let structure = scanner.finish();
        let alone = mime::scan(&renderer.message);
        let shift = u64::try_from(prefix.len()).unwrap();
        prop_assert_eq!(structure.size(), alone.size() + shift);
        prop_assert_eq!(structure.parts().len(), alone.parts().len());
        for (part, alone) in structure.parts().iter().zip(alone.parts()).skip(1) {
            prop_assert_eq!(part.body.start, alone.body.start + shift);
            prop_assert_eq!(part.size(), alone.size());
        }
        prop_assert_eq!(rendered(&structure, true), rendered(&alone, true));
    }
}

/// A tree that has everything, so that a failure above is not the first to tell.
#[test]
fn one_of_each() {
    let text = || Tree::Text {
        typed: true,
        lines: vec!["hello".into(), String::new()],
    };
    let multipart = |children| Tree::Multipart {
        preamble: vec!["preamble".into()],
        children,
        closed: true,
        epilogue: vec![String::new()],
    };
    let inside = Box::new(multipart(vec![
        text(),
        Tree::Binary {
            lines: vec!["--".into()],
        },
    ]));
    let message = Tree::Message {
        subject: "inner".into(),
        inside,
    };
    let tree = multipart(vec![text(), message, multipart(vec![text()])]);
    let renderer = Renderer::new("\r\n", "-").render(&tree);
    let structure = mime::scan(&renderer.message);
    check(&structure, &renderer.message);
    compare(&structure, &renderer);
    assert_eq!(structure.parts().len(), 8);
    check_sections(&structure, 0, &mut Vec::new());
}

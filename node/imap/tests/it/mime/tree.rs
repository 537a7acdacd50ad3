//! Messages that are made from a tree, with what must be found in them.

use std::ops::Range;

use proptest::collection::vec;
use proptest::prelude::*;

/// A well-formed part, to be rendered.
#[derive(Clone, Debug)]
pub enum Tree {
    /// A text with these lines, its type written or left out.
    Text {
        typed: bool,
        lines: Vec<String>,
    },
    Binary {
        lines: Vec<String>,
    },
    Multipart {
        preamble: Vec<String>,
        children: Vec<Tree>,
        closed: bool,
        epilogue: Vec<String>,
    },
    Message {
        subject: String,
        inside: Box<Tree>,
    },
}

/// A part where it was rendered.
#[derive(Debug, PartialEq, Eq)]
pub struct Expected {
    pub media_type: &'static str,
    pub header: Range<usize>,
    pub body: Range<usize>,
    /// Children by number, for a multipart; the message inside, for a message/rfc822.
    pub children: Vec<usize>,
}

/// Lines that may look like boundaries and are none: those have `=` after their hyphens.
fn lines() -> impl Strategy<Value = Vec<String>> {
    vec("(-{0,3}[a-zA-Z:. ]{0,12}[a-z])?", 1..4)
}

pub fn tree() -> impl Strategy<Value = Tree> {
    let leaf = prop_oneof![
        (any::<bool>(), lines()).prop_map(|(typed, lines)| Tree::Text { typed, lines }),
        lines().prop_map(|lines| Tree::Binary { lines }),
    ];
    leaf.prop_recursive(5, 24, 4, |inner| {
        prop_oneof![
            3 => (lines(), vec(inner.clone(), 1..4), prop::bool::weighted(0.9), lines()).prop_map(
                |(preamble, children, closed, epilogue)| {
                    Tree::Multipart { preamble, children, closed, epilogue }
                }
            ),
            1 => ("[a-z]{1,8}", inner).prop_map(|(subject, inside)| {
                Tree::Message { subject, inside: Box::new(inside) }
            }),
        ]
    })
}

impl Tree {
    /// The same without what `mail-parser` cannot read: it looks for the innermost boundary only,
    /// so every multipart must be closed, and panics at a message that is only a message.
    pub fn tame(self) -> Tree {
        match self {
            Tree::Multipart {
                preamble,
                children,
                epilogue,
                ..
            } => {
                let children = children.into_iter().map(Tree::tame).collect();
                Tree::Multipart {
                    preamble,
                    children,
                    closed: true,
                    epilogue,
                }
            }
            Tree::Message {
                subject,
                mut inside,
            } => {
                while let Tree::Message {
                    inside: innermost, ..
                } = *inside
                {
                    inside = innermost;
                }
                Tree::Message {
                    subject,
                    inside: Box::new(inside.tame()),
                }
            }
            leaf => leaf,
        }
    }
}

/// Renders trees, all lines ended by `eol`.
pub struct Renderer {
    eol: &'static str,
    /// What boundaries are made of: short and they are prefixes of each other.
    boundary: &'static str,
    boundaries: usize,
    pub message: Vec<u8>,
    pub expected: Vec<Expected>,
}

impl Renderer {
    pub fn new(eol: &'static str, boundary: &'static str) -> Renderer {
        let (message, expected) = (Vec::new(), Vec::new());
        Renderer {
            eol,
            boundary,
            boundaries: 0,
            message,
            expected,
        }
    }

    /// The whole message.
    pub fn render(mut self, tree: &Tree) -> Renderer {
        self.line("Subject: outermost");
        self.part(tree, true, 0);
        self
    }

    fn line(&mut self, text: &str) {
        self.message.extend_from_slice(text.as_bytes());
        self.message.extend_from_slice(self.eol.as_bytes());
    }

    /// A part whose header began at `start` and goes on here. If `is_last`, nothing follows it;
    /// else a boundary does, and takes the last line end.
    fn part(&mut self, tree: &Tree, is_last: bool, start: usize) {
        let number = self.expected.len();
        self.expected.push(Expected {
            media_type: "",
            header: start..0,
            body: 0..0,
            children: Vec::new(),
        });
        let media_type = match tree {
            Tree::Text { typed, lines } => {
                if *typed {
                    self.line("Content-Type: text/plain; charset=utf-8");
                }
                self.begin_body(number);
                lines.iter().for_each(|line| self.line(line));
                "text/plain"
            }
            Tree::Binary { lines } => {
                self.line("Content-Type: application/octet-stream;");
                self.line(" name=\"a b.bin\"");
                self.begin_body(number);
                lines.iter().for_each(|line| self.line(line));
                "application/octet-stream"
            }
            Tree::Multipart { .. } => {
                self.multipart(tree, number, is_last);
                "multipart/mixed"
            }
            Tree::Message { subject, inside } => {
                self.line("Content-Type: message/rfc822");
                let begin = self.begin_body(number);
                self.line(&format!("Subject: {subject}"));
                self.expected[number].children = vec![number + 1];
                self.part(inside, is_last, begin);
                "message/rfc822"
            }
        };
        let end = self.message.len() - if is_last { 0 } else { self.eol.len() };
        self.expected[number].media_type = media_type;
        self.expected[number].body.end = end;
    }

    fn begin_body(&mut self, number: usize) -> usize {
        self.line("");
        let begin = self.message.len();
        self.expected[number].header.end = begin;
        self.expected[number].body.start = begin;
        begin
    }

    fn multipart(&mut self, tree: &Tree, number: usize, is_last: bool) {
        let Tree::Multipart {
            preamble,
            children,
            closed,
            epilogue,
        } = tree
        else {
            return;
        };
        self.boundaries += 1;
        let boundary = format!("={}", self.boundary.repeat(self.boundaries));
        self.line(&format!(
            "Content-Type: multipart/mixed; boundary=\"{boundary}\""
        ));
        self.begin_body(number);
        preamble.iter().for_each(|line| self.line(line));
        for (at, child) in children.iter().enumerate() {
            self.line(&format!("--{boundary}"));
            let child_number = self.expected.len();
            self.expected[number].children.push(child_number);
            // Without a closing boundary, the last part ends where the multipart does.
            let goes_on = *closed || at + 1 < children.len();
            self.part(child, is_last && !goes_on, self.message.len());
        }
        if *closed {
            self.line(&format!("--{boundary}--"));
            epilogue.iter().for_each(|line| self.line(line));
        }
    }
}

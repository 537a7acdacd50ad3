//! Address lists (RFC 5322 sections 3.4 and 4.4), read as leniently as people write them.
//!
//! One loop over the tokens of a list. It never goes back: a word counts both as part of a name
//! and as part of a local part until the next special character tells which it was.

use super::fields::Budget;
use super::lexer::{self, Lexer};
use super::limits::ADDRESS_OVERHEAD_BYTES;

/// One address as ENVELOPE has it (RFC 3501 section 7.4.2), quoting removed, encoded words kept.
///
/// Without `host` it marks a group: with `mailbox` the group's beginning and name, without it the
/// end. The host of an address that has none is empty, the same with its mailbox.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Address {
    /// The display name, or the comment after an address without one.
    pub name: Option<Box<[u8]>>,
    /// The source route, `@a,@b`.
    pub route: Option<Box<[u8]>>,
    /// The local part.
    pub mailbox: Option<Box<[u8]>>,
    /// The domain.
    pub host: Option<Box<[u8]>>,
}

/// Adds the addresses of an unfolded list until the budget is spent.
pub(super) fn parse(list: &[u8], budget: &mut Budget, addresses: &mut Vec<Address>) {
    let lexer = Lexer::new(list);
    let mut parser = Parser {
        lexer,
        budget,
        addresses,
        is_in_group: false,
        is_spent: false,
        current: Current::default(),
    };
    parser.list();
}

struct Parser<'a, 'b> {
    lexer: Lexer<'a>,
    budget: &'b mut Budget,
    addresses: &'b mut Vec<Address>,
    is_in_group: bool,
    is_spent: bool,
    current: Current,
}

/// What is known of the address that is being read. The buffers are used again for the next.
#[derive(Default)]
struct Current {
    /// The words so far, as a display name.
    phrase: Vec<u8>,
    /// The words so far, or those in angle brackets, as a local part.
    local: Vec<u8>,
    host: Vec<u8>,
    has_host: bool,
    route: Vec<u8>,
    comment: Vec<u8>,
    /// Whether its angle brackets were read.
    is_bracketed: bool,
}

impl Current {
    fn clear(&mut self) {
        self.phrase.clear();
        self.local.clear();
        self.host.clear();
        self.has_host = false;
        self.route.clear();
        self.comment.clear();
        self.is_bracketed = false;
    }

    /// `a@b@c`: all but the last is the local part.
    fn host_into_local(&mut self) {
        if self.has_host {
            self.local.push(b'@');
            self.local.append(&mut self.host);
        }
        self.has_host = false;
    }

    fn add_to_local(&mut self, word: &[u8], after_space: bool) {
        let by_dot = self.local.ends_with(b".") || word.starts_with(b".");
        if after_space && !self.local.is_empty() && !by_dot {
            self.local.push(b' ');
        }
        self.local.extend_from_slice(word);
    }
}

impl Parser<'_, '_> {
    fn list(&mut self) {
        let mut word = Vec::new();
        while !self.is_spent {
            let after_space = self.lexer.skip_space_into(&mut self.current.comment);
            let Some(byte) = self.lexer.peek() else { break };
            match byte {
                b',' => self.end_address(),
                b';' => {
                    self.end_address();
                    self.end_group();
                }
                b':' => self.begin_group(),
                b'<' => {
                    self.lexer.next();
                    self.bracketed();
                    continue;
                }
                b'@' => {
                    self.lexer.next();
                    self.host();
                    continue;
                }
                b'>' | b')' => {}
                _ => {
                    word.clear();
                    self.word(&mut word);
                    self.add_word(&word, after_space);
                    continue;
                }
            }
            self.lexer.next();
        }
        self.end_address();
        self.end_group();
    }

    /// A quoted string or an atom, at least one byte of the list.
    fn word(&mut self, word: &mut Vec<u8>) {
        if self.lexer.peek() == Some(b'"') {
            return self.lexer.quoted(word);
        }
        while let Some(byte) = self.lexer.peek() {
            if is_special(byte) || lexer::is_space(byte) {
                return;
            }
            self.lexer.next();
            match byte {
                0 => {}
                b'\\' => word.extend(self.lexer.next()),
                _ => word.push(byte),
            }
        }
    }

    fn add_word(&mut self, word: &[u8], after_space: bool) {
        let current = &mut self.current;
        if current.is_bracketed || current.has_host {
            return;
        }
        if after_space && !current.phrase.is_empty() {
            current.phrase.push(b' ');
        }
        current.phrase.extend_from_slice(word);
        current.add_to_local(word, after_space);
    }

    /// What follows an `@`. Words after a domain are dropped.
    fn host(&mut self) {
        self.current.host_into_local();
        self.current.has_host = true;
        let mut unused = Vec::new();
        let mut word = Vec::new();
        loop {
            let is_named = self.current.is_bracketed;
            let comment = if is_named {
                &mut unused
            } else {
                &mut self.current.comment
            };
            let after_space = self.lexer.skip_space_into(comment);
            match self.lexer.peek() {
                Some(b'[') if self.current.host.is_empty() => {
                    self.lexer.domain_literal(&mut self.current.host);
                }
                Some(byte) if byte != b'"' && !is_special(byte) => {
                    word.clear();
                    self.word(&mut word);
                    let host = &mut self.current.host;
                    let by_dot = host.ends_with(b".") || word.starts_with(b".");
                    if host.is_empty() || !after_space || by_dot {
                        host.extend_from_slice(&word);
                    }
                }
                _ => return,
            }
        }
    }

    /// What follows a `<`, up to its end or to where a list goes on although it has none.
    fn bracketed(&mut self) {
        if self.current.is_bracketed {
            self.end_address();
        }
        if self.current.has_host {
            // `joe@example.org <joe@example.org>`: what stood before is the name.
            self.current.host_into_local();
            self.current.phrase.clone_from(&self.current.local);
        }
        self.current.is_bracketed = true;
        self.current.local.clear();
        self.lexer.skip_space();
        if self.lexer.peek() == Some(b'@') {
            self.route();
        }
        let mut word = Vec::new();
        loop {
            let after_space = self.lexer.skip_space();
            match self.lexer.peek() {
                None | Some(b',' | b';') => return,
                Some(b'>') => {
                    self.lexer.next();
                    return;
                }
                Some(b'@') => {
                    self.lexer.next();
                    self.host();
                }
                Some(b'<' | b')') => {
                    self.lexer.next();
                }
                Some(b':') => {
                    self.lexer.next();
                    self.current.add_to_local(b":", false);
                }
                Some(_) => {
                    word.clear();
                    self.word(&mut word);
                    if !self.current.has_host {
                        self.current.add_to_local(&word, after_space);
                    }
                }
            }
        }
    }

    /// `@a,@b:`. Without the colon it was `<@host>`, an address without a local part.
    fn route(&mut self) {
        let mut route = std::mem::take(&mut self.current.route);
        loop {
            self.lexer.skip_space();
            match self.lexer.peek() {
                None | Some(b':' | b'<' | b'>' | b';') => break,
                Some(byte) => {
                    self.lexer.next();
                    route.push(byte);
                }
            }
        }
        if self.lexer.eat(b':') {
            self.current.route = route;
        } else {
            self.current
                .host
                .extend_from_slice(route.strip_prefix(b"@").unwrap_or(&route));
            self.current.has_host = true;
        }
    }

    fn end_address(&mut self) {
        let current = &self.current;
        let is_address = current.is_bracketed || current.has_host || !current.local.is_empty();
        if is_address && self.budget.charge(ADDRESS_OVERHEAD_BYTES) {
            let phrase = if current.is_bracketed {
                current.phrase.as_slice()
            } else {
                b""
            };
            let name = [phrase, lexer::trim(&current.comment)]
                .into_iter()
                .find(|name| !name.is_empty());
            let route = Some(current.route.as_slice()).filter(|route| !route.is_empty());
            let address = Address {
                name: name.and_then(|name| self.budget.keep(name)),
                route: route.and_then(|route| self.budget.keep(route)),
                mailbox: self.budget.keep(&current.local),
                host: self.budget.keep(&current.host),
            };
            self.is_spent = address.host.is_none() || address.mailbox.is_none();
            if !self.is_spent {
                self.addresses.push(address);
            }
        } else if is_address {
            self.is_spent = true;
        }
        self.current.clear();
    }

    fn begin_group(&mut self) {
        if self.is_in_group || self.current.is_bracketed {
            return;
        }
        self.current.host_into_local();
        // Its end is paid for as well, so that it can always be written.
        let is_paid = self.budget.charge(2 * ADDRESS_OVERHEAD_BYTES);
        let name = if is_paid {
            self.budget.keep(&self.current.phrase)
        } else {
            None
        };
        self.is_spent = name.is_none();
        if name.is_some() {
            self.addresses.push(Address {
                mailbox: name,
                ..Address::default()
            });
            self.is_in_group = true;
        }
        self.current.clear();
    }

    fn end_group(&mut self) {
        if self.is_in_group {
            self.addresses.push(Address::default());
        }
        self.is_in_group = false;
    }
}

/// What ends an atom. Dots and brackets do not: names have them, and domains are read apart.
fn is_special(byte: u8) -> bool {
    matches!(
        byte,
        b'(' | b')' | b'<' | b'>' | b'@' | b',' | b';' | b':' | b'"'
    )
}

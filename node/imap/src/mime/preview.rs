//! The first words of a message as plain text, for PREVIEW (RFC 8970).
//!
//! White space and controls become single spaces; characters without width, which mass mail fills
//! its first lines with, are left out. Quoted lines come only if there is nothing else. Of HTML the
//! text is taken: a tag that begins a block is a space, any other is nothing.

use super::structure::{Kind, Part, Structure};

/// The parts whose text may be shown, the best first. None of an encrypted message, of attachments
/// and of messages inside the message.
pub fn preview_parts(structure: &Structure) -> Vec<usize> {
    let mut parts = Vec::new();
    let mut open = vec![0];
    while let Some(number) = open.pop() {
        let part = structure.part(number);
        match &part.kind {
            Kind::Multipart(_) if part.media_type.is("multipart", "encrypted") => {}
            Kind::Multipart(children) => {
                let mut children = children.clone();
                if part.media_type.is("multipart", "alternative") {
                    // Plain text before the same text in another form.
                    children.sort_by_key(|&child| !is_plain(structure.part(child)));
                }
                open.extend(children.into_iter().rev());
            }
            Kind::Leaf if is_shown(part) => parts.push(number),
            Kind::Leaf | Kind::Message(_) => {}
        }
    }
    parts
}

fn is_plain(part: &Part) -> bool {
    part.media_type.is("text", "plain")
}

fn is_shown(part: &Part) -> bool {
    let is_attachment = part
        .disposition
        .as_ref()
        .is_some_and(|disposition| disposition.kind.eq_ignore_ascii_case(b"attachment"));
    (is_plain(part) || part.media_type.is("text", "html")) && !is_attachment
}

/// Makes a preview of a text that comes in pieces.
#[derive(Debug)]
pub struct Preview {
    html: Option<Html>,
    /// At the beginning of a line, where `>` marks a quoted one.
    at_line_start: bool,
    in_quote: bool,
    own: Words,
    quoted: Words,
}

impl Preview {
    /// A preview of at most `chars_max` characters of this part.
    pub fn new(part: &Part, chars_max: usize) -> Preview {
        Preview {
            html: part.media_type.is("text", "html").then(Html::default),
            at_line_start: true,
            in_quote: false,
            own: Words::new(chars_max),
            quoted: Words::new(chars_max),
        }
    }

    /// Whether no further text changes it.
    pub fn is_full(&self) -> bool {
        self.own.left == 0
    }

    /// The next text. Whether more is wanted.
    pub fn push(&mut self, text: &str) -> bool {
        for char in text.chars() {
            if self.is_full() {
                return false;
            }
            match &mut self.html {
                Some(html) => html.push(char, &mut self.own),
                None => self.plain(char),
            }
        }
        true
    }

    /// The preview, all text having come.
    pub fn finish(mut self) -> String {
        if let Some(html) = &mut self.html {
            html.finish(&mut self.own);
        }
        if self.own.text.is_empty() {
            self.quoted.text
        } else {
            self.own.text
        }
    }

    fn plain(&mut self, char: char) {
        if self.at_line_start {
            self.in_quote = char == '>';
        }
        self.at_line_start = char == '\n';
        let words = if self.in_quote {
            &mut self.quoted
        } else {
            &mut self.own
        };
        words.push(char);
    }
}

/// Text with one space between words.
#[derive(Debug)]
struct Words {
    text: String,
    /// Characters that still fit.
    left: usize,
    space: bool,
}

impl Words {
    fn new(chars_max: usize) -> Words {
        Words {
            text: String::new(),
            left: chars_max,
            space: false,
        }
    }

    fn push(&mut self, char: char) {
        if char.is_whitespace() || char.is_control() {
            self.space = true;
            return;
        }
        let has_no_width = matches!(
            char,
            '\u{ad}' | '\u{34f}' | '\u{200b}' | '\u{200c}' | '\u{2060}' | '\u{feff}'
        );
        if has_no_width {
            return;
        }
        if std::mem::take(&mut self.space) && !self.text.is_empty() {
            self.put(' ');
        }
        if self.left == 0 {
            // A space at the end shows nothing.
            self.text.truncate(self.text.trim_end().len());
            return;
        }
        self.put(char);
    }

    fn put(&mut self, char: char) {
        self.text.push(char);
        self.left = self.left.saturating_sub(1);
    }
}

/// Letters of a tag's name or of an entity that are kept: the longest that are known have ten.
const NAME_CHARS_MAX: usize = 12;

/// Takes the text out of HTML. Malformed markup is no error.
#[derive(Debug, Default)]
struct Html {
    state: Markup,
    /// The name of the tag or entity that is being read.
    name: String,
    /// The element whose content is no text, and is passed over up to its end.
    hidden: Option<&'static str>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Markup {
    #[default]
    Text,
    /// After `<`, in the tag's name.
    TagName,
    /// In a tag, perhaps in a quoted value.
    Tag { quote: Option<char> },
    /// In `<!-- .. -->`, after so many hyphens.
    Comment { hyphens: u8 },
    /// After `&`.
    Entity,
}

impl Html {
    fn push(&mut self, char: char, words: &mut Words) {
        match self.state {
            Markup::Text => self.text(char, words),
            Markup::TagName => self.tag_name(char, words),
            Markup::Tag { quote } => self.tag(char, quote),
            Markup::Comment { hyphens } => {
                self.state = match char {
                    '-' => Markup::Comment {
                        hyphens: hyphens.saturating_add(1),
                    },
                    '>' if hyphens >= 2 => Markup::Text,
                    _ => Markup::Comment { hyphens: 0 },
                };
            }
            Markup::Entity => self.entity(char, words),
        }
    }

    fn finish(&mut self, words: &mut Words) {
        if self.state == Markup::Entity {
            self.end_entity(words);
        }
    }

    fn text(&mut self, char: char, words: &mut Words) {
        self.name.clear();
        match char {
            '<' => self.state = Markup::TagName,
            '&' if self.hidden.is_none() => self.state = Markup::Entity,
            _ => self.show(char, words),
        }
    }

    fn show(&mut self, char: char, words: &mut Words) {
        if self.hidden.is_none() {
            words.push(char);
        }
    }

    fn tag_name(&mut self, char: char, words: &mut Words) {
        if self.name == "!-" && char == '-' {
            self.state = Markup::Comment { hyphens: 0 };
            return;
        }
        let is_name = char.is_ascii_alphanumeric() || (matches!(char, '/' | '!' | '-' | '?'));
        if is_name {
            if self.name.len() < NAME_CHARS_MAX {
                self.name.push(char.to_ascii_lowercase());
            }
            return;
        }
        if self.name.is_empty() {
            // A `<` that begins no tag.
            self.state = Markup::Text;
            self.show('<', words);
            self.text(char, words);
            return;
        }
        self.begin_tag(words);
        self.state = Markup::Tag { quote: None };
        self.tag(char, None);
    }

    fn begin_tag(&mut self, words: &mut Words) {
        const HIDDEN: [&str; 4] = ["head", "script", "style", "title"];
        const INLINE: [&str; 17] = [
            "a", "abbr", "b", "big", "code", "em", "font", "i", "mark", "s", "small", "span",
            "strong", "sub", "sup", "tt", "u",
        ];
        let (name, is_end) = match self.name.strip_prefix('/') {
            Some(name) => (name, true),
            None => (self.name.trim_end_matches('/'), false),
        };
        match self.hidden {
            // What should have hidden no text is over where the text begins.
            Some(hidden) if (is_end && name == hidden) || (hidden == "head" && name == "body") => {
                self.hidden = None;
            }
            Some(_) => {}
            None if !is_end => self.hidden = HIDDEN.into_iter().find(|hidden| *hidden == name),
            None => {}
        }
        if !INLINE.contains(&name) {
            words.push(' ');
        }
    }

    fn tag(&mut self, char: char, quote: Option<char>) {
        self.state = match (quote, char) {
            (None, '>') => Markup::Text,
            (None, '"' | '\'') => Markup::Tag { quote: Some(char) },
            (Some(quote), _) if quote == char => Markup::Tag { quote: None },
            (quote, _) => Markup::Tag { quote },
        };
    }

    fn entity(&mut self, char: char, words: &mut Words) {
        let is_name = char.is_ascii_alphanumeric() || (char == '#' && self.name.is_empty());
        if is_name && self.name.len() < NAME_CHARS_MAX {
            self.name.push(char);
            return;
        }
        self.end_entity(words);
        self.state = Markup::Text;
        if char != ';' {
            self.text(char, words);
        }
    }

    /// Shows what an entity stands for; one that we do not know as it was written.
    fn end_entity(&mut self, words: &mut Words) {
        if let Some(char) = entity(&self.name) {
            words.push(char);
            return;
        }
        words.push('&');
        for char in self.name.chars() {
            words.push(char);
        }
    }
}

fn entity(name: &str) -> Option<char> {
    if let Some(number) = name.strip_prefix('#') {
        let code = match number.strip_prefix(['x', 'X']) {
            Some(digits) => u32::from_str_radix(digits, 16),
            None => number.parse(),
        };
        return code.ok().and_then(char::from_u32);
    }
    Some(match name {
        "amp" => '&',
        "apos" => '\'',
        "auml" => 'ä',
        "bull" => '\u{2022}',
        "copy" => '\u{a9}',
        "eacute" => 'é',
        "euro" => '\u{20ac}',
        "gt" => '>',
        "hellip" => '\u{2026}',
        "laquo" => '\u{ab}',
        "ldquo" => '\u{201c}',
        "lsquo" => '\u{2018}',
        "lt" => '<',
        "mdash" => '\u{2014}',
        "middot" => '\u{b7}',
        "nbsp" => ' ',
        "ndash" => '\u{2013}',
        "ouml" => 'ö',
        "quot" => '"',
        "raquo" => '\u{bb}',
        "rdquo" => '\u{201d}',
        "reg" => '\u{ae}',
        "rsquo" => '\u{2019}',
        "shy" => '\u{ad}',
        "szlig" => 'ß',
        "trade" => '\u{2122}',
        "uuml" => 'ü',
        "zwnj" => '\u{200c}',
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mime::{TextDecoder, scan};

    fn preview(message: &str) -> String {
        let structure = scan(message.as_bytes());
        let Some(&part) = preview_parts(&structure).first() else {
            return "nothing".to_owned();
        };
        let part = structure.part(part);
        let place = |at: u64| usize::try_from(at).unwrap();
        let body = message.get(place(part.body.start)..place(part.body.end));
        let whole = text(part, body.unwrap(), usize::MAX);
        // However the text is cut.
        assert_eq!(text(part, body.unwrap(), 1), whole);
        whole
    }

    fn text(part: &Part, body: &str, step: usize) -> String {
        let mut preview = Preview::new(part, 20);
        let mut decoder = TextDecoder::new(part);
        for piece in body.as_bytes().chunks(step.min(body.len().max(1))) {
            decoder.push(piece, |text| preview.push(text));
        }
        decoder.finish(|text| preview.push(text));
        preview.finish()
    }

    fn html(text: &str) -> String {
        preview(&format!("Content-Type: text/html\r\n\r\n{text}"))
    }

    #[test]
    fn plain_text_is_shortened_and_its_white_space_joined() {
        assert_eq!(preview("\r\n Hello,\r\n\r\n\tworld \r\n"), "Hello, world");
        assert_eq!(preview("\r\n12345678901234567890X"), "12345678901234567890");
        assert_eq!(preview("\r\n1234567890123456789 X"), "1234567890123456789");
        assert_eq!(preview("\r\n\u{200b}\u{feff}a\u{ad}b"), "ab");
        assert_eq!(preview("\r\n"), "");
    }

    #[test]
    fn quoted_lines_come_only_if_there_is_nothing_else() {
        assert_eq!(preview("\r\n> What?\r\nThat > this.\r\n"), "That > this.");
        assert_eq!(preview("\r\n> What?\r\n>\r\n"), "> What? >");
    }

    #[test]
    fn markup_is_no_text() {
        assert_eq!(html("<p>One</p><p>t<b>w</b>o<br/>three"), "One two three");
        assert_eq!(html("<style>p > a { }</style><!-- a > b -- c -->Hi"), "Hi");
        assert_eq!(html("<a title=\"x > y\" href='>'>link</a>"), "link");
        assert_eq!(html("<head><title>No</title><body>Yes"), "Yes");
        assert_eq!(
            html("1 &lt; 2 &amp;&amp; a<b &foo; &#65;&#x42;"),
            "1 < 2 && a"
        );
        assert_eq!(html("a < b &copy"), "a < b \u{a9}");
        assert_eq!(html("<script>if (a < b) {}</script >x"), "x");
        assert_eq!(html("&"), "&");
        assert_eq!(html("<"), "");
    }

    #[test]
    fn the_best_part_is_the_first_text_and_plain_before_html() {
        let parts = |types: &[&str], subtype: &str| {
            let mut message = format!("Content-Type: multipart/{subtype}; boundary=b\r\n\r\n");
            for (at, kind) in types.iter().enumerate() {
                message += &format!("--b\r\nContent-Type: {kind}\r\n\r\nText {at}\r\n");
            }
            preview(&(message + "--b--\r\n"))
        };
        assert_eq!(parts(&["text/html", "text/plain"], "alternative"), "Text 1");
        assert_eq!(parts(&["text/html", "text/plain"], "mixed"), "Text 0");
        assert_eq!(parts(&["image/png", "text/plain"], "mixed"), "Text 1");
        assert_eq!(parts(&["text/plain"], "encrypted"), "nothing");
        assert_eq!(
            parts(&["message/rfc822\r\n\r\nA: b", "image/png"], "mixed"),
            "nothing"
        );
        let attached = "text/plain\r\nContent-Disposition: ATTACHMENT";
        assert_eq!(parts(&[attached], "mixed"), "nothing");
    }
}

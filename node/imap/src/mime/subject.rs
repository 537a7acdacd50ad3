//! The base subject (RFC 5256 section 2.1), by which SORT and THREAD compare subjects.

/// A subject without what replies and forwards add to it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BaseSubject {
    /// Decoded, white space in it single spaces.
    pub text: String,
    /// Whether something was taken away that says that it is a reply or a forward.
    pub is_reply: bool,
}

/// The base subject of a Subject field's value. Linear in its length.
pub fn base_subject(value: &[u8]) -> BaseSubject {
    // Step 1.
    let words = super::decode_words(value);
    let words = words.split([' ', '\t', '\r', '\n']);
    let mut text = String::with_capacity(value.len());
    for word in words.filter(|word| !word.is_empty()) {
        if !text.is_empty() {
            text.push(' ');
        }
        text.push_str(word);
    }
    let mut rest = text.as_str();
    let mut is_reply = false;
    loop {
        // Step 2.
        rest = rest.trim_end_matches(' ');
        while let Some(before) = strip_end(rest, "(fwd)") {
            rest = before.trim_end_matches(' ');
            is_reply = true;
        }
        // Steps 3 to 5.
        rest = leaders(rest, &mut is_reply);
        // Step 6.
        match strip_start(rest, "[fwd:").and_then(|rest| rest.strip_suffix(']')) {
            Some(inner) => rest = inner,
            None => break,
        }
        is_reply = true;
    }
    BaseSubject {
        text: rest.to_owned(),
        is_reply,
    }
}

/// Takes `Re:` and its like away, and tags in brackets unless nothing would be left.
fn leaders<'a>(mut rest: &'a str, is_reply: &mut bool) -> &'a str {
    loop {
        rest = rest.trim_start_matches(' ');
        // All tags in a row are looked at together, so that none is read again and again.
        let (mut after, mut last) = (rest, None);
        while let Some(next) = blob(after) {
            last = Some(after);
            after = next;
        }
        rest = match (refwd(after), last) {
            (Some(next), _) => {
                *is_reply = true;
                next
            }
            (None, None) => return rest,
            (None, Some(last)) if after.is_empty() => return last,
            (None, Some(_)) => after,
        };
    }
}

/// What follows `subj-refwd`: `re`, `fw` or `fwd`, perhaps a tag, and a colon.
fn refwd(text: &str) -> Option<&str> {
    let names = ["re", "fwd", "fw"];
    let after = names.iter().find_map(|name| strip_start(text, name))?;
    let after = after.trim_start_matches(' ');
    blob(after).unwrap_or(after).strip_prefix(':')
}

/// What follows `subj-blob`: a tag in brackets without brackets in it, and white space.
fn blob(text: &str) -> Option<&str> {
    let inner = text.strip_prefix('[')?;
    let end = inner.find(['[', ']'])?;
    let after = inner.get(end..)?.strip_prefix(']')?;
    Some(after.trim_start_matches(' '))
}

/// What follows an ASCII prefix in any case.
fn strip_start<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let (start, rest) = text.split_at_checked(prefix.len())?;
    start.eq_ignore_ascii_case(prefix).then_some(rest)
}

/// What stands before an ASCII suffix in any case.
fn strip_end<'a>(text: &'a str, suffix: &str) -> Option<&'a str> {
    let at = text.len().checked_sub(suffix.len())?;
    let (rest, end) = text.split_at_checked(at)?;
    end.eq_ignore_ascii_case(suffix).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn base(subject: &str, text: &str, is_reply: bool) {
        let found = base_subject(subject.as_bytes());
        assert_eq!((found.text.as_str(), found.is_reply), (text, is_reply));
    }

    #[test]
    fn plain_ones_stay() {
        base("", "", false);
        base("Hello", "Hello", false);
        base("  a \t b\r\n c ", "a b c", false);
        base("Reading: a book", "Reading: a book", false);
        base("re", "re", false);
        base("Fwd", "Fwd", false);
        base("=?utf-8?Q?Gr=C3=BC=C3=9Fe?=", "Gr\u{fc}\u{df}e", false);
        base("a (fwd) b", "a (fwd) b", false);
    }

    #[test]
    fn replies_and_forwards() {
        base("Re: Hello", "Hello", true);
        base("RE:Hello", "Hello", true);
        base("re : fwd: Fw:  Hello", "Hello", true);
        base("Re[2]: Hello", "Hello", true);
        base("Re [list] : Hello", "Hello", true);
        base("Hello (fwd)", "Hello", true);
        base("Hello (FWD) (fwd)  ", "Hello", true);
        base("[fwd: Hello]", "Hello", true);
        base("[Fwd: [fwd: Re: Hello (fwd)] ]", "Hello", true);
        base("=?utf-8?Q?Re=3A_Gr=C3=BC=C3=9Fe?=", "Gr\u{fc}\u{df}e", true);
        base("Re:", "", true);
        base("(fwd)", "", true);
        base("[fwd:]", "", true);
    }

    #[test]
    fn tags() {
        base("[list] Hello", "Hello", false);
        base("[a][b] [c] Hello", "Hello", false);
        base("[list] Re: Hello", "Hello", true);
        base("Re: [list] Re: [x] Hello", "Hello", true);
        base("[list]", "[list]", false);
        base("[a][b]", "[b]", false);
        base("Re: [list]", "[list]", true);
        base("[a] [fwd: Hello]", "Hello", true);
        base("[unclosed Hello", "[unclosed Hello", false);
        base("[a [b] c", "[a [b] c", false);
        base("[fwd: Hello] there", "there", false);
    }

    /// Shapes that would take very long if something were read again and again.
    #[test]
    fn long_ones() {
        let times = 50_000;
        let tags = "[a]".repeat(times);
        base(&tags, "[a]", false);
        base(&format!("{tags}x"), "x", false);
        base(&"Re:".repeat(times), "", true);
        base(&"(fwd)".repeat(times), "", true);
        base(&"[".repeat(times), &"[".repeat(times), false);
        let nested = format!("{}x{}", "[fwd:".repeat(times), "]".repeat(times));
        base(&nested, "x", true);
    }
}

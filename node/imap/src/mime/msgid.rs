//! Message ids in Message-ID, References and In-Reply-To (RFC 5322 section 3.6.4), for THREAD.

/// The valid message ids of a field's value, in order, without their angle brackets.
///
/// Quoting and white space are gone, so that ids that mean the same are the same (RFC 5256 section
/// 3). What has no `@` with something on both sides is none.
pub fn message_ids(value: &[u8]) -> impl Iterator<Item = Vec<u8>> + '_ {
    let mut rest = value;
    std::iter::from_fn(move || {
        loop {
            let start = rest.iter().position(|&byte| byte == b'<')?;
            rest = rest.get(start + 1..)?;
            let (id, after) = id(rest);
            rest = after;
            if let Some(id) = id {
                return Some(id);
            }
        }
    })
}

/// The id that a text begins with, and what follows. A `<` before its end begins another one.
fn id(text: &[u8]) -> (Option<Vec<u8>>, &[u8]) {
    let mut id = Vec::new();
    let mut at_sign = None;
    let mut is_quoted = false;
    let mut place = 0;
    while let Some(&byte) = text.get(place) {
        place += 1;
        match byte {
            b'"' => is_quoted = !is_quoted,
            b'\\' if is_quoted => {
                id.extend(text.get(place));
                place += 1;
            }
            _ if is_quoted => id.push(byte),
            b'>' => {
                let is_valid = at_sign.is_some_and(|at| at > 0 && at + 1 < id.len());
                return (
                    is_valid.then_some(id),
                    text.get(place..).unwrap_or_default(),
                );
            }
            b'<' => return (None, text.get(place - 1..).unwrap_or_default()),
            b' ' | b'\t' | b'\r' | b'\n' => {}
            _ => {
                if byte == b'@' {
                    at_sign = Some(id.len());
                }
                id.push(byte);
            }
        }
    }
    (None, b"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn ids(value: &str, expected: &[&str]) {
        let found: Vec<String> = message_ids(value.as_bytes())
            .map(|id| String::from_utf8(id).unwrap())
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn ids_of_fields() {
        ids("<a@b>", &["a@b"]);
        ids("<a@b> <c@d>\r\n\t<e@f>", &["a@b", "c@d", "e@f"]);
        ids("<a@b><c@d>", &["a@b", "c@d"]);
        ids("Your message of Tuesday <a@b>", &["a@b"]);
        ids("<\"a\"@b> <\"a\\\"<>\"@b>", &["a@b", "a\"<>@b"]);
        ids("< a @\r\n b >", &["a@b"]);
        ids("<a@[1.2.3.4]>", &["a@[1.2.3.4]"]);
    }

    #[test]
    fn none_where_there_is_none() {
        ids("", &[]);
        ids("a@b", &[]);
        ids("<>", &[]);
        ids("<a>", &[]);
        ids("<@b> <a@>", &[]);
        ids("<a@b", &[]);
        ids("<a <c@d>", &["c@d"]);
        ids("<\"a@b>", &[]);
    }
}

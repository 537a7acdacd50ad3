//! The address grammar.

use lmtp::{Address, Error, Side};
use proptest::prelude::*;

fn recipient(path: &str) -> Result<Address, Error> {
    Address::parse(path, Side::Recipient, false)
}

fn parts(path: &str) -> (String, Option<String>, Option<String>) {
    let address = Address::parse(path, Side::Recipient, true).expect(path);
    (address.local, address.detail, address.domain)
}

fn expect(path: &str, local: &str, detail: Option<&str>, domain: Option<&str>) {
    let expected = (
        local.to_owned(),
        detail.map(str::to_owned),
        domain.map(str::to_owned),
    );
    assert_eq!(parts(path), expected, "{path}");
}

#[test]
fn good_addresses() {
    expect("a@b", "a", None, Some("b"));
    expect("Alice.B@Example.ORG", "Alice.B", None, Some("example.org"));
    expect("alice+work@b.c", "alice", Some("work"), Some("b.c"));
    expect(
        "alice+work+more@b.c",
        "alice",
        Some("work+more"),
        Some("b.c"),
    );
    expect("alice+@b.c", "alice", None, Some("b.c"));
    expect("+work@b.c", "+work", None, Some("b.c"));
    expect("\"alice\"@b.c", "alice", None, Some("b.c"));
    expect("\"al@ice+a b/c\"@b.c", "al@ice", Some("a b/c"), Some("b.c"));
    expect(r#""a\"b\\c>"@b.c"#, r#"a"b\c>"#, None, Some("b.c"));
    expect("Postmaster", "Postmaster", None, None);
    expect("a", "a", None, None);
    expect("@r:x", "x", None, None);
    expect("u@[192.0.2.1]", "u", None, Some("[192.0.2.1]"));
    expect(
        "u@[IPv6:2001:DB8::1]",
        "u",
        None,
        Some("[ipv6:2001:db8::1]"),
    );
    expect("@r.example,@[IPv6:::1]:u@b.c", "u", None, Some("b.c"));
    expect(
        "jörg+größe@bücher.example",
        "jörg",
        Some("größe"),
        Some("bücher.example"),
    );
    expect("u@my_host.local", "u", None, Some("my_host.local"));
    assert_eq!(recipient("@r.example:U+x@B.C").unwrap().raw, "U+x@B.C");
}

#[test]
fn bad_addresses() {
    for path in [
        "",
        "@",
        "@b",
        "a@",
        "a@@b",
        "a@b@c",
        "\"\"@d",
        "\"@d",
        "\"a\"b@d",
        ".a@b",
        "a.@b",
        "a..b@c",
        "a b@c",
        "a@b..c",
        "a@.b",
        "a@b.",
        "a@-b",
        "a@b-",
        "a@b c",
        "a@[1.2.3]",
        "a@[1.2.3.4",
        "a@[IPv6:1.2.3.4]",
        "a@[x:y]",
        "a@[]",
        "@r",
        "@r:",
        "a@b/c",
        "\"a\\",
        "\"a\\\"@b",
        "a\"b@c",
        "a\u{7f}@b",
        "\"\u{1}\"@b",
    ] {
        assert!(
            matches!(recipient(path), Err(Error::AddressSyntax(_))),
            "{path:?}"
        );
    }
    assert_eq!(recipient("jörg@b.c"), Err(Error::AddressUtf8));
    assert_eq!(recipient("a@bücher.c"), Err(Error::AddressUtf8));
}

#[test]
fn lengths() {
    let of = |local: usize, domain: usize| {
        let labels = "a.".repeat(domain / 2);
        format!(
            "{}@{}{}",
            "l".repeat(local),
            labels,
            "a".repeat(domain - labels.len())
        )
    };
    let fits = |path: &str, side| match Address::parse(path, side, false) {
        Ok(_) => true,
        Err(Error::AddressLength(_)) => false,
        Err(other) => panic!("{other}"),
    };
    assert!(fits(&of(64, 255), Side::Recipient));
    assert!(!fits(&of(65, 1), Side::Recipient));
    assert!(!fits(&of(1, 257), Side::Recipient));
    assert!(fits(&of(200, 99), Side::Sender));
    assert!(!fits(&of(320, 1), Side::Sender));
    assert!(fits(&format!("a@{}", "b".repeat(63)), Side::Recipient));
    assert!(!fits(&format!("a@{}", "b".repeat(64)), Side::Recipient));
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(path in "[ab+.@\"\\\\\\[\\]:<> ü\\x00-\\x7f]{0,40}") {
        for utf8 in [false, true] {
            if let Ok(address) = Address::parse(&path, Side::Recipient, utf8) {
                prop_assert!(path.ends_with(&address.raw));
                prop_assert!(!address.local.is_empty());
                prop_assert!(address.detail.is_none_or(|detail| !detail.is_empty()));
                prop_assert!(utf8 || address.raw.is_ascii());
            }
        }
    }

    /// Any local part survives quoting.
    #[test]
    fn quoted_local_parts(local in "[ -~]{1,30}") {
        let quoted: String = local.chars().flat_map(|char| ['\\', char]).collect();
        let address = recipient(&format!("\"{quoted}\"@b.c")).unwrap();
        let mut read = address.local;
        if let Some(detail) = address.detail {
            read = format!("{read}+{detail}");
        }
        prop_assert_eq!(read.trim_end_matches('+'), local.trim_end_matches('+'));
    }
}

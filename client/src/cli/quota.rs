//! `rookery account quota`: what an account uses and may.

use proto::v1::AdminQuota;
use serde_json::{Value, json};

use super::report::bytes_text;

/// For people.
pub(super) fn text(quota: &AdminQuota) -> String {
    let of =
        |limit: Option<String>| limit.map_or("no limit".to_owned(), |limit| format!("of {limit}"));
    format!(
        "{} ({}), {} messages ({}), {} mailboxes\n",
        bytes_text(quota.bytes),
        of(quota.bytes_max.map(bytes_text)),
        quota.messages,
        of(quota.messages_max.map(|messages| messages.to_string())),
        quota.mailboxes
    )
}

/// The same for programs.
pub(super) fn json(quota: &AdminQuota) -> Value {
    json!({
        "bytes": quota.bytes,
        "messages": quota.messages,
        "mailboxes": quota.mailboxes,
        "bytes_max": quota.bytes_max,
        "messages_max": quota.messages_max,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_shown() {
        let quota = AdminQuota {
            bytes: 2048,
            messages: 7,
            mailboxes: 6,
            bytes_max: None,
            messages_max: Some(10),
        };
        assert_eq!(
            text(&quota),
            "2.0 KiB (no limit), 7 messages (of 10), 6 mailboxes\n"
        );
        assert_eq!(json(&quota)["messages_max"], 10);
        assert_eq!(json(&quota)["bytes_max"], Value::Null);
    }
}

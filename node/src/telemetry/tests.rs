use std::io::Write;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

fn escaped(event: &str) -> String {
    let mut out = Vec::new();
    escape::Lines::new(&mut out)
        .write_all(event.as_bytes())
        .unwrap();
    String::from_utf8(out).unwrap()
}

async fn asked(request: &[u8]) -> String {
    let (mut client, server) = tokio::io::duplex(64 << 10);
    let served = tokio::spawn(endpoint::answer(server, || "rookery_up 1\n".to_owned()));
    client.write_all(request).await.unwrap();
    client.shutdown().await.unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();
    served.await.unwrap().unwrap();
    answer
}

#[test]
fn an_event_is_one_harmless_line() {
    assert_eq!(escaped("plain ünïcode\n"), "plain ünïcode\n");
    assert_eq!(
        escaped("user=a\r\nINFO forged\n"),
        "user=a\\r\\nINFO forged\n"
    );
    assert_eq!(
        escaped("\u{1b}[2J\u{9b}31m\u{202e}x\n"),
        "\\u{1b}[2J\\u{9b}31m\\u{202e}x\n"
    );
    assert_eq!(escaped("\n\n"), "\\n\n");
}

#[test]
fn formatted_panic_messages_are_withheld() {
    let caught = panic::catch_unwind(|| panic!("plain words")).unwrap_err();
    assert_eq!(literal(&*caught), "plain words");
    let secret = String::from("hunter2");
    let caught = panic::catch_unwind(|| panic!("password is {secret}")).unwrap_err();
    assert_eq!(literal(&*caught), "(withheld)");
}

#[test]
fn openraft_is_quiet_unless_named() {
    let directives = |level: &str| {
        let filter = filter(level).unwrap().to_string();
        let mut directives: Vec<String> = filter.split(',').map(str::to_owned).collect();
        directives.sort();
        directives
    };
    assert_eq!(directives("info"), ["info", "openraft=error"]);
    assert_eq!(
        directives("info,openraft=debug"),
        ["info", "openraft=debug"]
    );
    assert!(filter("=loud=").is_err());
}

#[test]
fn histograms_have_buckets() {
    let recorder = builder().build_recorder();
    let handle = recorder.handle();
    metrics::with_local_recorder(&recorder, || {
        metrics::histogram!("sync_seconds").record(0.003);
        metrics::counter!("things_total").increment(2);
    });
    let text = handle.render();
    assert!(
        text.contains("sync_seconds_bucket{le=\"0.005\"} 1"),
        "{text}"
    );
    assert!(text.contains("things_total 2"), "{text}");
}

#[tokio::test]
async fn metrics_are_served() {
    let answer = asked(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.contains("Content-Length: 13\r\n"), "{answer}");
    assert!(answer.ends_with("\r\n\r\nrookery_up 1\n"), "{answer}");
}

#[tokio::test]
async fn anything_else_is_refused() {
    assert!(
        asked(b"GET / HTTP/1.1\r\n\r\n")
            .await
            .starts_with("HTTP/1.1 404")
    );
    assert!(
        asked(b"POST /metrics HTTP/1.1\r\n\r\n")
            .await
            .starts_with("HTTP/1.1 405")
    );
    assert!(asked(b"nonsense\r\n\r\n").await.starts_with("HTTP/1.1 400"));
    assert!(
        asked(b"GET /metrics HTTP/1.1\r\n")
            .await
            .starts_with("HTTP/1.1 400")
    );
    assert!(asked(b"\xff\xfe\r\n\r\n").await.starts_with("HTTP/1.1 400"));
    assert!(asked(&[b'x'; 9 << 10]).await.starts_with("HTTP/1.1 400"));
}

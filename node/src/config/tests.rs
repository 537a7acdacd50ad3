use std::net::IpAddr;

use super::*;

const EXAMPLE: &str = include_str!("../../deploy/rookeryd.toml");

/// The least that must be set.
const LEAST: &str = r#"
[node]
id = 7
hostname = "mail7.example.org"
[advertise]
peer = "mail7.example.org:7400"
"#;

fn problems(text: &str) -> Vec<String> {
    match Config::from_toml(text) {
        Ok(_) => Vec::new(),
        Err(error) => error.to_string().lines().map(str::to_owned).collect(),
    }
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn the_example_is_the_defaults_and_what_must_be_set() {
    let example = Config::from_toml(EXAMPLE).unwrap();
    let mut expected = Config::default();
    expected.node.id = 1;
    expected.node.hostname = "mail1.example.org".into();
    expected.advertise.peer = "mail1.example.org:7400".into();
    assert_eq!(example, expected);
}

#[test]
fn the_example_names_every_key() {
    let all: toml::Table = toml::to_string(&Config::default())
        .unwrap()
        .parse()
        .unwrap();
    let example: toml::Table = EXAMPLE.parse().unwrap();
    for (section, keys) in &all {
        for key in keys.as_table().unwrap().keys() {
            let named = example[section.as_str()].get(key).is_some();
            assert!(named, "{section}.{key} is not in the example");
        }
    }
}

#[test]
fn little_is_enough() {
    let config = Config::from_toml(LEAST).unwrap();
    assert_eq!(config.node.id, 7);
    assert_eq!(config.raft, Raft::default());
    assert_eq!(Config::from_toml(&config.to_toml()).unwrap(), config);
}

#[test]
fn the_defaults_alone_are_refused_for_what_must_be_set() {
    let keys: Vec<String> = problems("")
        .iter()
        .map(|line| line.split(':').next().unwrap().to_owned())
        .collect();
    assert_eq!(keys, ["node.id", "node.hostname", "advertise.peer"]);
}

#[test]
fn unknown_keys_are_all_named() {
    let text = "[node]\nidd = 1\n[lissten]\npeer = 1\nimap = 2\n[raft]\nheartbeat = 5\n[log]\n";
    let found = problems(text);
    assert_eq!(found.len(), 3, "{found:#?}");
    assert!(
        found[0].starts_with("lissten: there is no such section"),
        "{found:#?}"
    );
    assert!(
        found[1].starts_with("node.idd: unknown field `idd`, expected one of"),
        "{found:#?}"
    );
    assert!(
        found[2].starts_with("raft.heartbeat: unknown field"),
        "{found:#?}"
    );
}

#[test]
fn wrong_types_are_all_named() {
    let text = r#"
        stray = 1
        [node]
        id = "one"
        [listen]
        peer = "nowhere"
        imap = "143"
        [login]
        plain = "maybe"
        [lmtp]
        networks = ["10.0.0.0/8", "10.0.0.1/8"]
        [proxy]
        networks = "10.0.0.0/8"
    "#;
    let found = problems(text);
    let keys: Vec<&str> = found
        .iter()
        .map(|line| line.split(": ").next().unwrap())
        .collect();
    let expected = [
        "listen.imap",
        "listen.peer",
        "lmtp.networks",
        "login.plain",
        "node.id",
        "proxy.networks",
        "stray",
    ];
    assert_eq!(keys, expected, "{found:#?}");
}

#[test]
fn values_out_of_range_are_all_named() {
    let text = r#"
        [node]
        id = 0
        data_dir = "relative"
        hostname = "-bad-.example.org"
        [listen]
        imap = "0.0.0.0:7401"
        lmtp = "127.0.0.1:0"
        [advertise]
        peer = "0.0.0.0:7400"
        imaps = "no port"
        [tls]
        mail_cert = "/etc/mail.pem"
        reload_secs = 0
        [raft]
        heartbeat_ms = 100
        election_ms_max = 150
        [storage]
        segment_bytes = 16777217
        log_kept_bytes = 0
        scrub_days = 0
        scrub_bytes_per_second = 1
        [limits]
        message_bytes_max = 1
        imap_messages_per_command_max = 999
        pre_auth_per_address_max = 0
        pre_auth_secs_max = 4
        [log]
        level = "info,=loud="
    "#;
    let found = problems(text);
    let keys: Vec<&str> = found
        .iter()
        .map(|line| line.split(": ").next().unwrap())
        .collect();
    let expected = [
        "node.id",
        "node.data_dir",
        "node.hostname",
        "advertise.peer",
        "advertise.imaps",
        "listen.imap",
        "listen.lmtp",
        "tls.mail_cert",
        "tls.reload_secs",
        "raft.election_ms_min",
        "raft.election_ms_max",
        "storage.segment_bytes",
        "storage.log_kept_bytes",
        "storage.scrub_days",
        "storage.scrub_bytes_per_second",
        "limits.message_bytes_max",
        "limits.imap_messages_per_command_max",
        "limits.pre_auth_per_address_max",
        "limits.pre_auth_secs_max",
        "log.level",
    ];
    assert_eq!(keys, expected, "{found:#?}");
}

#[test]
fn no_toml_is_one_error_with_its_place() {
    let error = Config::from_toml("[node\nid = 1").unwrap_err();
    assert!(matches!(error, ConfigError::Syntax { .. }));
    assert!(error.to_string().contains("line 1"), "{error}");
}

#[test]
fn an_absent_file_is_named() {
    let error = Config::load(Path::new("/nonexistent/rookeryd.toml")).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("cannot read /nonexistent/rookeryd.toml:"),
        "{error}"
    );
}

#[test]
fn doors_can_be_off() {
    let text = format!("{LEAST}\n[listen]\nimap = \"off\"\nmetrics = \"off\"");
    let config = Config::from_toml(&text).unwrap();
    assert_eq!((config.listen.imap, config.listen.metrics), (None, None));
    assert_eq!(config.advertised().imap, "");
    assert_eq!(config.advertised().imaps, "mail7.example.org:993");
    assert_eq!(config.advertised().admin, "127.0.0.1:7401");
    assert_eq!(config.advertised().peer, "mail7.example.org:7400");
}

#[test]
fn networks_contain_what_they_say() {
    let contains =
        |network: &str, address: &str| network.parse::<Network>().unwrap().contains(ip(address));
    assert!(contains("10.0.0.0/8", "10.255.0.1"));
    assert!(!contains("10.0.0.0/8", "11.0.0.1"));
    assert!(contains("10.0.0.0/8", "::ffff:10.1.2.3"));
    assert!(contains("192.0.2.1", "192.0.2.1"));
    assert!(!contains("192.0.2.1", "192.0.2.0"));
    assert!(contains("0.0.0.0/0", "203.0.113.9"));
    assert!(!contains("0.0.0.0/0", "2001:db8::1"));
    assert!(contains("2001:db8::/32", "2001:db8:ffff::1"));
    assert!(!contains("2001:db8::/32", "2001:db9::1"));
    for wrong in [
        "",
        "10.0.0.0/33",
        "10.0.0.0/",
        "10.0.0.0/x",
        "10.0.0.1/8",
        "host/8",
        "::/129",
    ] {
        assert!(wrong.parse::<Network>().is_err(), "{wrong}");
    }
}

#[test]
fn who_may_deliver() {
    let mut lmtp = Lmtp::default();
    assert!(lmtp.allows(ip("127.0.0.9")) && lmtp.allows(ip("::1")));
    assert!(!lmtp.allows(ip("192.0.2.1")));
    assert!(lmtp.may_connect(ip("192.0.2.1")), "to show a certificate");
    lmtp.client_certificates = false;
    assert!(!lmtp.may_connect(ip("192.0.2.1")));
}

#[test]
fn where_passwords_may_travel() {
    assert!(PlainLogin::Loopback.allows(ip("::ffff:127.0.0.1")));
    assert!(!PlainLogin::Loopback.allows(ip("192.0.2.1")));
    assert!(!PlainLogin::Never.allows(ip("127.0.0.1")));
    assert!(PlainLogin::Always.allows(ip("192.0.2.1")));
}

#[test]
fn tokens_need_an_issuer_and_an_audience() {
    let text = |more: &str| format!("{LEAST}[oauth]\nkeys = [\"/etc/rookery/id.pem\"]\n{more}");
    let keys: Vec<String> = problems(&text("user_claim = \"\"\ndiscovery = \"http://id\"\n"))
        .iter()
        .map(|line| line.split(':').next().unwrap().to_owned())
        .collect();
    let expected = [
        "oauth.issuer",
        "oauth.audience",
        "oauth.user_claim",
        "oauth.discovery",
    ];
    assert_eq!(keys, expected);
    assert_eq!(
        problems(&text("issuer = \"i\"\naudience = \"a\"\n")),
        [""; 0]
    );
}

#[test]
fn proxies_are_where_they_are_said_to_be() {
    let text = format!("{LEAST}[proxy]\nnetworks = [\"10.1.0.0/16\"]\n");
    let proxy = Config::from_toml(&text).unwrap().proxy;
    assert!(proxy.expects(ip("10.1.2.3")) && proxy.expects(ip("::ffff:10.1.2.3")));
    assert!(!proxy.expects(ip("10.2.0.0")) && !Proxy::default().expects(ip("127.0.0.1")));
}

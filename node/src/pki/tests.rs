use std::os::unix::fs::PermissionsExt;

use clap::Parser;

use super::*;
use crate::tls::{Identity, identity};

#[derive(Parser)]
struct Line {
    #[command(subcommand)]
    command: Command,
}

fn said(words: &[&str]) -> Result<Made, String> {
    let line = Line::try_parse_from([&["pki"], words].concat()).map_err(|e| e.to_string())?;
    run(&line.command).map_err(|error| error.to_string())
}

fn holder(made: &Made) -> Identity {
    let der = CertificateDer::from_pem_file(&made.certificate).unwrap();
    identity(&der)
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn the_commands_make_what_they_say() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("new").display().to_string();
    let ca = said(&["init", "--dir", &dir]).unwrap();
    assert_eq!((mode(&ca.key), mode(&ca.certificate)), (0o600, 0o644));
    assert_eq!(mode(Path::new(&dir)), 0o700);

    let node = [
        "node",
        "--dir",
        &dir,
        "--id",
        "7",
        "--host",
        "mail7.example.org",
        "192.0.2.7",
    ];
    let node = said(&node).unwrap();
    assert_eq!(node.certificate, Path::new(&dir).join("node-7.pem"));
    assert_eq!(mode(&node.key), 0o600);
    assert_eq!(holder(&node), Identity::Node(7));

    let admin = said(&["admin", "--dir", &dir, "--name", "ruth"]).unwrap();
    assert_eq!(holder(&admin), Identity::Admin("ruth".into()));
    let mta = said(&["lmtp-client", "--dir", &dir]).unwrap();
    assert_eq!(holder(&mta), Identity::LmtpClient("mta".into()));
    assert_eq!(holder(&ca), Identity::Other);
}

#[test]
fn nothing_is_overwritten_unless_told() {
    let dir = tempfile::tempdir().unwrap();
    let (_, made) = Authority::init(dir.path(), Making::default()).unwrap();
    let before = fs::read(&made.key).unwrap();
    let again = Authority::init(dir.path(), Making::default());
    assert!(matches!(again, Err(PkiError::Exists(_))));
    fs::remove_file(&made.certificate).unwrap();
    let again = Authority::init(dir.path(), Making::default());
    assert!(matches!(again, Err(PkiError::Exists(path)) if path == made.key));
    assert_eq!(fs::read(&made.key).unwrap(), before);

    let making = Making {
        force: true,
        ..Making::default()
    };
    Authority::init(dir.path(), making).unwrap();
    assert_ne!(fs::read(&made.key).unwrap(), before);
    assert_eq!(mode(&made.key), 0o600);
}

#[test]
fn names_that_would_lie_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (authority, _) = Authority::init(dir.path(), Making::default()).unwrap();
    for host in [
        "node-2.rookery.internal",
        "Admin.Rookery.Internal",
        "rookery-admin.internal",
    ] {
        let made = authority.node(1, &[host.to_owned()], Making::default());
        assert!(matches!(made, Err(PkiError::Name { .. })), "{host}");
    }
    for name in ["", "a b", "x\n", "ä", "../../etc/passwd"] {
        let made = authority.admin(name, Making::default());
        assert!(matches!(made, Err(PkiError::Name { .. })), "{name:?}");
    }
    assert!(authority.node(0, &[], Making::default()).is_err());
}

#[test]
fn an_authority_whose_files_do_not_fit_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    assert!(matches!(
        Authority::open(dir.path()),
        Err(PkiError::Io { .. })
    ));
    let (authority, ca) = Authority::init(dir.path(), Making::default()).unwrap();
    let node = authority.node(1, &[], Making::default()).unwrap();
    Authority::open(dir.path()).unwrap();

    fs::copy(&node.key, &ca.key).unwrap();
    let error = Authority::open(dir.path())
        .map(drop)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("is not the key of the first certificate"),
        "{error}"
    );
    fs::copy(&node.certificate, &ca.certificate).unwrap();
    let error = Authority::open(dir.path())
        .map(drop)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("is not the certificate of an authority"),
        "{error}"
    );
}

#[test]
fn wrong_words_are_refused() {
    for words in [
        &["node", "--dir", "x", "--id", "0", "--host", "a"][..],
        &["node", "--dir", "x", "--id", "1"],
        &["init", "--dir", "x", "--days", "0"],
        &["init"],
        &["sign"],
    ] {
        assert!(said(words).is_err(), "{words:?}");
    }
}

//! A node that cannot start says why in one line, and has written nothing.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{MutexGuard, PoisonError};

use node::config::Config;
use node::demo::plan::{Options, Plan};
use node::demo::ports::Ports;
use node::identity;
use node::pki::{Authority, Made, Making};

use super::cluster::PORTS;

const ROOKERYD: &str = env!("CARGO_BIN_EXE_rookeryd");

/// A node that is configured and does not run.
struct Place {
    dir: tempfile::TempDir,
    config: Config,
    _ports: Option<MutexGuard<'static, ()>>,
}

impl Place {
    /// One that was never started; its data directory is empty.
    fn new() -> Self {
        let ports = PORTS.lock().unwrap_or_else(PoisonError::into_inner);
        Self {
            _ports: Some(ports),
            ..Self::beside_one_that_runs()
        }
    }

    fn beside_one_that_runs() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let options = Options {
            ports: Ports::Any,
            segment_bytes: Some(16 << 20),
            ..Options::default()
        };
        let plan = Plan::create(dir.path(), 1, &options).unwrap();
        let config = Config::load(&plan.nodes[0].config).unwrap();
        Self {
            dir,
            config,
            _ports: None,
        }
    }

    /// One that has run: it has a log and an index.
    fn used() -> Self {
        let place = Self::new();
        place.use_once();
        place
    }

    fn use_once(&self) {
        let mut child = self.run();
        drop(child.stdin.take());
        assert!(child.wait().unwrap().success());
        assert!(self.config.node.data_dir.join("NODE").exists());
    }

    /// A node that serves until its standard input is closed.
    fn run(&self) -> Child {
        let mut command = command(&self.write());
        command.stdin(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut said = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        while !line.contains("serving") {
            line.clear();
            assert!(said.read_line(&mut line).unwrap() > 0, "it ended");
        }
        // What it says later must go somewhere.
        std::thread::spawn(move || std::io::copy(&mut said, &mut std::io::sink()));
        child
    }

    fn write(&self) -> PathBuf {
        let path = self.dir.path().join("rookeryd.toml");
        fs::write(&path, self.config.to_toml()).unwrap();
        path
    }

    fn pki(&self) -> Authority {
        Authority::open(&self.dir.path().join("pki")).unwrap()
    }

    /// It does not start, for this reason, and has touched nothing.
    fn refuses(&self, what: &str, why: &str) {
        self.refuses_as(what, why, &mut command(&self.write()));
    }

    fn refuses_as(&self, what: &str, why: &str, command: &mut Command) {
        let before = contents(&self.config.node.data_dir);
        let lines = refusal(what, &command.output().unwrap());
        assert_eq!(lines.len(), 1, "{what}: {lines:#?}");
        assert!(lines[0].contains(why), "{what}: {lines:#?}");
        let after = contents(&self.config.node.data_dir);
        assert!(
            after == before,
            "{what}: {:#?}",
            difference(&before, &after)
        );
    }
}

/// Ends as soon as it serves, if it does.
fn command(config: &Path) -> Command {
    let mut command = Command::new(ROOKERYD);
    command.arg("--config").arg(config).arg("--exit-with-stdin");
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    command.env("RUST_BACKTRACE", "1").env_remove("RUST_LOG");
    command
}

/// What was said by a node that did not start: lines that begin with its name.
fn refusal(what: &str, output: &Output) -> Vec<String> {
    let said = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(output.status.code(), Some(1), "{what}: {said}");
    assert_eq!(output.stdout, b"", "{what}");
    println!("{what}:\n{said}");
    let lines: Vec<String> = said.lines().map(str::to_owned).collect();
    for line in &lines {
        let is_clear = line.starts_with("rookeryd: ") && line.len() < 400;
        assert!(is_clear, "{what}: {said}");
        assert!(!line.chars().any(char::is_control), "{what}: {said}");
        let parts: Vec<&str> = line.split(": ").collect();
        let is_told_once = parts.windows(2).all(|two| two[0] != two[1]);
        assert!(is_told_once, "{what}: {said}");
    }
    lines
}

/// All that a folder holds: names, modes, bytes by their hash. None if it is not there.
fn contents(folder: &Path) -> Option<Vec<(PathBuf, u32, Option<blake3::Hash>)>> {
    let mut found = Vec::new();
    let mut paths = vec![folder.to_owned()];
    while let Some(path) = paths.pop() {
        let Ok(known) = path.symlink_metadata() else {
            return None;
        };
        let bytes = if known.is_dir() {
            let entries = fs::read_dir(&path).unwrap();
            paths.extend(entries.map(|entry| entry.unwrap().path()));
            None
        } else {
            Some(blake3::hash(&fs::read(&path).unwrap()))
        };
        found.push((path, known.permissions().mode(), bytes));
    }
    found.sort_by(|a, b| a.0.cmp(&b.0));
    Some(found)
}

type Contents = Option<Vec<(PathBuf, u32, Option<blake3::Hash>)>>;

fn difference(before: &Contents, after: &Contents) -> Vec<PathBuf> {
    let none = Vec::new();
    let (before, after) = (
        before.as_ref().unwrap_or(&none),
        after.as_ref().unwrap_or(&none),
    );
    let changed = after.iter().filter(|one| !before.contains(one));
    let gone = before.iter().filter(|one| !after.contains(one));
    changed.chain(gone).map(|one| one.0.clone()).collect()
}

fn rewrite(path: &Path, from: &str, to: &str) {
    let text = fs::read_to_string(path).unwrap();
    assert!(text.contains(from), "{text}");
    fs::write(path, text.replace(from, to)).unwrap();
}

/// CRC-32C (RFC 3720 section B.4), bit by bit.
fn crc32c(bytes: &[u8]) -> u32 {
    let step = |crc: u32, byte: &u8| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ if crc & 1 == 1 { 0x82F6_3B78 } else { 0 }
        })
    };
    !bytes.iter().fold(!0, step)
}

#[test]
fn data_directories_that_are_not_ours() {
    let place = Place::used();
    let data = &place.config.node.data_dir;
    let node = data.join("NODE");
    let good = fs::read(&node).unwrap();
    for (what, from, to, why) in [
        (
            "a newer format",
            "format = 1",
            "format = 2",
            "has format 2; this binary knows 1",
        ),
        (
            "a newer format with unknown fields",
            "format = 1",
            "format = 2\nfuture = { x = [1] }",
            "has format 2; this binary knows 1",
        ),
        (
            "newer features",
            "feature_level = 0",
            "feature_level = 9",
            "has feature level 9; this binary knows",
        ),
        (
            "another node's",
            "node = 1",
            "node = 7",
            "belongs to node 7, not to node 1",
        ),
        (
            "a damaged NODE",
            "format",
            "for\u{1b}mat",
            "NODE is not understood: ",
        ),
        (
            "an unknown field",
            "format = 1",
            "format = 1\nx = 1",
            "unknown field `x`",
        ),
    ] {
        rewrite(&node, from, to);
        place.refuses(what, why);
        fs::write(&node, &good).unwrap();
    }
    fs::write(&node, "").unwrap();
    place.refuses("an empty NODE", "NODE is not understood: ");
    fs::write(&node, b"\xff\xfe").unwrap();
    place.refuses("a NODE of noise", "NODE");
    fs::write(&node, &good).unwrap();

    // The log has a format of its own.
    let segment = data.join("log/0000000000000001.seg");
    let sealed = fs::read(&segment).unwrap();
    let mut newer = sealed.clone();
    let known = seglog::FORMAT_VERSION;
    newer[8..12].copy_from_slice(&(known + 1).to_le_bytes());
    let checksum = crc32c(&newer[..12]);
    newer[12..16].copy_from_slice(&checksum.to_le_bytes());
    fs::write(&segment, &newer).unwrap();
    place.refuses(
        "a newer log",
        &format!(
            "the log has format {}, this program knows up to {known}",
            known + 1
        ),
    );
    fs::write(&segment, &sealed).unwrap();
    rewrite(&node, "log = \"", "log = \"f");
    place.refuses("a log of another length", "NODE is not understood: ");
    fs::write(&node, &good).unwrap();
    let other = if good.windows(8).any(|window| window == b"log = \"0") {
        "1"
    } else {
        "0"
    };
    let text = String::from_utf8(good.clone()).unwrap();
    let at = text.find("log = \"").unwrap() + 7;
    let text = format!("{}{other}{}", &text[..at], &text[at + 1..]);
    fs::write(&node, text).unwrap();
    place.refuses(
        "another log",
        "0000000000000001.seg is not a segment of this log",
    );
    fs::write(&node, &good).unwrap();

    // After all that it is as it was.
    place.use_once();
}

#[test]
fn a_directory_in_use() {
    let first = Place::new();
    let mut running = first.run();
    // The same directory, and other ports.
    let mut second = Place::beside_one_that_runs();
    second
        .config
        .node
        .data_dir
        .clone_from(&first.config.node.data_dir);
    let output = command(&second.write()).output().unwrap();
    let lines = refusal("a second process", &output);
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(
        lines[0].contains("is in use by another process"),
        "{lines:?}"
    );
    let imap = std::net::TcpStream::connect(first.config.listen.imap.unwrap());
    let mut greeting = String::new();
    BufReader::new(imap.unwrap())
        .read_line(&mut greeting)
        .unwrap();
    assert!(
        greeting.starts_with("* OK "),
        "the first goes on: {greeting}"
    );
    drop(running.stdin.take());
    assert!(running.wait().unwrap().success());

    // With nobody else at it, the same again byte by byte.
    let lock = identity::lock(&first.config.node.data_dir).unwrap();
    first.refuses("a lock that somebody holds", "is in use by another process");
    drop(lock);
    first.use_once();
}

#[test]
fn certificates() {
    let mut place = Place::used();
    let good = place.config.tls.clone();
    let made = |made: Made| (made.certificate, made.key);
    let hosts = ["localhost".to_owned()];

    let elsewhere = tempfile::tempdir().unwrap();
    let (other, _) = Authority::init(elsewhere.path(), Making::default()).unwrap();
    let foreign = made(other.node(1, &hosts, Making::default()).unwrap());
    let wrong = made(place.pki().node(2, &hosts, Making::default()).unwrap());
    let admin = made(place.pki().admin("ruth", Making::default()).unwrap());
    let absent = place.dir.path().join("absent.pem");
    let noise = place.dir.path().join("noise.pem");
    fs::write(
        &noise,
        "-----BEGIN CERTIFICATE-----\nnoise\n-----END CERTIFICATE-----\n",
    )
    .unwrap();
    let empty = place.dir.path().join("empty.pem");
    fs::write(&empty, "").unwrap();

    let pairs = [
        (
            "another authority's",
            foreign.clone(),
            "is not signed by the cluster's authority",
        ),
        ("another node's", wrong, "is not the certificate of node 1"),
        ("an operator's", admin, "is not the certificate of node 1"),
        ("an expired one", expired(&place), "certificate expired"),
        (
            "no certificate",
            (absent.clone(), good.key.clone()),
            "cannot read ",
        ),
        (
            "no key",
            (good.cert.clone(), absent.clone()),
            "cannot read ",
        ),
        (
            "another key",
            (good.cert.clone(), foreign.1),
            "does not fit",
        ),
        ("noise", (noise, good.key.clone()), "noise.pem: "),
        (
            "an empty file",
            (empty.clone(), good.key.clone()),
            "holds no certificate",
        ),
        (
            "an empty key",
            (good.cert.clone(), empty.clone()),
            "holds no private key",
        ),
    ];
    for (what, (cert, key), why) in pairs {
        (place.config.tls.cert, place.config.tls.key) = (cert, key);
        place.refuses(what, why);
    }
    place.config.tls = good.clone();
    for (what, ca, why) in [
        ("no authority", absent, "cannot read "),
        ("an empty authority", empty, "holds no certificate"),
        (
            "another authority",
            elsewhere.path().join("ca.pem"),
            "is not signed by",
        ),
    ] {
        place.config.tls.ca = ca;
        place.refuses(what, why);
    }
    place.config.tls = good;
    place.use_once();
}

/// A certificate of node 1 whose time is over.
fn expired(place: &Place) -> (PathBuf, PathBuf) {
    use rcgen::{CertificateParams, Issuer, KeyPair};
    let pki = place.dir.path().join("pki");
    let authority = KeyPair::from_pem(&fs::read_to_string(pki.join("ca.key")).unwrap()).unwrap();
    let ca = fs::read_to_string(pki.join("ca.pem")).unwrap();
    let issuer = Issuer::from_ca_cert_pem(&ca, authority).unwrap();
    let name = node::tls::identity::node_name(1);
    let mut params = CertificateParams::new(vec![name]).unwrap();
    params.not_before = rcgen::date_time_ymd(2020, 1, 1);
    params.not_after = rcgen::date_time_ymd(2021, 1, 1);
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, &issuer).unwrap();
    let paths = (pki.join("expired.pem"), pki.join("expired.key"));
    fs::write(&paths.0, certificate.pem()).unwrap();
    fs::write(&paths.1, key.serialize_pem()).unwrap();
    paths
}

#[test]
fn configurations() {
    let place = Place::used();
    let path = place.write();
    let good = fs::read_to_string(&path).unwrap();
    let before = contents(&place.config.node.data_dir);
    let data_dir = format!("{:?}", place.config.node.data_dir.display().to_string());
    for (what, from, to, whys) in [
        (
            "an unknown key",
            "[node]",
            "[node]\nidd = 1",
            &["node.idd: unknown field `idd`"][..],
        ),
        (
            "an unknown section",
            "[node]",
            "[nodes]\nx = 1\n[node]",
            &["nodes: there is no such section"],
        ),
        (
            "an unknown key at the top",
            "[node]",
            "x = 1\n[node]",
            &["x: unknown field"],
        ),
        (
            "a wrong type",
            "id = 1\n",
            "id = \"one\"\n",
            &["node.id: invalid type"],
        ),
        ("a number too small", "id = 1\n", "id = 0\n", &["node.id: "]),
        ("a negative number", "id = 1\n", "id = -1\n", &["node.id: "]),
        (
            "a relative directory",
            &data_dir,
            "\"data\"",
            &["node.data_dir: must be an absolute"],
        ),
        (
            "a host name",
            "\"localhost\"",
            "\"local host\"",
            &["node.hostname: "],
        ),
        (
            "a limit",
            "message_bytes_max = 52428800",
            "message_bytes_max = 1",
            &["limits.message_bytes_max: 1 is not within"],
        ),
        (
            "a log level",
            "level = \"info\"",
            "level = \"loud=1=2\"",
            &["log.level: "],
        ),
        (
            "a network",
            "\"127.0.0.0/8\"",
            "\"127.0.0.0/99\"",
            &["lmtp.networks: "],
        ),
        (
            "an address",
            "peer = \"127.0.0.1:",
            "peer = \"localhost:",
            &["listen.peer: "],
        ),
        ("no TOML", "[node]", "[node", &["not valid TOML: line 1: "]),
        (
            "no TOML, further down",
            "[log]",
            "[log]\n= 3",
            &["not valid TOML: line "],
        ),
        (
            "a key twice",
            "[log]",
            "[log]\nlevel = \"info\"",
            &["not valid TOML: line "],
        ),
        (
            "three at once",
            "id = 1\n",
            "id = 0\nfoo = 1\nbar = 2\n",
            &[
                "node.bar: unknown field `bar`",
                "node.foo: unknown field `foo`",
            ],
        ),
    ] {
        assert!(good.contains(from), "{what}: {good}");
        fs::write(&path, good.replacen(from, to, 1)).unwrap();
        let lines = refusal(what, &command(&path).output().unwrap());
        assert_eq!(lines.len(), whys.len(), "{what}: {lines:#?}");
        for (line, why) in lines.iter().zip(whys) {
            assert!(
                line.starts_with(&format!("rookeryd: {why}")),
                "{what}: {line}"
            );
        }
    }
    fs::write(&path, b"\xff\xfe[node]").unwrap();
    let lines = refusal("no text", &command(&path).output().unwrap());
    assert_eq!(lines.len(), 1, "{lines:?}");
    fs::remove_file(&path).unwrap();
    let lines = refusal("no file", &command(&path).output().unwrap());
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].starts_with(&format!("rookeryd: cannot read {}: ", path.display())));
    let lines = refusal("a folder", &command(place.dir.path()).output().unwrap());
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(contents(&place.config.node.data_dir) == before);
    place.use_once();
}

#[test]
fn ports_that_are_taken() {
    let place = Place::used();
    let listen = place.config.listen.clone();
    for (door, address) in [
        ("peer", Some(listen.peer)),
        ("admin", Some(listen.admin)),
        ("imap", listen.imap),
        ("imaps", listen.imaps),
        ("lmtp", listen.lmtp),
        ("metrics", listen.metrics),
    ] {
        let address = address.unwrap();
        let _guest = TcpListener::bind(address).unwrap();
        place.refuses(
            door,
            &format!("cannot listen on {address} ({door}): Address already in use"),
        );
    }
    let mut place = place;
    place.config.listen.imap = Some("192.0.2.1:10143".parse().unwrap());
    place.refuses(
        "an address of another machine",
        "cannot listen on 192.0.2.1:10143 (imap): ",
    );
}

/// A file system of its own, as long as this lives.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// None where this user may not mount.
    fn mount(path: &Path, mib: u32) -> Option<Self> {
        fs::create_dir(path).unwrap();
        let mounted = Command::new("mount")
            .args([
                "-t",
                "tmpfs",
                "-o",
                &format!("size={mib}m,mode=0755"),
                "tmpfs",
            ])
            .arg(path)
            .stderr(Stdio::null())
            .status();
        mounted
            .is_ok_and(|status| status.success())
            .then(|| Self(path.to_owned()))
    }

    fn fill(&self) -> PathBuf {
        let path = self.0.join("filler");
        let mut file = fs::File::create(&path).unwrap();
        while file.write_all(&[0; 4096]).is_ok() {}
        path
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg("-l").arg(&self.0).status();
        drop(unmounted);
    }
}

#[test]
fn a_full_disk() {
    let mut place = Place::new();
    let disk = SmallDisk::mount(&place.dir.path().join("disk"), 40);
    let Some(disk) = disk else {
        println!("SKIPPED: a small disk cannot be mounted here; see a_limit_on_files");
        return;
    };
    let room = "has no room for ";
    place.config.node.data_dir = disk.0.join("data");
    let filler = disk.fill();
    place.refuses("a new node", room);
    fs::create_dir(&place.config.node.data_dir).unwrap();
    place.refuses("a new node in a folder that is there", room);
    fs::remove_file(&filler).unwrap();

    place.use_once();
    let filler = disk.fill();
    place.refuses("a node that has run", room);
    fs::remove_file(&filler).unwrap();
    place.use_once();
}

/// RLIMIT_FSIZE, where the kernel would end the process without a word.
#[test]
fn a_limit_on_files() {
    let place = Place::new();
    let limited = |place: &Place| {
        let mut command = Command::new("sh");
        // In blocks of 512 or 1024 bytes, by the shell.
        command.args([
            "-c",
            "ulimit -f 1000; exec \"$0\" --config \"$1\" --exit-with-stdin",
        ]);
        command
            .arg(ROOKERYD)
            .arg(place.write())
            .stdin(Stdio::null());
        command.env("RUST_BACKTRACE", "1").env_remove("RUST_LOG");
        command
    };
    let why = "has no room for 16777216 bytes: files may have ";
    place.refuses_as("a new node", why, &mut limited(&place));
    place.use_once();
    place.refuses_as("a node that has run", why, &mut limited(&place));
}

#[test]
fn a_directory_that_cannot_be_written() {
    let mut place = Place::used();
    let data = place.config.node.data_dir.clone();
    let mode = |mode| fs::set_permissions(&data, fs::Permissions::from_mode(mode)).unwrap();
    // A server gives its rights up before it opens files, so this holds for root as well.
    mode(0o500);
    place.refuses("a node that has run", "Permission denied");
    place.config.node.data_dir = data.join("below/data");
    place.refuses("a new node", "Permission denied");
    mode(0o700);
    let file = place.dir.path().join("file");
    fs::write(&file, "").unwrap();
    place.config.node.data_dir = file.join("data");
    place.refuses("a file in the way", "Not a directory");
    place.config.node.data_dir = file;
    place.refuses("a file instead", "");
}

//! A node that is asked to stop: it hands over, and sends nobody away in the middle of something.

use std::sync::Arc;
use std::time::Duration;

use chaos::cluster::{Cluster, DOMAIN, PASSWORD};
use chaos::limits::LOOK_EVERY;
use chaos::load::Door;
use chaos::mail::wire::Wire;
use chaos::scenario::stage::Stage;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};

use super::smoke::{block_on, setting};

/// So that a test ends.
const PATIENCE: Duration = Duration::from_secs(60);

const HALF: &str = "Subject: half\r\n\r\n";

const REST: &str = "and the other half\r\n";

/// Lines up to one that begins so.
async fn until(wire: &mut Wire, start: &str) -> Vec<String> {
    let mut said = Vec::new();
    while let Some(line) = wire.response().await.unwrap() {
        let is_last = line.starts_with(start);
        said.push(line);
        if is_last {
            return said;
        }
    }
    panic!("no {start}: {said:?}");
}

async fn ask(wire: &mut Wire, send: &str, start: &str) -> String {
    wire.send(send.as_bytes()).await.unwrap();
    until(wire, start).await.pop().unwrap()
}

/// The end of a connection: what is still said before it.
async fn rest(wire: &mut Wire) -> Vec<String> {
    let mut said = Vec::new();
    while let Some(line) = wire.response().await.unwrap() {
        said.push(line);
    }
    said
}

struct Scene {
    cluster: Arc<Cluster>,
    door: Door,
    user: String,
}

impl Scene {
    async fn imap(&self) -> Wire {
        let mut wire = Wire::connect(self.door.imap).await.unwrap();
        until(&mut wire, "* OK").await;
        let login = format!("l LOGIN {}@{DOMAIN} {PASSWORD}\r\n", self.user);
        ask(&mut wire, &login, "l OK").await;
        wire
    }

    async fn lmtp(&self) -> Wire {
        let mut wire = Wire::connect(self.door.lmtp).await.unwrap();
        until(&mut wire, "220").await;
        ask(&mut wire, "LHLO else.example\r\n", "250 ").await;
        wire
    }

    /// One that has sent half of a message by LMTP.
    async fn delivering(&self) -> Wire {
        let mut wire = self.lmtp().await;
        ask(&mut wire, "MAIL FROM:<a@else.example>\r\n", "250").await;
        let to = format!("RCPT TO:<{}@{DOMAIN}>\r\n", self.user);
        ask(&mut wire, &to, "250").await;
        ask(&mut wire, "DATA\r\n", "354").await;
        wire.send(HALF.as_bytes()).await.unwrap();
        wire
    }

    /// One that has sent half of a message by APPEND.
    async fn appending(&self) -> Wire {
        let mut wire = self.imap().await;
        let append = format!("a APPEND INBOX {{{}}}\r\n", HALF.len() + REST.len());
        ask(&mut wire, &append, "+").await;
        wire.send(HALF.as_bytes()).await.unwrap();
        wire
    }

    /// Makes this node lead what can be led.
    async fn lead(&self) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let leaders = self.cluster.leaders().await;
            let mut others = leaders.iter().filter(|(_, it)| it.node != self.door.node);
            let Some((group, _)) = others.next() else {
                return;
            };
            drop(self.cluster.transfer(*group, self.door.node).await);
            assert!(Instant::now() < deadline, "{leaders:?}");
        }
    }

    /// Waits until others lead everything.
    async fn leads_nothing(&self) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let leaders = self.cluster.leaders().await;
            if leaders.values().all(|leader| leader.node != self.door.node) {
                return;
            }
            assert!(Instant::now() < deadline, "{leaders:?}");
            sleep(LOOK_EVERY).await;
        }
    }
}

/// The drain of a node, from SIGTERM to its end.
#[test]
fn a_node_stops_in_peace() {
    block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let stage = Stage::set(&setting(&dir, 7).await).await.unwrap();
        let scene = Scene {
            cluster: Arc::clone(&stage.cluster),
            door: stage.scene.doors()[0],
            user: stage.scene.accounts[0].name.clone(),
        };
        let node = scene.door.node;
        scene.cluster.settle().await.unwrap();
        scene.lead().await;
        finishes_what_is_under_way(&scene).await;

        scene.cluster.start(node).await.unwrap();
        scene.cluster.answers(node).await.unwrap();
        scene.cluster.settle().await.unwrap();
        cuts_off_what_does_not_end(&scene).await;

        scene.cluster.start(node).await.unwrap();
        scene.cluster.answers(node).await.unwrap();
        let mut wire = scene.imap().await;
        // One came by APPEND and one by LMTP; of the halves nothing.
        ask(
            &mut wire,
            "s STATUS INBOX (MESSAGES)\r\n",
            "* STATUS INBOX (MESSAGES 2)",
        )
        .await;
        assert!(scene.cluster.stop().await.unwrap().is_empty());
    });
}

async fn finishes_what_is_under_way(scene: &Scene) {
    let mut idle = scene.imap().await;
    ask(&mut idle, "i SELECT INBOX\r\n", "i OK").await;
    ask(&mut idle, "i IDLE\r\n", "+").await;
    let mut waiting = scene.imap().await;
    ask(&mut waiting, "z COMPRESS DEFLATE\r\n", "z OK").await;
    waiting.compress().unwrap();
    let mut nobody = Wire::connect(scene.door.imap).await.unwrap();
    until(&mut nobody, "* OK").await;
    let mut quiet = scene.lmtp().await;
    let (mut appending, mut delivering) = (scene.appending().await, scene.delivering().await);

    let cluster = Arc::clone(&scene.cluster);
    let node = scene.door.node;
    let ending = tokio::spawn(async move { cluster.end(node).await });
    for (who, wire) in [
        ("in IDLE", &mut idle),
        ("between commands", &mut waiting),
        ("before login", &mut nobody),
    ] {
        let said = rest(wire).await;
        assert!(
            said.len() == 1 && said[0].starts_with("* BYE "),
            "{who}: {said:?}"
        );
    }
    let said = rest(&mut quiet).await;
    assert!(said.len() == 1 && said[0].starts_with("421 "), "{said:?}");
    // Two have not finished: the process is there, but leads nothing and lets nobody in.
    scene.leads_nothing().await;
    assert!(TcpStream::connect(scene.door.imap).await.is_err());
    assert!(TcpStream::connect(scene.door.lmtp).await.is_err());

    appending
        .send(format!("{REST}\r\nb NOOP\r\n").as_bytes())
        .await
        .unwrap();
    let said = rest(&mut appending).await;
    assert!(said[0].starts_with("a OK [APPENDUID "), "{said:?}");
    assert!(said.len() == 2 && said[1].starts_with("* BYE "), "{said:?}");
    let next = "MAIL FROM:<a@else.example>\r\n";
    delivering
        .send(format!("{REST}.\r\n{next}").as_bytes())
        .await
        .unwrap();
    let said = rest(&mut delivering).await;
    assert!(said[0].starts_with("250 "), "{said:?}");
    assert!(said.len() == 2 && said[1].starts_with("421 "), "{said:?}");
    let status = ending.await.unwrap().unwrap();
    assert!(status.success(), "{status}");
}

/// Nobody says how it went with a command that was cut off; a message by LMTP comes again.
async fn cuts_off_what_does_not_end(scene: &Scene) {
    let (mut appending, mut delivering) = (scene.appending().await, scene.delivering().await);
    let status = scene.cluster.end(scene.door.node).await.unwrap();
    assert!(status.success(), "{status}");
    assert_eq!(rest(&mut appending).await, [""; 0]);
    let said = rest(&mut delivering).await;
    assert!(said.len() == 1 && said[0].starts_with("421 "), "{said:?}");
}

//! Moves into other accounts that nobody has ended: one node in this process, with accounts in
//! different partitions, and a steward who comes when it is told to.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::poll;
use mailbox::{
    AccountId, Answer, Command, EndedMove, Flags, Home, Import, MailboxId, Message, Millis, MoveId,
    NewGrant, NewMessage, NewMove, Outcome, Query, Rights, StoreMode, SystemFlags, Uid, UidRanges,
};
use node::config::Config;
use node::demo::plan::{Options, Plan};
use node::demo::ports::Ports;
use node::node::{Node, Opened};
use node::raft::OnFatal;
use node::service::steward::{self, Finisher, Usher};
use node::service::{Account, Service, body::Arrived, now_ms};
use node::tls::Tls;

const INBOX: MailboxId = MailboxId::INBOX;

/// More than rides in one entry.
const LARGE: usize = 1_500_000;

/// So that a test ends.
const START_WAIT: Duration = Duration::from_secs(120);

pub const STEP_WAIT: Duration = Duration::from_secs(10);

/// A node, and what drives its log.
pub struct Cluster {
    pub service: Service,
    stop: Arc<AtomicBool>,
    threads: Vec<std::thread::JoinHandle<()>>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
    _dir: tempfile::TempDir,
}

impl Cluster {
    pub async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let options = Options {
            ports: Ports::Any,
            segment_bytes: Some(16 << 20),
            ..Options::default()
        };
        let plan = Plan::create(dir.path(), 1, &options).unwrap();
        let config = Arc::new(Config::load(&plan.nodes[0].config).unwrap());
        let tls = Tls::load(&config.tls, 1).unwrap();
        let on_fatal: OnFatal = Arc::new(|why| panic!("{why}"));
        let Opened {
            node, mut writer, ..
        } = Node::open(config, &tls, on_fatal).unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, log) = (Arc::clone(&stop), node.log().clone());
        let writes = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                let _ = writer.wait(Duration::from_millis(20));
                writer.step().unwrap();
            }
        });
        let stopped = Arc::clone(&stop);
        let prepares = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                log.prepare().unwrap();
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        let usher: Arc<dyn Usher> = Arc::clone(&node) as Arc<dyn Usher>;
        let tasks = vec![
            tokio::spawn(Arc::clone(&node).run()),
            tokio::spawn(steward::run(node.service().clone(), usher)),
        ];
        let cluster = Self {
            service: node.service().clone(),
            stop,
            threads: vec![writes, prepares],
            tasks,
            _dir: dir,
        };
        {
            // Who asks and goes away leaves nothing half done.
            let mut asked = pin!(node.found_cluster());
            assert!(poll!(asked.as_mut()).is_pending());
        }
        let id = node.found_cluster().await.unwrap();
        cluster
            .direct(directory::Command::Init(directory::Init {
                cluster: id,
                secret: [1; 32],
                replicas: 1,
                partitions: 3,
                default_domain: "example.org".into(),
                first: node.report(),
            }))
            .await;
        cluster
    }

    pub async fn direct(&self, command: directory::Command) {
        let outcome = self.service.direct(command, STEP_WAIT).await.unwrap();
        let is_refused = matches!(outcome, directory::Outcome::Rejected(_));
        assert!(!is_refused, "{outcome:?}");
    }

    /// Makes an account; the first ones are all in different partitions.
    pub async fn user(&self, name: &str) -> Account {
        let begun = Instant::now();
        let create = directory::Command::CreateAccount {
            name: name.into(),
            verifiers: directory::Verifiers::fake(&[1; 32], name),
            quota_bytes: None,
        };
        // Partitions are placed a moment after there is a cluster.
        while let directory::Outcome::Rejected(why) = self
            .service
            .direct(create.clone(), STEP_WAIT)
            .await
            .unwrap()
        {
            assert_eq!(why, directory::Rejection::NotPlaced);
            assert!(begun.elapsed() < START_WAIT, "no partition is placed");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        loop {
            if let Some(account) = self.service.account(name, STEP_WAIT) {
                return account;
            }
            assert!(begun.elapsed() < START_WAIT, "the account is not made");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Ends what began until now.
    async fn finish(&self) {
        let mut finisher = Finisher::new(self.service.clone());
        finisher.turn(Millis(now_ms() + 1_000)).await;
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.tasks.iter().for_each(tokio::task::JoinHandle::abort);
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let ended = thread.join();
            assert!(ended.is_ok() || std::thread::panicking());
        }
    }
}

pub async fn done(account: &Account, command: Command) {
    let outcome = account.propose(command).await.unwrap();
    assert!(matches!(outcome, Outcome::Done(_)), "{outcome:?}");
}

/// A message on its way into an account.
async fn sent(account: &Account, bytes: &[u8]) -> Arrived {
    let mut body = account.upload().unwrap();
    body.put(Bytes::copy_from_slice(bytes)).await.unwrap();
    account.send_ahead(body).await.arrived().await.unwrap()
}

async fn append(account: &Account, bytes: &[u8]) {
    let arrived = sent(account, bytes).await;
    let command = Command::Append {
        account: account.id(),
        mailbox: INBOX,
        flags: Flags::new(SystemFlags::FLAGGED, ["word".into()]),
        date: Millis(1_600_000_000_000),
        body: account.arrived_body(&arrived),
    };
    let outcome = account.propose_arrived(command, [&arrived].into_iter());
    assert!(matches!(outcome.await.unwrap(), Outcome::Done(_)));
}

pub async fn messages(account: &Account) -> Vec<Message> {
    let query = Query::Messages {
        account: account.id(),
        mailbox: INBOX,
        uids: UidRanges::all(),
        changed_since: None,
        limit: 100,
        include_expunged: false,
    };
    match account.read(query).await.unwrap() {
        Answer::Messages(page) => page.messages,
        other => panic!("{other:?}"),
    }
}

pub async fn bytes(account: &Account, message: &Message) -> Vec<u8> {
    let mut bytes = message.prefix.to_vec();
    let (mut at, end) = (0, message.body.length);
    while at < end {
        let piece = account.body(&message.body, at..end).await.unwrap();
        at += piece.len() as u64;
        bytes.extend_from_slice(&piece);
    }
    bytes
}

async fn home(account: &Account) -> Home {
    let query = Query::Open {
        account: account.id(),
        mailbox: INBOX,
    };
    match account.read(query).await.unwrap() {
        Answer::Opened(opened) => Home {
            account: account.id(),
            mailbox: INBOX,
            uid_validity: opened.folder.uid_validity,
        },
        other => panic!("{other:?}"),
    }
}

/// A session of the first user begins to move all that he has to the second, and is lost.
async fn begin(from: &Account, to: AccountId, id: u128) -> NewMove {
    let messages = messages(from).await;
    let new = NewMove {
        id: MoveId(id),
        from: home(from).await,
        uids: messages.iter().map(|message| message.uid).collect(),
        to_account: to,
        to_mailbox: INBOX,
    };
    done(from, Command::BeginMove(new.clone())).await;
    new
}

/// A session has come as far as to append what it moves.
async fn import(from: &Account, to: &Account, new: &NewMove) {
    let (mut new_messages, mut arrived) = (Vec::new(), Vec::new());
    for message in messages(from).await {
        let body = sent(to, &bytes(from, &message).await).await;
        new_messages.push(NewMessage {
            flags: message.flags,
            date: message.internal_date,
            body: to.arrived_body(&body),
        });
        arrived.push(body);
    }
    let command = Command::Import(Import {
        account: to.id(),
        mailbox: INBOX,
        messages: new_messages,
        origins: new.uids.iter().map(|uid| new.from.origin(uid)).collect(),
    });
    let command = on_behalf(from, command);
    let outcome = to.propose_arrived(command, arrived.iter()).await.unwrap();
    assert!(matches!(outcome, Outcome::Done(_)), "{outcome:?}");
}

fn on_behalf(actor: &Account, command: Command) -> Command {
    Command::OnBehalf {
        actor: actor.id(),
        command: Box::new(command),
    }
}

/// What one user may do in the INBOX of another.
async fn give(owner: &Account, user: &Account, letters: &str) {
    let grant = NewGrant {
        user: user.id(),
        name: user.name().unwrap(),
        denies: false,
        mode: StoreMode::Replace,
        rights: Rights::parse(letters).unwrap(),
    };
    let command = Command::SetGrant {
        account: owner.id(),
        mailbox: INBOX,
        grant,
    };
    done(owner, command).await;
}

async fn counts(accounts: [&Account; 2]) -> (usize, usize) {
    let [one, other] = accounts;
    (messages(one).await.len(), messages(other).await.len())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_lost_session_has_begun() {
    let cluster = Cluster::start().await;
    let alice = cluster.user("alice").await;
    let bob = cluster.user("bob").await;
    {
        let view = cluster.service.view().read();
        let partition = |name| view.account(name).unwrap().partition;
        assert_ne!(partition("alice"), partition("bob"));
    }
    give(&bob, &alice, "lrswi").await;

    // Lost after all has arrived there: it is in both.
    append(&alice, b"Subject: one\r\n\r\none\r\n").await;
    let new = begin(&alice, bob.id(), 1).await;
    import(&alice, &bob, &new).await;
    assert_eq!(counts([&alice, &bob]).await, (1, 1));
    let mut finisher = Finisher::new(cluster.service.clone());
    finisher.turn(Millis(now_ms() - 60_000)).await;
    assert_eq!(counts([&alice, &bob]).await, (1, 1), "it is too early");
    cluster.finish().await;
    assert_eq!(counts([&alice, &bob]).await, (0, 1));

    // Lost before that, with one that goes in chunks. Two come to finish it.
    let large = b"Subject: large\r\n\r\n".repeat(LARGE / 18);
    append(&alice, &large).await;
    append(&alice, b"Subject: three\r\n\r\n").await;
    begin(&alice, bob.id(), 2).await;
    tokio::join!(cluster.finish(), cluster.finish());
    assert_eq!(counts([&alice, &bob]).await, (0, 3));
    let there = messages(&bob).await;
    let mut texts = Vec::new();
    for message in &there {
        assert_eq!(message.internal_date, Millis(1_600_000_000_000));
        assert!(message.flags.system.has(SystemFlags::FLAGGED));
        assert_eq!(message.flags.keywords(), ["word"]);
        texts.push(bytes(&bob, message).await);
    }
    assert!(texts.contains(&large) && texts.contains(&b"Subject: three\r\n\r\n".to_vec()));

    // What bob has deleted by then does not come again.
    append(&alice, b"Subject: four\r\n\r\n").await;
    let new = begin(&alice, bob.id(), 3).await;
    import(&alice, &bob, &new).await;
    let remove = Command::Remove {
        account: bob.id(),
        mailbox: INBOX,
        uids: UidRanges::range(Uid(4), Uid(4)),
    };
    done(&bob, remove).await;
    cluster.finish().await;
    assert_eq!(counts([&alice, &bob]).await, (0, 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_finished_stays() {
    let cluster = Cluster::start().await;
    let alice = cluster.user("alice").await;
    let bob = cluster.user("bob").await;
    append(&alice, b"Subject: one\r\n\r\none\r\n").await;

    // Alice has no right there.
    begin(&alice, bob.id(), 1).await;
    cluster.finish().await;
    assert_eq!(counts([&alice, &bob]).await, (1, 0));
    // It was given up, so it is not done later.
    give(&bob, &alice, "lrswi").await;
    cluster.finish().await;
    assert_eq!(counts([&alice, &bob]).await, (1, 0));

    let quota = |bytes| Command::SetQuota {
        account: bob.id(),
        bytes,
        messages: None,
    };
    done(&bob, quota(Some(5))).await;
    begin(&alice, bob.id(), 2).await;
    cluster.finish().await;
    done(&bob, quota(None)).await;
    cluster.finish().await;
    assert_eq!(counts([&alice, &bob]).await, (1, 0));

    // Nobody is there; and nothing is left to be moved.
    begin(&alice, AccountId(999), 3).await;
    cluster.finish().await;
    let new = begin(&alice, bob.id(), 4).await;
    let remove = Command::Remove {
        account: alice.id(),
        mailbox: INBOX,
        uids: new.uids.clone(),
    };
    done(&alice, remove).await;
    cluster.finish().await;
    assert_eq!(counts([&alice, &bob]).await, (0, 0));

    // The right is gone once all has arrived: it ends all the same.
    append(&alice, b"Subject: two\r\n\r\n").await;
    let new = begin(&alice, bob.id(), 5).await;
    import(&alice, &bob, &new).await;
    give(&bob, &alice, "").await;
    cluster.finish().await;
    assert_eq!(counts([&alice, &bob]).await, (0, 1));

    // Each id is free again: all have ended.
    append(&alice, b"Subject: three\r\n\r\n").await;
    for id in 1..=5 {
        let new = begin(&alice, bob.id(), id).await;
        let end = EndedMove {
            id: new.id,
            account: alice.id(),
            mailbox: INBOX,
            uids: UidRanges::new(),
        };
        done(&alice, Command::EndMove(end)).await;
    }
}

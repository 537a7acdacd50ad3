//! The course of a demo, from the first process to the last.

use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

use anyhow::{Context, bail};
use client::Admin;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Instant, sleep};

use super::child::{NodeProcess, tail};
use super::plan::{Options, Plan, PlannedNode};
use super::ports::Ports;
use super::watch::Watch;
use super::{Args, DOMAIN, NODES, PASSWORD, REPLICAS, cluster, sample, screen};

/// How long a node may take until it answers; replaying a long log takes a while.
const START_WAIT: Duration = Duration::from_secs(120);

/// After this long a node that died is started again.
const RESTART_AFTER: Duration = Duration::from_secs(5);

/// How long a node may take to stop before it is killed.
const STOP_WAIT: Duration = Duration::from_secs(30);

/// How often the leaders are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(300);

/// How often one looks whether all processes live, and at the leaders while groups wait for one.
const TICK: Duration = Duration::from_millis(50);

/// How long an answer may take before another node is asked.
const ASK_WAIT: Duration = Duration::from_secs(1);

/// How often progress is told.
const PROGRESS_EVERY: Duration = Duration::from_secs(2);

/// Runs a demo until it is asked to stop.
///
/// # Errors
///
/// When the folder cannot be used, or the cluster does not come up.
pub async fn run(args: Args) -> anyhow::Result<()> {
    let ports = args.base_port.map_or(Ports::Usual, Ports::From);
    let plan = Plan::create(
        &args.dir,
        NODES,
        &Options {
            ports,
            ..Options::default()
        },
    )?;
    plan.check_ports()?;
    let mut stop = Stop::listen()?;
    let mut nodes = Nodes::start(&plan)?;
    let result = tokio::select! {
        result = serve(&plan, &mut nodes, &args) => result,
        () = stop.wait() => Ok(()),
    };
    println!("stopping {NODES} nodes");
    nodes.stop().await;
    result
}

/// Asked to stop: Ctrl-C, SIGTERM, or the terminal is gone.
struct Stop([Signal; 3]);

impl Stop {
    fn listen() -> std::io::Result<Self> {
        let kinds = [
            SignalKind::interrupt(),
            SignalKind::terminate(),
            SignalKind::hangup(),
        ];
        let [interrupt, terminate, hangup] = kinds.map(signal);
        Ok(Self([interrupt?, terminate?, hangup?]))
    }

    async fn wait(&mut self) {
        let [interrupt, terminate, hangup] = &mut self.0;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    }
}

/// The processes.
struct Nodes {
    program: PathBuf,
    running: Vec<Running>,
}

struct Running {
    node: PlannedNode,
    process: NodeProcess,
    /// It died, and is started again at this time.
    restart_at: Option<Instant>,
}

impl Nodes {
    fn start(plan: &Plan) -> anyhow::Result<Self> {
        let program = std::env::current_exe().context("where this program is")?;
        let running = plan.nodes.iter().map(|node| {
            let process = NodeProcess::start(&program, node, &[])?;
            Ok(Running {
                node: node.clone(),
                process,
                restart_at: None,
            })
        });
        let running = running.collect::<anyhow::Result<_>>()?;
        Ok(Self { program, running })
    }

    fn pids(&self) -> Vec<u32> {
        self.running
            .iter()
            .map(|running| running.process.pid())
            .collect()
    }

    /// Those that died since they were last asked for.
    fn newly_dead(&mut self, now: Instant) -> anyhow::Result<Vec<(u64, ExitStatus)>> {
        let mut dead = Vec::new();
        for running in self
            .running
            .iter_mut()
            .filter(|running| running.restart_at.is_none())
        {
            if let Some(status) = running.process.ended()? {
                running.restart_at = Some(now + RESTART_AFTER);
                dead.push((running.node.id, status));
            }
        }
        Ok(dead)
    }

    /// Starts those whose time has come; answers them with their new pids.
    fn restart_due(&mut self, now: Instant) -> anyhow::Result<Vec<(u64, u32)>> {
        let mut started = Vec::new();
        for running in &mut self.running {
            if running.restart_at.is_some_and(|at| at <= now) {
                running.process = NodeProcess::start(&self.program, &running.node, &[])?;
                running.restart_at = None;
                started.push((running.node.id, running.process.pid()));
            }
        }
        Ok(started)
    }

    /// Waits until all answer an operator.
    async fn answer(&mut self, plan: &Plan) -> anyhow::Result<()> {
        let deadline = Instant::now() + START_WAIT;
        for running in &mut self.running {
            let (id, log) = (running.node.id, &running.node.log);
            while let Err(error) = plan.status_of(id).await {
                if let Some(status) = running.process.ended()? {
                    bail!("node {id} ended with {status}; {}", tail(log));
                }
                if Instant::now() >= deadline {
                    bail!("node {id} does not answer: {error}; {}", tail(log));
                }
                sleep(TICK).await;
            }
        }
        Ok(())
    }

    async fn stop(&mut self) {
        let stopping = self.running.iter_mut().map(|running| async {
            match running.process.stop(STOP_WAIT).await {
                Ok(true) => {}
                Ok(false) => println!("node {} did not stop and was killed", running.node.id),
                Err(error) => println!("node {}: {error}", running.node.id),
            }
        });
        futures_util::future::join_all(stopping).await;
    }
}

async fn serve(plan: &Plan, nodes: &mut Nodes, args: &Args) -> anyhow::Result<()> {
    let dir = plan.dir.display();
    println!("starting {NODES} nodes in {dir}");
    nodes.answer(plan).await?;
    let ids: Vec<u64> = plan.nodes.iter().map(|node| node.id).collect();
    let status = cluster::form(plan, &ids, REPLICAS, args.partitions, DOMAIN).await?;
    accounts(plan, args.accounts).await?;
    let (first, last) = match plan.nodes.as_slice() {
        [first, .., last] => (first, last),
        _ => bail!("a demo has several nodes"),
    };
    let (lmtp, imap) = (first.addresses.lmtp, last.addresses.imap);
    sample::send_and_read(lmtp, imap, "alice", DOMAIN, PASSWORD).await?;
    println!(
        "a mail for alice went in through node {} and out through node {}",
        first.id, last.id
    );

    let pids = nodes.pids();
    cluster::describe(plan, &pids)?;
    println!(
        "\n{}\n{}",
        screen::table(plan, &pids),
        screen::hints(plan, &pids)
    );
    watch(plan, nodes, Watch::new(cluster::leaders(&status))).await
}

async fn accounts(plan: &Plan, users: u32) -> anyhow::Result<()> {
    let mut names = vec!["alice".to_owned(), "bob".to_owned()];
    if users > 0 {
        names.extend(["testuser", "testuser2", "testuser3"].map(str::to_owned));
        names.extend((1..=users).map(|number| format!("user{number}")));
    }
    let mut told = Instant::now();
    cluster::make_accounts(plan, names, DOMAIN, Some(PASSWORD), |done, all| {
        if told.elapsed() >= PROGRESS_EVERY {
            told = Instant::now();
            println!("{done} of {all} accounts made");
        }
    })
    .await
}

/// Tells what happens, for ever.
async fn watch(plan: &Plan, nodes: &mut Nodes, mut watch: Watch) -> anyhow::Result<()> {
    let began = Instant::now();
    let operator = plan.operator(&[])?.with_deadline(ASK_WAIT);
    let mut returning: Vec<u64> = Vec::new();
    let mut looked = Instant::now();
    loop {
        let now = began.elapsed();
        for (node, status) in nodes.newly_dead(Instant::now())? {
            println!(
                "node {node} ended ({status}); it is started again in {} s",
                RESTART_AFTER.as_secs()
            );
            if let Some(line) = watch.lost(node, now) {
                println!("{line}");
            }
        }
        for (node, pid) in nodes.restart_due(Instant::now())? {
            println!("node {node} started again with pid {pid}");
            cluster::describe(plan, &nodes.pids())?;
            returning.push(node);
        }
        if watch.is_busy() || looked.elapsed() >= LOOK_EVERY {
            looked = Instant::now();
            observe(&operator, &mut watch, began).await;
        }
        for node in std::mem::take(&mut returning) {
            if plan.status_of(node).await.is_ok() {
                watch.back(node);
                println!("node {node} serves again");
            } else {
                returning.push(node);
            }
        }
        sleep(TICK).await;
    }
}

async fn observe(operator: &Admin, watch: &mut Watch, began: Instant) {
    if let Ok(status) = operator.status().await {
        for line in watch.observe(&cluster::leaders(&status), began.elapsed()) {
            println!("{line}");
        }
    }
}

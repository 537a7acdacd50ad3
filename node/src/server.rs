//! The whole server: reads what is configured, opens the node, and keeps its doors open until it is
//! told to stop.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use proto::v1;
use seglog::{Step, Writer};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::config::Config;
use crate::front::admin::AdminServer;
use crate::front::imap::ImapDoor;
use crate::front::limits::{DRAIN, DRAIN_LAST, DRAIN_LOOK};
use crate::front::lmtp::LmtpDoor;
use crate::front::tokens::Tokens;
use crate::front::waiting::Bounds;
use crate::front::{Door, Phase, Shutdown};
use crate::node::{Node, Opened};
use crate::raft::{CallerNode, Gate, OnFatal, PeerServer, PeerService};
use crate::replica::{Checkpointer, Cleaning, Scrubbing};
use crate::service::steward::{self, Usher};
use crate::service::{StoreServer, health, limits::MESSAGE_BYTES_MAX, listen};
use crate::telemetry;
use crate::tls::{Caller, Identity, Incoming, Tls, grpc_server};

/// What a server is started with beside its configuration.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Stop when standard input ends: for a parent that must not leave servers behind.
    pub exit_with_stdin: bool,
}

/// All listeners of a node, bound before anything is written and before rights are given up.
pub struct Listeners {
    peer: TcpListener,
    admin: TcpListener,
    imap: Option<TcpListener>,
    imaps: Option<TcpListener>,
    lmtp: Option<TcpListener>,
    metrics: Option<TcpListener>,
}

impl Listeners {
    /// Binds what is configured.
    ///
    /// # Errors
    ///
    /// When an address is taken or not this machine's.
    pub fn bind(config: &Config) -> anyhow::Result<Self> {
        let listen = &config.listen;
        let door = |what, at: Option<SocketAddr>| at.map(|at| bind(what, at)).transpose();
        Ok(Self {
            peer: bind("peer", listen.peer)?,
            admin: bind("admin", listen.admin)?,
            imap: door("imap", listen.imap)?,
            imaps: door("imaps", listen.imaps)?,
            lmtp: door("lmtp", listen.lmtp)?,
            metrics: door("metrics", listen.metrics)?,
        })
    }
}

fn bind(what: &str, at: SocketAddr) -> anyhow::Result<TcpListener> {
    let bound = TcpListener::bind(at).and_then(|listener| {
        listener.set_nonblocking(true)?;
        Ok(listener)
    });
    bound.with_context(|| format!("cannot listen on {at} ({what})"))
}

fn listen(listener: TcpListener) -> anyhow::Result<tokio::net::TcpListener> {
    Ok(tokio::net::TcpListener::from_std(listener)?)
}

/// Runs a node until it is told to stop.
///
/// # Errors
///
/// When it cannot start: a certificate, the data directory.
pub async fn run(config: Config, listeners: Listeners, options: Options) -> anyhow::Result<()> {
    let config = Arc::new(config);
    let tls = Tls::load(&config.tls, config.node.id)?;
    let tokens = Tokens::load(&config.oauth)?;
    let metrics = telemetry::keep_metrics()?;
    let opening = (Arc::clone(&config), tls.clone());
    let opened = tokio::task::spawn_blocking(move || Node::open(opening.0, &opening.1, on_fatal()))
        .await??;
    let Opened {
        node,
        writer,
        checkpointer,
        cleaning,
        scrubbing,
        search,
        derived,
    } = opened;
    spawn_threads(&node, writer, &checkpointer, &cleaning, &scrubbing)?;
    if let Some(search) = search.clone() {
        let indexer = std::thread::Builder::new().name("search-indexer".into());
        indexer.spawn(move || search.run())?;
    }
    let (arrivals, runtime) = (Arc::clone(&derived), tokio::runtime::Handle::current());
    let worker = std::thread::Builder::new().name("arrivals".into());
    worker.spawn(move || {
        let _within = runtime.enter();
        arrivals.run();
    })?;

    let (stop, shutdown) = Shutdown::channel();
    tokio::spawn(telemetry::endpoint::upkeep(metrics.clone()));
    if let Some(listener) = listeners.metrics {
        tokio::spawn(telemetry::endpoint::serve(listen(listener)?, metrics));
    }
    tokio::spawn(tls.clone().watch());
    let peers = tls.incoming_peers(listen(listeners.peer)?);
    tokio::spawn(serve_peers(Arc::clone(&node), peers));
    let operators = tls.incoming_admins(
        listen(listeners.admin)?,
        config.limits.admin_connections_max,
    );
    tokio::spawn(serve_admin(Arc::clone(&node), operators));
    tokio::spawn(Arc::clone(&node).run());
    let usher: Arc<dyn Usher> = Arc::clone(&node) as Arc<dyn Usher>;
    tokio::spawn(steward::run(node.service().clone(), usher));
    tokio::spawn(health::run(node.service().clone()));
    tokio::spawn(listen::run(node.service().clone()));

    let service = node.service().clone();
    let imap_door = door("imap", config.limits.imap_connections_max, &config);
    if let Some(tokens) = tokens.clone() {
        tokio::spawn(tokens.watch(config.tls.reload_every()));
    }
    let imap = Arc::new(ImapDoor::new(
        service.clone(),
        tls.clone(),
        tokens,
        Arc::clone(&config),
        Arc::clone(&derived),
    ));
    for (listener, implicit_tls) in [(listeners.imap, false), (listeners.imaps, true)] {
        let Some(listener) = listener else { continue };
        let (imap, hear) = (Arc::clone(&imap), shutdown.clone());
        let serve =
            move |socket, guest| Arc::clone(&imap).serve(socket, guest, implicit_tls, hear.clone());
        tokio::spawn(
            imap_door
                .clone()
                .accept(listen(listener)?, shutdown.clone(), serve),
        );
    }
    let lmtp_door = door("lmtp", config.limits.lmtp_connections_max, &config);
    let lmtp = Arc::new(LmtpDoor::new(service, tls, Arc::clone(&config))?);
    if let Some(listener) = listeners.lmtp {
        let hear = shutdown.clone();
        let serve = move |socket, guest| Arc::clone(&lmtp).serve(socket, guest, hear.clone());
        tokio::spawn(lmtp_door.clone().accept(listen(listener)?, shutdown, serve));
    }
    tracing::info!(node = config.node.id, "serving");

    told_to_stop(options).await?;
    tracing::info!("stopping");
    drain(&node, &stop, [&imap_door, &lmtp_door]).await;
    // What was answered is durable in the log: nothing else needs to be written.
    if let Some(search) = search {
        search.stop();
    }
    derived.stop();
    scrubbing.stop();
    cleaning.stop();
    checkpointer.stop();
    Ok(())
}

/// Hands over what this node leads, and only then sends its clients away, each at the end of what
/// it is at: the others serve them at once.
async fn drain(node: &Node, stop: &watch::Sender<Phase>, doors: [&Door; 2]) {
    stop.send_replace(Phase::Closed);
    node.resign().await;
    for (phase, wait) in [(Phase::Ending, DRAIN), (Phase::Over, DRAIN_LAST)] {
        stop.send_replace(phase);
        let deadline = Instant::now() + wait;
        while doors.iter().any(|door| door.connections() > 0) && Instant::now() < deadline {
            tokio::time::sleep(DRAIN_LOOK).await;
            node.resign().await;
        }
    }
}

fn door(name: &'static str, connections_max: usize, config: &Config) -> Door {
    let bounds = Bounds {
        per_address_max: config.limits.pre_auth_per_address_max,
        // The rest is for those who have logged in, or will.
        all_max: connections_max.div_ceil(2),
        time_max: config.limits.pre_auth_time(),
    };
    Door::new(name, connections_max, bounds).behind(config.proxy.clone())
}

async fn told_to_stop(options: Options) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let stdin_ends = async {
        if options.exit_with_stdin {
            drop(tokio::io::copy(&mut tokio::io::stdin(), &mut tokio::io::sink()).await);
        } else {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        () = stdin_ends => {}
    }
    Ok(())
}

/// The log cannot be written any more: the process ends at once, with one clear line, whoever finds
/// it first. Nothing is lost by that; going on could lose what is acknowledged.
fn on_fatal() -> OnFatal {
    static ENDING: std::sync::Once = std::sync::Once::new();
    Arc::new(|reason| {
        ENDING.call_once(|| {
            eprintln!("rookeryd: {reason}");
            std::process::exit(70);
        });
    })
}

/// One thread writes the log, one fills spare segments, one takes checkpoints, one cleans the log,
/// one looks for damage and mends it.
fn spawn_threads(
    node: &Arc<Node>,
    mut writer: Writer,
    checkpointer: &Arc<Checkpointer>,
    cleaning: &Arc<Cleaning>,
    scrubbing: &Arc<Scrubbing>,
) -> anyhow::Result<()> {
    const IDLE: Duration = Duration::from_millis(200);
    let fatal = on_fatal();
    let log = node.log().clone();
    let health = Arc::clone(node.groups().health());
    std::thread::Builder::new()
        .name("log-writer".into())
        .spawn(move || {
            loop {
                health.sync_begins();
                let step = writer.step();
                health.sync_ends(matches!(step, Ok(Step::Wrote { synced: true, .. })));
                match step {
                    Ok(Step::Idle) => {
                        let _queued = writer.wait(IDLE);
                    }
                    Ok(_) => {}
                    Err(error) if !log.is_poisoned() => {
                        // No room for a new segment: what waits goes on waiting, nothing is lost.
                        tracing::error!(%error, "the log waits for room");
                        std::thread::sleep(IDLE);
                    }
                    Err(error) => fatal(format!("the log cannot be written: {error}")),
                }
            }
        })?;
    let log = node.log().clone();
    let health = Arc::clone(node.groups().health());
    std::thread::Builder::new()
        .name("log-spares".into())
        .spawn(move || {
            let mut failing = false;
            loop {
                let failed = log.prepare().err();
                if let Some(error) = &failed {
                    metrics::counter!("rookery_log_spare_failures_total").increment(1);
                    if !failing {
                        tracing::warn!(%error, "no spare segment");
                    }
                }
                failing = failed.is_some();
                match log.room() {
                    Ok(room) => health.set_room(room.bytes()),
                    Err(error) => tracing::error!(%error, "the room of the log is not known"),
                }
                std::thread::sleep(IDLE);
            }
        })?;
    let checkpointer = Arc::clone(checkpointer);
    std::thread::Builder::new()
        .name("checkpoints".into())
        .spawn(move || checkpointer.run())?;
    let cleaning = Arc::clone(cleaning);
    std::thread::Builder::new()
        .name("log-cleaner".into())
        .spawn(move || cleaning.run())?;
    let scrubbing = Arc::clone(scrubbing);
    std::thread::Builder::new()
        .name("log-scrubber".into())
        .spawn(move || scrubbing.run())?;
    Ok(())
}

/// Puts which node calls into the request, from its certificate; one that was removed is refused.
fn identify(
    node: &Node,
    mut request: tonic::Request<()>,
) -> Result<tonic::Request<()>, tonic::Status> {
    let caller = request
        .extensions()
        .get::<Caller>()
        .map(|caller| caller.identity.clone());
    if let Some(Identity::Node(caller)) = caller {
        if node.was_removed(caller) {
            return Err(tonic::Status::permission_denied(format!(
                "node {caller} was removed from the cluster"
            )));
        }
        request.extensions_mut().insert(CallerNode(caller));
    }
    Ok(request)
}

async fn serve_peers(node: Arc<Node>, incoming: Incoming) {
    let gate: Arc<dyn Gate> = Arc::clone(&node) as Arc<dyn Gate>;
    let store_gate = Arc::clone(&gate);
    let peers = PeerServer(Arc::new(PeerService::new(node.groups().clone(), gate)));
    let peers = v1::peer_server::PeerServer::new(peers)
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
        .max_encoding_message_size(MESSAGE_BYTES_MAX);
    let service = node.service();
    let (local, hub) = (service.router().local_handle(), service.hub().clone());
    let store = StoreServer::new(local, hub, store_gate);
    let store = v1::store_server::StoreServer::new(store)
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
        .max_encoding_message_size(MESSAGE_BYTES_MAX);
    let served = grpc_server()
        .layer(tonic::service::InterceptorLayer::new(move |request| {
            identify(&node, request)
        }))
        .add_service(peers)
        .add_service(store)
        .serve_with_incoming(incoming)
        .await;
    if let Err(error) = served {
        on_fatal()(format!("the peer listener failed: {error}"));
    }
}

async fn serve_admin(node: Arc<Node>, incoming: Incoming) {
    let admin = v1::admin_server::AdminServer::new(AdminServer::new(node));
    let served = grpc_server()
        .add_service(admin)
        .serve_with_incoming(incoming)
        .await;
    if let Err(error) = served {
        on_fatal()(format!("the admin listener failed: {error}"));
    }
}

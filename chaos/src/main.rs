//! `rookery-chaos`: breaks a cluster and judges what is left.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use chaos::history::History;
use chaos::load::Crowd;
use chaos::mail::message::Sizes;
use chaos::report::{Ending, judged_alone};
use chaos::scenario::stage::{self, HISTORY, Logs, Setting};
use chaos::scenario::{
    away, big, commands, figures, flips, fsync_error, full_disk, mbsync, power_loss, replace, run,
    scale, slow_disk, slow_sync,
};
use chaos::{oracle, process};
use clap::{Parser, Subcommand, value_parser};

#[derive(Parser)]
#[command(name = "rookery-chaos", version)]
#[command(about = "Breaks a cluster of rookeryd processes and judges what is left")]
#[command(
    after_help = "Exit code: 0 clean, 1 something went wrong, 3 too little happened to tell, \
                  4 skipped, since something that it needs is not there."
)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Mail and kills: leaders, followers, two at a time, once the whole cluster; and leaders that
    /// sleep until others lead.
    Run {
        #[command(flatten)]
        place: Place,
        /// How many nodes are killed.
        #[arg(long, default_value_t = 30)]
        kills: u32,
        /// How many leaders are put to sleep (SIGSTOP) for a while.
        #[arg(long, default_value_t = 10)]
        pauses: u32,
        /// How many clients there are.
        #[arg(long, default_value_t = 18, value_parser = value_parser!(u32).range(3..=300))]
        clients: u32,
    },
    /// A leader whose syncs are slow, killed and restarted at once, again and again. Needs a
    /// server that was built with the feature `faults`.
    SlowSync {
        #[command(flatten)]
        place: Place,
        /// How often.
        #[arg(long, default_value_t = 50)]
        rounds: u32,
        /// By how much each sync is delayed, milliseconds.
        #[arg(long, default_value_t = 300)]
        delay_ms: u64,
        /// How many clients there are.
        #[arg(long, default_value_t = 18, value_parser = value_parser!(u32).range(3..=300))]
        clients: u32,
    },
    /// Nodes that miss more than the logs of the others still hold: they get checkpoints.
    Away {
        #[command(flatten)]
        place: Place,
        /// How many nodes are away, one after the other.
        #[arg(long, default_value_t = 3)]
        rounds: u32,
        /// Operations that each misses.
        #[arg(long, default_value_t = 2000)]
        operations: u64,
        /// How many clients there are.
        #[arg(long, default_value_t = 18, value_parser = value_parser!(u32).range(3..=300))]
        clients: u32,
    },
    /// A node whose files lose bits and bytes, while it is down and while it runs.
    Flips {
        #[command(flatten)]
        place: Place,
        /// How many places are harmed.
        #[arg(long, default_value_t = 100)]
        places: u32,
        /// How many of them between two starts of the node.
        #[arg(long, default_value_t = 10, value_parser = value_parser!(u32).range(1..))]
        places_per_round: u32,
        /// Operations between two rounds.
        #[arg(long, default_value_t = 600)]
        operations: u64,
        /// How many clients there are.
        #[arg(long, default_value_t = 18, value_parser = value_parser!(u32).range(3..=300))]
        clients: u32,
    },
    /// Nodes that lose their disk and are replaced by new ones; then one is added and one removed.
    Replace {
        #[command(flatten)]
        place: Place,
        /// How many nodes lose everything, one after the other.
        #[arg(long, default_value_t = 3)]
        rounds: u32,
        /// Operations between two of these.
        #[arg(long, default_value_t = 1000)]
        operations: u64,
        /// How many clients there are.
        #[arg(long, default_value_t = 18, value_parser = value_parser!(u32).range(3..=300))]
        clients: u32,
    },
    /// A large message by LMTP and by APPEND, each through the kill of a leader.
    BigMessage {
        #[command(flatten)]
        place: Place,
        /// Bytes of the message.
        #[arg(long, default_value_t = 40 << 20)]
        size: usize,
    },
    /// Every command of IMAP, each under way when the leader is killed.
    Commands {
        #[command(flatten)]
        place: Place,
        /// Of which commands; of all if none is named.
        #[arg(long, value_delimiter = ',')]
        only: Vec<String>,
    },
    /// mbsync between a Maildir and an account, both of which change, through kills of the leader.
    /// Needs mbsync 1.4 or later in PATH.
    Mbsync {
        #[command(flatten)]
        place: Place,
        /// How often the leader is killed.
        #[arg(long, default_value_t = 20)]
        kills: u32,
    },
    /// Disks of one node and of all that are full. Needs root.
    FullDisk {
        #[command(flatten)]
        rounds: Rounds,
    },
    /// Disks that refuse to write or to sync. Needs a server that was built with the feature
    /// `faults`.
    FsyncError {
        #[command(flatten)]
        rounds: Rounds,
    },
    /// A leader whose disk becomes slow. Needs a server that was built with the feature `faults`.
    SlowDisk {
        #[command(flatten)]
        rounds: Rounds,
    },
    /// Power cuts of one node and of all, which lose what was not synced. Needs root.
    PowerLoss {
        #[command(flatten)]
        rounds: Rounds,
    },
    /// What mail costs: memory, bytes on the disk, bytes between nodes. Needs Linux
    Figures {
        #[command(flatten)]
        place: Place,
        /// How many messages live and die.
        #[arg(long, default_value_t = 20_000)]
        messages: u64,
        /// Bytes of a message in the mean.
        #[arg(long, default_value_t = 16 << 10)]
        mean_bytes: usize,
        /// Connections that deliver.
        #[arg(long, default_value_t = 32, value_parser = value_parser!(u64).range(1..=1000))]
        connections: u64,
        /// What is measured; everything if nothing is said.
        #[arg(long, value_enum, value_delimiter = ',')]
        only: Vec<figures::Figure>,
    },
    /// Many accounts with much mail: memory, files, restart, SELECT. Needs Linux
    Scale {
        #[command(flatten)]
        place: Place,
        /// Accounts that get mail.
        #[arg(long, default_value_t = 80_000, value_parser = value_parser!(u32).range(1..))]
        accounts: u32,
        /// Messages for them all.
        #[arg(long, default_value_t = 1_900_000)]
        messages: u64,
        /// Messages in the mailbox that is selected.
        #[arg(long, default_value_t = 100_000)]
        selected: u64,
        /// Connections that deliver.
        #[arg(long, default_value_t = 256, value_parser = value_parser!(u64).range(1..=900))]
        connections: u64,
    },
    /// Judges a history that was kept.
    Judge {
        /// The file.
        history: PathBuf,
    },
}

#[derive(clap::Args)]
struct Rounds {
    #[command(flatten)]
    place: Place,
    /// How often it happens.
    #[arg(long, default_value_t = 6)]
    rounds: u32,
    /// How many clients there are.
    #[arg(long, default_value_t = 18, value_parser = value_parser!(u32).range(3..=300))]
    clients: u32,
}

impl Rounds {
    /// Plays a scenario that is told of rounds.
    fn play(
        &self,
        run: impl FnOnce(&stage::Rounds) -> anyhow::Result<Ending>,
    ) -> anyhow::Result<Ending> {
        let told = stage::Rounds {
            setting: self.place.setting(self.clients)?,
            rounds: self.rounds,
            crowd: Crowd::of(self.clients),
        };
        kept(&self.place, &told.setting, || run(&told))
    }
}

#[derive(clap::Args)]
struct Place {
    /// What everything random is drawn from.
    #[arg(long)]
    seed: u64,
    /// Where the run lives: an empty folder, kept afterwards. Otherwise one is made, and kept only
    /// if something goes wrong.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// The server; otherwise the one that was built together with this program.
    #[arg(long, value_name = "PATH")]
    rookeryd: Option<PathBuf>,
    /// Partitions of the cluster.
    #[arg(long, default_value_t = 16, value_parser = value_parser!(u32).range(1..=64))]
    partitions: u32,
}

impl Place {
    fn setting(&self, accounts: u32) -> anyhow::Result<Setting> {
        let own = format!("rookery-chaos-{}-{}", self.seed, std::process::id());
        Ok(Setting {
            seed: self.seed,
            dir: self
                .dir
                .clone()
                .unwrap_or_else(|| std::env::temp_dir().join(own)),
            rookeryd: process::find(self.rookeryd.as_deref())?,
            partitions: self.partitions,
            accounts,
            sizes: Sizes::default(),
            spares: 0,
            logs: Logs::Small,
        })
    }
}

fn main() -> ExitCode {
    let ended = carry_out(Args::parse().command);
    match ended {
        Ok(ending) => ExitCode::from(ending.code()),
        Err(error) => {
            eprintln!("rookery-chaos: {error:#}");
            ExitCode::from(Ending::Dirty.code())
        }
    }
}

fn carry_out(command: Command) -> anyhow::Result<Ending> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    match command {
        Command::Run {
            place,
            kills,
            pauses,
            clients,
        } => {
            let setting = place.setting(clients)?;
            let crowd = Crowd::of(clients);
            let options = run::Options {
                setting: setting.clone(),
                kills,
                pauses,
                crowd,
            };
            kept(&place, &setting, || runtime.block_on(run::run(&options)))
        }
        Command::SlowSync {
            place,
            rounds,
            delay_ms,
            clients,
        } => {
            let setting = place.setting(clients)?;
            let crowd = Crowd::of(clients);
            let options = slow_sync::Options {
                setting: setting.clone(),
                rounds,
                delay_ms,
                crowd,
            };
            kept(&place, &setting, || {
                runtime.block_on(slow_sync::run(&options))
            })
        }
        Command::Away {
            place,
            rounds,
            operations,
            clients,
        } => {
            let setting = place.setting(clients)?;
            let options = away::Options {
                setting: setting.clone(),
                rounds,
                operations,
                crowd: Crowd::of(clients),
            };
            kept(&place, &setting, || runtime.block_on(away::run(&options)))
        }
        Command::Flips {
            place,
            places,
            places_per_round,
            operations,
            clients,
        } => {
            let setting = Setting {
                sizes: flips::SIZES,
                ..place.setting(clients)?
            };
            let options = flips::Options {
                setting: setting.clone(),
                places,
                places_per_round,
                operations,
                crowd: Crowd::of(clients),
            };
            kept(&place, &setting, || runtime.block_on(flips::run(&options)))
        }
        Command::Figures {
            place,
            messages,
            mean_bytes,
            connections,
            only,
        } => {
            let options = figures::Options {
                setting: place.setting(place.partitions)?,
                messages,
                mean_bytes,
                connections,
                only,
            };
            kept(&place, &options.setting, || {
                runtime.block_on(figures::run(&options))
            })
        }
        Command::Scale {
            place,
            accounts,
            messages,
            selected,
            connections,
        } => {
            let options = scale::Options {
                setting: place.setting(1)?,
                accounts,
                messages,
                selected,
                connections,
            };
            kept(&place, &options.setting, || {
                runtime.block_on(scale::run(&options))
            })
        }
        Command::Replace {
            place,
            rounds,
            operations,
            clients,
        } => {
            let setting = place.setting(clients)?;
            let options = replace::Options {
                setting: setting.clone(),
                rounds,
                operations,
                crowd: Crowd::of(clients),
            };
            kept(&place, &setting, || {
                runtime.block_on(replace::run(&options))
            })
        }
        Command::BigMessage { place, size } => {
            let setting = place.setting(1)?;
            let options = big::Options {
                setting: setting.clone(),
                size,
            };
            kept(&place, &setting, || runtime.block_on(big::run(&options)))
        }
        Command::Commands { place, only } => {
            let setting = place.setting(1)?;
            let options = commands::Options {
                setting: setting.clone(),
                only,
            };
            kept(&place, &setting, || {
                runtime.block_on(commands::run(&options))
            })
        }
        Command::Mbsync { place, kills } => {
            let setting = place.setting(1)?;
            let options = mbsync::Options {
                setting: setting.clone(),
                kills,
            };
            kept(&place, &setting, || runtime.block_on(mbsync::run(&options)))
        }
        Command::FullDisk { rounds } => rounds.play(|told| runtime.block_on(full_disk::run(told))),
        Command::FsyncError { rounds } => {
            rounds.play(|told| runtime.block_on(fsync_error::run(told)))
        }
        Command::SlowDisk { rounds } => rounds.play(|told| runtime.block_on(slow_disk::run(told))),
        Command::PowerLoss { rounds } => {
            rounds.play(|told| runtime.block_on(power_loss::run(told)))
        }
        Command::Judge { history } => judge(&history),
    }
}

/// Keeps the folder of a run that did not end well, and says how to have it again.
fn kept(
    place: &Place,
    setting: &Setting,
    run: impl FnOnce() -> anyhow::Result<Ending>,
) -> anyhow::Result<Ending> {
    let (seed, dir) = (setting.seed, &setting.dir);
    println!("seed {seed}, in {}", dir.display());
    let ended = run();
    match &ended {
        Ok(Ending::Clean) if place.dir.is_none() => {
            std::fs::remove_dir_all(dir).with_context(|| dir.display().to_string())?;
        }
        Ok(Ending::Clean) => {}
        _ => println!(
            "seed {seed}; logs, data and {HISTORY} are kept in {}",
            dir.display()
        ),
    }
    ended
}

/// Judges a history again. Digests, bodies of replicas and coverage are not in it.
fn judge(path: &Path) -> anyhow::Result<Ending> {
    let history = History::load(path)?;
    let readers = history.readers();
    let verdict = oracle::judge(&history, &readers);
    for violation in &verdict.violations {
        println!("{violation}");
    }
    println!(
        "{:?}, {} violations",
        verdict.counts,
        verdict.violations.len()
    );
    let ending = judged_alone(&readers, &verdict);
    if ending == Ending::Void {
        println!("VOID         it was not read to the end, so nothing can be said");
    }
    Ok(ending)
}

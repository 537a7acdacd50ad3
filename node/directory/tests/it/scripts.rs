//! The scripts in `tests/scripts`: one behaviour each. `UPDATE_GOLDENFILES=1` writes them anew.

use std::error::Error;
use std::fmt::Write as _;
use std::path::Path;
use std::str::FromStr;

use directory::{
    Account, AccountId, Command, Digest, Event, Group, GroupId, Init, Node, NodeId, OperationId,
    Outcome, ReplicaId, Role, pending,
};
use goldenscript::{ArgumentConsumer, Context};

use crate::cluster::{Cluster, report, verifiers};

macro_rules! scripts {
    ($($name:ident)+) => {
        $(#[test]
        fn $name() {
            let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scripts");
            goldenscript::run(&mut Runner::default(), scripts.join(stringify!($name))).unwrap();
        })+
    };
}

scripts! {
    accounts delete_while_creating drain feature_level init moves names nodes partitions placement
    repeats replace retire settings shares spread
}

#[derive(Default)]
struct Runner {
    cluster: Cluster,
}

impl goldenscript::Runner for Runner {
    type Command = goldenscript::Command;

    fn run(
        &mut self,
        command: &goldenscript::Command,
        _: &Context,
    ) -> Result<String, Box<dyn Error>> {
        let mut args = command.consume_args();
        let output = match command.name.as_str() {
            "nodes" => lines(self.cluster.view.nodes().map(node)),
            "groups" => lines(self.cluster.view.groups().map(group)),
            "accounts" => lines(self.cluster.view.accounts_after("").map(|it| account(it))),
            "pending" => {
                let operations = pending(&self.cluster.rows, 100)?;
                lines(operations.iter().map(|operation| format!("{operation:?}")))
            }
            "recipient" => match self.cluster.view.recipient(&text(&mut args)?) {
                Some((found, detail)) => format!("{} detail={detail:?}\n", found.name),
                None => "nobody\n".to_owned(),
            },
            "replica" => match self.cluster.view.replica(ReplicaId(number(&mut args)?)) {
                Some((group, replica)) => format!("group {group} node {}\n", replica.node),
                None => "nowhere\n".to_owned(),
            },
            "voters" => {
                let voters = self.cluster.view.directory_voters();
                lines(voters.iter().map(|replica| format!("replica {replica}")))
            }
            "sharing" => {
                let user = AccountId(number(&mut args)?);
                lines(
                    self.cluster
                        .view
                        .sharing_with(user)
                        .map(|it| format!("{it}")),
                )
            }
            "digest" => format!("{}\n", Digest::kept(&self.cluster.rows)?),
            name => {
                let request = keyed(&mut args, "request")?;
                let command = parse(name, &mut args)?;
                self.ask(request, command)
            }
        };
        args.reject_next()?;
        self.cluster.check();
        Ok(output)
    }
}

impl Runner {
    fn ask(&mut self, request: Option<u128>, command: Command) -> String {
        let (outcome, events) = match request {
            Some(request) => self.cluster.ask_again(request, command),
            None => self.cluster.ask(command),
        };
        let mut output = match outcome {
            Outcome::Done => "done\n".to_owned(),
            Outcome::Placed(replica) => format!("placed replica {replica}\n"),
            Outcome::AccountMade {
                account,
                partition,
                operation,
            } => {
                format!("account {account} in group {partition}, operation {operation}\n")
            }
            Outcome::OperationBegun(operation) => format!("operation {operation}\n"),
            Outcome::Rejected(rejection) => format!("rejected: {rejection}\n"),
        };
        for event in events {
            let _ = writeln!(output, "- {}", show(&event));
        }
        output
    }
}

fn parse(name: &str, args: &mut ArgumentConsumer<'_>) -> Result<Command, Box<dyn Error>> {
    Ok(match name {
        "init" => Command::Init(Init {
            cluster: [1; 16],
            secret: [2; 32],
            replicas: keyed(args, "replicas")?.unwrap_or(3),
            partitions: keyed(args, "partitions")?.unwrap_or(4),
            default_domain: args.take_key("domain").unwrap_or("Example.ORG").to_owned(),
            first: reported(args)?,
        }),
        "join" => Command::JoinNode(reported(args)?),
        "update" => Command::UpdateNode(reported(args)?),
        "activate" => Command::ActivateNode {
            node: NodeId(number(args)?),
        },
        "remove" => Command::RemoveNode {
            node: NodeId(number(args)?),
        },
        "place" => Command::PlaceReplica {
            group: GroupId(number(args)?),
            node: NodeId(number(args)?),
        },
        "voter" => Command::MarkVoter {
            group: GroupId(number(args)?),
            replica: ReplicaId(number(args)?),
        },
        "learner" => Command::MarkLearner {
            group: GroupId(number(args)?),
            replica: ReplicaId(number(args)?),
        },
        "drop" => Command::RemoveReplica {
            group: GroupId(number(args)?),
            replica: ReplicaId(number(args)?),
        },
        "partitions" => Command::PlacePartitions,
        "create" => Command::CreateAccount {
            name: text(args)?,
            verifiers: verifiers("first"),
            quota_bytes: keyed(args, "quota")?,
        },
        "password" => Command::SetPassword {
            name: text(args)?,
            verifiers: verifiers(&text(args)?),
        },
        "lock" => Command::LockAccount {
            name: text(args)?,
            locked: true,
        },
        "unlock" => Command::LockAccount {
            name: text(args)?,
            locked: false,
        },
        "delete" => Command::DeleteAccount { name: text(args)? },
        "finish" => Command::FinishOperation {
            operation: OperationId(number(args)?),
        },
        "set" => Command::SetSetting {
            name: text(args)?,
            value: text(args)?,
        },
        "raise" => Command::RaiseFeatureLevel {
            level: args.next_pos().ok_or("a level")?.parse()?,
        },
        "replace" => Command::ReplaceNode {
            old: NodeId(number(args)?),
            new: reported(args)?,
        },
        "drain" => Command::DrainNode {
            node: NodeId(number(args)?),
            shrink: args.take_key("shrink").is_some(),
        },
        "retire" => Command::RetireReplica {
            group: GroupId(number(args)?),
            replica: ReplicaId(number(args)?),
        },
        "share" => Command::Share {
            account: AccountId(number(args)?),
            user: AccountId(number(args)?),
        },
        "move" => Command::MoveReplica {
            group: GroupId(number(args)?),
            from: NodeId(number(args)?),
            to: NodeId(number(args)?),
        },
        other => return Err(format!("no such command: {other}").into()),
    })
}

fn reported(args: &mut ArgumentConsumer<'_>) -> Result<directory::NodeReport, Box<dyn Error>> {
    let mut reported = report(number(args)?, keyed(args, "level")?.unwrap_or(1));
    if let Some(peer) = args.take_key("peer") {
        reported.addresses.peer = peer.to_owned();
    }
    Ok(reported)
}

fn number(args: &mut ArgumentConsumer<'_>) -> Result<u64, Box<dyn Error>> {
    Ok(args.next_pos().ok_or("a number is missing")?.parse()?)
}

fn keyed<T>(args: &mut ArgumentConsumer<'_>, key: &str) -> Result<Option<T>, Box<dyn Error>>
where
    T: FromStr<Err: Error + 'static>,
{
    Ok(args.take_key(key).map(str::parse).transpose()?)
}

fn text(args: &mut ArgumentConsumer<'_>) -> Result<String, Box<dyn Error>> {
    Ok(args.next_pos().ok_or("a word is missing")?.to_owned())
}

fn lines(lines: impl Iterator<Item = String>) -> String {
    lines.fold(String::new(), |text, line| text + &line + "\n")
}

fn show(event: &Event) -> String {
    match event {
        Event::Cluster(it) => format!(
            "cluster replicas={} partitions={} domain={} level={}",
            it.replicas, it.partitions, it.default_domain, it.feature_level
        ),
        Event::Node(it) => node(it),
        Event::Group(it) => group(it),
        Event::Account(it) => account(it),
        Event::AccountGone(id) => format!("account {id} gone"),
        Event::Setting(name, value) => format!("setting {name} {value:?}"),
        Event::Shared { user, account } => format!("{account} shares with {user}"),
        Event::Operation(id) => format!("operation {id}"),
    }
}

fn node(node: &Node) -> String {
    let (id, state) = (node.id, node.state);
    let heir = node.successor.map(|heir| format!(" awaits {heir}"));
    format!(
        "node {id} {state:?} level={} peer={}{}",
        node.feature_level,
        node.addresses.peer,
        heir.unwrap_or_default()
    )
}

/// Replicas as `replica@node`, learners in brackets, the first with a star, those that leave with
/// a minus.
fn group(group: &Group) -> String {
    let mut text = format!("group {} accounts={}", group.id, group.accounts);
    for replica in &group.replicas {
        let star = match (replica.id == group.first, replica.leaving) {
            (true, _) => "*",
            (false, true) => "-",
            (false, false) => "",
        };
        let _ = match replica.role {
            Role::Voter => write!(text, " {}@{}{star}", replica.id, replica.node),
            Role::Learner => write!(text, " ({}@{}{star})", replica.id, replica.node),
        };
    }
    format!("{text} changed={}", group.changed)
}

fn account(account: &Account) -> String {
    let Account {
        id,
        name,
        state,
        partition,
        ..
    } = account;
    format!("account {id} {name} {state:?} group={partition}")
}

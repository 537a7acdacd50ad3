//! The directory in memory, for routing and login.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use rows::{Fault, Rows};

use crate::codec::{self, Wire};
use crate::event::Event;
use crate::keys::{self, Table};
use crate::limits;
use crate::name::Name;
use crate::share::{Share, Shares};
use crate::types::{
    Account, AccountId, Cluster, Group, GroupId, Node, NodeId, NodeState, Replica, ReplicaId, Role,
    Setting, Topology,
};
use crate::verifier::Verifiers;

/// All that lookups need, as of some log index.
///
/// It is built once with [`View::load`] and then follows the events of each entry, in order. It
/// takes about a kilobyte for each account. A lookup walks one or two ordered maps and gives out
/// shared accounts, so it may stand behind a lock that is held briefly.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct View {
    cluster: Option<Cluster>,
    nodes: BTreeMap<NodeId, Node>,
    groups: BTreeMap<GroupId, Group>,
    /// The group of each replica that is placed.
    replicas: BTreeMap<ReplicaId, GroupId>,
    accounts: BTreeMap<AccountId, Arc<Account>>,
    names: BTreeMap<Name, AccountId>,
    settings: BTreeMap<String, String>,
    shares: Shares,
}

/// What a login is checked against.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// The account, if there is one of that name that may log in.
    pub account: Option<Arc<Account>>,
    /// Always there, so that a name that does not exist takes as long as one that does.
    pub verifiers: Verifiers,
}

impl View {
    /// Reads all rows.
    ///
    /// # Errors
    /// A [`Fault`] if they cannot be read.
    pub fn load(rows: &impl Rows) -> Result<Self, Fault> {
        let mut view = Self::default();
        if let Some(value) = rows.get(keys::CLUSTER)? {
            view.cluster = Some(codec::row(keys::CLUSTER, &value)?);
        }
        each(rows, Table::Nodes, |node| view.put_node(node))?;
        each(rows, Table::Groups, |group| view.put_group(group))?;
        each(rows, Table::Accounts, |account: Account| {
            view.put_account(account.into())
        })?;
        each(rows, Table::Settings, |setting: Setting| {
            view.settings.insert(setting.name, setting.value);
        })?;
        each(rows, Table::Shares, |share| view.shares.put(share))?;
        Ok(view)
    }

    /// Follows a change.
    pub fn apply(&mut self, event: &Event) {
        match event {
            Event::Cluster(cluster) => self.cluster = Some(cluster.clone()),
            Event::Node(node) => self.put_node(node.clone()),
            Event::Group(group) => self.put_group(group.clone()),
            Event::Account(account) => self.put_account(Arc::clone(account)),
            Event::AccountGone(id) => {
                if let Some(account) = self.accounts.remove(id) {
                    self.names.remove(&account.name);
                }
                self.shares.forget(*id);
            }
            Event::Setting(name, Some(value)) => {
                self.settings.insert(name.clone(), value.clone());
            }
            Event::Setting(name, None) => {
                self.settings.remove(name);
            }
            Event::Shared { user, account } => self.shares.put(Share {
                user: *user,
                account: *account,
            }),
            Event::Operation(_) => {}
        }
    }

    /// What passwords for `name` are checked against.
    #[must_use]
    pub fn login(&self, name: &str) -> Login {
        if let Some(account) = self.account(name) {
            let verifiers = account.verifiers.clone();
            return Login {
                account: Some(account).filter(|it| it.state.may_log_in()),
                verifiers,
            };
        }
        let secret = self
            .cluster
            .as_ref()
            .map_or([0; 32], |cluster| cluster.secret);
        Login {
            account: None,
            verifiers: Verifiers::fake(&secret, &self.canonical(name)),
        }
    }

    /// A name as accounts have it, however it is written; what is no name stays as it is.
    #[must_use]
    pub fn canonical<'a>(&self, name: &'a str) -> Cow<'a, str> {
        match self.name(name) {
            Some(name) => Cow::Owned(name.as_str().to_owned()),
            None => Cow::Borrowed(name),
        }
    }

    /// The account that mail for `address` goes to, and the detail between `+` and `@`, as written,
    /// if only the part before it names the account. Whether it takes mail is in its state.
    #[must_use]
    pub fn recipient<'a>(&self, address: &'a str) -> Option<(Arc<Account>, Option<&'a str>)> {
        if let Some(account) = self.account(address) {
            return Some((account, None));
        }
        let (local, domain) = match address.rsplit_once('@') {
            Some((local, domain)) => (local, domain),
            None => (address, self.default_domain()),
        };
        let (user, detail) = local.split_once('+')?;
        let account = self.named(&Name::parse(user, domain)?)?;
        Some((account, Some(detail).filter(|detail| !detail.is_empty())))
    }

    /// The account of that name, however it is written; a bare one is of the default domain.
    #[must_use]
    pub fn account(&self, name: &str) -> Option<Arc<Account>> {
        self.named(&self.name(name)?)
    }

    /// The account with that id.
    #[must_use]
    pub fn account_by_id(&self, id: AccountId) -> Option<&Arc<Account>> {
        self.accounts.get(&id)
    }

    /// The accounts in order of their names, from the first one after `after`; from the beginning
    /// if `after` is not a name.
    pub fn accounts_after(&self, after: &str) -> impl Iterator<Item = &Arc<Account>> {
        use std::ops::Bound::{Excluded, Unbounded};
        let from = self.name(after).map_or(Unbounded, Excluded);
        self.names
            .range((from, Unbounded))
            .filter_map(|(_, id)| self.accounts.get(id))
    }

    /// The number of accounts, whatever their state.
    #[must_use]
    pub fn account_count(&self) -> usize {
        self.accounts.len()
    }

    /// The accounts that may have given a user, or anyone (0), rights on mailboxes; those that are
    /// not in use are among them. Ascending.
    pub fn sharing_with(&self, user: AccountId) -> impl Iterator<Item = AccountId> + '_ {
        self.shares.with(user)
    }

    /// The cluster; none before it is made.
    #[must_use]
    pub const fn cluster(&self) -> Option<&Cluster> {
        self.cluster.as_ref()
    }

    /// A node, also a removed one.
    #[must_use]
    pub fn node(&self, id: NodeId) -> Option<&Node> {
        self.nodes.get(&id)
    }

    /// All nodes, ascending, removed ones included.
    pub fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.nodes.values()
    }

    /// A group that is placed.
    #[must_use]
    pub fn group(&self, id: GroupId) -> Option<&Group> {
        self.groups.get(&id)
    }

    /// All groups that are placed, ascending, the directory first.
    pub fn groups(&self) -> impl Iterator<Item = &Group> {
        self.groups.values()
    }

    /// Whose the replica is, and where it lies: for which replicas a node may speak.
    #[must_use]
    pub fn replica(&self, id: ReplicaId) -> Option<(GroupId, &Replica)> {
        let group = *self.replicas.get(&id)?;
        Some((group, self.groups.get(&group)?.replica(id)?))
    }

    /// The replicas on a node, by group.
    pub fn replicas_on(&self, node: NodeId) -> impl Iterator<Item = (&Group, &Replica)> {
        self.groups
            .values()
            .filter_map(move |group| Some((group, group.replica_on(node)?)))
    }

    /// The replicas of the directory that shall vote: on active nodes and not retired, those that
    /// do before those that do not, up to [`limits::DIRECTORY_VOTERS_MAX`].
    #[must_use]
    pub fn directory_voters(&self) -> Vec<ReplicaId> {
        let active = |replica: &&Replica| {
            let node = self.nodes.get(&replica.node);
            !replica.leaving && node.is_some_and(|node| node.state == NodeState::Active)
        };
        let placed = self.groups.get(&GroupId::DIRECTORY);
        let replicas = placed.map_or(&[][..], |group| &group.replicas);
        let mut fit: Vec<&Replica> = replicas.iter().filter(active).collect();
        fit.sort_by_key(|replica| (replica.role != Role::Voter, replica.id));
        fit.truncate(limits::DIRECTORY_VOTERS_MAX);
        fit.into_iter().map(|replica| replica.id).collect()
    }

    /// A setting.
    #[must_use]
    pub fn setting(&self, name: &str) -> Option<&str> {
        self.settings.get(name).map(String::as_str)
    }

    /// All settings by name.
    pub fn settings(&self) -> impl Iterator<Item = (&str, &str)> {
        self.settings
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// What a node may tell another; none before the cluster is made.
    #[must_use]
    pub fn topology(&self) -> Option<Topology> {
        let cluster = self.cluster.as_ref()?;
        Some(Topology {
            cluster: cluster.id,
            replicas: cluster.replicas,
            partitions: cluster.partitions,
            default_domain: cluster.default_domain.clone(),
            feature_level: cluster.feature_level,
            nodes: self.nodes.values().cloned().collect(),
            groups: self.groups.values().cloned().collect(),
        })
    }

    fn name(&self, name: &str) -> Option<Name> {
        Name::parse(name, self.default_domain())
    }

    fn default_domain(&self) -> &str {
        self.cluster
            .as_ref()
            .map_or("", |cluster| cluster.default_domain.as_str())
    }

    fn named(&self, name: &Name) -> Option<Arc<Account>> {
        self.accounts.get(self.names.get(name)?).cloned()
    }

    fn put_node(&mut self, node: Node) {
        self.nodes.insert(node.id, node);
    }

    fn put_group(&mut self, group: Group) {
        for replica in &group.replicas {
            self.replicas.insert(replica.id, group.id);
        }
        let id = group.id;
        if let Some(old) = self.groups.insert(id, group) {
            let new = &self.groups[&id];
            for gone in old
                .replicas
                .iter()
                .filter(|old| new.replica(old.id).is_none())
            {
                self.replicas.remove(&gone.id);
            }
        }
    }

    /// Names do not change, so an account's earlier row has the same.
    fn put_account(&mut self, account: Arc<Account>) {
        self.names.insert(account.name.clone(), account.id);
        self.accounts.insert(account.id, account);
    }
}

fn each<T: Wire>(rows: &impl Rows, table: Table, mut put: impl FnMut(T)) -> Result<(), Fault> {
    let (from, to) = table.range();
    for row in rows.scan(&from, &to)? {
        let (key, value) = row?;
        put(codec::row(&key, &value)?);
    }
    Ok(())
}

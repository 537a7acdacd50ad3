//! What is printed once everything serves.

use std::fmt::Write as _;

use super::plan::Plan;
use super::{DOMAIN, PASSWORD};

/// The nodes, as a table, with the pids of their processes in order.
pub(super) fn table(plan: &Plan, pids: &[u32]) -> String {
    let mut text = String::new();
    let _ = writeln!(
        text,
        "{:>4}  {:>8}  {:>6}  {:>6}  {:>6}  {:>6}  {:>6}  {:>7}",
        "node", "pid", "imap", "imaps", "lmtp", "admin", "peer", "metrics"
    );
    for (node, pid) in plan.nodes.iter().zip(pids) {
        let at = &node.addresses;
        let _ = writeln!(
            text,
            "{:>4}  {pid:>8}  {:>6}  {:>6}  {:>6}  {:>6}  {:>6}  {:>7}",
            node.id,
            at.imap.port(),
            at.imaps.port(),
            at.lmtp.port(),
            at.admin.port(),
            at.peer.port(),
            at.metrics.port()
        );
    }
    text
}

/// Settings for a mail client, and what to try.
pub(super) fn hints(plan: &Plan, pids: &[u32]) -> String {
    let dir = plan.dir.display();
    let ports = |of: fn(&super::plan::PlannedNode) -> u16| {
        let ports: Vec<String> = plan.nodes.iter().map(|node| of(node).to_string()).collect();
        ports.join(" or ")
    };
    let imap = ports(|node| node.addresses.imap.port());
    let lmtp = plan
        .nodes
        .last()
        .map_or(0, |node| node.addresses.lmtp.port());
    let first_imap = plan
        .nodes
        .first()
        .map_or(0, |node| node.addresses.imap.port());
    let pid = pids.first().copied().unwrap_or(0);
    format!(
        "Mail client\n\
        \x20 IMAP server  localhost, port {imap} (any node will do)\n\
        \x20 security     none, or STARTTLS with the authority in {dir}/pki/ca.pem\n\
        \x20 user         alice@{DOMAIN} or bob@{DOMAIN} (alice and bob will do)\n\
        \x20 password     {PASSWORD}\n\
        \n\
        What to try\n\
        \x20 rookery --demo {dir} status\n\
        \x20 curl -s --url imap://localhost:{first_imap}/INBOX -u alice:{PASSWORD} \
             -X 'FETCH 1:* ENVELOPE'\n\
        \x20 swaks --protocol LMTP --server localhost --port {lmtp} --to alice@{DOMAIN}\n\
        \x20 kill -9 {pid}     and go on reading and delivering through the others\n\
        \n\
        Data, certificates and logs are in {dir}. Ctrl-C stops the nodes; the same command brings\n\
        them back with their mail.\n"
    )
}

#[cfg(test)]
mod tests {
    use super::super::plan::Options;
    use super::super::ports::Ports;
    use super::*;

    #[test]
    fn every_node_has_its_line() {
        let dir = tempfile::tempdir().unwrap();
        let options = Options {
            ports: Ports::From(20_100),
            ..Options::default()
        };
        let plan = Plan::create(dir.path(), 3, &options).unwrap();
        let table = table(&plan, &[101, 102, 103]);
        assert_eq!(table.lines().count(), 4);
        assert!(
            table.contains("   2       102   20110   20111   20112"),
            "{table}"
        );
        let hints = hints(&plan, &[101, 102, 103]);
        assert!(hints.contains("port 20100 or 20110 or 20120"), "{hints}");
        assert!(
            hints.contains("kill -9 101") && hints.contains("--port 20122"),
            "{hints}"
        );
    }
}

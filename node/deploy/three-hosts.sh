#!/bin/sh
# Three hosts on one machine: a network namespace each, a bridge between them, and a cluster on top.
#
#            bridge rookery0, 10.77.0.254: this machine, where clients and operators are
#             /              |              \
#         rookery1        rookery2        rookery3       namespaces; 10.77.0.1, .2 and .3
#         rookeryd        rookeryd        rookeryd       their data below $ROOKERY_HOSTS/node-N
#
# A cut is silent, as real ones are: packets vanish and nobody is told. Needs root and iproute2.

set -eu

here=$(cd "$(dirname "$0")" && pwd)
dir=${ROOKERY_HOSTS:-${TMPDIR:-/tmp}/rookery-three-hosts}
bin=${ROOKERY_BIN:-$here/../../target/release}
bridge=rookery0
net=10.77.0
nodes="1 2 3"
# A link-layer address that nobody has: what is sent there vanishes.
nowhere=02:00:00:00:00:99

usage() {
    cat <<USAGE
three-hosts.sh VERB

  up            make the hosts, certificates, cluster and an account; start everything
  down          stop everything and take the hosts away; the data stays
  clean         down, and delete the data
  status        show the cluster
  cut N         host N loses its network: no packet in or out
  cut N M       hosts N and M lose each other; both still reach all others
  cut-to N M    packets from host N to host M vanish; those from M to N arrive
  heal [N]      end the cuts of host N, or all
  kill N        kill rookeryd on host N at once (SIGKILL)
  start N       start rookeryd on host N
  on N WORDS    run a program on host N
  rookery WORDS run rookery, as an operator of this cluster

  ROOKERY_BIN   where rookeryd and rookery are     ($bin)
  ROOKERY_HOSTS where configuration and data live  ($dir)

The account is alice@example.org, with the password in ROOKERY_PASSWORD or else "rookery".
USAGE
    exit 2
}

die() {
    echo "three-hosts.sh: $*" >&2
    exit 1
}

check_node() {
    case "${1:-}" in
        1 | 2 | 3) ;;
        *) die "hosts are 1, 2 and 3" ;;
    esac
}

# The process of a node, if it runs.
pid_of() {
    pid=$(cat "$dir/node-$1.pid" 2>/dev/null) || return 1
    case "$(readlink "/proc/$pid/exe")" in
        */rookeryd*) echo "$pid" ;;
        *) return 1 ;;
    esac
}

operator() {
    ROOKERY_ADMIN="$net.1:7401,$net.2:7401,$net.3:7401" ROOKERY_CA="$dir/pki/ca.pem" \
        ROOKERY_CERT="$dir/pki/admin-operator.pem" ROOKERY_KEY="$dir/pki/admin-operator.key" \
        "$bin/rookery" "$@"
}

# The same, but to one node alone.
operator_of() {
    node=$1
    shift
    "$bin/rookery" --admin "$net.$node:7401" --ca "$dir/pki/ca.pem" \
        --cert "$dir/pki/admin-operator.pem" --key "$dir/pki/admin-operator.key" "$@"
}

network_up() {
    ip link show "$bridge" >/dev/null 2>&1 && return
    ip link add "$bridge" type bridge
    ip addr add "$net.254/24" dev "$bridge"
    ip link set "$bridge" up
    for node in $nodes; do
        ip netns add "rookery$node"
        ip link add "rookery$node" type veth peer name eth0 netns "rookery$node"
        ip link set "rookery$node" master "$bridge"
        ip link set "rookery$node" up
        ip -n "rookery$node" addr add "$net.$node/24" dev eth0
        ip -n "rookery$node" link set lo up
        ip -n "rookery$node" link set eth0 up
    done
}

network_down() {
    for node in $nodes; do
        ip link del "rookery$node" 2>/dev/null || true
        ip netns del "rookery$node" 2>/dev/null || true
    done
    ip link del "$bridge" 2>/dev/null || true
}

certificates() {
    [ -e "$dir/pki/ca.pem" ] && return
    "$bin/rookeryd" pki init --dir "$dir/pki"
    for node in $nodes; do
        "$bin/rookeryd" pki node --dir "$dir/pki" --id "$node" \
            --host "$net.$node" "mail$node.example.org"
    done
    "$bin/rookeryd" pki admin --dir "$dir/pki" --name operator
}

configuration() {
    cat >"$dir/node-$1.toml" <<TOML
[node]
id = $1
data_dir = "$dir/node-$1"
hostname = "mail$1.example.org"
[listen]
peer = "$net.$1:7400"
admin = "$net.$1:7401"
metrics = "$net.$1:7402"
imap = "$net.$1:143"
imaps = "$net.$1:993"
lmtp = "$net.$1:24"
[tls]
ca = "$dir/pki/ca.pem"
cert = "$dir/pki/node-$1.pem"
key = "$dir/pki/node-$1.key"
[lmtp]
networks = ["$net.0/24"]
TOML
}

start() {
    pid_of "$1" >/dev/null && return
    ip netns exec "rookery$1" setsid "$bin/rookeryd" --config "$dir/node-$1.toml" \
        </dev/null >>"$dir/node-$1.log" 2>&1 &
    echo $! >"$dir/node-$1.pid"
    wait_for "$1"
}

# Until the node answers operators, for half a minute at most.
wait_for() {
    tries=0
    until operator_of "$1" --timeout 2 status >/dev/null 2>&1; do
        tries=$((tries + 1))
        # It may not be rookeryd yet, but what becomes it.
        readlink "/proc/$(cat "$dir/node-$1.pid")/exe" >/dev/null ||
            die "node $1 has ended: $(tail -n 3 "$dir/node-$1.log")"
        [ $tries -lt 100 ] || die "node $1 does not answer; see $dir/node-$1.log"
        sleep 0.3
    done
}

stop() {
    pid=$(pid_of "$1") || return 0
    kill -TERM "$pid"
    tries=0
    while pid_of "$1" >/dev/null; do
        tries=$((tries + 1))
        [ $tries -lt 150 ] || kill -KILL "$pid"
        sleep 0.2
    done
    rm -f "$dir/node-$1.pid"
}

up() {
    [ -x "$bin/rookeryd" ] && [ -x "$bin/rookery" ] ||
        die "no rookeryd and rookery in $bin (cargo build --release, or set ROOKERY_BIN)"
    umask 077
    mkdir -p "$dir"
    network_up
    certificates
    for node in $nodes; do
        configuration "$node"
        start "$node"
    done
    if [ ! -e "$dir/made" ]; then
        operator_of 1 cluster init --replicas 3 --partitions 16 --default-domain example.org
        for node in 2 3; do
            operator_of 1 node add --node "$node" --peer "$net.$node:7400"
        done
        ROOKERY_PASSWORD=${ROOKERY_PASSWORD:-rookery} operator account create alice@example.org
        touch "$dir/made"
    fi
    operator status
}

# Packets from host $1 to host $2 vanish.
lose() {
    ip -n "rookery$1" neigh replace "$net.$2" lladdr "$nowhere" nud permanent dev eth0
}

find_again() {
    ip -n "rookery$1" neigh del "$net.$2" dev eth0 2>/dev/null || true
}

heal() {
    bridge link set dev "rookery$1" state 3
    for other in $nodes; do
        [ "$other" = "$1" ] && continue
        find_again "$1" "$other"
        find_again "$other" "$1"
    done
}

verb=${1:-}
[ -n "$verb" ] && shift
case "$verb" in
    up) up ;;
    down | clean)
        for node in $nodes; do stop "$node"; done
        network_down
        [ "$verb" = down ] || rm -rf "$dir"
        ;;
    status) operator status ;;
    cut)
        check_node "${1:-}"
        if [ $# -ge 2 ]; then
            check_node "$2"
            lose "$1" "$2"
            lose "$2" "$1"
        else
            bridge link set dev "rookery$1" state 0
        fi
        ;;
    cut-to)
        check_node "${1:-}"
        check_node "${2:-}"
        lose "$1" "$2"
        ;;
    heal)
        if [ $# -ge 1 ]; then
            check_node "$1"
            heal "$1"
        else
            for node in $nodes; do heal "$node"; done
        fi
        ;;
    kill)
        check_node "${1:-}"
        pid=$(pid_of "$1") || die "node $1 does not run"
        kill -KILL "$pid"
        ;;
    start)
        check_node "${1:-}"
        start "$1"
        ;;
    on)
        check_node "${1:-}"
        node=$1
        shift
        exec ip netns exec "rookery$node" "$@"
        ;;
    rookery) operator "$@" ;;
    *) usage ;;
esac

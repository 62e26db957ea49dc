#!/usr/bin/env bash
# Shows a fleet at work; `make fleet` calls it.
#
# A cluster of three nats-servers on loopback, and three relays that publish to
# it, each a host of its own: in a mount and a UTS namespace with its own
# /etc/machine-id and name. auditd's part is taken by a capture. Then
# `audisp-relay fleet status` and `verify` say whether the streams have all of
# it. Every process and file is gone at the end.
#
# Namespaces need root, or a kernel that lets users make them.
set -euo pipefail
cd "$(dirname "$0")/.."

relay=$PWD/bin/audisp-relay
capture=testdata/captures/audit-4.2.1-enriched.string.gz
hosts=3
work=        # stores, configurations, sockets
feeds=()     # file descriptors: the relays' stdin
relays=()    # pids
servers=()   # pids

say() { printf 'fleet: %s\n' "$*" >&2; }

die() { say "$1"; exit 1; }

# end PID... ends processes that this script has started, and waits for them.
end() {
    [ $# -gt 0 ] || return 0
    kill "$@"
    for _ in $(seq 100); do
        kill -0 "$@" || break
        sleep 0.1
    done
    kill -KILL "$@"
    wait "$@"
} 2>/dev/null

cleanup() {
    local code=$?
    trap - EXIT
    trap '' INT TERM
    set +e
    end "${relays[@]}"
    end "${servers[@]}"
    if [ -n "$work" ]; then rm -rf "$work"; fi
    exit "$code"
}

prepare() {
    umask 077
    trap cleanup EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    work=$(mktemp -d)
    [ -e /etc/machine-id ] || die "there is no /etc/machine-id that another one can be mounted over: run systemd-machine-id-setup"
    own=(unshare --mount --uts)
    if [ "$(id -u)" != 0 ]; then own+=(--map-root-user); fi
    "${own[@]}" true 2>/dev/null || die "no namespace can be made here: run it as root, and not in a container that forbids that"
    say "building nats-server from test/servers"
    (cd test/servers && "${GO:-go}" build -o "$work/nats-server" ./nats) || die "nats-server cannot be built; is the Go module proxy in reach?"
}

# find_ports N sets ports to N ports of loopback that nothing listens at.
find_ports() {
    ports=()
    local port
    while [ ${#ports[@]} -lt "$1" ]; do
        port=$((20000 + RANDOM % 10000))
        case " ${ports[*]} " in *" $port "*) continue ;; esac
        if ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then ports+=("$port"); fi
    done
}

start_cluster() {
    local i routes
    find_ports 6
    urls=nats://127.0.0.1:${ports[0]},nats://127.0.0.1:${ports[1]},nats://127.0.0.1:${ports[2]}
    routes=nats://127.0.0.1:${ports[3]},nats://127.0.0.1:${ports[4]},nats://127.0.0.1:${ports[5]}
    for i in 0 1 2; do
        cat >"$work/n$i.conf" <<END
server_name: n$i
listen: "127.0.0.1:${ports[$i]}"
cluster { name: fleet, listen: "127.0.0.1:${ports[$((i + 3))]}", routes: [ "${routes//,/\", \"}" ] }
jetstream { store_dir: "$work/n$i", sync_interval: always, max_file_store: 1GB }
END
        "$work/nats-server" -c "$work/n$i.conf" >"$work/n$i.log" 2>&1 &
        servers+=($!)
    done
    for _ in $(seq 60); do
        if "$relay" fleet init --apply --nats "$urls" >"$work/init.log" 2>&1; then
            say "three servers with a store each: $urls"
            return
        fi
        sleep 0.5
    done
    cat "$work/init.log" >&2
    die "the cluster does not take the streams"
}

# start_host I starts a relay that takes itself for another machine.
start_host() {
    local dir=$work/host$1 feed
    mkdir "$dir"
    tr -d - </proc/sys/kernel/random/uuid >"$dir/machine-id"
    echo "$(cat "$dir/machine-id") web$1" >>"$work/inventory"
    cat >"$dir/relay.toml" <<END
run_dir = "$dir/run"
state_dir = "$dir/state"
priority_boost = 0
oom_score_adj = 0

[log]
output = "$dir/relay.log"

[recovery]
enabled = false

[sinks.fleet]
type    = "nats"
servers = ["${urls//,/\", \"}"]
qos     = "lossless"
END
    mkfifo "$dir/stdin"
    "${own[@]}" bash -c 'mount --bind "$1/machine-id" /etc/machine-id && hostname "$2" && exec "$3" -c "$1/relay.toml"' \
        _ "$dir" "web$1" "$relay" <"$dir/stdin" >"$dir/output" 2>&1 &
    relays+=($!)
    exec {feed}>"$dir/stdin"
    feeds+=("$feed")
}

# feed_hosts RECORDS has all hosts do what the capture says, and waits until the engine has it.
feed_hosts() {
    local feed
    for feed in "${feeds[@]}"; do gzip -dc "$capture" >&"$feed"; done
    for _ in $(seq 60); do
        if "$relay" fleet status --nats "$urls" --inventory "$work/inventory" >"$work/status" 2>&1 &&
            [ "$(grep -c "up to $1\$" "$work/status")" = "$hosts" ]; then
            return
        fi
        sleep 0.5
    done
    cat "$work"/status "$work"/host*/output "$work"/host*/relay.log >&2
    die "after 30 s the streams do not have everything"
}

# end_hosts lets the relays come to the end of their streams.
end_hosts() {
    local feed
    for feed in "${feeds[@]}"; do exec {feed}>&-; done
    wait "${relays[@]}" || die "a relay has failed"
    relays=()
}

show() {
    say "audisp-relay fleet $*"
    "$relay" fleet "$@" --nats "$urls" --inventory "$work/inventory"
}

main() {
    [ -x "$relay" ] || die "there is no $relay: run make build"
    prepare
    start_cluster
    local i records
    for i in $(seq "$hosts"); do start_host "$i"; done
    records=$(gzip -dc "$capture" | wc -l)
    say "$hosts hosts, each with $records records"
    feed_hosts "$records"
    show status
    end_hosts
    say "the relays have ended"
    show verify
}

main

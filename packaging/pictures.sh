#!/usr/bin/env bash
# Makes docs/status-watch.svg and docs/tail.svg: a relay of its own, fed with a capture, seen on an
# 80x24 terminal of tmux. One of its sinks has a client that stopped reading, and one a server
# that refuses. Then docs/dashboard.svg: the panels of the dashboard, drawn from what a Prometheus
# has scraped meanwhile; the client reads again at last. Needs tmux, socat, prometheus and Go; not
# root, but for another user's files.
set -euo pipefail
cd "$(dirname "$0")/.."

work=$(mktemp -d /tmp/pictures.XXXXXX)
pids=()
cleanup() {
    trap - EXIT
    set +e
    kill -CONT "${pids[@]}" 2>/dev/null
    kill "${pids[@]}" 2>/dev/null
    wait 2>/dev/null
    tmux -S "$work/tmux.sock" kill-server 2>/dev/null
    rm -rf "$work"
}
trap cleanup EXIT

go build -o "$work/picture" ./test/picture
CGO_ENABLED=0 go build -o "$work/audisp-relay" -ldflags "-X main.version=0.1.0" ./cmd/audisp-relay

mkdir "$work/out"
cat >"$work/relay.toml" <<END
run_dir   = "$work/run"
state_dir = "$work/state"
priority_boost = 0
oom_score_adj  = 0
log.output = "$work/log"
recovery.enabled = false
metrics.listen = "127.0.0.1:19468"

[sinks.archive]
type   = "file"
path   = "$work/out/exec.json"
format = "json"

[sinks.agent]
type = "unix"
path = "$work/agent.sock"

[sinks.live]
type    = "unix"
path    = "$work/live.sock"
q_depth = 2000
spool   = { max_size = "0" }

[sinks.loghost]
type      = "syslog"
transport = "tcp"
address   = "127.0.0.1:9"
END
chmod 0640 "$work/relay.toml"

# The relay ends when nothing feeds it; a signal would not end it.
mkfifo "$work/stdin"
"$work/audisp-relay" -c "$work/relay.toml" <"$work/stdin" &
"$work/picture" feed >"$work/stdin" &
pids+=($!)
until [ -S "$work/agent.sock" ] && [ -S "$work/live.sock" ]; do sleep 0.1; done
socat -u "UNIX-CONNECT:$work/agent.sock" /dev/null &
pids+=($!)
socat -u "UNIX-CONNECT:$work/live.sock" /dev/null &
pids+=($!)
stopped=$!

# screen COMMAND FILE SECONDS: FILE is a picture of what COMMAND shows after so long.
terminal() { tmux -u -f /dev/null -S "$work/tmux.sock" "$@"; }
screen() {
    env -u NO_COLOR TERM=screen-256color LC_ALL=C.UTF-8 tmux -u -f /dev/null -S "$work/tmux.sock" \
        new-session -d -x 80 -y 24 "PATH=$work:\$PATH exec $1"
    sleep "$3"
    terminal capture-pane -e -p | "$work/picture" svg >"$2"
    terminal kill-server
}
cat >"$work/prometheus.yml" <<END
global: {scrape_interval: 1s, scrape_timeout: 1s}
scrape_configs: [{job_name: audisp-relay, static_configs: [{targets: ["127.0.0.1:19468"], labels: {instance: host1}}]}]
END
prometheus --config.file="$work/prometheus.yml" --storage.tsdb.path="$work/data" --web.listen-address=127.0.0.1:19490 2>"$work/prometheus.log" &
pids+=($!)
sleep 30
kill -STOP "$stopped"
screen "audisp-relay status --watch --run-dir $work/run" docs/status-watch.svg 45
screen "audisp-relay tail $work/agent.sock" docs/tail.svg 4
kill -CONT "$stopped"
sleep 60
"$work/picture" graphs 127.0.0.1:19490 packaging/mixin/dashboard.json 150 >docs/dashboard.svg
ls -l docs/*.svg

#!/usr/bin/env bash
# Shows audisp-relay at work; `make run` calls it.
#
# With root and a kernel that has audit, the relay runs as a plugin of the
# auditd that is running, or of a private one that is started for it, and its
# events are shown. Everything is taken back at the end. Otherwise a capture is
# replayed.
#
#   AUDISP_DEMO=1       replay the capture in any case
#   AUDISP_SECONDS=8    end after so many seconds; on a terminal: at Ctrl-C
set -euo pipefail
cd "$(dirname "$0")/.."
PATH=$PATH:/usr/sbin:/sbin

relay=bin/audisp-relay
key=audisp-relay-demo
work=        # sockets, configuration, the private auditd's log
bin=         # the binary that auditd starts
installed=   # yes: the drop-in is in the running auditd's directory
auditd=      # pid of the private auditd
enabled=     # the kernel's audit switch as it was
watched=     # the directory with an audit rule
activity=    # pid of the loop that makes events

say() { printf 'demo: %s\n' "$*" >&2; }

# kernel_says FIELD prints a value of the kernel's audit status.
kernel_says() { auditctl -s 2>/dev/null | awk -v f="$1" '$1 == f { print $2 }'; }

replay() { # why
    say "$1; this is a replayed capture"
    { "$relay" replay testdata/captures/audit-3.0.9-enriched.string.gz || true; } | "$relay" tail --count 60 -
    exit 0
}

cleanup() {
    local code=$?
    trap - EXIT
    trap '' INT TERM
    set +e
    if [ -n "$activity" ]; then kill "$activity"; wait "$activity"; fi 2>/dev/null
    if [ -n "$watched" ]; then auditctl -W "$watched" -p wa -k "$key" >/dev/null 2>&1; fi
    if [ -n "$installed" ]; then "$bin/audisp-relay" uninstall | sed -n '/^left/!s/^/demo: /p' >&2; fi
    if [ -n "$auditd" ]; then stop_auditd; fi
    if [ -n "$enabled" ]; then auditctl -e "$enabled" >/dev/null; fi
    if [ -n "$work" ]; then rm -rf "$work"; fi
    if [ -n "$bin" ]; then rm -rf "$bin"; fi
    exit "$code"
}

stop_auditd() {
    local plugin
    plugin=$(pgrep -P "$auditd")
    if [ "$(cat "/proc/$auditd/comm")" = auditd ]; then kill "$auditd"; fi
    for _ in $(seq 100); do
        if [ "$(kernel_says pid)" = 0 ] && ! kill -0 $auditd $plugin; then break; fi
        sleep 0.1
    done 2>/dev/null
    say "stopped the private auditd"
}

# The lock is for those who test audit on this machine: there is one audit PID.
lock() {
    exec 9>/run/audisp-relay-lab.lock
    flock -w 60 9 || replay "another process uses audit here"
}

prepare() {
    umask 077
    trap cleanup EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    work=$(mktemp -d /run/audisp-relay-demo.XXXXXX)
    # Not below /run or /tmp, where the system may forbid to execute anything.
    bin=$(mktemp -d /usr/local/sbin/audisp-relay-demo.XXXXXX 2>/dev/null || mktemp -d)
    chmod 0755 "$bin"
    install -o root -g root -m 0755 "$relay" "$bin/audisp-relay"
    cat >"$work/relay.toml" <<END
run_dir = "$work/run"
state_dir = "$work/state"

[log]
output = "$work/relay.log"

[sinks.demo]
type  = "unix"
path  = "$work/events.sock"
mode  = "0600"
group = "root"
END
}

# follow SOCKET shows what comes.
follow() {
    if [ -t 1 ] && [ -z "${AUDISP_SECONDS:-}" ]; then
        say "following $1; Ctrl-C ends it"
        trap 'exit 0' INT
        "$relay" tail "$1" 9>&- || true
        return
    fi
    local seconds=${AUDISP_SECONDS:-8}
    say "following $1 for $seconds s"
    if [ -t 1 ]; then
        "$relay" tail --seconds "$seconds" "$1" 9>&-
        return
    fi
    "$relay" tail --seconds "$seconds" "$1" 9>&- | tee "$work/shown"
    [ -s "$work/shown" ] || { say "no event came; the relay says:"; cat "$work/relay.log" >&2; exit 1; }
}

# under_running_auditd PID installs the relay there for a while. The rules stay
# as they are, so it is mostly our own messages that come.
under_running_auditd() {
    local conf_dir plugin_dir
    conf_dir=$(tr '\0' '\n' <"/proc/$1/cmdline" | sed -n '/^-c$/ { n; p; }')
    plugin_dir=$(awk '$1 == "plugin_dir" { print $3 }' "${conf_dir:-/etc/audit}/auditd.conf")
    prepare
    if [ -e "${plugin_dir:-/etc/audit/plugins.d}/audisp-relay.conf" ]; then
        say "the relay is a plugin of auditd (pid $1) already"
        follow /run/audisp-relay/events.sock
        return
    fi
    say "making the relay a plugin of auditd (pid $1) for a while"
    installed=yes
    "$bin/audisp-relay" install --config "$work/relay.toml" 9>&- | sed -n '/^left/!s/^/demo: /p' >&2
    while sleep 2; do auditctl -m "audisp-relay demo: is anybody there?"; done >/dev/null 2>&1 9>&- &
    activity=$!
    follow "$work/events.sock"
}

under_private_auditd() {
    prepare
    mkdir -p "$work/audit/plugins.d" "$work/log" "$work/files"
    cat >"$work/audit/auditd.conf" <<END
log_file = $work/log/audit.log
log_format = ENRICHED
max_log_file = 64
num_logs = 2
max_log_file_action = IGNORE
space_left = 2
space_left_action = IGNORE
admin_space_left = 1
admin_space_left_action = IGNORE
disk_full_action = IGNORE
disk_error_action = IGNORE
plugin_dir = $work/audit/plugins.d
END
    "$bin/audisp-relay" install --conf-dir "$work/audit" --config "$work/relay.toml" --no-reload >/dev/null
    enabled=$(kernel_says enabled)
    say "starting a private auditd with the relay as its plugin"
    auditd -c "$work/audit" 9>&-
    for _ in $(seq 50); do
        auditd=$(kernel_says pid)
        if [ "$auditd" != 0 ]; then break; fi
        sleep 0.1
    done
    [ "$auditd" != 0 ] || { auditd=; say "auditd does not start"; exit 1; }
    watched=$work/files
    auditctl -w "$watched" -p wa -k "$key" >/dev/null 2>&1 || say "no rule could be added"
    touch_files "$watched" >/dev/null 2>&1 9>&- &
    activity=$!
    follow "$work/events.sock"
}

# touch_files DIR does things that the rule sees.
touch_files() {
    while sleep 1; do
        date >"$1/quarterly report.txt"
        chmod 0644 "$1/quarterly report.txt"
        mv "$1/quarterly report.txt" "$1/old.txt"
        rm "$1/old.txt"
    done
}

main() {
    [ -x "$relay" ] || { say "there is no $relay: run make build"; exit 1; }
    [ "${AUDISP_DEMO:-}" != 1 ] || replay "AUDISP_DEMO=1"
    [ "$(id -u)" = 0 ] || replay "only root may use audit (sudo make run)"
    packaging/getdeps.sh auditd auditctl || replay "there is no auditd"
    lock
    local pid
    pid=$(kernel_says pid || true)
    [ -n "$pid" ] || replay "the kernel has no audit for us, as in a container"
    if [ "$pid" = 0 ]; then
        under_private_auditd
    elif [ "$(cat "/proc/$pid/comm")" = auditd ]; then
        under_running_auditd "$pid"
    else
        replay "the kernel's audit records go to another program (pid $pid)"
    fi
}

main

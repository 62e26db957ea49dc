# try.sh: what try-deb.sh, try-rpm.sh and try-apk.sh begin with. From here on they run in namespaces of
# their own, in which no process of this machine is seen, and on a system that is written to memory. No
# auditd runs there. They print what is wrong, and fail then. They need root.
# shellcheck shell=bash

if [ "${TRY_INSIDE:-}" != yes ]; then
    TRY_INSIDE=yes exec unshare --mount --pid --net --ipc --uts --fork --kill-child "$0" "$@"
fi
mount --make-rprivate /
mount -t tmpfs tmpfs /run
stage=/run/try
mkdir "$stage" "$stage/root" "$stage/upper" "$stage/work"
root=$stage/root
failed=0
step="the beginning"
proc=mounted # none: a system without /proc, as where images are built
drop_in=/etc/audit/plugins.d/audisp-relay.conf
config=/etc/audit/audisp-relay.toml

# overlay DIR: the system in DIR, as it is.
overlay() {
    mount -t overlay overlay -o "lowerdir=$1,upperdir=$stage/upper,workdir=$stage/work" "$root"
    mount -t tmpfs tmpfs "$root/run"
    mount --rbind /dev "$root/dev"
}

# bring OLD NEW FIPS [STUB1 STUB2]: the packages are /run/packages/old, new, fips, stub1 and stub2 there.
bring() {
    local name
    for name in old new fips stub1 stub2; do
        [ $# -gt 0 ] || break
        install -D -m 0644 "$1" "$root/run/packages/$name"
        shift
    done
}
# stubs: there are packages with one.
stubs() { [ -e "$root/run/packages/stub2" ]; }

# in_root COMMAND...: as a process of that system, which the scripts of packages take for no chroot.
in_root() {
    unshare --pid --mount --fork --kill-child chroot "$root" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin DEBIAN_FRONTEND=noninteractive \
        sh -c '[ "$1" = none ] || mount -t proc proc /proc; shift; exec "$@"' sh "$proc" "$@"
}

# wrong WHAT: notes it, with what the last command has printed.
wrong() {
    echo "$step: $*" >&2
    [ ! -e "$stage/out" ] || sed 's/^/    /' "$stage/out" >&2
    failed=1
}

# expect WHAT COMMAND...: the command succeeds there. refuse: it fails.
expect() {
    local what=$1
    shift
    in_root "$@" >"$stage/out" 2>&1 || wrong "$what"
}
refuse() {
    local what=$1
    shift
    ! in_root "$@" >"$stage/out" 2>&1 || wrong "$what"
}

# auditd_files: what is auditd's own below /etc/audit, with owners and modes.
auditd_files() {
    in_root sh -c 'cd /etc/audit && find . ! -name "*audisp-relay*" -exec stat -c "%n %a %U:%G" {} + | sort
        find . -type f ! -name "*audisp-relay*" -exec sha256sum {} + | sort'
}
same_auditd() {
    auditd_files >"$stage/now"
    cmp -s "$stage/before" "$stage/now" || { diff "$stage/before" "$stage/now" >"$stage/out" || true; wrong "what is auditd's own in /etc/audit was changed:"; }
}

# use: what an administrator does with the relay after its installation.
use() {
    expect "audisp-relay install" audisp-relay install
    expect "the drop-in is not active" grep -qx 'active = yes' "$drop_in"
    in_root sh -c "echo '# mine' >>$config; mkdir -p /var/lib/audisp-relay/spool; echo x >/var/lib/audisp-relay/spool/x; echo x >/var/log/audisp-relay/events.log"
    # The worker's, and the group's that reads it.
    in_root chown 4321 /var/lib/audisp-relay
    in_root chown 0:4322 /var/log/audisp-relay
}

# fresh: what a first installation, which starts nothing, has to bring.
fresh() {
    expect "the program does not run" audisp-relay version
    expect "the drop-in is not inactive" grep -qx 'active = no' "$drop_in"
    expect "the configuration has errors" audisp-relay check
    expect "modes of /etc files" sh -c "[ \"\$(stat -c %a:%U:%G $drop_in $config | sort -u)\" = 640:root:root ]"
    expect "the manual cannot be found" test -s /usr/share/man/man8/audisp-relay.8.gz
    same_auditd
}

# kept: an upgrade has left all as the administrator has it.
kept() {
    expect "the program is not there" test -x /usr/sbin/audisp-relay
    expect "the drop-in is not active" grep -qx 'active = yes' "$drop_in"
    expect "the configuration was replaced" grep -qx '# mine' "$config"
    expect "state was removed" test -e /var/lib/audisp-relay/spool/x
    expect "state was given to another" sh -c '[ "$(stat -c %u /var/lib/audisp-relay)" = 4321 ]'
    expect "what sinks write was given to another group" sh -c '[ "$(stat -c %g:%a /var/log/audisp-relay)" = 4322:750 ]'
    same_auditd
}

# gone: a removal has left what is the administrator's, and nothing that auditd would start.
gone() {
    expect "the drop-in is there" test ! -e "$drop_in"
    expect "the program is there" test ! -e /usr/sbin/audisp-relay
    expect "state was removed" test -e /var/lib/audisp-relay/spool/x
    expect "what a sink wrote was removed" test -e /var/log/audisp-relay/events.log
    same_auditd
}

# calls [LINE...]: with these arguments, and no others, the scripts have run the program, which is a
# script that notes them (see stub in packages_test.go) since the last time.
calls() {
    printf '%s\n' "$@" | sed '/^$/d' >"$stage/want"
    touch "$root/run/calls"
    mv "$root/run/calls" "$stage/out"
    cmp -s "$stage/want" "$stage/out" || wrong "the scripts should have run it with [$*], and did so with:"
}
# answer COMMAND CODE: with that exit code it answers from now on.
answer() { echo "$2" >"$root/run/exit-$1"; }
# activate: auditd would start the relay.
activate() { in_root sed -i 's/^active = no/active = yes/' "$drop_in"; }

# try_scripts: what the scripts of packages do, of stub1 and of stub2, which is later. put FILE installs one,
# or puts it into the place of the one before, and del removes it.
try_scripts() {
    stubs || return 0
    answer status 3 # it does not run
    step="the scripts: a first installation"
    put stub1
    calls
    step="the scripts: an upgrade"
    put stub2
    calls "install --upgrade"
    step="the scripts: an upgrade of a program that cannot be replaced"
    answer install 1
    put stub1
    calls "install --upgrade"
    answer install 0
    step="the scripts: a removal of what is not in use"
    del
    calls "status"

    step="the scripts: a removal of what cannot be run any more"
    answer status 127 # as the shell says it
    put stub1
    del
    calls "status"
    answer status 3

    step="the scripts: a removal of what is in use"
    put stub1
    activate
    calls
    del
    calls "uninstall"
    rm -f "$root$drop_in"* # the stub leaves it
    step="the scripts: a removal of what runs, though not by its drop-in"
    put stub1
    answer status 0
    del
    calls "status" "uninstall"
    answer status 3

    step="the scripts: in a system without /proc"
    proc=none
    put stub1
    put stub2
    activate
    del
    calls
    expect "the drop-in is there" test ! -e "$drop_in"
    proc=mounted
}

# try_kept_package: where auditd does not let go of the relay its package stays.
try_kept_package() {
    stubs || return 0
    step="the scripts: a removal that auditd refuses"
    put stub1
    activate
    answer uninstall 1
    keep
    calls "uninstall"
    expect "the program is gone" test -x /usr/sbin/audisp-relay
    answer uninstall 0
    del
    calls "uninstall"
    rm -f "$root$drop_in"*
}

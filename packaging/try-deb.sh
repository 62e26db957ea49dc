#!/usr/bin/env bash
# try-deb.sh ROOT OLD.deb NEW.deb FIPS.deb: installs, upgrades, removes and purges the package in a
# system with auditd's package that lies in the directory ROOT, which is not changed: all is
# written to memory, in namespaces of its own, in which no process of this machine is seen.
# FIPS.deb is the package audisp-relay-fips, which takes the place of the other for a while.
# No auditd runs there. Prints what is wrong, and fails then. Needs root.
set -euo pipefail

if [ "${5:-}" != inside ]; then
    exec unshare --mount --pid --net --ipc --uts --fork "$0" "$1" "$(realpath "$2")" "$(realpath "$3")" "$(realpath "$4")" inside
fi

root=$(realpath "$1") old=$2 new=$3 fips=$4
stage=$(mktemp -d /run/try-deb.XXXXXX)
mount --make-rprivate /
mount -t tmpfs tmpfs "$stage"
mkdir "$stage/upper" "$stage/work" "$stage/root"
mount -t overlay overlay -o "lowerdir=$root,upperdir=$stage/upper,workdir=$stage/work" "$stage/root"
root=$stage/root
mount -t tmpfs tmpfs "$root/run"
install -D -m 0644 "$old" "$root/run/deb/old.deb"
install -D -m 0644 "$new" "$root/run/deb/new.deb"
install -D -m 0644 "$fips" "$root/run/deb/fips.deb"

failed=0
# expect WHAT COMMAND...: the command succeeds in the root.
expect() {
    local what=$1
    shift
    if ! in_root "$@" >"$stage/out" 2>&1; then
        echo "$step: $what" >&2
        sed 's/^/    /' "$stage/out" >&2
        failed=1
    fi
}
# The scripts take what does not have the root of process 1 for a chroot.
in_root() {
    unshare --pid --mount --fork chroot "$root" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin DEBIAN_FRONTEND=noninteractive \
        sh -c '[ "$1" = none ] || mount -t proc proc /proc; shift; exec "$@"' sh "$proc" "$@"
}
proc=mounted
# package COMMAND...: dpkg asks nothing.
package() { expect "dpkg $*" dpkg --force-confdef --force-confold "$@" </dev/null; }

# auditd_files: what is auditd's own below /etc/audit, with owners and modes.
auditd_files() {
    in_root sh -c 'cd /etc/audit && find . ! -name "*audisp-relay*" -printf "%p %m %u:%g\n" | sort
        find . -type f ! -name "*audisp-relay*" | sort | xargs sha256sum'
}
same_auditd() {
    auditd_files >"$stage/now"
    cmp -s "$stage/before" "$stage/now" || { echo "$step: what is auditd's own in /etc/audit was changed:" >&2; diff "$stage/before" "$stage/now" >&2 || true; failed=1; }
}

drop_in=/etc/audit/plugins.d/audisp-relay.conf
config=/etc/audit/audisp-relay.toml
auditd_files >"$stage/before"

step="first install"
package -i /run/deb/old.deb
expect "the program does not run" audisp-relay version
expect "the drop-in is not inactive" grep -qx 'active = no' "$drop_in"
expect "the configuration has errors" audisp-relay check
expect "modes of /etc files" sh -c "[ \"\$(stat -c %a:%U:%G $drop_in $config | sort -u)\" = 640:root:root ]"
expect "the manual cannot be found" test -s /usr/share/man/man8/audisp-relay.8.gz
same_auditd

step="an upgrade before audisp-relay install"
package -i /run/deb/new.deb
expect "the drop-in is not inactive" grep -qx 'active = no' "$drop_in"
package -i /run/deb/old.deb
same_auditd

step="a removal before audisp-relay install"
package -r audisp-relay
expect "the configuration was removed" test -e "$config"
package -i /run/deb/old.deb

step="audisp-relay install"
expect "audisp-relay install" audisp-relay install
expect "the drop-in is not active" grep -qx 'active = yes' "$drop_in"
in_root sh -c "echo '# mine' >>$config; mkdir -p /var/lib/audisp-relay/spool; echo x >/var/lib/audisp-relay/spool/x; echo x >/var/log/audisp-relay/events.log"

step="an upgrade"
package -i /run/deb/new.deb
expect "the new version is not installed" sh -c "[ \"\$(dpkg-query -W -f '\${Version}' audisp-relay)\" = \"\$(dpkg-deb -f /run/deb/new.deb Version)\" ]"
expect "the drop-in is not active" grep -qx 'active = yes' "$drop_in"
expect "the configuration was replaced" grep -qx '# mine' "$config"
same_auditd

step="a downgrade"
package -i /run/deb/old.deb
expect "the drop-in is not active" grep -qx 'active = yes' "$drop_in"

# replaced GONE: the other package has its place, and all is as it was.
replaced() {
    expect "$1 is installed" sh -c "[ \"\$(dpkg-query -W -f '\${db:Status-Status}' $1 2>/dev/null)\" != installed ]"
    expect "the program is not there" test -x /usr/sbin/audisp-relay
    expect "the drop-in is not active" grep -qx 'active = yes' "$drop_in"
    expect "the configuration was replaced" grep -qx '# mine' "$config"
    expect "state was removed" test -e /var/lib/audisp-relay/spool/x
    same_auditd
}
step="audisp-relay-fips in its place"
package -i /run/deb/fips.deb
replaced audisp-relay
step="a purge of what was replaced"
package -P audisp-relay
replaced audisp-relay
step="and back"
package -i /run/deb/old.deb
replaced audisp-relay-fips
package -P audisp-relay-fips
replaced audisp-relay-fips

step="a removal"
package -r audisp-relay
expect "the drop-in is there" test ! -e "$drop_in"
expect "the program is there" test ! -e /usr/sbin/audisp-relay
expect "the configuration was removed" grep -qx '# mine' "$config"
expect "state was removed" test -e /var/lib/audisp-relay/spool/x
same_auditd

step="a purge"
package -P audisp-relay
expect "a file is left in /etc" sh -c '[ -z "$(find /etc -name "*audisp-relay*")" ]'
expect "state is left" test ! -e /var/lib/audisp-relay
expect "what a sink wrote was removed" test -e /var/log/audisp-relay/events.log
expect "dpkg's own audit" sh -c '[ -z "$(dpkg --audit)" ]'
same_auditd

step="a package in a system without /proc"
proc=none
package -i /run/deb/old.deb
package -i /run/deb/new.deb
expect "the drop-in cannot be made active" sed -i 's/^active = no/active = yes/' "$drop_in"
package -P audisp-relay
expect "the drop-in is there" test ! -e "$drop_in"
same_auditd

exit $failed

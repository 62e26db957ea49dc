#!/usr/bin/env bash
# try-deb.sh ROOT OLD.deb NEW.deb FIPS.deb [STUB1.deb STUB2.deb]: installs, upgrades, removes and purges the
# package in the system of Debian with auditd's package that lies in the directory ROOT, which is not changed.
# FIPS.deb is the package audisp-relay-fips, which takes the place of the other for a while. The stubs are
# packages with a program that only notes how it is called. See try.sh.
set -euo pipefail
. "$(dirname "$0")/try.sh"

overlay "$(realpath "$1")"
bring "${@:2}"

# package COMMAND...: dpkg asks nothing.
package() { expect "dpkg $*" dpkg --force-confdef --force-confold "$@" </dev/null; }
put() { package -i "/run/packages/$1"; }
del() { package -r audisp-relay; }
keep() { refuse "dpkg has removed the package" dpkg -r audisp-relay; }
auditd_files >"$stage/before"

step="first install"
put old
fresh

step="an upgrade before audisp-relay install"
put new
expect "the drop-in is not inactive" grep -qx 'active = no' "$drop_in"
put old
same_auditd

step="a removal before audisp-relay install"
del
expect "the configuration was removed" test -e "$config"
put old

step="audisp-relay install"
use

step="an upgrade"
put new
expect "the new version is not installed" sh -c "[ \"\$(dpkg-query -W -f '\${Version}' audisp-relay)\" = \"\$(dpkg-deb -f /run/packages/new Version)\" ]"
kept

step="a downgrade"
put old
kept

# replaced GONE: the other package has its place, and all is as it was.
replaced() {
    expect "$1 is installed" sh -c "[ \"\$(dpkg-query -W -f '\${db:Status-Status}' $1 2>/dev/null)\" != installed ]"
    kept
}
step="audisp-relay-fips in its place"
put fips
replaced audisp-relay
step="a purge of what was replaced"
package -P audisp-relay
replaced audisp-relay
step="and back"
put old
replaced audisp-relay-fips
package -P audisp-relay-fips
replaced audisp-relay-fips

step="a removal"
del
gone
expect "the configuration was removed" grep -qx '# mine' "$config"

step="a purge"
package -P audisp-relay
expect "a file is left in /etc" sh -c '[ -z "$(find /etc -name "*audisp-relay*")" ]'
expect "state is left" test ! -e /var/lib/audisp-relay
expect "what a sink wrote was removed" test -e /var/log/audisp-relay/events.log
expect "dpkg's own audit" sh -c '[ -z "$(dpkg --audit)" ]'
same_auditd

step="a package in a system without /proc"
proc=none
put old
put new
activate
package -P audisp-relay
expect "the drop-in is there" test ! -e "$drop_in"
same_auditd
proc=mounted

# dpkg leaves configuration files at a removal, as the next package would find them.
del() {
    package -r audisp-relay
    package -P audisp-relay
}
try_scripts
try_kept_package
same_auditd

exit $failed

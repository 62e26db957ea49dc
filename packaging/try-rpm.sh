#!/usr/bin/env bash
# try-rpm.sh OLD.rpm NEW.rpm FIPS.rpm [STUB1.rpm STUB2.rpm]: installs, upgrades, swaps and removes the package
# in a copy of this machine's system, which has rpm and auditd's package and is not changed. See try-deb.sh and
# try.sh.
set -euo pipefail
. "$(dirname "$0")/try.sh"

overlay /
bring "$@"
rm -rf "$root"{"$drop_in","$config",/usr/sbin/audisp-relay,/var/lib/audisp-relay,/var/log/audisp-relay} # what this machine has of it

# Debian's rpm has to be asked twice, and a database of its own knows nothing that is installed, also not
# /bin/sh, which scripts need.
database=(--define "_dbpath /run/rpmdb")
in_root rpmdb "${database[@]}" --initdb
[ ! -e /etc/debian_version ] || database+=(--force-debian)
package() { expect "rpm $*" rpm "${database[@]}" "$@"; }
put() { package -U --oldpackage --nodeps "/run/packages/$1"; }
del() { package -e audisp-relay; }
keep() { refuse "rpm has removed the package" rpm "${database[@]}" -e audisp-relay; }
auditd_files >"$stage/before"

step="first install"
put old
fresh
package -V --nodeps audisp-relay

step="an upgrade before audisp-relay install"
put new
expect "the drop-in is not inactive" grep -qx 'active = no' "$drop_in"
put old
same_auditd

step="audisp-relay install"
use

step="an upgrade"
put new
expect "the new version is not installed" sh -c "[ \"\$(rpm ${database[0]} '${database[1]}' -q audisp-relay)\" = \"\$(rpm -qp /run/packages/new 2>/dev/null)\" ]"
kept

step="a downgrade"
put old
kept

step="audisp-relay-fips beside it"
refuse "both are installed" rpm "${database[@]}" -i /run/packages/fips
grep -q 'conflicts with' "$stage/out" || wrong "they do not conflict:"
kept

step="a removal"
del
gone
expect "the configuration was removed" sh -c "grep -qx '# mine' $config.rpmsave"

step="audisp-relay-fips in its place"
put fips
expect "the drop-in is not inactive" grep -qx 'active = no' "$drop_in"
package -e audisp-relay-fips
gone

step="a package in a system without /proc"
proc=none
put old
put new
activate
del
expect "the drop-in is there" test ! -e "$drop_in"
same_auditd
proc=mounted

try_scripts
try_kept_package
same_auditd

exit $failed

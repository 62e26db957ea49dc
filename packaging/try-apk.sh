#!/usr/bin/env bash
# try-apk.sh OLD.apk NEW.apk FIPS.apk [STUB1.apk STUB2.apk]: what the package and its scripts do in a system that
# consists of busybox. apk itself is not there: this unpacks the packages as apk does, and runs the scripts that
# it would run with its arguments. See try-deb.sh and try.sh.
set -euo pipefail
. "$(dirname "$0")/try.sh"

mkdir -p "$stage"/empty/{bin,sbin,usr/bin,usr/sbin,proc,dev,run,tmp,var/log,etc/audit/plugins.d}
cp "$(command -v busybox)" "$stage/empty/bin/busybox"
chroot "$stage/empty" /bin/busybox --install -s
echo 'root:x:0:0:root:/root:/bin/sh' >"$stage/empty/etc/passwd"
echo 'root:x:0:' >"$stage/empty/etc/group"
printf 'log_file = /var/log/audit/audit.log\n' >"$stage/empty/etc/audit/auditd.conf"
chmod 0640 "$stage/empty/etc/audit/auditd.conf"
chmod 0750 "$stage/empty/etc/audit" "$stage/empty/etc/audit/plugins.d"
overlay "$stage/empty"
bring "$@"

db=$stage/db # what is installed: its files, and its version
# value KEY DIR: of the package in DIR.
value() { sed -n "s/^$1 = //p" "$2/.PKGINFO"; }
# script NAME ARGUMENT...: of the installed package, if it has it.
script() {
    local name=$1
    shift
    [ -e "$db/$name" ] || return 0
    install -m 0755 "$db/$name" "$root/tmp/$name"
    in_root "/tmp/$name" "$@" >"$stage/out" 2>&1
}

put() {
    local next=$stage/next before=
    rm -rf "$next"
    mkdir "$next"
    tar --warning=no-unknown-keyword -xzf "$root/run/packages/$1" -C "$next"
    [ ! -e "$db" ] || before=$(value pkgver "$db")
    # Files below /etc that are there stay, but for those that nobody has changed.
    (cd "$next" && find . -mindepth 1 ! -path './.[A-Z]*') | while read -r path; do
        if [ -d "$next/$path" ] && [ ! -L "$next/$path" ]; then
            [ -d "$root/$path" ] || install -d -m "$(stat -c %a "$next/$path")" "$root/$path"
        elif [ "${path#./etc/}" = "$path" ] || [ ! -e "$root/$path" ] || cmp -s "$db/$path" "$root/$path"; then
            cp -a --remove-destination "$next/$path" "$root/$path"
        fi
    done
    rm -rf "$db"
    mv "$next" "$db"
    if [ -z "$before" ]; then
        script .post-install "$(value pkgver "$db")" || wrong "post-install"
    else
        script .post-upgrade "$(value pkgver "$db")" "$before" || wrong "post-upgrade"
    fi
}

del() {
    script .pre-deinstall "$(value pkgver "$db")" || wrong "pre-deinstall"
    (cd "$db" && find . -type f ! -path './.[A-Z]*') | while read -r path; do
        if [ "${path#./etc/}" = "$path" ] || cmp -s "$db/$path" "$root/$path"; then rm -f "$root/$path"; fi
    done
    rm -rf "$db"
}
auditd_files >"$stage/before"

step="first install"
put old
fresh

step="an upgrade before audisp-relay install"
put new
expect "the drop-in is not inactive" grep -qx 'active = no' "$drop_in"

step="audisp-relay install"
use

step="an upgrade"
put old
kept

step="a removal"
del
gone

step="audisp-relay-fips in its place"
[ "$(tar --warning=no-unknown-keyword -xzOf "$root/run/packages/fips" .PKGINFO | sed -n 's/^depend = //p')" = "!audisp-relay" ] || wrong "the packages can be installed together"
put fips
expect "the configuration was replaced" grep -qx '# mine' "$config"
del
gone
rm -f "$root$config"

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

# apk removes a package whatever its script says; the exit code is what it reports.
if stubs; then
    step="the scripts: a removal that auditd refuses"
    put stub1
    activate
    answer uninstall 1
    if script .pre-deinstall 1; then wrong "pre-deinstall does not fail"; fi
    calls "uninstall"
    expect "auditd would look for the removed program" test ! -e "$drop_in"
fi
same_auditd

exit $failed

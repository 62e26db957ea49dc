#!/usr/bin/env bash
# getdeps.sh PROGRAM...: installs the Debian or Fedora packages of those of the
# programs that are missing. Services that come with them are not started, and
# laurel, which makes itself a plugin of auditd, is switched off there. syslog-ng, whose
# package Debian does not let stand beside rsyslog's, is unpacked below the user's cache folder.
# Without root it only says what is missing, and fails.
set -euo pipefail

syslog_ng=${XDG_CACHE_HOME:-$HOME/.cache}/audisp-relay/syslog-ng

missing() {
    case $1 in
    syslog-ng) ! command -v syslog-ng >/dev/null && [ ! -x "$syslog_ng/usr/sbin/syslog-ng" ] ;;
    # a module of rsyslogd
    *.so) ! compgen -G "/usr/lib*/rsyslog/$1" >/dev/null && ! compgen -G "/usr/lib/*/rsyslog/$1" >/dev/null ;;
    # for the auditd of other suites of Debian, from the mirror that apt uses
    debootstrap) command -v apt-get >/dev/null && ! PATH=$PATH:/usr/sbin:/sbin command -v "$1" >/dev/null ;;
    # Fedora has no AppArmor
    apparmor_parser) command -v apt-get >/dev/null && ! PATH=$PATH:/usr/sbin:/sbin command -v "$1" >/dev/null ;;
    selinux-devel) [ ! -e /usr/share/selinux/devel/Makefile ] ;;
    bash-completion) [ ! -e /usr/share/bash-completion/bash_completion ] ;;
    auparse) ! /usr/bin/python3 -c 'import auparse' 2>/dev/null ;;
    *) ! PATH=$PATH:/usr/sbin:/sbin command -v "$1" >/dev/null ;;
    esac
}

# package KIND PROGRAM: the package that has it, for KIND deb or rpm.
package() {
    case $1:$2 in
    deb:auditd | deb:auditctl | deb:audisp-syslog) echo auditd ;;
    rpm:auditd | rpm:auditctl) echo audit ;;
    rpm:audisp-syslog) echo audispd-plugins ;;
    *:auparse) echo python3-audit ;;
    *:rsyslogd) echo rsyslog ;;
    *:imrelp.so) echo rsyslog-relp ;;
    *:lmnsd_gtls.so) echo rsyslog-gnutls ;;
    deb:promtool) echo prometheus ;;
    rpm:promtool) echo golang-github-prometheus ;;
    deb:gcc) echo gcc libc6-dev ;;
    deb:selinux-devel) echo selinux-policy-dev ;;
    rpm:selinux-devel) echo selinux-policy-devel ;;
    *:apparmor_parser) echo apparmor ;;
    deb:busybox) echo busybox-static ;;
    *:qemu-*-static) echo qemu-user-static ;;
    *) echo "$2" ;;
    esac
}

# unpack_syslog_ng puts Debian's packages of it where nothing else is touched.
unpack_syslog_ng() {
    local dir deb
    dir=$(mktemp -d)
    (
        cd "$dir"
        apt-get download -qq syslog-ng-core libivykis0 libnet1 libpcre3 ||
            apt-get download -qq syslog-ng-core libivykis0t64 libnet1 libpcre2-8-0
        mkdir root
        for deb in *.deb; do dpkg -x "$deb" root; done
    ) >&2
    mkdir -p "${syslog_ng%/*}"
    rm -rf "$syslog_ng"
    mv "$dir/root" "$syslog_ng"
    rm -rf "$dir"
}

need=()
for program in "$@"; do
    if missing "$program"; then need+=("$program"); fi
done
[ ${#need[@]} -gt 0 ] || exit 0

if command -v apt-get >/dev/null; then
    kind=deb
elif command -v dnf >/dev/null; then
    kind=rpm
else
    echo "missing: ${need[*]} (neither apt-get nor dnf is there to install them)" >&2
    exit 1
fi
packages=()
unpack=
for program in "${need[@]}"; do
    if [ "$kind:$program" = deb:syslog-ng ]; then
        unpack=yes
        continue
    fi
    read -ra names <<<"$(package "$kind" "$program")"
    packages+=("${names[@]}")
done
if [ "$(id -u)" != 0 ]; then
    echo "missing: ${need[*]}; as root: install ${packages[*]}" >&2
    exit 1
fi

echo "installing ${need[*]}" >&2
laurel_conf=/etc/audit/plugins.d/laurel.conf
had_laurel=$([ -e "$laurel_conf" ] && echo yes || true)
if [ "$kind" = deb ]; then
    policy=/usr/sbin/policy-rc.d # where it exits 101 no package starts its service
    if [ ! -e "$policy" ]; then
        trap 'rm -f "$policy"' EXIT
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod 0755 "$policy"
    fi
    apt-get update -qq >&2
    if [ ${#packages[@]} -gt 0 ]; then
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${packages[@]}" >&2
    fi
    if [ -n "$unpack" ]; then unpack_syslog_ng; fi
else
    dnf install -y -q "${packages[@]}" >&2
fi
if [ -z "$had_laurel" ] && [ -e "$laurel_conf" ]; then
    sed -i 's/^active = yes/active = no/' "$laurel_conf"
fi

#!/bin/sh
# root.sh SUITE...: makes, unless they are there, roots with the auditd of other
# Debian suites below the user's cache folder, at the same time, and prints where each
# is. It takes some three minutes and 230 MB each. test/lab runs the daemon in them.
set -eu

roots=${XDG_CACHE_HOME:-$HOME/.cache}/audisp-relay/roots

# mirror is where this machine's apt gets Debian's packages from.
mirror() {
    {
        sed -n 's/^URIs: *\([^ ]*\).*/\1/p' /etc/apt/sources.list.d/*.sources
        sed -n 's/^deb \(\[[^]]*\] \)\?\([^ ]*\) .*/\2/p' /etc/apt/sources.list /etc/apt/sources.list.d/*.list
    } 2>/dev/null | grep '/debian/*$' | head -n 1
}

# make SUITE; whoever comes at the same time waits for it.
make() (
    root=$roots/$1
    exec 9>"$root.lock"
    flock 9
    if [ ! -d "$root" ]; then
        from=$(mirror)
        [ -n "$from" ] || { echo "no Debian mirror in apt's sources" >&2; exit 1; }
        script=/usr/share/debootstrap/scripts
        [ -e "$script/$1" ] && script=$script/$1 || script=$script/sid
        rm -rf "$root.new"
        debootstrap --variant=minbase --include=auditd "$1" "$root.new" "$from" "$script" >"$root.log" 2>&1 9>&- ||
            { echo "debootstrap $1 failed; the end of $root.log:" >&2; tail -n 3 "$root.log" >&2; exit 1; }
        rm -rf "$root.new/var/cache/apt/archives" "$root.new"/var/lib/apt/lists
        mv "$root.new" "$root"
    fi
    echo "$root"
)

mkdir -p "$roots"
jobs=
for suite in "$@"; do
    make "$suite" &
    jobs="$jobs $!"
done
status=0
for job in $jobs; do
    wait "$job" || status=1
done
exit $status

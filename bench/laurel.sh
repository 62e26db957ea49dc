#!/bin/bash
# laurel.sh [SUITE]: makes, unless it is there, a directory with the laurel of a Debian suite (sid) and
# the libraries that it needs, below the user's cache folder, and prints where it is: for bench
# -laurel. It installs nothing.
set -euo pipefail
suite=${1:-sid}
dir=${XDG_CACHE_HOME:-$HOME/.cache}/audisp-relay/laurel-$suite
mkdir -p "${dir%/*}"
exec 9>"$dir.lock"
flock 9
if [ ! -d "$dir" ]; then
    # Where this machine's apt gets Debian's packages from.
    mirror=$(apt-get indextargets --format '$(REPO_URI)' | awk '/\/debian\/*$/ && !seen++')
    [ -n "$mirror" ] || { echo "laurel.sh: no Debian mirror in apt's sources" >&2; exit 1; }
    new=$dir.new apt=$dir.apt
    rm -rf "$new" "$apt"
    trap 'rm -rf "$new" "$apt"' EXIT
    mkdir -p "$new" "$apt/state/lists/partial" "$apt/cache/archives/partial"
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $suite main" >"$apt/sources.list"
    # An apt that has nothing installed: it fetches all that laurel needs.
    own=(-qq -o "Dir::Etc::SourceList=$apt/sources.list" -o Dir::Etc::SourceParts=/dev/null -o "Dir::State=$apt/state"
        -o Dir::State::status=/dev/null -o "Dir::Cache=$apt/cache" -o APT::Sandbox::User=root -o APT::Install-Recommends=false)
    apt-get "${own[@]}" update >&2
    apt-get "${own[@]}" install --download-only --yes laurel >&2
    for package in "$apt"/cache/archives/*.deb; do
        dpkg-deb -x "$package" "$new"
    done
    mv "$new" "$dir"
fi
echo "$dir"

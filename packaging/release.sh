#!/usr/bin/env bash
# release.sh KEY: makes the packages of the release that the commit's tag names, and signs
# their checksums with KEY, a key of OpenSSH. It refuses a tree with changes, and a CHANGELOG.md
# that does not have the release.
set -euo pipefail
cd "$(dirname "$0")/.."
key=${1:-}
dist=${DIST:-dist}

[ -f "$key" ] || { echo "release.sh: no key $key: make release KEY=FILE, with a private key of OpenSSH, or the public one of a key in its agent" >&2; exit 1; }
tag=$(git describe --tags --exact-match --match 'v[0-9]*' 2>/dev/null) ||
    { echo "release.sh: this commit has no tag like v1.2.3: git tag -s v1.2.3" >&2; exit 1; }
[ -z "$(git status --porcelain)" ] || { echo "release.sh: the tree has changes: commit or remove them (git status)" >&2; exit 1; }
grep -q "^## ${tag#v} " CHANGELOG.md ||
    { echo "release.sh: CHANGELOG.md has no heading \"## ${tag#v} (date)\": write it, commit, and tag that" >&2; exit 1; }

make --no-print-directory packages DIST="$dist"
ssh-keygen -q -Y sign -f "$key" -n audisp-relay "$dist/SHA256SUMS" # writes SHA256SUMS.sig
ssh-keygen -q -Y check-novalidate -n audisp-relay -s "$dist/SHA256SUMS.sig" <"$dist/SHA256SUMS"
ls -l "$dist"

#!/usr/bin/env bash
# packages.sh OUT: makes the packages in the directory OUT, with SHA256SUMS. Two runs of one
# commit give the same bytes. The environment chooses:
#   PACKAGE_NAMES       "audisp-relay audisp-relay-fips"
#   PACKAGE_FORMATS     "deb rpm apk"
#   PACKAGE_ARCHES      "amd64 arm64"
#   PACKAGE_BINARY      a program for this machine that is there, instead of built ones
#   PACKAGE_MAINTAINER  "Name <address>" of whoever makes them
#   PACKAGE_SBOM        "no" leaves out the lists of components
set -euo pipefail
umask 022
repo=$(cd "$(dirname "$0")/.." && pwd)
out=$(mkdir -p "${1:?packages.sh OUT}" && cd "$1" && pwd)
cd "$repo"
go=${GO:-go}
names=${PACKAGE_NAMES:-audisp-relay audisp-relay-fips}
formats=${PACKAGE_FORMATS:-deb rpm apk}
arches=${PACKAGE_ARCHES:-amd64 arm64}
export PACKAGE_MAINTAINER=${PACKAGE_MAINTAINER:-audisp-relay packagers <root@localhost>}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# A commit with a tag is that release. Others are on the way to the one that CHANGELOG.md names.
tag=$(git describe --tags --exact-match --match 'v[0-9]*' 2>/dev/null || true)
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || stat -c %Y CHANGELOG.md)}
export SOURCE_DATE_EPOCH
PACKAGE_VERSION=${tag#v} PACKAGE_PRERELEASE=
if [ -z "$tag" ]; then
    PACKAGE_VERSION=$(sed -n 's/^## Unreleased (\(.*\))$/\1/p' CHANGELOG.md)
    PACKAGE_PRERELEASE=git$(date -u -d "@$SOURCE_DATE_EPOCH" +%Y%m%d%H%M%S)
fi
export PACKAGE_VERSION PACKAGE_PRERELEASE
version=$PACKAGE_VERSION${PACKAGE_PRERELEASE:+"~$PACKAGE_PRERELEASE"}

# tool NAME PATH: builds one of packaging/tools, whose versions are kept apart from the program's.
tool() {
    "$go" -C packaging/tools build -o "$work/$1" "$2"
}

# binary ARCH FILE FIPS: FIPS is 1 or empty.
binary() {
    CGO_ENABLED=0 GOFIPS140=off GOOS=linux GOARCH=$1 GOFLAGS="${GOFLAGS:-} -buildvcs=false" make --no-print-directory build BIN="$2" FIPS="$3" GO="$go"
}

# stage NATIVE: lays the files out in $work/root, all but the program.
stage() {
    local root=$work/root share=$work/root/usr/share
    make --no-print-directory -o build install BIN="$1" DESTDIR="$root" PREFIX=/usr ZSHDIR=/usr/share/zsh/site-functions
    sed -i 's/^active = yes$/active = no/' "$root/etc/audit/plugins.d/audisp-relay.conf"

    install -D -m 0644 packaging/logrotate.own "$root/etc/logrotate.d/audisp-relay"
    install -D -m 0644 packaging/aide.conf "$root/etc/aide/aide.conf.d/31_aide_audisp-relay"
    install -D -m 0644 packaging/tmpfiles.conf "$root/usr/lib/tmpfiles.d/audisp-relay.conf"
    install -D -m 0644 packaging/sysusers.conf "$root/usr/lib/sysusers.d/audisp-relay.conf"
    install -D -m 0644 -t "$share/audisp-relay" packaging/aide.conf packaging/logrotate
    install -D -m 0644 -t "$share/audisp-relay/rules" packaging/rules/*.rules
    install -D -m 0644 -t "$share/selinux/packages/audisp-relay" packaging/selinux/audisp_relay.*
    install -D -m 0644 -t "$share/apparmor/extra-profiles" packaging/apparmor/*
    install -D -m 0644 -t "$share/audisp-relay/mixin" packaging/mixin/alerts.yml packaging/mixin/dashboard.json

    install -D -m 0644 -t "$share/doc/audisp-relay" README.md CHANGELOG.md
    packaging/licences.sh >"$share/doc/audisp-relay/third-party.txt"
    install -D -m 0644 packaging/copyright "$root/debian/copyright"
    install -D -m 0644 packaging/lintian-overrides "$root/debian/overrides"
    install -m 0644 LICENSE "$root/LICENSE"
    gzip -9n "$share"/man/man*/* "$share/doc/audisp-relay/CHANGELOG.md" "$share/doc/audisp-relay/third-party.txt"
    install -D -t "$work/packaging/scripts" packaging/scripts/*
    install -m 0644 packaging/nfpm.yaml "$work/packaging"
    find "$work/packaging" -exec touch -d "@$SOURCE_DATE_EPOCH" {} +
}

# variant NAME: what nfpm.yaml asks of the environment; each of the two takes the other's place.
variant() {
    export PACKAGE_NAME=$1 PACKAGE_OTHER=audisp-relay PACKAGE_PROVIDES=audisp-relay PACKAGE_NOTE=" (FIPS 140-3)"
    fips=1
    if [ "$1" = audisp-relay ]; then PACKAGE_OTHER=audisp-relay-fips PACKAGE_PROVIDES= PACKAGE_NOTE= fips=; fi
    gzip -9n >"$work/root/debian/changelog.gz" <<END
$1 ($version) unstable; urgency=medium

  * All changes are in CHANGELOG.md.

 -- $PACKAGE_MAINTAINER  $(LC_ALL=C date -u -R -d "@$SOURCE_DATE_EPOCH")
END
}

# sbom PROGRAM FILE: the components that a program has, as CycloneDX. The tool dates it with now.
sbom() {
    "$work/cyclonedx-gomod" bin -json -licenses -std -noserial -version "$version" -output "$2" "$1" 2>"$work/sbom.log" ||
        { cat "$work/sbom.log" >&2; return 1; }
    sed -i "s/^\( *\"timestamp\": \).*/\1\"$(date -u -d "@$SOURCE_DATE_EPOCH" +%Y-%m-%dT%H:%M:%SZ)\",/" "$2"
}

tool nfpm github.com/goreleaser/nfpm/v2/cmd/nfpm
[ "${PACKAGE_SBOM:-yes}" = no ] || tool cyclonedx-gomod github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod
native=${PACKAGE_BINARY:-}
if [ -z "$native" ]; then
    native=$work/native/audisp-relay
    binary "$("$go" env GOHOSTARCH)" "$native" ""
fi
stage "$native"

for name in $names; do
    variant "$name"
    for arch in $arches; do
        if [ -z "${PACKAGE_BINARY:-}" ]; then
            binary "$arch" "$work/$name-$arch" "$fips"
            install -m 0755 "$work/$name-$arch" "$work/root/usr/sbin/audisp-relay"
        fi
        for format in $formats; do
            (cd "$work" && PACKAGE_ARCH=$arch ./nfpm package --config packaging/nfpm.yaml --packager "$format" --target "$out/")
        done
        [ "${PACKAGE_SBOM:-yes}" = no ] || sbom "$work/root/usr/sbin/audisp-relay" "$out/${name}_${version}_$arch.cdx.json"
    done
done

cd "$out"
rm -f SHA256SUMS SHA256SUMS.sig
sha256sum -- audisp-relay* >"$work/sums"
mv "$work/sums" SHA256SUMS

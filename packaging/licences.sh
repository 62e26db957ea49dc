#!/usr/bin/env bash
# licences.sh: prints the licences and notices of all that is linked into the program: of Go,
# and of each module the files in its root and in the directories of the packages that are
# used. It fails where a module has none. GOOS and GOARCH choose the program.
set -euo pipefail
shopt -s nocasematch nullglob
cd "$(dirname "$0")/.."
go=${GO:-go}

rule=$(printf '=%.0s' {1..76})

# show TITLE DIR...: the licences and notices in the directories, below a line with the title.
show() {
    local title=$1 dir file found=
    shift
    printf '%s\n%s\n%s\n' "$rule" "$title" "$rule"
    for dir in "$@"; do
        for file in "$dir"/*; do
            case ${file##*/} in
            *.go) ;;
            licen[sc]e* | copying* | notice* | patents*)
                printf '\n--- %s\n\n' "${file##*/}"
                tr -d '\r\f' <"$file"
                echo
                found=yes
                ;;
            esac
        done
    done
    [ -n "$found" ] || { echo "licences.sh: $title has no licence file in $*: name what it is under, or do not use it" >&2; exit 1; }
}

# Lines "module version directory...": its root, and all from there to the packages.
modules=$("$go" list -deps -f '{{$d := .Dir}}{{with .Module}}{{if not .Main}}{{.Path}} {{.Version}} {{.Dir}} {{$d}}{{end}}{{end}}' ./cmd/audisp-relay |
    awk '{ for (dir = $4; length(dir) >= length($3); sub("/[^/]*$", "", dir)) print $1, $2, dir }' | LC_ALL=C sort -u |
    awk '{ name = $1 " " $2; if (name != last) printf "%s%s", (last ? "\n" : ""), name; last = name; printf " %s", $3 } END { print "" }')

echo "audisp-relay contains the following software, under these licences."
echo
read -r goroot version < <("$go" env GOROOT GOVERSION | paste -sd' ')
show "Go $version: runtime and standard library" "$goroot"
while read -r module version dirs; do
    read -ra dirs <<<"$dirs"
    show "$module $version" "${dirs[@]}"
done <<<"$modules"

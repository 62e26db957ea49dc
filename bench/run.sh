#!/bin/sh
# Measures the relay beside its peers and prints one table; see bench/main.go
# for the flags. What make bench runs.
set -eu
cd "$(dirname "$0")/.."
if [ "$(id -u)" != 0 ]; then
	echo "bench: needs root: it runs auditd and daemons beside it" >&2
	exit 1
fi
exec go run ./bench "$@"

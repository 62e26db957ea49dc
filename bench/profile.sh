#!/bin/sh
# Rewrites packaging/relay.pgo: what the compiler learns of the path from stdin to a
# consumer (go help build, -pgo), from the benchmarks of its parts. Worth running when
# that path has changed much: a profile of older code does no harm but helps less.
set -eu
cd "$(dirname "$0")/.."
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
profile() { # PACKAGE BENCHMARK
	echo "$1 $2"
	go test -trimpath -run '^$' -bench "$2" -benchtime 2s -o "$dir/test" -cpuprofile "$dir/$(echo "$1" | tr / -).prof" "./$1" >/dev/null
}
profile audit/stream BenchmarkReader
profile audit/integrity 'BenchmarkObserve$'
profile recovery BenchmarkDirect
profile audit/process 'BenchmarkNote$|BenchmarkOf'
profile audit/event .
profile queue BenchmarkPutTake
profile filter BenchmarkKeep
profile format/json BenchmarkCapture
profile format/laurel .
profile format/ecs BenchmarkEvent
profile format/ocsf .
profile sinks/file BenchmarkWrite
profile sinks/unix BenchmarkClient
go tool pprof -proto "$dir"/*.prof >packaging/relay.pgo

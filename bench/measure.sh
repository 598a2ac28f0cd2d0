#!/usr/bin/env bash
# Measures everything that docs/benchmarks.md says about speed, in about six minutes. Nothing else should run meanwhile.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
measure() { go test -run '^$' -bench "$1" "${@:2}"; }
nproc; uname -sr; go version; uptime
measure '^Benchmark(Evaluate|Warm|Cold|Raw|Members)$' -benchtime 300ms -count 3 -cpu 2 .
measure '^BenchmarkManyFlags$' -benchtime 300ms -count 2 -cpu 2 .
measure '^BenchmarkParallel$' -benchtime 500ms -count 3 -cpu 1,2 .
measure '^BenchmarkSwap$' -benchtime 20x .
measure '^Benchmark(DuringSwaps|Outcome)$' -benchtime 1x -count 3 .
measure . -benchtime 1x -v ./server
measure '^BenchmarkPeers' -benchtime 300ms -count 3 -cpu 2 ./resilience
measure '^BenchmarkConnections$' -benchtime 1x -count 3 ./resilience
uptime

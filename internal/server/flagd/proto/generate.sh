#!/bin/sh
# Generates the Go code of the contracts below this folder: sh generate.sh [MODULE-ROOT-TO-WRITE-TO]
# It needs protoc (Debian: apt-get install protobuf-compiler libprotobuf-dev); its plugins come from tools/go.mod.
set -eu
cd "$(dirname "$0")"
root=$(cd ../../../.. && pwd)
bin=$(mktemp -d)
trap 'rm -rf "$bin"' EXIT
go -C "$root/tools" build -o "$bin" google.golang.org/protobuf/cmd/protoc-gen-go connectrpc.com/connect/cmd/protoc-gen-connect-go
PATH="$bin:$PATH" protoc -I . \
	--go_out="${1:-$root}" --go_opt=module=github.com/seatrial/seatrial \
	--connect-go_out="${1:-$root}" --connect-go_opt=module=github.com/seatrial/seatrial,package_suffix=,simple \
	flagd/evaluation/v1/evaluation.proto flagd/evaluation/v2/evaluation.proto flagd/sync/v1/sync.proto

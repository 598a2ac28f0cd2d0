// Package inventorypb is the generated gRPC contract of the example shop's inventory service.
//
// To generate it again, install protoc (Debian: apt-get install protobuf-compiler) and
//
//	go install google.golang.org/protobuf/cmd/protoc-gen-go@v1.36.12
//	go install google.golang.org/grpc/cmd/protoc-gen-go-grpc@v1.6.2
//
// then run go generate in this folder. The result is committed: building the shop needs none
// of these tools.
package inventorypb

//go:generate protoc --go_out=. --go_opt=paths=source_relative --go-grpc_out=. --go-grpc_opt=paths=source_relative inventory.proto

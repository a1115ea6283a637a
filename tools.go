//go:build tools

// Package tools keeps the generators that `make generate` runs in go.mod. It is
// never built.
package tools

import (
	_ "entgo.io/ent/cmd/ent"
	_ "github.com/envoyproxy/protoc-gen-validate"
	_ "google.golang.org/grpc/cmd/protoc-gen-go-grpc"
	_ "google.golang.org/protobuf/cmd/protoc-gen-go"
)

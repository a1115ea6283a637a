// Package policy reads what the spec demands off the descriptors: the policy of
// every method into one table, which fields are sensitive, and what the values of
// the state enums stand for. A server enforces its policies from here, and has no
// list of its own.
//
// It may import internal/domain, gen and protobuf reflection, and nothing of gRPC.
package policy

package pipeline

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	controlv1 "github.com/neochaotic/leoflow/gen/leoflow/control/v1"
)

// PutSecrets stores variables and connections, in the order of their names. An error
// names what was not stored, and holds no value; it is an [*InputError] where the
// control plane refuses a value.
func PutSecrets(ctx context.Context, client controlv1.ControlServiceClient, variables, connections map[string]string) error {
	for _, key := range slices.Sorted(maps.Keys(variables)) {
		_, _, err := call(ctx, &defaultPace, client.PutVariable, &controlv1.PutVariableRequest{Key: key, Value: variables[key]})
		if err != nil {
			return notStored("variable", key, err)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(connections)) {
		_, _, err := call(ctx, &defaultPace, client.PutConnection, &controlv1.PutConnectionRequest{ConnectionId: id, Uri: connections[id]})
		if err != nil {
			return notStored("connection", id, err)
		}
	}
	return nil
}

func notStored(kind, name string, err error) error {
	if status.Code(err) == codes.InvalidArgument {
		return &InputError{Problem: fmt.Sprintf("%s %q is refused: %v", kind, name, err), Remedy: "give another key or value"}
	}
	return fmt.Errorf("store the %s %q: %w", kind, name, err)
}

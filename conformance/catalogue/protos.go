package catalogue

import (
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
	controlv1 "github.com/neochaotic/leoflow/gen/leoflow/control/v1"
	policyv1 "github.com/neochaotic/leoflow/gen/leoflow/policy/v1"
)

// RPC is a method by the name that it has on the wire:
// "/leoflow.agent.v1.AgentService/Heartbeat".
type RPC string

// String is the name that people use: "AgentService/Heartbeat".
func (r RPC) String() string {
	return string(r[strings.LastIndexByte(string(r), '.')+1:])
}

// Method is the name within the service: "Heartbeat".
func (r RPC) Method() string {
	return string(r[strings.LastIndexByte(string(r), '/')+1:])
}

// RPCs returns the methods of every service that rules can be about, in the order of
// the protos.
func RPCs() []RPC {
	var out []RPC
	for _, service := range services() {
		out = append(out, rpcsOf(service)...)
	}
	return out
}

// FindRPC returns the method of a name: "Heartbeat", "AgentService/Heartbeat", or as on
// the wire.
func FindRPC(name string) (RPC, error) {
	var found []RPC
	for _, rpc := range RPCs() {
		if name == rpc.Method() || name == rpc.String() || name == string(rpc) {
			found = append(found, rpc)
		}
	}
	switch len(found) {
	case 0:
		return "", fmt.Errorf("there is no RPC %q: give a method of %s, such as %s", name, serviceNames(), RPCs()[0])
	case 1:
		return found[0], nil
	}
	return "", fmt.Errorf("there are several RPCs %q: give one of %v", name, found)
}

// services are those that rules can be about.
func services() []protoreflect.ServiceDescriptor {
	var out []protoreflect.ServiceDescriptor
	for _, file := range []protoreflect.FileDescriptor{
		agentv1.File_leoflow_agent_v1_agent_proto, controlv1.File_leoflow_control_v1_control_proto,
	} {
		for i := range file.Services().Len() {
			out = append(out, file.Services().Get(i))
		}
	}
	return out
}

func serviceNames() string {
	var names []string
	for _, service := range services() {
		names = append(names, string(service.Name()))
	}
	return strings.Join(names, " or ")
}

func rpcsOf(service protoreflect.ServiceDescriptor) []RPC {
	out := make([]RPC, service.Methods().Len())
	for i := range out {
		out[i] = RPC("/" + string(service.FullName()) + "/" + string(service.Methods().Get(i).Name()))
	}
	return out
}

// scope returns the methods that a word of the catalogue stands for; none: it is no word.
func scope(word string) []RPC {
	if word == "all" {
		return RPCs()
	}
	for _, service := range services() {
		if word == string(service.Name()) {
			return rpcsOf(service)
		}
	}
	for _, rpc := range RPCs() {
		if word == rpc.String() {
			return []RPC{rpc}
		}
	}
	return nil
}

// options are the names of what the options of leoflow.policy.v1 can say: a field of an
// option that is a message, or an option that is none.
func options() []string {
	var out []string
	extensions := policyv1.File_leoflow_policy_v1_policy_proto.Extensions()
	for i := range extensions.Len() {
		extension := extensions.Get(i)
		message := extension.Message()
		if message == nil {
			out = append(out, string(extension.Name()))
			continue
		}
		for j := range message.Fields().Len() {
			out = append(out, string(message.Name())+"."+string(message.Fields().Get(j).Name()))
		}
	}
	slices.Sort(out)
	return out
}

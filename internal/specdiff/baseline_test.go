package specdiff_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	// The spec: linked in, and thereby registered.
	_ "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
	_ "github.com/neochaotic/leoflow/gen/leoflow/conformance/v1"
	_ "github.com/neochaotic/leoflow/gen/leoflow/control/v1"
	_ "github.com/neochaotic/leoflow/gen/leoflow/policy/v1"
	"github.com/neochaotic/leoflow/internal/specdiff"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
)

const protoDir = "../../proto"

// registered returns our part of the spec as it is compiled in.
func registered(t *testing.T) *descriptorpb.FileDescriptorSet {
	t.Helper()
	set := &descriptorpb.FileDescriptorSet{}
	protoregistry.GlobalFiles.RangeFiles(func(file protoreflect.FileDescriptor) bool {
		if strings.HasPrefix(file.Path(), "leoflow/") {
			set.File = append(set.File, protodesc.ToFileDescriptorProto(file))
		}
		return true
	})
	return set
}

// released returns our part of the spec as it was released.
func released(t *testing.T) *descriptorpb.FileDescriptorSet {
	t.Helper()
	image, err := os.ReadFile(filepath.Join(protoDir, "baseline.binpb"))
	if err != nil {
		t.Fatal(err)
	}
	all, ours := &descriptorpb.FileDescriptorSet{}, &descriptorpb.FileDescriptorSet{}
	if err := proto.Unmarshal(image, all); err != nil {
		t.Fatal(err)
	}
	for _, file := range all.GetFile() {
		if strings.HasPrefix(file.GetName(), "leoflow/") {
			ours.File = append(ours.File, file)
		}
	}
	return ours
}

func TestRulesAndPoliciesAreTheReleasedOnes(t *testing.T) {
	before := released(t)
	if len(before.GetFile()) == 0 {
		t.Fatal("the baseline holds nothing of ours")
	}
	for _, change := range specdiff.Compare(before, registered(t)) {
		t.Errorf("%s\n\treview whom this breaks; if it is meant, run `make baseline` and commit proto/baseline.binpb", change)
	}
}

func TestEveryProtoIsComparedAndReleased(t *testing.T) {
	names := func(set *descriptorpb.FileDescriptorSet) map[string]bool {
		out := map[string]bool{}
		for _, file := range set.GetFile() {
			out[file.GetName()] = true
		}
		return out
	}
	isRegistered, isReleased := names(registered(t)), names(released(t))
	err := filepath.WalkDir(protoDir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".proto" {
			return err
		}
		name, err := filepath.Rel(protoDir, path)
		if !isRegistered[filepath.ToSlash(name)] {
			t.Errorf("%s is not linked into this test: import its package above", name)
		}
		if !isReleased[filepath.ToSlash(name)] {
			t.Errorf("%s is not in the baseline: run `make baseline`", name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

package storetest

import (
	"fmt"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
	"github.com/neochaotic/leoflow/internal/domain"
)

// counted is what a secret counts against the tenant's quota.
func counted(name, value string) int { return len(name) + len(value) + domain.SecretEntryBytes }

// testQuota fills a tenant's secrets of each kind up to the last byte, and goes past it
// in every way.
func testQuota(t *testing.T, b *bed) {
	for _, w := range b.writers() {
		big := strings.Repeat("v", 256*1024)
		left, want := domain.MaxSecretsBytes, map[string]string{}
		put := func(name, value string) {
			t.Helper()
			wantNil(t, w.put(as(tenantA), theActor, name, value))
			left -= counted(name, value)
			want[name] = value
		}
		for left > len(big)*2 {
			put(fmt.Sprintf("ä %d", len(want)), big)
		}
		refused := func(name, value string) {
			t.Helper()
			events := b.audit(t, tenantA)
			wantError(t, w.put(as(tenantA), theActor, name, value), domain.ErrQuota)
			wantEqual(t, b.audit(t, tenantA), events)
			got, err := w.values(as(tenantA), tenantA)
			wantSecrets(t, got, err, want)
		}
		rest := left - counted("last", "")
		refused("last", strings.Repeat("v", rest+1))
		put("last", strings.Repeat("v", rest))
		if left != 0 {
			t.Fatalf("%d bytes left", left)
		}
		refused("more", "")
		refused("ä 0", big+"v")
		wantNil(t, w.put(as(tenantA), theActor, "ä 0", strings.ToUpper(big))) // counts as what it replaces
		wantNil(t, w.put(as(tenantA), theActor, "ä 0", big[1:]))
		want["ä 0"] = big[1:]
		refused("last", want["last"]+"vv")
		wantNil(t, w.put(as(tenantA), theActor, "last", want["last"]+"v"))
		wantNil(t, w.put(as(tenantB), theActor, "another tenant's", big))
		wantNil(t, w.remove(as(tenantA), theActor, "ä 0"))
		wantNil(t, w.put(as(tenantA), theActor, "more", big[:len(big)-100]))
		got, err := w.values(as(tenantA), tenantA)
		wantNil(t, err)
		if size := proto.Size(&agentv1.GetVariablesResponse{Variables: got}); size > domain.MaxSecretsBytes {
			t.Fatalf("a reply of %d bytes", size)
		}
	}
}

// testQuotaCounts holds what is counted for each secret against what it takes in a
// reply, with lengths on both sides of those where protobuf's own take a byte more.
func testQuotaCounts(t *testing.T, b *bed) {
	for _, w := range b.writers() {
		sum, stored := 0, map[string]string{}
		for i, length := range []int{0, 1, 100, 127, 128, 16_000, 16_383, 16_384, 65_536, 262_144} {
			name, value := fmt.Sprintf("%d %s", i, strings.Repeat("ü", 240)), strings.Repeat("v", length)
			wantNil(t, w.put(as(tenantA), theActor, name, value))
			sum, stored[name] = sum+counted(name, value), value
		}
		if size := proto.Size(&agentv1.GetVariablesResponse{Variables: stored}); size > sum {
			t.Fatalf("%d bytes on the wire are counted as %d", size, sum)
		}
	}
}

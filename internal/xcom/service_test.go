package xcom_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/neochaotic/leoflow/internal/domain"
	"github.com/neochaotic/leoflow/internal/xcom"
	"github.com/neochaotic/leoflow/internal/xcom/xcomtest"
)

const tenant = "t"

var (
	task  = domain.TaskKey{RunKey: domain.RunKey{DagID: "d", RunID: "r"}, TaskID: "x"}
	key   = xcom.Key{TenantID: tenant, DagID: "d", RunID: "r", TaskID: "x", Name: "return_value"}
	start = time.Date(2026, 11, 24, 10, 0, 0, 0, time.UTC)
)

type bed struct {
	*xcom.Service
	repo *xcomtest.Memory
	ref  domain.AttemptRef
	now  time.Time
}

func newBed(t *testing.T, opt xcom.Options) *bed {
	t.Helper()
	b := &bed{repo: xcomtest.NewMemory(), now: start}
	b.ref = b.repo.Launch(tenant, task)
	opt.Now = func() time.Time { return b.now }
	service, err := xcom.New(b.repo, opt)
	if err != nil {
		t.Fatal(err)
	}
	b.Service = service
	return b
}

func ctx() context.Context { return domain.WithTenant(context.Background(), tenant) }

func (b *bed) push(value, contentType string, schema map[string]any) error {
	_, err := b.PushFrom(ctx(), b.ref, key.Name, []byte(value), contentType, schema)
	return err
}

func mustCompile(t *testing.T, text string) map[string]any {
	t.Helper()
	schema, err := xcom.CompileSchema([]byte(text))
	if err != nil {
		t.Fatalf("schema %s: %v", text, err)
	}
	return schema
}

func TestXCom2LimitIsInclusive(t *testing.T) {
	b := newBed(t, xcom.Options{MaxBytes: 8})
	if err := b.push("12345678", "", nil); err != nil {
		t.Fatal(err)
	}
	if err := b.push("123456789", "", nil); !errors.Is(err, xcom.ErrTooLarge) {
		t.Fatalf("error = %v", err)
	}
	if e, err := b.Fetch(ctx(), key); err != nil || string(e.Value) != "12345678" {
		t.Fatalf("after the refusal: %q, %v", e.Value, err)
	}
}

func TestXCom2ConfigurableLimit(t *testing.T) {
	for _, c := range []struct {
		opt xcom.Options
		ok  bool
	}{
		{xcom.Options{}, true},
		{xcom.Options{MaxBytes: xcom.MaxConfigurableSizeBytes}, true},
		{xcom.Options{MaxBytes: xcom.MaxConfigurableSizeBytes + 1}, false},
		{xcom.Options{MaxBytes: -1}, false},
		{xcom.Options{TTL: time.Millisecond}, false},
	} {
		if _, err := xcom.New(xcomtest.NewMemory(), c.opt); (err == nil) != c.ok {
			t.Errorf("%+v: %v", c.opt, err)
		}
	}
	if _, err := xcom.New(nil, xcom.Options{}); err == nil {
		t.Error("no repository is accepted")
	}
}

func TestXCom3Schema(t *testing.T) {
	b := newBed(t, xcom.Options{})
	schema := mustCompile(t, `{"type":"object","required":["n"],"properties":{"n":{"type":"integer","maximum":9007199254740993}}}`)
	for _, c := range []struct {
		value, contentType string
		ok                 bool
	}{
		{`{"n":1}`, "application/json", true},
		{`{"n":9007199254740993}`, "application/json", true},
		{`{"n":9007199254740994}`, "application/json", false}, // one more, which a float64 does not tell
		{`{"n":"1"}`, "application/json", false},
		{`{}`, "application/json", false},
		{`not JSON`, "application/json", false},
		{`not JSON`, "application/problem+json; charset=utf-8", false},
		{`not JSON`, "", false},
		{`not JSON`, "text/plain", false},
		{`{"n":1}`, "", true},
		{`{"n":1}`, "text/plain", true},
		{`{"n":1} {"n":1}`, "application/json", false},
		{``, "application/json", false},
		{`{"n":1e999999999}`, "application/json", false},
		{`{"n":` + strings.Repeat("1", 5000) + `}`, "application/json", false},
	} {
		err := b.push(c.value, c.contentType, schema)
		if c.ok && err != nil || !c.ok && !errors.Is(err, xcom.ErrSchemaMismatch) {
			t.Errorf("%.40s as %q: %v", c.value, c.contentType, err)
		}
	}
	if err := b.push("not JSON", "application/json", nil); err != nil {
		t.Errorf("without a schema: %v", err)
	}
}

func TestXCom3MismatchStoresNothing(t *testing.T) {
	b := newBed(t, xcom.Options{})
	schema := mustCompile(t, `{"type":"string"}`)
	if err := b.push(`"kept"`, "application/json", schema); err != nil {
		t.Fatal(err)
	}
	if err := b.push(`1`, "application/json", schema); !errors.Is(err, xcom.ErrSchemaMismatch) {
		t.Fatalf("error = %v", err)
	}
	if e, err := b.Fetch(ctx(), key); err != nil || string(e.Value) != `"kept"` {
		t.Fatalf("got %q, %v", e.Value, err)
	}
}

func TestXCom3BrokenSchemaIsAFault(t *testing.T) {
	b := newBed(t, xcom.Options{})
	err := b.push(`1`, "application/json", map[string]any{"type": "no such type"})
	if err == nil || errors.Is(err, xcom.ErrSchemaMismatch) {
		t.Fatalf("error = %v", err)
	}
}

func TestXCom3SchemaReadsNothing(t *testing.T) {
	var asked atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		fmt.Fprint(w, `{}`)
	}))
	defer server.Close()
	file := filepath.Join(t.TempDir(), "schema.json")
	if err := os.WriteFile(file, []byte(`{}`), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{
		`{"$ref":"` + server.URL + `"}`,
		`{"$schema":"` + server.URL + `"}`,
		`{"$ref":"file://` + file + `"}`,
		`{"$ref":"other.json"}`,
		`{"$ref":"#/$defs/absent"}`,
		`{"type":"no such type"}`,
		`{"pattern":"("}`,
		`[]`, `true`, `{`, `{} {}`, `{"minimum":1e999999999}`,
	} {
		if _, err := xcom.CompileSchema([]byte(text)); err == nil {
			t.Errorf("%s compiles", text)
		}
	}
	if asked.Load() != 0 {
		t.Error("a schema was fetched")
	}
	mustCompile(t, `{"$schema":"http://json-schema.org/draft-07/schema#","$ref":"#/definitions/a","definitions":{"a":{"type":"string"}}}`)
	if schema := mustCompile(t, " \n"); schema != nil {
		t.Errorf("empty text is a schema: %v", schema)
	}
}

func TestXCom8TTLIsTheLife(t *testing.T) {
	b := newBed(t, xcom.Options{TTL: time.Minute})
	ttl, err := b.PushFrom(ctx(), b.ref, key.Name, []byte("v"), "", nil)
	if err != nil || ttl != time.Minute {
		t.Fatalf("ttl = %v, %v", ttl, err)
	}
	b.now = start.Add(ttl - time.Microsecond)
	if _, err := b.FetchFor(ctx(), b.ref, key); err != nil {
		t.Fatalf("before its end: %v", err)
	}
	b.now = start.Add(ttl)
	if _, err := b.FetchFor(ctx(), b.ref, key); !errors.Is(err, xcom.ErrNotFound) {
		t.Fatalf("at its end: %v", err)
	}
	plain := newBed(t, xcom.Options{})
	if got, err := plain.PushFrom(ctx(), plain.ref, key.Name, []byte("v"), "", nil); err != nil || got != xcom.DefaultTTL {
		t.Fatalf("default = %v, %v", got, err)
	}
}

func TestXComPushIsForTheCurrentTry(t *testing.T) {
	b := newBed(t, xcom.Options{})
	if err := b.Push(ctx(), key, []byte("one"), "a", nil); err != nil {
		t.Fatal(err)
	}
	b.repo.Launch(tenant, task)
	if _, err := b.Fetch(ctx(), key); !errors.Is(err, xcom.ErrNotFound) {
		t.Fatalf("error = %v", err)
	}
	if err := b.Push(ctx(), key, []byte("two"), "a", nil); err != nil {
		t.Fatal(err)
	}
	if e, err := b.Fetch(ctx(), key); err != nil || string(e.Value) != "two" {
		t.Fatalf("got %q, %v", e.Value, err)
	}
	missing := key
	missing.TaskID = "never launched"
	if err := b.Push(ctx(), missing, nil, "", nil); !errors.Is(err, xcom.ErrNotFound) {
		t.Fatalf("error = %v", err)
	}
}

func TestXCom6And7FencedByTheAttempt(t *testing.T) {
	b := newBed(t, xcom.Options{})
	b.repo.Launch(tenant, task)
	if err := b.push("late", "", nil); !errors.Is(err, domain.ErrSuperseded) {
		t.Fatalf("push: %v", err)
	}
	if _, err := b.FetchFor(ctx(), b.ref, key); !errors.Is(err, domain.ErrSuperseded) {
		t.Fatalf("fetch: %v", err)
	}
}

func TestXComContentTypeIsCut(t *testing.T) {
	b := newBed(t, xcom.Options{})
	if err := b.push("v", strings.Repeat("é", 200), nil); err != nil {
		t.Fatal(err)
	}
	if e, err := b.Fetch(ctx(), key); err != nil || e.ContentType != strings.Repeat("é", domain.MaxAgentInfoBytes/2) {
		t.Fatalf("got %q, %v", e.ContentType, err)
	}
}

func TestXComConcurrentPushesShareSchemas(t *testing.T) {
	b := newBed(t, xcom.Options{})
	var wg sync.WaitGroup
	for i := range 8 {
		schema := mustCompile(t, fmt.Sprintf(`{"type":"integer","maximum":%d}`, 10+i%2))
		wg.Go(func() {
			for n := range 14 {
				value, _ := json.Marshal(n)
				err := b.push(string(value), "", schema)
				if tooMuch := n > 10+i%2; tooMuch != errors.Is(err, xcom.ErrSchemaMismatch) {
					t.Errorf("%d of at most %d: %v", n, 10+i%2, err)
				}
			}
		})
	}
	wg.Wait()
}

package controlrpc

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	controlv1 "github.com/neochaotic/leoflow/gen/leoflow/control/v1"
)

// names is a list of what its source holds, as variables are.
func names(source []string, scope ...string) listing[string, string, *controlv1.SecretName] {
	return listing[string, string, *controlv1.SecretName]{
		scope: scope,
		load: func(after string, limit int) (out []string, err error) {
			for _, name := range source {
				if name > after && len(out) < limit {
					out = append(out, name)
				}
			}
			return out, nil
		},
		key:   func(s string) string { return s },
		proto: func(s string) *controlv1.SecretName { return &controlv1.SecretName{Name: s} },
	}
}

// readAll reads a list to its end, in pages of a size.
func readAll(t *testing.T, l listing[string, string, *controlv1.SecretName], size int32) (all []string, sizes []int) {
	t.Helper()
	for token := ""; ; {
		req := &controlv1.ListVariablesRequest{PageSize: size, PageToken: token}
		if err := req.ValidateAll(); err != nil {
			t.Fatalf("our own token is refused: %v", err)
		}
		page, next, err := l.page(req)
		if err != nil {
			t.Fatal(err)
		}
		for _, entry := range page {
			all = append(all, entry.GetName())
		}
		if sizes = append(sizes, len(page)); next == "" {
			return all, sizes
		}
		token = next
	}
}

func TestPagesHoldEachEntryOnce(t *testing.T) {
	var source []string
	for i := range 250 {
		source = append(source, fmt.Sprintf("%03d", i))
	}
	for size, want := range map[int32]string{0: "[100 100 50]", 125: "[125 125]", 250: "[250]", 249: "[249 1]", 1000: "[250]"} {
		all, sizes := readAll(t, names(source), size)
		if strings.Join(all, " ") != strings.Join(source, " ") || fmt.Sprint(sizes) != want {
			t.Errorf("pages of %d: %v, want %s; %d entries", size, sizes, want, len(all))
		}
	}
	if all, sizes := readAll(t, names(nil), 10); len(all) != 0 || len(sizes) != 1 {
		t.Errorf("an empty list has %v in %v pages", all, sizes)
	}
}

// TestPageTokenOfTheLongestNameIsValid takes names as long as an identifier may be.
func TestPageTokenOfTheLongestNameIsValid(t *testing.T) {
	long := strings.Repeat("😀", 249)
	all, _ := readAll(t, names([]string{long + "a", long + "b", long + "c"}), 1)
	if len(all) != 3 {
		t.Errorf("%d names", len(all))
	}
}

// TestPageFitsAClient holds a page under a client's default message limit, but for
// an entry that is over it by itself.
func TestPageFitsAClient(t *testing.T) {
	l := names([]string{"a", "b", "c", "d", "e"})
	l.proto = func(s string) *controlv1.SecretName {
		return &controlv1.SecretName{Name: s + strings.Repeat("x", map[string]int{"b": 3 * bytesAtOnce}[s]+bytesAtOnce/3)}
	}
	for token := ""; ; {
		page, next, err := l.page(&controlv1.ListVariablesRequest{PageToken: token})
		if err != nil {
			t.Fatal(err)
		}
		size := 0
		for _, entry := range page {
			size += proto.Size(entry)
		}
		if len(page) == 0 || size > bytesAtOnce && len(page) > 1 {
			t.Errorf("a page of %d entries has %d bytes", len(page), size)
		}
		if token = next; token == "" {
			break
		}
	}
}

func TestPageTokensComeBackAndNoOthers(t *testing.T) {
	numbers := func(scope ...string) listing[int64, any, *controlv1.Run] {
		return listing[int64, any, *controlv1.Run]{scope: scope}
	}
	rapid.Check(t, func(t *rapid.T) {
		scope := rapid.SliceOfN(rapid.String(), 1, 3).Draw(t, "scope")
		other := rapid.SliceOfN(rapid.String(), 1, 3).Draw(t, "other scope")
		number := rapid.Int64Min(1).Draw(t, "number")
		name := rapid.StringN(1, 250, -1).Draw(t, "name")
		ofNumber, ofName := numbers(scope...).token(number), names(nil, scope...).token(name)
		if got, err := numbers(scope...).parse(ofNumber); err != nil || got != number {
			t.Fatalf("number %d came back as %d, %v", number, got, err)
		}
		if got, err := names(nil, scope...).parse(ofName); err != nil || got != name {
			t.Fatalf("name %q came back as %q, %v", name, got, err)
		}
		if fmt.Sprintf("%q", scope) != fmt.Sprintf("%q", other) {
			if _, err := numbers(other...).parse(ofNumber); err == nil {
				t.Fatalf("the token of %q is good for %q", scope, other)
			}
		}
		raw, err := base64.RawURLEncoding.DecodeString(ofName)
		if err != nil {
			t.Fatal(err)
		}
		raw[rapid.IntRange(0, len(raw)-1).Draw(t, "at")] ^= byte(rapid.IntRange(1, 255).Draw(t, "bits"))
		if got, err := names(nil, scope...).parse(base64.RawURLEncoding.EncodeToString(raw)); err == nil {
			t.Fatalf("a token that was changed names %q", got)
		}
	})
}

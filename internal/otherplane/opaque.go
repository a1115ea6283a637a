package otherplane

import (
	"crypto/rand"
	"sync"
	"time"

	conformancev1 "github.com/neochaotic/leoflow/gen/leoflow/conformance/v1"
)

// opaque tokens are names of grants.
type opaque struct {
	clock  *clock
	mu     sync.Mutex
	grants map[string]opaqueGrant
}

type opaqueGrant struct {
	grant
	from time.Time // zero: from the beginning
}

func newOpaque(c *clock) *opaque { return &opaque{clock: c, grants: map[string]opaqueGrant{}} }

func (o *opaque) keep(g opaqueGrant) string {
	o.mu.Lock()
	defer o.mu.Unlock()
	token := "op_" + rand.Text() + rand.Text()
	o.grants[token] = g
	return token
}

func (o *opaque) issue(g grant) (string, error) { return o.keep(opaqueGrant{grant: g}), nil }

func (o *opaque) verify(token string) (*grant, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	g, known := o.grants[token]
	now := o.clock.now()
	if !known || now.After(g.until.Add(leeway)) || now.Add(leeway).Before(g.from) {
		return nil, errBadToken
	}
	return &g.grant, nil
}

func (o *opaque) spoil(g grant, defect conformancev1.TokenDefect) (string, error) {
	if part, ok := incomplete(g, defect); ok && defect != conformancev1.TokenDefect_TOKEN_DEFECT_NO_TRY {
		return o.issue(part)
	}
	switch defect {
	case conformancev1.TokenDefect_TOKEN_DEFECT_EXPIRED:
		g.until = o.clock.now().Add(-time.Hour)
		return o.issue(g)
	case conformancev1.TokenDefect_TOKEN_DEFECT_NOT_YET_VALID:
		return o.keep(opaqueGrant{grant: g, from: o.clock.now().Add(time.Hour)}), nil
	}
	return "", errNoDefect
}

package otherplane

import (
	"errors"
	"time"

	conformancev1 "github.com/neochaotic/leoflow/gen/leoflow/conformance/v1"
)

// leeway is by how much clocks may disagree.
const leeway = 12 * time.Second

// grant is what a token says.
type grant struct {
	id            identity
	issued, until time.Time
}

// due reports whether so much of a grant's life is over that it should be renewed.
func (g *grant) due(now time.Time) bool { return g.until.Sub(now) < g.until.Sub(g.issued)*2/3 }

// tokens makes and reads tokens.
type tokens interface {
	issue(g grant) (string, error)
	verify(token string) (*grant, error)
	// spoil makes a token with a defect; errNoDefect: it cannot have that one.
	spoil(g grant, defect conformancev1.TokenDefect) (string, error)
}

var (
	errNoDefect = errors.New("no token of this kind has that defect")
	errBadToken = errors.New("the token is not good")
)

// incomplete leaves a part of a grant's identity out, if that is the defect.
func incomplete(g grant, defect conformancev1.TokenDefect) (grant, bool) {
	switch defect {
	case conformancev1.TokenDefect_TOKEN_DEFECT_NO_TASK_INSTANCE:
		g.id.instance = ""
	case conformancev1.TokenDefect_TOKEN_DEFECT_NO_TENANT:
		g.id.tenant = ""
	case conformancev1.TokenDefect_TOKEN_DEFECT_NO_DAG:
		g.id.dag = ""
	case conformancev1.TokenDefect_TOKEN_DEFECT_NO_RUN:
		g.id.run = ""
	case conformancev1.TokenDefect_TOKEN_DEFECT_NO_TASK:
		g.id.task = ""
	case conformancev1.TokenDefect_TOKEN_DEFECT_NO_TRY, conformancev1.TokenDefect_TOKEN_DEFECT_TRY_ZERO:
		g.id.try = 0
	default:
		return g, false
	}
	return g, true
}

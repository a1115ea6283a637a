package store

import (
	"context"
	"fmt"

	"entgo.io/ent/dialect/sql"

	"github.com/neochaotic/leoflow/ent"
	"github.com/neochaotic/leoflow/ent/connection"
	"github.com/neochaotic/leoflow/ent/variable"
	"github.com/neochaotic/leoflow/internal/domain"
	"github.com/neochaotic/leoflow/internal/secrets"
)

// secretsSize is what secrets take in storage: how many, and the bytes of their names
// and ciphertexts.
type secretsSize struct {
	Count int `sql:"n"`
	Bytes int `sql:"bytes"`
}

// onWire returns what the secrets take on the wire, where overhead is what sealing
// adds to each.
func (s secretsSize) onWire(overhead int) int {
	return s.Bytes + s.Count*(domain.SecretEntryBytes-overhead)
}

// admit refuses to put a value of so many bytes under a name where the tenant's
// secrets of the kind would pass domain.MaxSecretsBytes thereby. What takes no more
// than what it replaces is always let in. Nothing is unsealed for it: overhead, what
// sealing adds to a value, is the same under every key that we generate.
func (tx *txn) admit(ctx context.Context, name secrets.Name, value, overhead int) error {
	all, replaced, err := tx.sizes(ctx, name)
	if err != nil {
		return err
	}
	before, after := replaced.onWire(overhead), len(name.Name)+value+domain.SecretEntryBytes
	if total := all.onWire(overhead) - before + after; total > domain.MaxSecretsBytes && after > before {
		return fmt.Errorf("%w: %d bytes of %ss", domain.ErrQuota, total, name.Kind)
	}
	return nil
}

// sizes returns what the tenant's secrets of a kind take, and that of the name alone.
func (tx *txn) sizes(ctx context.Context, name secrets.Name) (all, named secretsSize, err error) {
	sum := []ent.AggregateFunc{ent.As(ent.Count(), "n"), ent.As(storedBytes, "bytes")}
	var rows [2][]secretsSize
	queries := [2]interface {
		Scan(ctx context.Context, v any) error
	}{
		tx.Variable.Query().Aggregate(sum...),
		tx.Variable.Query().Where(variable.Name(name.Name)).Aggregate(sum...),
	}
	if name.Kind == secrets.KindConnection {
		queries[0] = tx.Connection.Query().Aggregate(sum...)
		queries[1] = tx.Connection.Query().Where(connection.Name(name.Name)).Aggregate(sum...)
	}
	for i, query := range queries {
		if err := query.Scan(ctx, &rows[i]); err != nil {
			return secretsSize{}, secretsSize{}, err
		}
	}
	return rows[0][0], rows[1][0], nil
}

// storedBytes sums up names and ciphertexts. The columns have the same names in both
// tables.
func storedBytes(s *sql.Selector) string {
	return "COALESCE(SUM(OCTET_LENGTH(" + s.C(variable.FieldName) + ") + OCTET_LENGTH(" + s.C(variable.FieldSealed) + ")), 0)"
}

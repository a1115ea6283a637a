package store

import (
	"context"
	"errors"

	"entgo.io/ent/dialect/sql"

	"github.com/neochaotic/leoflow/ent"
	"github.com/neochaotic/leoflow/ent/connection"
	"github.com/neochaotic/leoflow/ent/predicate"
	"github.com/neochaotic/leoflow/ent/variable"
	"github.com/neochaotic/leoflow/internal/secrets"
)

// RotatingSealer is a [Sealer] whose key is replaced from time to time, while what the
// older keys have sealed still unseals. A [secrets.Keyset] is one, and a [secrets.Keyring].
type RotatingSealer interface {
	Sealer
	// Primary returns the key that Seal uses now.
	Primary() secrets.KeyID
}

// Resealed says what [Store.ResealSecrets] did.
type Resealed struct {
	Done   int // secrets that are under the primary key now
	Failed int // secrets that no key of the sealer unseals; they are as they were
}

// resealAtOnce is how many secrets one transaction seals anew: other writers wait for it.
const resealAtOnce = 32

// resealAll makes a pass over both tables, from the lowest key to the highest. What is
// put meanwhile is put under the primary key: put seals within its transaction.
func (s *Store) resealAll(ctx context.Context, sealer RotatingSealer) (Resealed, error) {
	var all Resealed
	for _, table := range []sealedTable{sealedVariables, sealedConnections} {
		for after := int64(0); ; {
			last, batch, err := s.resealBatch(ctx, sealer, table, after)
			if err != nil {
				return all, explain(err)
			}
			all.Done, all.Failed = all.Done+batch.Done, all.Failed+batch.Failed
			if last == 0 {
				break
			}
			after = last
		}
	}
	return all, nil
}

// resealBatch seals the next secrets after a row anew, in one transaction, and returns
// the last row that it looked at; 0: there were none.
func (s *Store) resealBatch(ctx context.Context, sealer RotatingSealer, table sealedTable, after int64) (last int64, done Resealed, err error) {
	end, err := s.begin()
	if err != nil {
		return 0, Resealed{}, err
	}
	defer end()
	err = s.transact(ctx, s.writer, s.writing, func(ctx context.Context, tx *ent.Tx) (err error) {
		last, done, err = s.resealRows(ctx, tx, sealer, table, after)
		return err
	})
	return last, done, err
}

func (s *Store) resealRows(ctx context.Context, tx *ent.Tx, sealer RotatingSealer, table sealedTable, after int64) (last int64, done Resealed, err error) {
	if err := allSealed(ctx, tx, s.postgres); err != nil {
		return 0, Resealed{}, err
	}
	rows, err := table.otherThan(ctx, tx, sealer.Primary(), after)
	if err != nil {
		return 0, Resealed{}, err
	}
	for _, row := range rows {
		last = row.id
		ok, err := table.reseal(ctx, tx, sealer, row)
		switch {
		case errors.Is(err, secrets.ErrUnsealable):
			done.Failed++
		case err != nil:
			return 0, Resealed{}, err
		case ok:
			done.Done++
		}
	}
	if err := tx.Commit(); err != nil {
		return 0, Resealed{}, err
	}
	return last, done, nil
}

// sealedRow is a secret as it is stored.
type sealedRow struct {
	id           int64
	tenant, name string
	sealed       []byte
}

// sealedTable is what differs between the tables of secrets for upkeep.
type sealedTable struct {
	kind secrets.Kind
	// otherThan returns the next rows after one that are sealed under another key.
	otherThan func(ctx context.Context, tx *ent.Tx, key secrets.KeyID, after int64) ([]sealedRow, error)
	// replace puts what was sealed anew into a row that is unchanged, and reports
	// whether it was.
	replace func(ctx context.Context, tx *ent.Tx, row sealedRow, sealed []byte) (int, error)
	// count counts the rows that are sealed under another key.
	count func(ctx context.Context, tx *ent.Tx, key secrets.KeyID) (int, error)
}

// reseal seals a row anew. What somebody has put meanwhile wins.
func (t sealedTable) reseal(ctx context.Context, tx *ent.Tx, sealer Sealer, row sealedRow) (bool, error) {
	name := secrets.Name{Tenant: row.tenant, Kind: t.kind, Name: row.name}
	value, err := sealer.Unseal(name, row.sealed)
	if err != nil {
		return false, err
	}
	sealed, err := sealer.Seal(name, value)
	if err != nil {
		return false, err
	}
	n, err := t.replace(ctx, tx, row, sealed)
	return n == 1, err
}

var sealedVariables = sealedTable{
	kind: secrets.KindVariable,
	otherThan: func(ctx context.Context, tx *ent.Tx, key secrets.KeyID, after int64) ([]sealedRow, error) {
		rows, err := tx.Variable.Query().Where(variable.IDGT(after), predicate.Variable(notUnder(key))).
			Order(variable.ByID()).Limit(resealAtOnce).All(ctx)
		out := make([]sealedRow, len(rows))
		for i, row := range rows {
			out[i] = sealedRow{row.ID, row.Tenant, row.Name, row.Sealed}
		}
		return out, err
	},
	replace: func(ctx context.Context, tx *ent.Tx, row sealedRow, sealed []byte) (int, error) {
		return tx.Variable.Update().Where(variable.ID(row.id), variable.Sealed(row.sealed)).SetSealed(sealed).Save(ctx)
	},
	count: func(ctx context.Context, tx *ent.Tx, key secrets.KeyID) (int, error) {
		return tx.Variable.Query().Where(predicate.Variable(notUnder(key))).Count(ctx)
	},
}

var sealedConnections = sealedTable{
	kind: secrets.KindConnection,
	otherThan: func(ctx context.Context, tx *ent.Tx, key secrets.KeyID, after int64) ([]sealedRow, error) {
		rows, err := tx.Connection.Query().Where(connection.IDGT(after), predicate.Connection(notUnder(key))).
			Order(connection.ByID()).Limit(resealAtOnce).All(ctx)
		out := make([]sealedRow, len(rows))
		for i, row := range rows {
			out[i] = sealedRow{row.ID, row.Tenant, row.Name, row.Sealed}
		}
		return out, err
	},
	replace: func(ctx context.Context, tx *ent.Tx, row sealedRow, sealed []byte) (int, error) {
		return tx.Connection.Update().Where(connection.ID(row.id), connection.Sealed(row.sealed)).SetSealed(sealed).Save(ctx)
	},
	count: func(ctx context.Context, tx *ent.Tx, key secrets.KeyID) (int, error) {
		return tx.Connection.Query().Where(predicate.Connection(notUnder(key))).Count(ctx)
	},
}

// notUnder matches a secret that is not sealed under key. Its column has the same name
// in both tables.
func notUnder(key secrets.KeyID) func(*sql.Selector) {
	prefix := key.Prefix()
	return func(s *sql.Selector) {
		s.Where(sql.P(func(b *sql.Builder) {
			b.WriteString("substr(").Ident(s.C(variable.FieldSealed)).WriteString(", 1, ").Arg(len(prefix)).
				WriteString(") <> ").Arg(prefix)
		}))
	}
}

// countNotUnder counts, after every write that is under way.
func (s *Store) countNotUnder(ctx context.Context, tx *ent.Tx, key secrets.KeyID) (int, error) {
	if err := allSealed(ctx, tx, s.postgres); err != nil {
		return 0, err
	}
	total := 0
	for _, table := range []sealedTable{sealedVariables, sealedConnections} {
		n, err := table.count(ctx, tx, key)
		if err != nil {
			return 0, err
		}
		total += n
	}
	return total, nil
}

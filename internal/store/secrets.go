package store

import (
	"context"
	"fmt"

	"github.com/neochaotic/leoflow/ent"
	"github.com/neochaotic/leoflow/ent/taskinstance"
	"github.com/neochaotic/leoflow/internal/auth"
	"github.com/neochaotic/leoflow/internal/domain"
	"github.com/neochaotic/leoflow/internal/secrets"
)

// errNoSealer is what a store without a keyset answers (SECRET-5).
var errNoSealer = fmt.Errorf("%w: no keyset is configured", domain.ErrUnavailable)

// SecretVariables returns every variable of the tenant, which must be that of ctx.
// It asks for no attempt and leaves no audit record; [Store.DeliverVariables] does.
func (s *Store) SecretVariables(ctx context.Context, tenant string) (map[string]string, error) {
	return s.all(ctx, tenant, variables)
}

// SecretConnectionURIs is [Store.SecretVariables] for connections.
func (s *Store) SecretConnectionURIs(ctx context.Context, tenant string) (map[string]string, error) {
	return s.all(ctx, tenant, connections)
}

// DeliverVariables returns the variables for one attempt, in one transaction: only
// while it is live, else a definitive domain.ErrNotLive (SECRET-4); all of its
// tenant's, or those that its task declared (SECRET-3); and only after a record of
// the delivery is on disk, else domain.ErrUnavailable (SECRET-5). A delivery of
// nothing is recorded too.
func (s *Store) DeliverVariables(ctx context.Context, id auth.AgentIdentity) (map[string]string, error) {
	return s.deliver(ctx, id, variables)
}

// DeliverConnectionURIs is [Store.DeliverVariables] for connections.
func (s *Store) DeliverConnectionURIs(ctx context.Context, id auth.AgentIdentity) (map[string]string, error) {
	return s.deliver(ctx, id, connections)
}

// secretKind is what differs between variables and connections.
type secretKind struct {
	kind     secrets.Kind
	action   domain.AuditAction // of a delivery
	declared func(*ent.TaskInstance) []string
	load     func(context.Context, *ent.Tx) (map[string][]byte, error) // sealed, by name
}

var variables = secretKind{
	kind:     secrets.KindVariable,
	action:   domain.AuditVariablesDelivered,
	declared: func(t *ent.TaskInstance) []string { return t.Variables },
	load: func(ctx context.Context, tx *ent.Tx) (map[string][]byte, error) {
		rows, err := tx.Variable.Query().All(ctx)
		out := make(map[string][]byte, len(rows))
		for _, row := range rows {
			out[row.Name] = row.Sealed
		}
		return out, err
	},
}

var connections = secretKind{
	kind:     secrets.KindConnection,
	action:   domain.AuditConnectionsDelivered,
	declared: func(t *ent.TaskInstance) []string { return t.Connections },
	load: func(ctx context.Context, tx *ent.Tx) (map[string][]byte, error) {
		rows, err := tx.Connection.Query().All(ctx)
		out := make(map[string][]byte, len(rows))
		for _, row := range rows {
			out[row.Name] = row.Sealed
		}
		return out, err
	},
}

func (s *Store) all(ctx context.Context, tenant string, k secretKind) (map[string]string, error) {
	if err := within(ctx, tenant); err != nil {
		return nil, err
	}
	if s.sealer == nil {
		return nil, errNoSealer
	}
	var out map[string]string
	err := s.read(ctx, func(ctx context.Context, tx *ent.Tx) error {
		sealed, err := k.load(ctx, tx)
		if err != nil {
			return err
		}
		out, err = s.unseal(tenant, k.kind, sealed)
		return err
	})
	return out, err
}

func (s *Store) deliver(ctx context.Context, id auth.AgentIdentity, k secretKind) (map[string]string, error) {
	if err := within(ctx, id.TenantID); err != nil {
		return nil, err
	}
	if s.sealer == nil {
		return nil, errNoSealer
	}
	var out map[string]string
	err := s.write(ctx, func(ctx context.Context, tx *txn) error {
		row, err := tx.fence(ctx, id.Attempt(), false)
		if err != nil {
			return err
		}
		sealed, err := inScope(ctx, tx.Tx, row, k)
		if err != nil {
			return err
		}
		if out, err = s.unseal(tx.tenant, k.kind, sealed); err != nil {
			return err
		}
		return tx.auditDelivery(ctx, k.action, row, sealed)
	})
	if err != nil {
		return nil, err // whatever was unsealed is not delivered
	}
	return out, nil
}

// inScope returns the sealed secrets that the attempt may have.
func inScope(ctx context.Context, tx *ent.Tx, row *ent.Attempt, k secretKind) (map[string][]byte, error) {
	// The scope last: where it is narrowed meanwhile, what is put afterwards is not here.
	sealed, err := k.load(ctx, tx)
	if err != nil {
		return nil, err
	}
	scope, err := secretScope(ctx, tx)
	if err != nil || scope == secrets.ScopeTenant {
		return sealed, err
	}
	task, err := tx.TaskInstance.Query().Where(taskinstance.ID(row.TaskPk)).Only(ctx)
	if err != nil {
		return nil, err
	}
	declared := map[string][]byte{}
	for _, name := range k.declared(task) {
		if value, ok := sealed[name]; ok {
			declared[name] = value
		}
	}
	return declared, nil
}

func (s *Store) unseal(tenant string, kind secrets.Kind, sealed map[string][]byte) (map[string]string, error) {
	out := make(map[string]string, len(sealed))
	for name, ciphertext := range sealed {
		value, err := s.sealer.Unseal(secrets.Name{Tenant: tenant, Kind: kind, Name: name}, ciphertext)
		if err != nil {
			return nil, err
		}
		out[name] = string(value)
	}
	return out, nil
}

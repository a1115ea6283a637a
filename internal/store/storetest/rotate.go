package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/neochaotic/leoflow/internal/secrets"
)

var rotateTests = []test{
	{"TestSecret6SealedAnewUnderThePrimaryKey", testReseal},
	{"TestSecret6PutWinsOverSealingAnew", testResealUnderLoad},
	{"TestSecret6SealingAnewGoesOnAfterAnEnd", testResealInterrupted},
	{"TestSecret6WhatDoesNotOpenIsLeft", testResealForeign},
}

// rotating is a sealer with two keysets, the older of which unseals only. The names
// of both are the same to the store: it looks at ciphertexts.
type rotating struct {
	mu       sync.Mutex
	old, new *secrets.Keyset
	sealed   int // under new
	atSealed func(n int)
}

func (r *rotating) current() *secrets.Keyset {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.new != nil {
		return r.new
	}
	return r.old
}

func (r *rotating) Primary() secrets.KeyID { return r.current().Primary() }

func (r *rotating) Seal(n secrets.Name, value []byte) ([]byte, error) {
	k := r.current()
	r.mu.Lock()
	r.sealed++
	count, at := r.sealed, r.atSealed
	r.mu.Unlock()
	if at != nil {
		at(count)
	}
	return k.Seal(n, value)
}

func (r *rotating) Unseal(n secrets.Name, sealed []byte) ([]byte, error) {
	value, err := r.current().Unseal(n, sealed)
	if errors.Is(err, secrets.ErrUnsealable) {
		return r.old.Unseal(n, sealed)
	}
	return value, err
}

// rotate makes a new key the primary one.
func (r *rotating) rotate(t *testing.T, atSealed func(n int)) {
	t.Helper()
	k, err := secrets.Ephemeral()
	wantNil(t, err)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.new, r.sealed, r.atSealed = k, 0, atSealed
}

// withRotating opens the bed's data with a sealer that rotates, and stores n secrets of
// each kind for each tenant.
func (b *bed) withRotating(t *testing.T, n int) *rotating {
	t.Helper()
	old, err := secrets.Ephemeral()
	wantNil(t, err)
	r := &rotating{old: old}
	b.env.Sealer = r
	b.reopen(t)
	for _, tenant := range []string{tenantA, tenantB} {
		for _, w := range b.writers() {
			for i := range n {
				wantNil(t, w.put(as(tenant), theActor, fmt.Sprint(i), fmt.Sprint(tenant, i)))
			}
		}
	}
	return r
}

// wantStored holds that every secret of withRotating is there, but for what changed says.
func (b *bed) wantStored(t *testing.T, n int, changed map[string]string) {
	t.Helper()
	for _, tenant := range []string{tenantA, tenantB} {
		want := map[string]string{}
		for i := range n {
			want[fmt.Sprint(i)] = fmt.Sprint(tenant, i)
			if value, ok := changed[fmt.Sprint(i)]; ok {
				want[fmt.Sprint(i)] = value
			}
		}
		for _, w := range b.writers() {
			got, err := w.values(as(tenant), tenant)
			wantSecrets(t, got, err, want)
		}
	}
}

func (b *bed) wantNotUnder(t *testing.T, key secrets.KeyID, want int) {
	t.Helper()
	got, err := b.CountSecretsNotUnder(context.Background(), key)
	wantNil(t, err)
	wantEqual(t, got, want)
}

// many is more than one transaction seals anew.
const many = 70

func testReseal(t *testing.T, b *bed) {
	r := b.withRotating(t, many)
	old := r.Primary()
	b.wantNotUnder(t, old, 0)
	names, err := b.ListVariables(as(tenantA), "", many)
	wantNil(t, err)
	b.pass(time.Second)
	r.rotate(t, nil)
	b.wantNotUnder(t, r.Primary(), 4*many)
	got, err := b.ResealSecrets(context.Background())
	wantNil(t, err)
	wantEqual(t, got.Done, 4*many)
	b.wantNotUnder(t, r.Primary(), 0)
	b.wantNotUnder(t, old, 4*many)
	b.wantStored(t, many, nil)
	after, err := b.ListVariables(as(tenantA), "", many)
	wantNil(t, err)
	wantEqual(t, after, names) // nobody wrote them
	got, err = b.ResealSecrets(context.Background())
	wantNil(t, err)
	wantEqual(t, got.Done+got.Failed, 0)
}

// testResealUnderLoad puts and reads while a pass is under way.
func testResealUnderLoad(t *testing.T, b *bed) {
	r := b.withRotating(t, many)
	started := make(chan struct{})
	var once sync.Once
	r.rotate(t, func(int) { once.Do(func() { close(started) }) })
	var wg sync.WaitGroup
	changed := map[string]string{}
	for i := 0; i < many; i += 7 {
		changed[fmt.Sprint(i)] = "anew"
	}
	for _, tenant := range []string{tenantA, tenantB} {
		for _, w := range b.writers() {
			wg.Go(func() {
				<-started
				for name := range changed {
					if err := w.put(as(tenant), theActor, name, "anew"); err != nil {
						t.Error(err)
					}
					if got, err := w.values(as(tenant), tenant); err != nil || len(got) != many || got[name] != "anew" {
						t.Errorf("read %d secrets, %q: %v", len(got), got[name], err)
					}
				}
			})
		}
	}
	got, err := b.ResealSecrets(context.Background())
	once.Do(func() { close(started) }) // where it did nothing
	wg.Wait()
	wantNil(t, err)
	wantEqual(t, got.Failed, 0)
	b.wantNotUnder(t, r.Primary(), 0)
	b.wantStored(t, many, changed)
}

// testResealInterrupted ends a pass in the middle of a transaction, once by its context
// and once with the store.
func testResealInterrupted(t *testing.T, b *bed) {
	r := b.withRotating(t, many)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	r.rotate(t, func(n int) {
		if n == many {
			cancel()
		}
	})
	got, err := b.ResealSecrets(ctx)
	if err == nil || got.Done == 0 || got.Done > many {
		t.Fatalf("ended with %+v, %v", got, err)
	}
	b.wantNotUnder(t, r.Primary(), 4*many-got.Done)
	b.wantStored(t, many, nil)
	b.reopen(t)
	again, err := b.ResealSecrets(context.Background())
	wantNil(t, err)
	wantEqual(t, got.Done+again.Done, 4*many)
	b.wantNotUnder(t, r.Primary(), 0)
	b.wantStored(t, many, nil)
}

func testResealForeign(t *testing.T, b *bed) {
	foreign, err := secrets.Ephemeral()
	wantNil(t, err)
	b.env.Sealer = foreign
	b.reopen(t)
	wantNil(t, b.PutVariable(as(tenantA), theActor, "lost", "v"))
	r := b.withRotating(t, 1)
	r.rotate(t, nil)
	got, err := b.ResealSecrets(context.Background())
	wantNil(t, err)
	wantEqual(t, got.Done, 4)
	wantEqual(t, got.Failed, 1)
	b.wantNotUnder(t, r.Primary(), 1)
	b.env.Sealer = foreign
	b.reopen(t)
	wantNil(t, b.DeleteVariable(as(tenantA), theActor, "0"))
	values, err := b.SecretVariables(as(tenantA), tenantA)
	wantSecrets(t, values, err, map[string]string{"lost": "v"})
}

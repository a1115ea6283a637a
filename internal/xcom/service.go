package xcom

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/neochaotic/leoflow/internal/domain"
)

// Options limit values. A zero field means its default.
type Options struct {
	// MaxBytes is the largest value, in bytes, at most [MaxConfigurableSizeBytes];
	// 0: [MaxSizeBytes].
	MaxBytes int
	// TTL is how long a value lives after its push, at least a second; 0: [DefaultTTL].
	TTL time.Duration
	// Now tells the time; nil: time.Now.
	Now func() time.Time
}

// Service checks values and hands them to a [Repository]. It is safe for concurrent use.
type Service struct {
	repo     Repository
	maxBytes int
	ttl      time.Duration
	now      func() time.Time
	schemas  *schemas
}

// New returns a service over repo, or an error for options out of their range.
func New(repo Repository, opt Options) (*Service, error) {
	if repo == nil {
		return nil, errors.New("xcom: no repository")
	}
	if opt.MaxBytes == 0 {
		opt.MaxBytes = MaxSizeBytes
	}
	if opt.MaxBytes < 0 || opt.MaxBytes > MaxConfigurableSizeBytes {
		return nil, fmt.Errorf("xcom: limit of %d bytes is not within 1 to %d", opt.MaxBytes, MaxConfigurableSizeBytes)
	}
	if opt.TTL == 0 {
		opt.TTL = DefaultTTL
	}
	if opt.TTL < time.Second {
		return nil, fmt.Errorf("xcom: life of %v is under a second", opt.TTL)
	}
	if opt.Now == nil {
		opt.Now = time.Now
	}
	cache, err := newSchemas()
	if err != nil {
		return nil, err
	}
	return &Service{repo: repo, maxBytes: opt.MaxBytes, ttl: opt.TTL, now: opt.Now, schemas: cache}, nil
}

// PushFrom stores a value of an attempt, in the place of what it pushed under the
// name before, and returns the life that it has (XCOM-8).
//
// A value over the limit is [ErrTooLarge] (XCOM-2), and one that schema does not
// match [ErrSchemaMismatch] (XCOM-3); nil: no schema. With a schema the value must
// be JSON whatever the content type says: an agent that sends none, or an odd one,
// is not thereby excused. A schema that does not compile is a fault. The content
// type is cut at 256 bytes. An attempt that is settled or superseded gets a
// not-live sentinel (XCOM-6).
func (s *Service) PushFrom(ctx context.Context, from domain.AttemptRef, name string, value []byte, contentType string, schema map[string]any) (time.Duration, error) {
	if len(value) > s.maxBytes {
		return 0, fmt.Errorf("%w: %d bytes of at most %d", ErrTooLarge, len(value), s.maxBytes)
	}
	if schema != nil {
		if err := s.schemas.check(schema, value); err != nil {
			return 0, err
		}
	}
	now := s.now()
	e := Entry{
		Value:       value,
		ContentType: domain.CutString(contentType, domain.MaxAgentInfoBytes),
		SizeBytes:   len(value),
		CreatedAt:   now,
	}
	if err := s.repo.PutXCom(ctx, from, name, e, now.Add(s.ttl)); err != nil {
		return 0, err
	}
	return s.ttl, nil
}

// FetchFor returns what key's task pushed in its current try, for the attempt by;
// [ErrNotFound] when that is absent or its life over (XCOM-5). A by that is settled
// or superseded gets a not-live sentinel (XCOM-7).
func (s *Service) FetchFor(ctx context.Context, by domain.AttemptRef, key Key) (Entry, error) {
	return s.repo.GetXCom(ctx, key, &by, s.now())
}

// Push is PushFrom for the current try of key's task, whoever calls: it knows of no
// caller that could be superseded. A task that was never launched is [ErrNotFound].
func (s *Service) Push(ctx context.Context, key Key, value []byte, contentType string, schema map[string]any) error {
	from, err := s.repo.CurrentAttempt(ctx, key)
	if err != nil {
		return err
	}
	_, err = s.PushFrom(ctx, from, key.Name, value, contentType, schema)
	return err
}

// Fetch is FetchFor without an attempt that asks.
func (s *Service) Fetch(ctx context.Context, key Key) (Entry, error) {
	return s.repo.GetXCom(ctx, key, nil, s.now())
}

package main

import (
	"context"
	"fmt"

	"github.com/neochaotic/leoflow/internal/terminal"
)

// listFlags are those of every list.
type listFlags struct {
	Limit int `default:"0" env:"LEOFLOW_LIMIT" placeholder:"N" help:"Most entries to list; 0, the default, is all of them."`
	outputFlags
}

// listing is a list that a control plane gives page by page.
type listing[T any] struct {
	what string // what was not found, where it is not there
	page func(ctx context.Context, r *remote, size int32, token string) ([]T, string, error)
	head []string
	row  func(T) []string // an entry, below head
}

// print reads the list from a server, prints it, and says on standard error if it is
// longer than the limit.
func (l listing[T]) print(con *console, f *listFlags, server *remoteFlags) error {
	if f.Limit < 0 {
		return badInput{fmt.Errorf("--limit is %d: give 1 or more, or 0 for all", f.Limit)}
	}
	return server.call(l.what, func(ctx context.Context, r *remote) error {
		entries, next, err := readPages(f.Limit, func(size int32, token string) ([]T, string, error) {
			return l.page(ctx, r, size, token)
		})
		if err != nil {
			return err
		}
		err = printEntries(f.outputFlags, con, entries, func() terminal.Table {
			t := terminal.Table{l.head}
			for _, entry := range entries {
				t = append(t, l.row(entry))
			}
			return t
		})
		if err == nil && next != "" {
			fmt.Fprintf(con.err, "leoflow: there are more than --limit %d\n", f.Limit)
		}
		return err
	})
}

// maxPage is the most entries that a server gives at once.
const maxPage = 1000

// readPages reads a list page by page, to its end or to limit entries; limit 0: none.
// next is the token of the page that it would go on with; empty: that is all.
func readPages[T any](limit int, read func(size int32, token string) ([]T, string, error)) (entries []T, next string, err error) {
	for {
		size := maxPage
		if limit > 0 {
			size = min(size, limit-len(entries))
		}
		page, token, err := read(int32(size), next)
		if err != nil {
			return nil, "", err
		}
		entries, next = append(entries, page...), token
		if next == "" || limit > 0 && len(entries) >= limit {
			return entries, next, nil
		}
	}
}

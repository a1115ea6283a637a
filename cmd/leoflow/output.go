package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/neochaotic/leoflow/internal/terminal"
)

// outputFlags say in which form a command answers.
type outputFlags struct {
	Output string `short:"o" default:"table" enum:"table,json" env:"LEOFLOW_OUTPUT" placeholder:"FORM" help:"Form of the output: table, for people, or json, one object a line with the names of the protos; by default ${default}."`
}

// listFlags are those of every list.
type listFlags struct {
	Limit int `default:"0" env:"LEOFLOW_LIMIT" placeholder:"N" help:"Most entries to list; 0, the default, is all of them."`
	outputFlags
}

// maxPage is the most entries that a server gives at once.
const maxPage = 1000

// check refuses flags that are no input for a list.
func (f *listFlags) check() error {
	if f.Limit < 0 {
		return badInput{fmt.Errorf("--limit is %d: give 1 or more, or 0 for all", f.Limit)}
	}
	return nil
}

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

// print writes one entry in the form asked for: as an object on a line of its own,
// or as a table.
func (f outputFlags) print(con *console, entry any, asTable func() terminal.Table) error {
	return printEntries(f, con, []any{entry}, asTable)
}

// printEntries writes entries, each of which is a message of the protos or a struct
// that is tagged likewise, in the form asked for: as an object a line, or as one table.
func printEntries[T any](f outputFlags, con *console, entries []T, asTable func() terminal.Table) error {
	if f.Output != "json" {
		return writeOut(con.out, asTable().String())
	}
	var b strings.Builder
	for _, entry := range entries {
		line, err := jsonLine(entry)
		if err != nil {
			return err
		}
		b.WriteString(line)
	}
	return writeOut(con.out, b.String())
}

// printList writes entries, and says on standard error if the list goes on: next is
// the token of its next page.
func printList[T any](f *listFlags, con *console, entries []T, next string, asTable func() terminal.Table) error {
	if err := printEntries(f.outputFlags, con, entries, asTable); err != nil {
		return err
	}
	if next != "" {
		fmt.Fprintf(con.err, "leoflow: there are more than --limit %d\n", f.Limit)
	}
	return nil
}

func writeOut(out *os.File, text string) error {
	if _, err := io.WriteString(out, text); err != nil {
		return fmt.Errorf("the output cannot be written: %w", err)
	}
	return nil
}

// jsonLine is a message, or a tagged struct, as a line of JSON that has every field, by
// the names of the protos. It steers no terminal: what would is escaped (LOG-8).
func jsonLine(entry any) (string, error) {
	var raw []byte
	var err error
	if m, ok := entry.(proto.Message); ok {
		raw, err = protojson.MarshalOptions{UseProtoNames: true, EmitUnpopulated: true}.Marshal(m)
	} else {
		raw, err = json.Marshal(entry)
	}
	var b bytes.Buffer
	if err == nil {
		err = json.Compact(&b, raw) // protojson puts blanks where it likes
	}
	if err != nil {
		return "", fmt.Errorf("the reply cannot be told as JSON: %w", err)
	}
	return terminal.JSON(b.String()) + "\n", nil
}

// instant is a time as tables tell it; "-": it has not come.
func instant(at *timestamppb.Timestamp) string {
	if at == nil {
		return "-"
	}
	return at.AsTime().UTC().Format(time.RFC3339)
}

// word is the name of an enum's value as people write it: TASK_STATE_FAILED is failed.
func word(value fmt.Stringer, prefix string) string {
	return strings.ToLower(strings.TrimPrefix(value.String(), prefix))
}

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
	Output string `short:"o" default:"table" enum:"table,json" env:"LEOFLOW_OUTPUT" placeholder:"FORM" help:"Form of the output: table, for people, or json, one document with the names of the protos; by default ${default}."`
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

// print writes a document in the form asked for.
func (f outputFlags) print(con *console, document proto.Message, asTable func() terminal.Table) error {
	if f.Output == "json" {
		text, err := jsonText(document, true)
		if err != nil {
			return err
		}
		return writeOut(con.out, text)
	}
	return writeOut(con.out, asTable().String())
}

// printList is print, and says on standard error if the list goes on.
func (f *listFlags) printList(con *console, document interface {
	proto.Message
	GetNextPageToken() string
}, asTable func() terminal.Table,
) error {
	if err := f.print(con, document, asTable); err != nil {
		return err
	}
	if document.GetNextPageToken() != "" {
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

// jsonText is a message as JSON that has every field, by the names of the protos, and
// ends with a line end. It steers no terminal: what would is escaped (LOG-8).
func jsonText(m proto.Message, indent bool) (string, error) {
	raw, err := protojson.MarshalOptions{UseProtoNames: true, EmitUnpopulated: true}.Marshal(m)
	if err != nil {
		return "", fmt.Errorf("the reply cannot be told as JSON: %w", err)
	}
	var b bytes.Buffer
	if indent {
		err = json.Indent(&b, raw, "", "  ")
	} else {
		err = json.Compact(&b, raw)
	}
	if err != nil {
		return "", fmt.Errorf("the reply cannot be told as JSON: %w", err)
	}
	var safe strings.Builder
	for _, r := range b.String() {
		// Below are those that JSON itself escapes, and the line ends between values.
		if r >= 0x7f && terminal.Visible(string(r)) != string(r) {
			fmt.Fprintf(&safe, `\u%04x`, r)
			continue
		}
		safe.WriteRune(r)
	}
	return safe.String() + "\n", nil
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

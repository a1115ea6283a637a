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

package file

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// decode returns the root node of the one YAML document in data.
func decode(data []byte) (*yaml.Node, *Error) {
	if len(data) > MaxBytes {
		return nil, &Error{Line: 1, Column: 1, Problem: fmt.Sprintf("the file is over %d MiB", MaxBytes>>20), Remedy: "move long scripts and data into files beside it"}
	}
	if fault := checkText(data); fault != nil {
		return nil, fault
	}
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	var first, second yaml.Node
	if err := decodeNext(decoder, &first); err != nil && !errors.Is(err, io.EOF) {
		return nil, syntaxError(data, err)
	}
	if len(first.Content) == 0 || first.Content[0].ShortTag() == "!!null" {
		return nil, &Error{Line: 1, Column: 1, Problem: "the file holds no pipeline", Remedy: `begin with "name:" and "tasks:"`}
	}
	switch err := decodeNext(decoder, &second); {
	case err == nil:
		return nil, &Error{Line: second.Line, Column: second.Column, Problem: "a second YAML document begins here", Remedy: `keep one pipeline a file: remove the "---" and what follows`}
	case !errors.Is(err, io.EOF):
		return nil, syntaxError(data, err)
	}
	return first.Content[0], nil
}

// decodeNext reads one document. The library panics for some malformed input
// with values that it does not turn into errors itself; a file must not end us.
func decodeNext(decoder *yaml.Decoder, into *yaml.Node) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("yaml: %v", v)
		}
	}()
	return decoder.Decode(into)
}

// checkText refuses what no YAML file may hold, here rather than in the library,
// which does not tell where it is.
func checkText(data []byte) *Error {
	line, column := 1, 1
	for i := 0; i < len(data); {
		r, size := utf8.DecodeRune(data[i:])
		switch {
		case r == utf8.RuneError && size <= 1:
			return &Error{Line: line, Column: column, Problem: fmt.Sprintf("byte 0x%02X is not UTF-8 text", data[i]), Remedy: "save the file as UTF-8"}
		case !legal(r) && (r != '\uFEFF' || i != 0):
			return &Error{Line: line, Column: column, Problem: fmt.Sprintf("character U+%04X is not allowed in YAML", r), Remedy: `remove it, or write it as an escape such as "\u0001" in double quotes`}
		}
		column++
		if r == '\n' {
			line, column = line+1, 1
		}
		i += size
	}
	return nil
}

// legal reports whether YAML allows r in a file.
func legal(r rune) bool {
	switch {
	case r == '\t', r == '\n', r == '\r', r == 0x85:
		return true
	case r < 0x20, r >= 0x7F && r < 0xA0, r == 0xFEFF, r == 0xFFFE, r == 0xFFFF:
		return false
	}
	return true
}

var (
	yamlMessage   = regexp.MustCompile(`(?s)^yaml: (?:line ([0-9]+): )?(.*)$`)
	unknownAnchor = regexp.MustCompile(`^unknown anchor '(.*)' referenced$`)
	// Messages of the library's parser, which counts its lines from 0; its
	// scanner, which writes all the others, counts them from 1.
	fromParser = regexp.MustCompile(`^(did not find expected|found duplicate %|found undefined tag handle|found incompatible)`)
)

// syntaxError makes an error of one of the library's.
func syntaxError(data []byte, err error) *Error {
	parts := yamlMessage.FindStringSubmatch(err.Error())
	if parts == nil {
		return &Error{Line: 1, Column: 1, Problem: "not YAML: " + err.Error(), Remedy: "check the indentation and the quotes"}
	}
	line, _ := strconv.Atoi(parts[1]) // empty: the library knows none
	message := parts[2]
	if fromParser.MatchString(message) {
		line++
	}
	if anchor := unknownAnchor.FindStringSubmatch(message); anchor != nil {
		line = 1 + bytes.Count(data[:max(bytes.Index(data, []byte("*"+anchor[1])), 0)], []byte("\n"))
	}
	line, column := place(data, line)
	return &Error{Line: line, Column: column, Problem: "not YAML: " + message, Remedy: syntaxRemedy(message)}
}

// place brings line into the file and returns the column of its first letter.
func place(data []byte, line int) (int, int) {
	lines := bytes.Split(bytes.TrimRight(data, "\r\n"), []byte("\n"))
	line = min(max(line, 1), len(lines))
	text := lines[line-1]
	if indent := len(text) - len(bytes.TrimLeft(text, " \t")); indent < len(text) {
		return line, indent + 1
	}
	return line, 1
}

// syntaxRemedies holds a piece of the library's message and what to do then.
var syntaxRemedies = []struct{ part, remedy string }{
	{"tab character", "indent with spaces"},
	{"mapping values are not allowed", `quote a value that holds ": ", and check the indentation`},
	{"cannot start any token", `quote a value that begins with a sign such as @, %, * or a backquote`},
	{"end of stream", "close the quote that was opened last"},
	{"expected ',' or", "close the bracket, or put a comma between the items"},
	{"unknown anchor", `define the anchor with "&" before it is used, or quote the value`},
	{"escape character", `write "\\" for a backslash, or use single quotes`},
	{"max depth", "nest less deeply"},
}

func syntaxRemedy(message string) string {
	for _, r := range syntaxRemedies {
		if strings.Contains(message, r.part) {
			return r.remedy
		}
	}
	return "check the indentation here and in the lines below"
}

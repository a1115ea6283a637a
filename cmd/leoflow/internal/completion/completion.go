// Package completion completes command lines of a program that kong parses, for bash,
// zsh and fish. The scripts of the shells ask the program itself, with
//
//	leoflow complete -- WORD …
//
// where the last word is the one under way, so that they are right for whichever
// version is installed, and hold nothing that could become stale.
//
// It imports nothing of ours.
package completion

import (
	"embed"
	"fmt"
	"io"
	"strings"

	"github.com/alecthomas/kong"
)

//go:embed leoflow.bash leoflow.zsh leoflow.fish
var scripts embed.FS

// Shells are those that there is a script for.
var Shells = []string{"bash", "zsh", "fish"}

// Script returns the script for one of Shells.
func Script(shell string) (string, error) {
	text, err := scripts.ReadFile("leoflow." + shell)
	if err != nil {
		return "", fmt.Errorf("no completion for %q: there is one for %s", shell, strings.Join(Shells, ", "))
	}
	return string(text), nil
}

// Kind says what a word may be.
type Kind string

// The kinds of words.
const (
	Words       Kind = "words" // one of the candidates
	Files       Kind = "files"
	Directories Kind = "directories"
)

// Candidate is what a word may become, and what that means.
type Candidate struct{ Text, Help string }

// Answer is what the last word of a command line may become.
type Answer struct {
	Kind       Kind
	Candidates []Candidate // of Words
}

// Write writes the answer as the scripts read it: the kind, then a candidate a line, a
// tab before its meaning.
func (a Answer) Write(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintln(&b, a.Kind)
	for _, c := range a.Candidates {
		b.WriteString(c.Text)
		if c.Help != "" {
			b.WriteString("\t" + c.Help)
		}
		b.WriteByte('\n')
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// Complete answers what the last of words, which follow the name of the program, may
// become.
func Complete(app *kong.Application, words []string) Answer {
	if len(words) == 0 {
		words = []string{""}
	}
	last := words[len(words)-1]
	at := walk(app.Node, words[:len(words)-1])
	name, value, assigned := strings.Cut(last, "=")
	switch {
	case at.flag != nil:
		return values(at.flag.Value, at.flag.PlaceHolder, "", last)
	case at.onlyArguments, !strings.HasPrefix(last, "-"):
		return at.arguments(last)
	case !assigned:
		return at.flags(last)
	}
	flag := at.find(name)
	if flag == nil {
		return Answer{Kind: Words}
	}
	return values(flag.Value, flag.PlaceHolder, name+"=", value)
}

// position is where on a command line a word is.
type position struct {
	command       *kong.Node
	argument      int        // counts the arguments of the command before the word
	flag          *kong.Flag // whose value the word is; nil: of none
	onlyArguments bool       // flags ended before the word
}

// walk reads the words before the one to complete.
func walk(root *kong.Node, words []string) position {
	p := position{command: root}
	for _, word := range words {
		switch {
		case p.flag != nil:
			p.flag = nil
		case p.onlyArguments:
			p.argument++
		case word == "--":
			p.onlyArguments = true
		case strings.HasPrefix(word, "-") && word != "-":
			if flag := p.find(word); flag != nil && !flag.IsBool() {
				p.flag = flag
			}
		default:
			if child := visible(p.command, word); child != nil && p.argument == 0 {
				p.command = child
				continue
			}
			p.argument++
		}
	}
	return p
}

func visible(n *kong.Node, name string) *kong.Node {
	for _, child := range n.Children {
		if child.Name == name && !child.Hidden {
			return child
		}
	}
	return nil
}

// find returns the flag that a word is, with its dashes and without a value; nil: none.
func (p position) find(word string) *kong.Flag {
	for _, flags := range p.command.AllFlags(true) {
		for _, flag := range flags {
			if word == "--"+flag.Name || flag.Short != 0 && word == "-"+string(flag.Short) {
				return flag
			}
		}
	}
	return nil
}

func (p position) flags(prefix string) Answer {
	a := Answer{Kind: Words}
	for _, flags := range p.command.AllFlags(true) {
		for _, flag := range flags {
			a.offer("--"+flag.Name, flag.Help, prefix)
		}
	}
	return a
}

// arguments offers the commands below, or what the next argument may be.
func (p position) arguments(prefix string) Answer {
	a := Answer{Kind: Words}
	if p.argument == 0 && !p.onlyArguments {
		for _, child := range p.command.Children {
			if !child.Hidden {
				a.offer(child.Name, child.Help, prefix)
			}
		}
	}
	if len(a.Candidates) > 0 || len(p.command.Positional) == 0 {
		return a
	}
	i := min(p.argument, len(p.command.Positional)-1)
	argument := p.command.Positional[i]
	if p.argument > i && !argument.IsCumulative() {
		return a
	}
	placeholder := ""
	if strings.Contains(strings.ToLower(argument.Help), "file") && !argument.IsCumulative() {
		placeholder = "FILE"
	}
	return values(argument, placeholder, "", prefix)
}

// values offers what a flag or an argument may be; each begins with before, which is no
// part of the value.
func values(v *kong.Value, placeholder, before, prefix string) Answer {
	switch placeholder {
	case "FILE":
		return Answer{Kind: Files}
	case "DIR":
		return Answer{Kind: Directories}
	}
	a := Answer{Kind: Words}
	if v.Enum != "" {
		for _, text := range v.EnumSlice() {
			a.offer(before+text, "", before+prefix)
		}
	}
	return a
}

// offer adds a candidate if it begins with prefix. Of its help the first sentence is told.
func (a *Answer) offer(text, help, prefix string) {
	if !strings.HasPrefix(text, prefix) {
		return
	}
	help, _, _ = strings.Cut(help, "\n")
	if first, _, more := strings.Cut(help, ". "); more {
		help = first
	}
	a.Candidates = append(a.Candidates, Candidate{text, strings.TrimSuffix(help, ".")})
}

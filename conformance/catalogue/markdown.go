package catalogue

import (
	"fmt"
	"strings"
)

// pageHead begins the page of the rules.
const pageHead = `<!-- Made from conformance/rules.yaml by make generate. Change that file instead. -->

# The rules of the agent protocol

What a control plane and an agent owe each other. An id keeps its meaning for ever and is
never used again. ` + "`leoflow-conformance explain RULE`" + ` prints one of them.

A rule that **must** be kept is broken by whoever does otherwise; one that **should** be kept,
by whoever does otherwise without a reason that they can tell. A rule binds the side that it
names: the **server**, which is the control plane, or the **agent**. One that needs optional
abilities binds only who has all of them.

`

// Markdown is the whole catalogue as a page. It is the same text every time.
func (c *Catalogue) Markdown() string {
	var b strings.Builder
	b.WriteString(pageHead)
	must := len(c.Rules(Filter{Level: Must}))
	fmt.Fprintf(&b, "There are %d rules in edition %d: %d that must be kept, %d that should; %d of servers, %d of agents.\n\n",
		len(c.rules), c.edition, must, len(c.rules)-must, len(c.Rules(Filter{Side: Server})), len(c.Rules(Filter{Side: Agent})))
	writeTerms(&b, "Words", c.words)
	writeTerms(&b, "Evidence: the least that it takes to judge a rule", c.evidence)
	writeTerms(&b, "Optional abilities", c.abilities)
	b.WriteString("## Families\n\n")
	for _, f := range c.families {
		heading := familyHeading(f)
		fmt.Fprintf(&b, "- [%s](#%s)\n", heading, anchor(heading))
	}
	for _, f := range c.families {
		fmt.Fprintf(&b, "\n## %s\n", familyHeading(f))
		for _, r := range c.Rules(Filter{Family: f.ID}) {
			writeRule(&b, r)
		}
	}
	return b.String()
}

func familyHeading(f Family) string { return f.ID + ": " + f.Title }

// anchor is what a heading can be linked to by.
func anchor(heading string) string {
	return strings.ReplaceAll(strings.ReplaceAll(strings.ToLower(heading), ":", ""), " ", "-")
}

func writeTerms(b *strings.Builder, title string, terms []Term) {
	fmt.Fprintf(b, "## %s\n\n", title)
	for _, t := range terms {
		fmt.Fprintf(b, "- **%s**: %s\n", t.ID, t.Meaning)
	}
	b.WriteString("\n")
}

func writeRule(b *strings.Builder, r Rule) {
	fmt.Fprintf(b, "\n### %s\n\n", r.ID)
	fmt.Fprintf(b, "*%s · %s · evidence: %s", r.Level, r.Side, r.Evidence)
	if len(r.Needs) > 0 {
		fmt.Fprintf(b, " · needs: %s", strings.Join(r.Needs, ", "))
	}
	fmt.Fprintf(b, " · since %d*\n\n", r.Since)
	fmt.Fprintf(b, "%s\n\n", escaped(r.Statement))
	fmt.Fprintf(b, "Why: %s\n\n", escaped(r.Rationale))
	fmt.Fprintf(b, "RPCs: %s.\n", r.Scope())
	if len(r.Options) > 0 {
		fmt.Fprintf(b, "\nIn the protos: `%s`.\n", strings.Join(r.Options, "`, `"))
	}
	if len(r.Tests) > 0 {
		b.WriteString("\nHeld by:\n\n")
		for _, test := range r.Tests {
			fmt.Fprintf(b, "- `%s`\n", test)
		}
	}
}

// escaped is a text whose <words> are no tags of HTML, outside of code.
func escaped(text string) string {
	parts := strings.Split(text, "`")
	for i := 0; i < len(parts); i += 2 {
		parts[i] = strings.NewReplacer("<", "&lt;", ">", "&gt;").Replace(parts[i])
	}
	return strings.Join(parts, "`")
}

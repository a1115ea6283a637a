package report

import (
	"encoding/xml"
	"errors"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/neochaotic/leoflow/conformance/catalogue"
	"github.com/neochaotic/leoflow/conformance/suite"
)

// hostile are texts that a system under test may say.
var hostile = []string{
	"<script>alert(1)</script>", `"><img src=x onerror=alert(1)>`, "javascript:alert(1)", "</style></title></code>", "{{.Style}}",
	"\x1b[2J\x1b]0;title\a", "\x00", "\x7f\u009b31m", "bad \xff byte", "\u202eevil\u2066", "\ufffe\uffff", "]]>&<!--", "\U000e0001\u200b",
	"[x](javascript:alert(1)) ![x](http://evil.example/x.png) @somebody #1", "a|b\\|c", "``` `a` ``", "\n\n# heading\n- item\n", " ", "",
	strings.Repeat("long ", 2000),
}

// saidBy are results in which the system says a text wherever it can.
func saidBy(texts ...string) *suite.Results {
	r := clean()
	for i, text := range texts {
		for _, status := range suite.Statuses() {
			c := result("LOG-1", strconv.Itoa(i)+string(status), status, text, logs)
			c.Evidence = []suite.Event{{At: time.Millisecond, What: text, RPC: logs, Sent: text, Received: text, Code: text, Error: text}}
			r.Checks = append(r.Checks, c)
		}
	}
	return r
}

// TestLog8WhatASystemSaysSteersNothing has every form of what is hostile.
func TestLog8WhatASystemSaysSteersNothing(t *testing.T) {
	for _, text := range hostile {
		r := New(suite.Options{Rules: load(t), Side: catalogue.Server}, saidBy(text), text)
		for form := range forms {
			out := written(t, form, r)
			if !utf8.ValidString(out) {
				t.Errorf("%q makes %s no UTF-8", text, form)
			}
			for _, c := range out {
				if c != '\n' && c != '\t' && !strconv.IsPrint(c) {
					t.Errorf("%q brings %q into %s", text, c, form)
					break
				}
			}
		}
		if _, err := Read([]byte(written(t, "json", r))); err != nil {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestWhatCannotBeSeenIsSpeltOut(t *testing.T) {
	for text, want := range map[string]string{
		"\x1b[2J": `\x1b[2J`, "\u202e": `\u202e`, "bad \xff byte": `bad \xff byte`, "\U000e0001": `\U000e0001`,
	} {
		r := New(suite.Options{Rules: load(t), Side: catalogue.Server}, saidBy(text), "s")
		for _, form := range []string{"html", "xml", "md"} {
			if !strings.Contains(written(t, form, r), want) {
				t.Errorf("%s lacks %s", form, want)
			}
		}
	}
}

// elements are the names of a page's elements with those of their attributes. It fails
// unless each ends where it should.
func elements(t *testing.T, page string) map[string]bool {
	t.Helper()
	d := xml.NewDecoder(strings.NewReader(page))
	d.Strict, d.AutoClose, d.Entity = false, xml.HTMLAutoClose, xml.HTMLEntity
	out := map[string]bool{}
	var open []string
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("%v after %q", err, page[max(0, d.InputOffset()-200):d.InputOffset()])
		}
		switch e := token.(type) {
		case xml.StartElement:
			open = append(open, e.Name.Local)
			out[e.Name.Local] = true
			for _, a := range e.Attr {
				out[e.Name.Local+" "+a.Name.Local] = true
			}
		case xml.EndElement:
			if open[len(open)-1] != e.Name.Local {
				t.Fatalf("</%s> ends a <%s>", e.Name.Local, open[len(open)-1])
			}
			open = open[:len(open)-1]
		}
	}
	if len(open) > 0 {
		t.Errorf("%v do not end", open)
	}
	return out
}

func TestWhatASystemSaysBringsNoElementIntoThePage(t *testing.T) {
	plain := elements(t, written(t, "html", reportOf(t, saidBy("harmless", strings.Repeat("long ", 100)))))
	got := elements(t, written(t, "html", reportOf(t, saidBy(hostile...))))
	if !maps.Equal(got, plain) {
		t.Errorf("the page has %q, and a harmless one %q", slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(plain)))
	}
	for _, none := range []string{"script", "img", "link", "iframe", "form"} {
		if got[none] {
			t.Errorf("the page has a <%s>", none)
		}
	}
}

func TestJUnitKeepsWhatASystemSays(t *testing.T) {
	var got struct {
		Suites []struct {
			Cases []struct {
				Failure *struct {
					Message string `xml:"message,attr"`
				} `xml:"failure"`
			} `xml:"testcase"`
		} `xml:"testsuite"`
	}
	if err := xml.Unmarshal([]byte(written(t, "xml", reportOf(t, saidBy(hostile...)))), &got); err != nil {
		t.Fatal(err)
	}
	var said []string
	for _, s := range got.Suites {
		for _, c := range s.Cases {
			if c.Failure != nil {
				said = append(said, c.Failure.Message)
			}
		}
	}
	var want []string
	for _, text := range hostile {
		want = append(want, lines(text)[0])
	}
	if !slices.Equal(said, want) {
		t.Errorf("it says %q, not %q", said, want)
	}
}

// outsideCode is a line of Markdown without its code, as CommonMark finds it: from a run
// of backquotes to the next one of the same length.
func outsideCode(text string) string {
	ticks := func(s string) int { return len(s) - len(strings.TrimLeft(s, "`")) }
	var out strings.Builder
	for len(text) > 0 {
		n := ticks(text)
		if n == 0 {
			out.WriteByte(text[0])
			text = text[1:]
			continue
		}
		rest := text[n:]
		end := -1
		for at := 0; at < len(rest); at++ {
			if m := ticks(rest[at:]); m == n {
				end = at + m
				break
			} else if m > 0 {
				at += m - 1
			}
		}
		if end < 0 {
			out.WriteString(text[:n])
			text = rest
			continue
		}
		text = rest[end:]
	}
	return out.String()
}

func TestWhatASystemSaysIsCodeInMarkdown(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(rapid.StringOf(rapid.RuneFrom([]rune("`|\\ a\t<@"))), rapid.SampledFrom(hostile), rapid.String()).Draw(t, "text")
		got := code(text, 100)
		if outside := strings.ReplaceAll(outsideCode(got), "&#124;", ""); outside != "" || strings.Contains(got, "|") {
			t.Fatalf("%q becomes %q, of which %q is no code", text, got, outside)
		}
	})
	text := written(t, "md", reportOf(t, saidBy(hostile...)))
	for _, piece := range []string{"<script", "@somebody", "![", "javascript:", "# heading", "{{"} {
		for line := range strings.SplitSeq(text, "\n") {
			if strings.Contains(outsideCode(line), piece) {
				t.Errorf("%q stands in %q", piece, line)
			}
		}
	}
}

// TestASummaryFitsIntoAComment has more failures and reasons than a summary shows, all of
// them as long as they get.
func TestASummaryFitsIntoAComment(t *testing.T) {
	r := clean()
	for i := range 500 {
		long := strconv.Itoa(i) + strings.Repeat("|<\x1b|||", 500)
		r.Checks = append(r.Checks, result("LOG-1", strconv.Itoa(i), suite.Failed, long+"\n"+long+"\n"+long+"\n"+long),
			result("LOG-2", strconv.Itoa(i), suite.Untestable, long), result("BEAT-1", strconv.Itoa(i), suite.Skipped, long))
	}
	if n := len(written(t, "md", reportOf(t, r))); n > 64<<10 {
		t.Errorf("the summary has %d bytes", n)
	}
}

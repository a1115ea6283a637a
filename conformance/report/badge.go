package report

import (
	"encoding/xml"
	"fmt"
	"strings"
	"unicode/utf8"

	conformancev1 "github.com/neochaotic/leoflow/gen/leoflow/conformance/v1"
)

// colours of the right half of a badge; white can be read on each.
var colours = map[tone]string{good: "#1a7f37", gaps: "#8a6100", bad: "#cf222e"}

// Badge is a report as a small picture, SVG: how many rules are kept, of those that bind.
// It is green only where all of them were judged and are kept. What else there is stands
// beside the numbers.
func Badge(r *conformancev1.Report) ([]byte, error) {
	s := standingOf(r)
	label := "leoflow " + sideWord(r) + " protocol"
	value := strings.Join(append(append([]string{fmt.Sprintf("%d/%d rules", s.kept, s.of)}, s.ill...), s.open...), ", ")
	const height, pad, character = 20, 6, 6.6 // in pixels, of which a character of the font takes about so many
	width := func(text string) float64 { return float64(utf8.RuneCountInString(text)) * character }
	left, right := width(label)+2*pad, width(value)+2*pad
	text := func(of string, x float64) string {
		return fmt.Sprintf(`    <text x="%.1f" y="14" textLength="%.1f" lengthAdjust="spacingAndGlyphs">%s</text>`+"\n", x, width(of), escaped(of))
	}
	var out strings.Builder
	fmt.Fprintf(&out, `<svg xmlns="http://www.w3.org/2000/svg" width="%.1f" height="%d" role="img" aria-label="%s">`+"\n",
		left+right, height, escaped(label+": "+value))
	fmt.Fprintf(&out, "  <title>%s</title>\n", escaped(label+": "+value))
	fmt.Fprintf(&out, `  <clipPath id="r"><rect width="%.1f" height="%d" rx="3"/></clipPath>`+"\n", left+right, height)
	out.WriteString(`  <g clip-path="url(#r)">` + "\n")
	fmt.Fprintf(&out, `    <rect width="%.1f" height="%d" fill="#444c56"/>`+"\n", left, height)
	fmt.Fprintf(&out, `    <rect x="%.1f" width="%.1f" height="%d" fill="%s"/>`+"\n", left, right, height, colours[s.tone])
	out.WriteString("  </g>\n" + `  <g fill="#fff" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11">` + "\n")
	out.WriteString(text(label, pad) + text(value, left+pad))
	out.WriteString("  </g>\n</svg>\n")
	return []byte(out.String()), nil
}

func escaped(text string) string {
	var out strings.Builder
	_ = xml.EscapeText(&out, []byte(text)) // a builder takes everything
	return out.String()
}

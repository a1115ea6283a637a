package report

import (
	"encoding/xml"
	"fmt"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	conformancev1 "github.com/neochaotic/leoflow/gen/leoflow/conformance/v1"
)

// JUnit XML, as the programs that gather test results read it.
type (
	junitRun struct {
		XMLName xml.Name `xml:"testsuites"`
		Name    string   `xml:"name,attr"`
		junitCounts
		Suites []*junitSuite `xml:"testsuite"`
	}
	junitSuite struct {
		Name string `xml:"name,attr"`
		junitCounts
		Timestamp  string           `xml:"timestamp,attr"`
		Properties *junitProperties `xml:"properties"`
		Cases      []junitCase      `xml:"testcase"`
	}
	junitProperties struct {
		Properties []junitProperty `xml:"property"`
	}
	junitCounts struct {
		Tests    int    `xml:"tests,attr"`
		Failures int    `xml:"failures,attr"`
		Errors   int    `xml:"errors,attr"`
		Skipped  int    `xml:"skipped,attr"`
		Time     string `xml:"time,attr"` // seconds
	}
	junitProperty struct {
		Name  string `xml:"name,attr"`
		Value string `xml:"value,attr"`
	}
	junitCase struct {
		Class   string     `xml:"classname,attr"`
		Name    string     `xml:"name,attr"`
		Time    string     `xml:"time,attr"`
		Failure *junitWord `xml:"failure"`
		Error   *junitWord `xml:"error"`
		Skipped *junitWord `xml:"skipped"`
	}
	junitWord struct {
		Message string `xml:"message,attr"`
		Type    string `xml:"type,attr,omitempty"`
		Text    string `xml:",cdata"`
	}
)

// JUnit is a report as JUnit XML: a suite for each rule, and a case for each check. What
// is not judged is skipped, with the reason. It has a failure or an error exactly if the
// exit code is not 0.
func JUnit(r *conformancev1.Report) ([]byte, error) {
	run := &junitRun{Name: "leoflow-conformance " + sideWord(r) + " " + Visible(r.GetSystem())}
	class := "leoflow." + sideWord(r) + "."
	for _, rule := range r.GetRules() {
		s := &junitSuite{Name: rule.GetId(), Properties: &junitProperties{[]junitProperty{
			{"level", levelWord(rule.GetLevel())}, {"statement", Visible(rule.GetStatement())},
		}}}
		var took time.Duration
		for _, c := range rule.GetChecks() {
			s.add(junitCaseOf(class, rule, c))
			took += c.GetTook().AsDuration()
		}
		if len(rule.GetChecks()) == 0 {
			s.add(junitCase{
				Class: class + rule.GetId(), Name: rule.GetId(), Time: seconds(nil),
				Skipped: &junitWord{Message: "unchecked: the suite has no check of this rule"},
			})
		}
		s.Time = seconds(durationpb.New(took))
		run.Suites = append(run.Suites, s)
	}
	if whole := ofTheRun(class, r); len(whole.Cases) > 0 {
		run.Suites = append(run.Suites, whole)
	}
	for _, s := range run.Suites {
		s.Timestamp = r.GetBeganAt().AsTime().Format("2006-01-02T15:04:05")
		run.Tests += s.Tests
		run.Failures += s.Failures
		run.Errors += s.Errors
		run.Skipped += s.Skipped
	}
	run.Time = seconds(r.GetTook())
	text, err := xml.MarshalIndent(run, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("the report as JUnit XML: %w", err)
	}
	return []byte(xml.Header + string(text) + "\n"), nil
}

func (s *junitSuite) add(c junitCase) {
	s.Cases = append(s.Cases, c)
	s.Tests++
	switch {
	case c.Failure != nil:
		s.Failures++
	case c.Error != nil:
		s.Errors++
	case c.Skipped != nil:
		s.Skipped++
	}
}

func junitCaseOf(class string, rule *conformancev1.RuleResult, c *conformancev1.CheckResult) junitCase {
	out := junitCase{Class: class + rule.GetId(), Name: c.GetId() + ": " + Visible(c.GetName()), Time: seconds(c.GetTook())}
	reasons := lines(c.GetReason())
	word := &junitWord{Message: reasons[0], Type: wordOf(c.GetStatus())}
	switch c.GetStatus() {
	case failed:
		out.Failure = word
	case broken:
		out.Error = word
	case passed:
		return out
	default:
		word.Message, word.Type = wordOf(c.GetStatus())+": "+word.Message, ""
		out.Skipped = word
	}
	var text strings.Builder
	for _, line := range reasons {
		text.WriteString("\n" + line)
	}
	if c.GetStatus() != skipped && c.GetStatus() != untestable {
		if c.GetRuns() > 1 {
			fmt.Fprintf(&text, "\n%d of %s went wrong", c.GetBadRuns(), count(int(c.GetRuns()), "run"))
		}
		text.WriteString("\n\n" + rule.GetId() + ": " + Visible(rule.GetStatement()) + "\n")
		for _, e := range c.GetEvidence() {
			text.WriteString("\n" + evidenceLine(e))
		}
	}
	word.Text = text.String() + "\n"
	return out
}

// ofTheRun is what is wrong with a run of which no check tells.
func ofTheRun(class string, r *conformancev1.Report) *junitSuite {
	s := &junitSuite{Name: "run", junitCounts: junitCounts{Time: seconds(nil)}}
	fail := func(name, message string) {
		s.add(junitCase{Class: class + "run", Name: name, Time: seconds(nil), Failure: &junitWord{Message: message, Type: "failed"}})
	}
	for _, id := range r.GetStaleKnownFailing() {
		fail("known failing "+Visible(id), "it is listed as known to fail, and passed: take it off the list")
	}
	if r.GetInterrupted() {
		fail("complete", "the run was interrupted: not every check ran")
	}
	if r.GetChecksByStatus().GetPassed() == 0 {
		fail("something passed", "nothing passed")
	}
	return s
}

func levelWord(l conformancev1.RuleLevel) string {
	for word, of := range levelOf {
		if of == l {
			return string(word)
		}
	}
	return ""
}

func seconds(d *durationpb.Duration) string {
	return strconv.FormatFloat(d.AsDuration().Seconds(), 'f', 3, 64)
}

package report

import (
	"maps"
	"slices"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	conformancev1 "github.com/neochaotic/leoflow/gen/leoflow/conformance/v1"

	"github.com/neochaotic/leoflow/conformance/catalogue"
	"github.com/neochaotic/leoflow/conformance/suite"
)

// version is of the form of a report.
const version = 1

// Statuses of results, shortly.
const (
	passed       = conformancev1.ResultStatus_RESULT_STATUS_PASSED
	failed       = conformancev1.ResultStatus_RESULT_STATUS_FAILED
	knownFailing = conformancev1.ResultStatus_RESULT_STATUS_KNOWN_FAILING
	skipped      = conformancev1.ResultStatus_RESULT_STATUS_SKIPPED
	untestable   = conformancev1.ResultStatus_RESULT_STATUS_UNTESTABLE
	broken       = conformancev1.ResultStatus_RESULT_STATUS_ERROR
	unchecked    = conformancev1.ResultStatus_RESULT_STATUS_UNCHECKED
)

// The names of the suite's words in the protos.
var (
	statusOf = map[suite.Status]conformancev1.ResultStatus{
		suite.Passed: passed, suite.Failed: failed, suite.KnownFailing: knownFailing,
		suite.Skipped: skipped, suite.Untestable: untestable, suite.Broken: broken,
	}
	sideOf = map[catalogue.Side]conformancev1.ReportSide{
		catalogue.Server: conformancev1.ReportSide_REPORT_SIDE_SERVER,
		catalogue.Agent:  conformancev1.ReportSide_REPORT_SIDE_AGENT,
	}
	levelOf = map[catalogue.Level]conformancev1.RuleLevel{
		catalogue.Must:   conformancev1.RuleLevel_RULE_LEVEL_MUST,
		catalogue.Should: conformancev1.RuleLevel_RULE_LEVEL_SHOULD,
	}
)

// New is the report of a run with these options. The system is what it calls itself, or
// how it was reached.
func New(o suite.Options, r *suite.Results, system string) *conformancev1.Report {
	out := &conformancev1.Report{
		Version: version, Side: sideOf[r.Side], System: legal(system), Edition: int32Of(r.Edition),
		BeganAt: timestamppb.New(r.Began), Took: durationpb.New(r.Took), Seed: r.Seed, Repeat: int32Of(r.Repeat),
		Cells: int32Of(r.Cells()), StaleKnownFailing: r.Stale, Interrupted: r.Interrupted,
		ExitCode: int32Of(r.ExitCode()), ChosenBy: chosenBy(o),
		ChecksByStatus: &conformancev1.Totals{}, RulesByStatus: &conformancev1.Totals{},
	}
	checks := map[string][]*conformancev1.CheckResult{}
	for _, c := range r.Checks {
		result := checkResult(c)
		checks[c.Rule] = append(checks[c.Rule], result)
		add(out.ChecksByStatus, result.GetStatus())
	}
	families := map[string]string{}
	for _, f := range o.Rules.Families() {
		families[f.ID] = f.Title
	}
	for _, rule := range o.Rules.Rules(catalogue.Filter{Side: r.Side}) {
		if rule.Evidence != catalogue.Internal {
			out.JudgeableRules++
		}
		of := checks[rule.ID]
		if len(of) == 0 && !slices.Contains(r.Unchecked, rule.ID) {
			continue
		}
		result := &conformancev1.RuleResult{
			Id: rule.ID, Level: levelOf[rule.Level], Statement: rule.Statement, Rationale: rule.Rationale,
			Family: families[rule.Family()], Checks: of, Status: ruleStatus(of),
		}
		out.Rules = append(out.Rules, result)
		add(out.RulesByStatus, result.GetStatus())
	}
	return out
}

// chosenBy tells what the options leave of the rules and checks.
func chosenBy(o suite.Options) []string {
	var out []string
	for _, id := range o.Only {
		what := "check "
		if _, err := o.Rules.Family(id); err == nil {
			what = "family "
		} else if _, err := o.Rules.Rule(id); err == nil {
			what = "rule "
		}
		out = append(out, what+id)
	}
	if o.RPC != "" {
		out = append(out, "RPC "+o.RPC.String())
	}
	if o.Level != "" {
		out = append(out, "level "+string(o.Level))
	}
	return out
}

func checkResult(c suite.Result) *conformancev1.CheckResult {
	out := &conformancev1.CheckResult{
		Id: c.Check, Name: c.Name, Status: statusOf[c.Status], Reason: legal(c.Reason), NotRun: c.NotRun,
		Runs: int32Of(c.Runs), BadRuns: int32Of(c.Bad), Took: durationpb.New(c.Took),
	}
	for _, rpc := range c.RPCs {
		out.Rpcs = append(out.Rpcs, string(rpc))
	}
	for _, e := range c.Evidence {
		out.Evidence = append(out.Evidence, &conformancev1.Evidence{
			At: durationpb.New(e.At), What: legal(e.What), Rpc: string(e.RPC), Sent: legal(e.Sent), Received: legal(e.Received),
			Code: legal(e.Code), Error: legal(e.Error),
		})
	}
	return out
}

// ruleStatus is that of a rule with these checks.
func ruleStatus(checks []*conformancev1.CheckResult) conformancev1.ResultStatus {
	if len(checks) == 0 {
		return unchecked
	}
	worst := checks[0]
	for _, c := range checks[1:] {
		if badness(c) > badness(worst) {
			worst = c
		}
	}
	return worst.GetStatus()
}

// badness orders checks of one rule, or of one cell: the worst stands for all.
func badness(c *conformancev1.CheckResult) int {
	if c.GetStatus() == skipped && !c.GetNotRun() {
		return 0 // it does not bind, and takes nothing from those that do
	}
	return 1 + slices.Index([]conformancev1.ResultStatus{passed, skipped, untestable, knownFailing, failed, broken}, c.GetStatus())
}

func add(t *conformancev1.Totals, s conformancev1.ResultStatus) { *total(t, s)++ }

// total is the place of a status.
func total(t *conformancev1.Totals, s conformancev1.ResultStatus) *int32 {
	return map[conformancev1.ResultStatus]*int32{
		passed: &t.Passed, failed: &t.Failed, knownFailing: &t.KnownFailing, skipped: &t.Skipped,
		untestable: &t.Untestable, broken: &t.Error, unchecked: &t.Unchecked,
	}[s]
}

// statuses are all of them, in the order in which they are told.
func statuses() []conformancev1.ResultStatus {
	return []conformancev1.ResultStatus{passed, failed, broken, knownFailing, untestable, unchecked, skipped}
}

func int32Of(n int) int32 { return int32(min(max(n, -1<<31), 1<<31-1)) }

// wordOf is a status as people read it.
func wordOf(s conformancev1.ResultStatus) string {
	for word, of := range statusOf {
		if of == s {
			return string(word)
		}
	}
	return "unchecked"
}

// sideWord is whom a report is of: server or agent.
func sideWord(r *conformancev1.Report) string {
	for _, word := range slices.Sorted(maps.Keys(sideOf)) {
		if sideOf[word] == r.GetSide() {
			return string(word)
		}
	}
	return "system"
}

package report

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	conformancev1 "github.com/neochaotic/leoflow/gen/leoflow/conformance/v1"
)

// JSON is a report as the JSON that protobuf defines, zeros and empty lists included. It
// steers no terminal: what would is escaped, and reads back as it was.
func JSON(r *conformancev1.Report) ([]byte, error) {
	long, err := protojson.MarshalOptions{EmitDefaultValues: true}.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("the report as JSON: %w", err)
	}
	var out bytes.Buffer // protojson's own white space changes from build to build
	if err := json.Indent(&out, long, "", "  "); err != nil {
		return nil, fmt.Errorf("the report as JSON: %w", err)
	}
	var safe strings.Builder
	for _, c := range out.String() {
		switch {
		case c < 0x7f || strconv.IsPrint(c): // below are those that JSON escapes by itself
			safe.WriteRune(c)
		case c > 0xffff:
			const high, low, half = 0xd800, 0xdc00, 0x3ff
			fmt.Fprintf(&safe, `\u%04x\u%04x`, high+(c-0x10000)>>10, low+(c-0x10000)&half)
		default:
			fmt.Fprintf(&safe, `\u%04x`, c)
		}
	}
	return []byte(safe.String() + "\n"), nil
}

// Read reads what [JSON] wrote. It refuses fields and words that it does not know,
// another version, and counts that are not those of the rules and checks.
func Read(data []byte) (*conformancev1.Report, error) {
	r := &conformancev1.Report{}
	if err := protojson.Unmarshal(data, r); err != nil {
		return nil, fmt.Errorf("it is no report: %w", err)
	}
	if r.GetVersion() != version {
		return nil, fmt.Errorf("the report is of version %d, and this reads %d", r.GetVersion(), version)
	}
	if sideWord(r) == "system" {
		return nil, fmt.Errorf("the report does not say whom it judges: side is %v", r.GetSide())
	}
	rules, checks := &conformancev1.Totals{}, &conformancev1.Totals{}
	for _, rule := range r.GetRules() {
		if got, want := rule.GetStatus(), ruleStatus(rule.GetChecks()); got != want {
			return nil, fmt.Errorf("%s is %v, and of its checks it would be %v", rule.GetId(), got, want)
		}
		add(rules, rule.GetStatus())
		for _, c := range rule.GetChecks() {
			if total(checks, c.GetStatus()) == nil || c.GetStatus() == unchecked {
				return nil, fmt.Errorf("%s has the status %v", c.GetId(), c.GetStatus())
			}
			add(checks, c.GetStatus())
		}
	}
	if !proto.Equal(rules, r.GetRulesByStatus()) || !proto.Equal(checks, r.GetChecksByStatus()) {
		return nil, fmt.Errorf("the totals are {%v} and {%v}, and of the results they would be {%v} and {%v}",
			r.GetRulesByStatus(), r.GetChecksByStatus(), rules, checks)
	}
	return r, nil
}

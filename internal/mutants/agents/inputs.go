package agents

import (
	"bytes"
	"encoding/json"
	"maps"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
	"github.com/neochaotic/leoflow/internal/mutants/matrix"
)

func copySpec(to, from *agentv1.TaskSpec) {
	proto.Reset(to)
	proto.Merge(to, from)
}

func environmentMutants() []Mutant {
	return []Mutant{
		{
			Name: "trims-environment", Fault: "it trims the specification's variables", Kills: "A-ENV-1/environment",
			unary: specified(func(_ *relay, spec *agentv1.TaskSpec) {
				for name, value := range spec.GetEnvironment() {
					spec.Environment[name] = strings.TrimSpace(value)
				}
			}),
		},
		{
			Name: "expands-arguments", Fault: "it expands variables in the call arguments", Kills: "A-ENV-1/call-args",
			unary: specified(func(_ *relay, spec *agentv1.TaskSpec) { spec.CallArgsJson = os.ExpandEnv(spec.GetCallArgsJson()) }),
		},
		{
			Name: "compacts-inputs", Fault: "it writes JSON inputs anew", Kills: "A-ENV-1/inputs",
			unary: after("FetchXCom", func(_ *relay, out *agentv1.FetchXComResponse) {
				var line bytes.Buffer
				if json.Compact(&line, out.GetValue()) == nil {
					out.Value = line.Bytes()
				}
			}),
		},
		{
			Name: "quotes-variables", Fault: "it quotes variables", Kills: "A-ENV-1/variables",
			unary: after("GetVariables", func(_ *relay, out *agentv1.GetVariablesResponse) {
				for name, value := range out.GetVariables() {
					out.Variables[name] = strconv.Quote(value)
				}
			}),
		},
		{
			Name: "unescapes-connections", Fault: "it unescapes the URIs of connections", Kills: "A-ENV-1/connections",
			unary: after("GetConnections", func(_ *relay, out *agentv1.GetConnectionsResponse) {
				for name, uri := range out.GetConnectionUris() {
					out.ConnectionUris[name], _ = url.PathUnescape(uri)
				}
			}),
		},
		{
			Name: "empty-for-absent", Fault: "it gives an absent input as an empty one", Kills: "A-ENV-2/absent", Also: matrix.Because("one of its sources is absent, too", "A-ENV-2/fan-in"),
			unary: fetchFails(codes.NotFound, nil),
		},
		{
			Name: "sorts-fan-in", Fault: "it sorts the sources of a fan-in", Kills: "A-ENV-2/fan-in",
			unary: specified(func(_ *relay, spec *agentv1.TaskSpec) {
				for _, up := range spec.GetXcomInputMapping() {
					slices.Sort(up.GetTaskIds())
				}
			}),
		},
		{
			Name: "runs-without-input", Fault: "it takes an input that fails by INTERNAL as absent", Kills: "A-ENV-3/internal",
			unary: fetchFails(codes.Internal, status.Error(codes.NotFound, "")),
		},
		{
			Name: "runs-without-denied-input", Fault: "it takes an input that is denied as absent", Kills: "A-ENV-3/denied",
			unary: fetchFails(codes.PermissionDenied, status.Error(codes.NotFound, "")),
		},
	}
}

// fetchFails has another answer for fetches that failed by this code.
func fetchFails(code codes.Code, other error) func(*relay, *passing) error {
	return func(_ *relay, p *passing) error {
		err := p.send()
		if p.method == "FetchXCom" && status.Code(err) == code {
			return other
		}
		return err
	}
}

// fetched breaks the value of an input.
func fetched(change func([]byte) []byte) func(*relay, *passing) error {
	return after("FetchXCom", func(_ *relay, out *agentv1.FetchXComResponse) { out.Value = change(out.GetValue()) })
}

func inputMutants() []Mutant {
	return []Mutant{
		{
			Name: "no-files", Fault: "it gives inputs in variables alone", Kills: "A-ENV-4/file",
			Also:  matrix.Because("it reads the file as well", "A-ENV-4/large", "A-ENV-4/nul", "A-ENV-4/name", "A-ENV-4/together"),
			unary: wrapped(`for v in ${!LEOFLOW_XCOM_@}; do case $v in *_PATH) unset "$v" ;; esac; done`),
		},
		{
			Name: "file-with-line-end", Fault: "it ends a file without its last line end", Kills: "A-ENV-4/file",
			unary: fetched(func(v []byte) []byte { return bytes.TrimSuffix(v, []byte("\n")) }), Also: matrix.Because("one of its inputs ends with a line end", "A-ENV-1/inputs"),
		},
		{
			Name: "cuts-large", Fault: "it cuts what the system cannot pass", Kills: "A-ENV-4/large",
			unary: fetched(func(v []byte) []byte { return v[:min(len(v), 127<<10)] }),
		},
		{
			Name: "large-alone", Fault: "it bears one large input, and not many", Kills: "A-ENV-4/together",
			unary: func(r *relay, p *passing) error {
				err := p.send()
				out, ok := p.out.(*agentv1.FetchXComResponse)
				if !ok || err != nil {
					return err
				}
				size := 0
				r.set(func(s *state) {
					s.size += len(out.GetValue())
					size = s.size
				})
				if size > 1<<20 {
					return status.Error(codes.ResourceExhausted, "argument list too long")
				}
				return nil
			},
		},
		{
			Name: "drops-nul", Fault: "it drops NUL bytes", Kills: "A-ENV-4/nul", Also: matrix.Because("one of its sources has a NUL byte", "A-ENV-4/fan-in"),
			unary: fetched(func(v []byte) []byte { return bytes.ReplaceAll(v, []byte{0}, nil) }),
		},
		{
			Name: "names-by-byte", Fault: "it replaces each byte of a parameter's name, not each character", Kills: "A-ENV-4/name",
			unary: specified(func(_ *relay, spec *agentv1.TaskSpec) {
				for param, up := range maps.Clone(spec.GetXcomInputMapping()) {
					delete(spec.GetXcomInputMapping(), param)
					spec.XcomInputMapping[strings.ReplaceAll(param, "ü", "__")] = up
				}
			}),
		},
		{
			Name: "one-of-two", Fault: "of two inputs of one name it takes one", Kills: "A-ENV-4/collision",
			unary: specified(func(_ *relay, spec *agentv1.TaskSpec) { delete(spec.GetXcomInputMapping(), "a-b") }),
		},
		{
			Name: "no-words-in-fan-in", Fault: "in a fan-in it takes what is no JSON as absent", Kills: "A-ENV-4/fan-in",
			unary: func(_ *relay, p *passing) error {
				err := p.send()
				out, ok := p.out.(*agentv1.FetchXComResponse)
				if ok && err == nil && string(out.GetValue()) == "plain words" {
					return status.Error(codes.NotFound, "")
				}
				return err
			},
		},
	}
}

package agentsuite

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
)

// firstBeat is how long the first heartbeat may take, of an agent that waits first.
const firstBeat = 20 * time.Second

func durationOf(d time.Duration) *durationpb.Duration { return durationpb.New(d) }

func (c *call) beat() *agentv1.HeartbeatResponse    { return c.out.(*agentv1.HeartbeatResponse) }
func (c *call) reply() *agentv1.ReportStateResponse { return c.out.(*agentv1.ReportStateResponse) }
func (c *call) state() agentv1.TaskState            { return moment{in: c.in}.state() }

func startTrials() []trial {
	return []trial{
		{"A-START-1", "every-rpc", "every RPC carries the token", firstBeat, []string{
			register, getTaskSpec, fetchXCom, getVariables, getConnections, reportState, heartbeat, streamLogs, pushXCom,
		}, everyRPC},
		{"A-START-1", "kept", "the token reaches neither the task, nor its files, nor any log", 0, []string{register}, tokenKept},
		{"A-START-2", "order", "registers, then reads the specification, then runs", 0, []string{register, getTaskSpec}, startOrder},
		{"A-START-2", "refused", "runs nothing when the registration is refused", 30 * time.Second, []string{register}, startRefused},
		{"A-START-3", "operator", "an operator that nobody has ends as FAILED", 0, []string{getTaskSpec, reportState}, func(s *scene) {
			unrunnable(s, "teleport", "nowhere")
		}},
		{"A-START-3", "entrypoint", "an empty entrypoint ends as FAILED", 0, []string{getTaskSpec, reportState}, func(s *scene) {
			unrunnable(s, "bash", "")
		}},
	}
}

func everyRPC(s *scene) {
	s.values = map[string][]byte{"up": []byte("1")}
	s.spec.XcomInputMapping = map[string]*agentv1.XComUpstreams{"in": {TaskIds: []string{"up"}}}
	s.secure("127.0.0.1", "") // over plaintext it need not ask for secrets
	s.launch("echo a line\ngate\necho 1 > \"$LEOFLOW_RETURN_VALUE_PATH\"\n")
	s.until("a heartbeat", called(heartbeat, 1))
	s.letGo()
	s.wantSuccess()
	ms := s.now()
	for _, method := range []string{
		register, getTaskSpec, fetchXCom, getVariables, getConnections, reportState, heartbeat, streamLogs, pushXCom,
	} {
		if !called(method, 1)(ms) {
			s.Errorf("%s was never called", method)
		}
	}
	for _, m := range ms {
		if m.isCall() && m.token != "Bearer "+s.token {
			s.Errorf("%s came with the authorization %q, not with the token", m.method, m.token)
		}
	}
}

func tokenKept(s *scene) {
	s.launch(saveEnvironment, `tr '\0' '\n' < /proc/$$/cmdline > "$dir/argv" 2>/dev/null || ps -o args= -p $$ > "$dir/argv"
env; echo "$0 $*"; env >&2; tell looked; gate; exit 3
`)
	s.until("the task's look around", said("looked"))
	for _, name := range []string{"env", "argv"} {
		if bytes.Contains(s.file(name), []byte(s.token)) {
			s.Errorf("the task finds the token in its %s", name)
		}
	}
	s.searchFiles("while the task runs")
	s.letGo()
	s.wantFailed()
	s.searchFiles("when all is over")
	if bytes.Contains(s.printed(), []byte(s.token)) {
		s.Errorf("the agent printed the token")
	}
	lines := s.now().lines()
	if len(lines) == 0 {
		s.Errorf("no line of the log came, so that nothing says that the token is not in it")
	}
	for _, line := range lines {
		if strings.Contains(line.GetMessage(), s.token) {
			s.Errorf("the token is in the log: stream %s, line %d", line.GetStream(), line.GetLineNumber())
		}
	}
}

// searchFiles looks for the token in what the agent wrote to its directory.
func (s *scene) searchFiles(when string) {
	root, err := os.OpenRoot(filepath.Join(s.dir, "tmp")) // a link that leads out of it is none of ours
	if err != nil {
		s.Broken("%v", err)
	}
	defer func() { _ = root.Close() }()
	_ = fs.WalkDir(root.FS(), ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return nil // it has gone meanwhile, or there is nothing to read
		}
		if text, err := root.ReadFile(path); err == nil && bytes.Contains(text, []byte(s.token)) {
			s.Errorf("the token is in the file %s of the temporary directory, %s", path, when)
		}
		return nil
	})
}

func startOrder(s *scene) {
	s.on(register, func(*call) error {
		s.never("the agent went on before it was registered", func(ms moments) bool {
			return started(ms) || called(getTaskSpec, 1)(ms)
		})
		return nil
	})
	s.on(getTaskSpec, func(*call) error {
		s.never("the agent ran something before it had the specification", started)
		return nil
	})
	s.launch()
	s.until("the task's start", started)
	s.wantSuccess()
	ms := s.now()
	registered := ms.first(func(m moment) bool { return m.method == register })
	specified := ms.first(func(m moment) bool { return m.method == getTaskSpec })
	began := ms.first(func(m moment) bool { return m.word == "started" })
	if registered < 0 || specified < registered || began < specified {
		s.Errorf("not in order: %s", s.summary())
	}
}

func startRefused(s *scene) {
	s.control()
	s.on(register, func(*call) error { return status.Error(codes.FailedPrecondition, "the attempt is over") })
	s.launch()
	s.until("a registration", called(register, 1))
	s.until("the end of the agent's process", ended)
	s.wantNoTask("the registration was refused")
}

func unrunnable(s *scene, operator, entrypoint string) {
	s.control()
	s.spec.Operator, s.spec.Entrypoint = operator, entrypoint
	s.launchSpec()
	s.wantFailed()
	s.wantNoTask("it cannot be run")
}

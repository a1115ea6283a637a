package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/types/known/timestamppb"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
	"github.com/neochaotic/leoflow/internal/domain"
)

// maxReturnValue is the largest return value that is sent to be judged: 1 MiB over
// the largest limit that a control plane may have (XCOM-2).
const maxReturnValue = 4 << 20

// errTooLarge is the control plane's own word, for a value too large to be sent.
var errTooLarge = errors.New("payload_too_large")

// ending says what is left to do at the end of an attempt.
type ending int

const (
	endReported ending = iota // the outcome is reported
	endKnown                  // the control plane said that the attempt is over
	endGivenUp                // no report would be taken
)

// outcome is what became of an attempt.
type outcome struct {
	ending   ending
	state    agentv1.TaskState
	exitCode int32 // as the task's process had it; 0 if none ran
	message  string
	at       time.Time
}

func failed(code int32, format string, args ...any) outcome {
	return outcome{
		state: agentv1.TaskState_TASK_STATE_FAILED, exitCode: code,
		message: fmt.Sprintf(format, args...), at: time.Now(),
	}
}

// announce reports RUNNING (A-RUN-1). It returns false when the control plane
// answers that the attempt may not go on, or the report is not taken.
func (a *attempt) announce(ctx context.Context) (outcome, bool) {
	reply, err := call(ctx, a.calls, patience{budget: a.pace.start, answered: -1}, a.client.ReportState,
		&agentv1.ReportStateRequest{State: agentv1.TaskState_TASK_STATE_RUNNING, OccurredAt: timestamppb.Now()})
	if err != nil {
		return a.notStarted(ctx, "RUNNING could not be reported", err), false
	}
	if !reply.GetShouldTerminate() {
		return outcome{}, true
	}
	return a.forbidden(termination{reason: reply.GetReason()}), false
}

// notStarted returns the outcome of an attempt that a failing call kept from starting.
func (a *attempt) notStarted(ctx context.Context, what string, err error) outcome {
	switch {
	case refused(err):
		a.log.Error("the control plane refuses this attempt, so the agent ends", "what", what, "error", told(err))
		return outcome{ending: endGivenUp}
	case ctx.Err() != nil:
		return failed(0, "%s", askedToStop(ctx))
	default:
		return failed(0, "%s: %s", what, told(err))
	}
}

// deliver pushes the return value, if the task wrote one (A-RUN-4). A value that is
// refused or cannot be delivered makes a failure of the success.
func (a *attempt) deliver(ctx context.Context, out outcome) outcome {
	value, err := readReturnValue(a.returnPath())
	switch {
	case errors.Is(err, os.ErrNotExist):
		return out
	case errors.Is(err, errTooLarge):
		return failed(0, "the return value was rejected: %v", err)
	case err != nil:
		return failed(0, "the return value could not be read: %v", err)
	}
	ctx, cancel := hasty(ctx, a.pace.report+a.pace.try, a.pace.hurry)
	defer cancel()
	defer context.AfterFunc(a.beats.wanted, func() {
		if a.beats.pointless() {
			cancel()
		}
	})()
	reply, err := call(ctx, a.calls, patience{budget: a.pace.report, answered: -1}, a.client.PushXCom, &agentv1.PushXComRequest{
		Key: domain.DefaultXComKey, Value: value, ContentType: contentType(value),
	})
	switch {
	case err != nil:
		return failed(0, "the return value could not be pushed: %s", told(err))
	case !reply.GetAccepted():
		return failed(0, "the return value was rejected: %s", reply.GetRejectionReason())
	}
	return out
}

// readReturnValue reads the file that the task wrote, byte for byte. It follows no
// pipe, which could hang it, and reads no more than could be sent.
func readReturnValue(path string) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is no regular file", filepath.Base(path))
	}
	value, err := io.ReadAll(io.LimitReader(f, maxReturnValue+1))
	if err == nil && len(value) > maxReturnValue {
		err = fmt.Errorf("%w (over %d bytes)", errTooLarge, maxReturnValue)
	}
	return value, err
}

// contentType says what a return value is, by its bytes.
func contentType(value []byte) string {
	switch {
	case !utf8.Valid(value):
		return "application/octet-stream"
	case json.Valid(value):
		return "application/json"
	default:
		return "text/plain; charset=utf-8"
	}
}

// conclude reports the outcome, patiently (A-NET-1), and returns the exit code.
func (a *attempt) conclude(ctx context.Context, out outcome) int {
	switch out.ending {
	case endKnown:
		return ExitOK
	case endGivenUp:
		return ExitUnreported
	}
	ctx, cancel := hasty(ctx, a.pace.report+a.pace.try, a.pace.hurry)
	defer cancel()
	reply, err := call(ctx, a.calls, patience{budget: a.pace.report, answered: -1}, a.client.ReportState,
		&agentv1.ReportStateRequest{
			State: out.state, ExitCode: out.exitCode,
			ErrorMessage: domain.CutString(strings.ToValidUTF8(out.message, "\uFFFD"), domain.MaxErrorMessageBytes),
			OccurredAt:   timestamppb.New(out.at),
		})
	switch {
	case err != nil:
		a.log.Error("the outcome could not be reported", "state", out.state, "message", out.message, "error", told(err))
		return ExitUnreported
	case !reply.GetAcknowledged():
		a.log.Error("the control plane did not acknowledge the outcome", "state", out.state, "message", out.message)
		return ExitUnreported
	}
	return ExitOK
}

// hasty returns a context that outlives ctx: it ends after budget, or after hurry
// once ctx is done.
func hasty(ctx context.Context, budget, hurry time.Duration) (context.Context, context.CancelFunc) {
	out, cancel := context.WithTimeout(context.WithoutCancel(ctx), budget)
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(hurry, cancel) })
	return out, func() { stop(); cancel() }
}

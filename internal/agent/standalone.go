package agent

import (
	"os"
	"os/signal"
	"syscall"

	"github.com/neochaotic/leoflow/internal/domain"
)

// Standalone is [Run] for a process that is there for its one attempt: it reads the
// configuration from the environment, shields the token from the task, catches
// signals, and reaps whatever ends as a child of it. It returns an exit code of this
// package, and with [ExitBadConfig] one line that says what is wrong, where that is the
// environment. It is called once, first thing, and the process ends after it.
//
// SIGTERM and SIGINT stop the task politely, a second one kills it at once, and how it
// ended is reported. SIGHUP, SIGQUIT, SIGUSR1 and SIGUSR2 are passed on to the task's
// process group, and dropped while there is none.
//
// On Linux the process can be neither traced nor read by others of its user, the task
// among them, unless they have the capability to trace any; so it dumps no core and no
// debugger attaches to it, while its own profiles, and all of the task, are as ever.
func Standalone(version, tempDir string) (int, error) {
	unshielded := shield()
	cfg, err := ConfigFromEnv(os.Getenv)
	if err != nil {
		return ExitBadConfig, err
	}
	_ = os.Unsetenv(domain.EnvAgentToken) // of a fixed, legal name
	cfg.Version, cfg.TempDir, cfg.kin = version, tempDir, &children{}
	cfg = cfg.completed()
	if unshielded != nil {
		cfg.Logger.Warn("a task of the same user can read the agent's token", "error", unshielded)
	}
	s := catchSignals()
	defer s.stop()
	defer reapAlways(cfg.kin)()
	cfg.Kill, cfg.Pass = s.kill, s.pass
	return Run(s.ctx, cfg), nil
}

// reapAlways reaps strangers as they end, until the returned function is called.
func reapAlways(kin *children) (stop func()) {
	ended, over, done := make(chan os.Signal, 1), make(chan struct{}), make(chan struct{})
	signal.Notify(ended, syscall.SIGCHLD)
	go func() {
		defer close(done)
		for {
			kin.reapStrangers() // at first those of before, as a first process may have
			select {
			case <-ended: // one for any number
			case <-over:
				return
			}
		}
	}()
	return func() {
		signal.Stop(ended)
		close(over)
		<-done
	}
}

package supervisor

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
)

// maxCrash bounds what is kept of a crash, in bytes: its beginning says what happened and where.
const maxCrash = 16 << 10

// Config says what to run.
type Config struct {
	// Path of the program, its arguments (the first is its name) and its environment.
	Path string
	Args []string
	Env  []string
	// Stdout and Stderr are handed to the child as they are.
	Stdout, Stderr *os.File
	// Logger gets a line for each crash. Required.
	Logger *slog.Logger
}

// Run runs the program until it ends for good, and returns the code to exit with: the program's own, 0 when it was told
// to stop and did, 128 and the number of the signal when one ended it. The error says why it could not be started in the
// first place. Run blocks; it takes SIGINT, SIGTERM, SIGHUP and SIGQUIT and passes them on.
func Run(cfg Config) (code int, err error) {
	// Linux ends the child when the thread that started it ends.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	signals := make(chan os.Signal, 8)
	for _, s := range []os.Signal{os.Interrupt, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT} {
		if !signal.Ignored(s) { // nohup
			signal.Notify(signals, s)
		}
	}
	defer signal.Stop(signals)

	var past history
	for served := false; ; {
		e, err := runOnce(cfg, past.restarts, signals)
		served = served || e.ready
		switch {
		case err != nil && !served:
			return 1, err
		case err == nil && (!served || e.told || e.code() == 0): // Code 0 untold: somebody told the child itself.
			return e.code(), nil
		}
		why, what := Exit, []any{"error", err} // The program's file is gone, or memory is short: both may pass.
		if err == nil {
			why, what = e.reason(), e.describe()
		}
		wait := past.Handle(why, e.ran)
		cfg.Logger.Error("the server crashed: starting it again", append(what, "wait", wait.String(), "restarts", past.restarts.Total())...)
		if toldToStop(signals, wait) {
			return 0, nil // There is nothing left to stop.
		}
	}
}

// runOnce starts the program and waits for its end. Signals that come meanwhile are passed on.
func runOnce(cfg Config, before Restarts, signals <-chan os.Signal) (ending, error) {
	lifeline, held, err := os.Pipe()
	if err != nil {
		return ending{}, fmt.Errorf("supervisor: open a pipe: %w", err)
	}
	// held is closed after the child's end: while it is open the child lives. Closing a pipe cannot fail in a way that matters.
	defer func() { _, _ = lifeline.Close(), held.Close() }()
	report, reported, err := os.Pipe()
	if err != nil {
		return ending{}, fmt.Errorf("supervisor: open a pipe: %w", err)
	}
	cmd := &exec.Cmd{Path: cfg.Path, Args: cfg.Args, Stdin: lifeline, Stdout: cfg.Stdout, Stderr: cfg.Stderr}
	from := inheritance{Restarts: before}
	from.Report = handDown(cmd, reported)
	text, err := json.Marshal(from)
	if err == nil {
		cmd.Env = append(slices.Clone(cfg.Env), variable+"="+string(text))
		err = cmd.Start()
	}
	started := time.Now()
	if err = errors.Join(err, reported.Close()); err != nil {
		return ending{}, errors.Join(fmt.Errorf("supervisor: start the server: %w", err), report.Close())
	}

	var e ending
	read, ended := make(chan struct{}), make(chan struct{})
	go func() { // Ends with the child, which alone holds the other end.
		defer close(read)
		e.ready, e.crash = readReport(report)
	}()
	go func() {
		defer close(ended)
		_ = cmd.Wait() // ProcessState says it all.
	}()
	told := false
	for waiting := true; waiting; {
		select {
		case s := <-signals:
			told = told || s != syscall.SIGHUP
			_ = cmd.Process.Signal(s) // It may have just ended; and Windows tells the child of Ctrl-C itself.
		case <-ended:
			waiting = false
		}
	}
	<-read
	e.state, e.told, e.ran = cmd.ProcessState, told, time.Since(started)
	return e, report.Close()
}

// readReport reads what a child reports until it ends, and keeps the beginning of a crash.
func readReport(report io.Reader) (ready bool, crash string) {
	from := bufio.NewReader(report)
	line, err := from.ReadString('\n')
	var text strings.Builder
	if ready = line == readyLine; !ready {
		text.WriteString(line)
	}
	if err == nil {
		// A pipe that cannot be read any more is one that has ended.
		_, _ = io.CopyN(&text, from, maxCrash)
		_, _ = io.Copy(io.Discard, from)
	}
	return ready, text.String()
}

// toldToStop waits, and says whether a signal asked to stop meanwhile.
func toldToStop(signals <-chan os.Signal, wait time.Duration) bool {
	over := time.NewTimer(wait)
	defer over.Stop()
	for {
		select {
		case <-over.C:
			return false
		case s := <-signals:
			if s != syscall.SIGHUP {
				return true
			}
		}
	}
}

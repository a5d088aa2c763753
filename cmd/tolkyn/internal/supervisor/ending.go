package supervisor

import (
	"os"
	"strings"
	"time"
)

// Reason is why a child ended. There are three.
type Reason string

// The reasons.
const (
	Panic  Reason = "panic"
	Signal Reason = "signal"
	Exit   Reason = "exit"
)

// ending is what is known of a child that has ended.
type ending struct {
	state *os.ProcessState
	ready bool          // it had started
	told  bool          // a signal was passed on to it
	crash string        // what the Go runtime wrote of a panic; empty when there was none
	ran   time.Duration // since it was started
}

// reason says what ended the child.
func (e ending) reason() Reason {
	switch {
	case e.crash != "":
		return Panic
	case deadlySignal(e.state) != "":
		return Signal
	default:
		return Exit
	}
}

// code is what the supervisor exits with in the child's place: its exit code, or what a shell makes of a deadly signal.
func (e ending) code() int { return exitCode(e.state) }

// describe names the ending for the log, keys and values in turn.
func (e ending) describe() []any {
	what := []any{"reason", string(e.reason()), "ran", e.ran.Round(time.Millisecond).String()}
	if name := deadlySignal(e.state); name != "" {
		what = append(what, "signal", name)
	} else {
		what = append(what, "exit_code", e.code())
	}
	if e.crash != "" {
		what = append(what, "panic", summary(e.crash))
	}
	return what
}

// summaryLine bounds each part of a summary, in bytes.
const summaryLine = 200

// summary makes one line of the runtime's crash output: what it says first, and where it happened. The whole of it stands
// on standard error.
func summary(crash string) string {
	var said []string
	lines := strings.Split(strings.TrimSpace(crash), "\n")
	for len(lines) > 0 && !strings.HasPrefix(lines[0], "goroutine ") {
		if line := strings.TrimSpace(lines[0]); line != "" && len(said) < 3 {
			said = append(said, cut(line))
		}
		lines = lines[1:]
	}
	// After "goroutine 7 [running]:" each frame is two lines: the function, then tab and file:line.
	for i := 1; i+1 < len(lines) && lines[i] != ""; i += 2 {
		function := lines[i]
		if strings.HasPrefix(function, "panic(") || strings.HasPrefix(function, "runtime.") {
			continue
		}
		file, _, _ := strings.Cut(strings.TrimSpace(lines[i+1]), " +0x")
		said = append(said, "at "+cut(function)+" "+cut(file))
		break
	}
	return strings.Join(said, "; ")
}

func cut(line string) string {
	if len(line) <= summaryLine {
		return line
	}
	return strings.ToValidUTF8(line[:summaryLine], "") + "…"
}

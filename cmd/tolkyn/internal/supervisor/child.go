package supervisor

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime/debug"
)

// variable tells a child that it is one. One underscore: it is no key of the configuration.
const variable = "TOLKYN_SUPERVISED"

// inheritance is the value of variable.
type inheritance struct {
	Report   uintptr  `json:"report"` // descriptor or handle of the pipe to the supervisor
	Restarts Restarts `json:"restarts"`
}

// readyLine is what a child reports first; what follows is crash output.
const readyLine = "ready\n"

// Child is the child's side.
type Child struct {
	// Restarts before this start. Fixed.
	Restarts Restarts

	report *os.File
}

// Join returns the child's side, or nil when this process is not the child of a supervisor. From then on the process
// ends when the supervisor ends, at once: what started the supervisor may start it again and wants the ports free. Call it
// once, before anything else is started.
func Join() (*Child, error) {
	text, supervised := os.LookupEnv(variable)
	if !supervised {
		return nil, nil
	}
	if err := os.Unsetenv(variable); err != nil { // What this process starts is no child of the supervisor.
		return nil, fmt.Errorf("unset %s: %w", variable, err)
	}
	var from inheritance
	if err := json.Unmarshal([]byte(text), &from); err != nil || from.Report == 0 {
		return nil, fmt.Errorf("%s=%s is set, which the supervisor alone does: unset it", variable, text)
	}
	keepForOneself(from.Report)
	c := &Child{Restarts: from.Restarts, report: os.NewFile(from.Report, "supervisor")}
	if err := debug.SetCrashOutput(c.report, debug.CrashOptions{}); err != nil {
		return nil, fmt.Errorf("report crashes to the supervisor: %w; unset %s if there is none", err, variable)
	}
	go func() { // Ends with the process.
		// The supervisor writes nothing: reading ends when it has ended, however that came.
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(1)
	}()
	return c, nil
}

// Ready tells the supervisor that the server has started: whatever ends it from now on is a crash.
func (c *Child) Ready() error {
	if _, err := io.WriteString(c.report, readyLine); err != nil {
		return fmt.Errorf("report to the supervisor: %w", err)
	}
	return nil
}

package bench

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"github.com/tolkyn/tolkyn/bench/caller"
	"github.com/tolkyn/tolkyn/bench/report"
)

// endWithin is how long a worker that was told to end may take: its callers say goodbye.
const endWithin = 15 * time.Second

// worker is a process that places callers. Its CPU is the clients' and nobody else's.
type worker struct {
	// Fixed after startWorker.
	cmd  *exec.Cmd
	done chan struct{} // closed when all it said has been read and it has ended

	telling sync.Mutex
	tell    io.WriteCloser // nil once it was told to end

	// Guarded by mu; result and err are final once done is closed.
	mu     sync.Mutex
	newest caller.Snapshot
	result *caller.Result
	err    error
	events []report.Event
}

// startWorker runs a command that is caller.Work and hands it the job.
func startWorker(start func(*exec.Cmd) error, command []string, job caller.Job) (*worker, error) {
	w := &worker{cmd: exec.Command(command[0], command[1:]...), done: make(chan struct{})}
	// quic-go warns of sockets whose buffer it cannot see.
	w.cmd.Env = append(os.Environ(), "QUIC_GO_DISABLE_RECEIVE_BUFFER_WARNING=true")
	w.cmd.Stderr = os.Stderr
	ownGroup(w.cmd)
	var err error
	if w.tell, err = w.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	said, err := w.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := start(w.cmd); err != nil {
		return nil, fmt.Errorf("start the callers' process: %w", err)
	}
	line, err := json.Marshal(job)
	if err == nil {
		_, err = w.tell.Write(append(line, '\n'))
	}
	if err != nil {
		_ = w.cmd.Process.Kill() // it ends either way
		_ = w.cmd.Wait()
		return nil, fmt.Errorf("hand the callers' process its job: %w", err)
	}
	go w.listen(said)
	return w, nil
}

// ownGroup keeps a terminal's Ctrl-C from a process: the bench says itself when it is to end.
func ownGroup(cmd *exec.Cmd) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setpgid = true
}

func (w *worker) listen(said io.Reader) {
	defer close(w.done)
	lines := json.NewDecoder(said)
	var err error
	for {
		var m caller.Message
		if err = lines.Decode(&m); err != nil {
			break
		}
		w.mu.Lock()
		switch {
		case m.Snapshot != nil:
			w.newest = *m.Snapshot
		case m.Event != nil:
			w.events = append(w.events, *m.Event)
		case m.Result != nil:
			w.result = m.Result
		case m.Error != "":
			w.err = errors.New(m.Error)
		}
		w.mu.Unlock()
	}
	ended := w.cmd.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.result == nil && w.err == nil {
		// Whatever it wrote to its standard error stands on ours.
		if !errors.Is(err, io.EOF) {
			ended = errors.Join(err, ended)
		}
		w.err = fmt.Errorf("the callers' process ended without a result: %w", ended)
	}
}

// snapshot is the newest.
func (w *worker) snapshot() caller.Snapshot {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.newest
}

// end lets the callers leave early; what they measured until then is the result. Idempotent.
func (w *worker) end() {
	w.telling.Lock()
	defer w.telling.Unlock()
	if w.tell == nil {
		return
	}
	_ = w.tell.Close() // it has ended already, or hears the end of its input
	w.tell = nil
}

// kill ends it if it has not ended, and waits.
func (w *worker) kill() {
	w.end()
	select {
	case <-w.done:
	case <-time.After(endWithin):
		_ = w.cmd.Process.Kill() // it may end at this very moment
		<-w.done
	}
}

// outcome is what it said in the end.
func (w *worker) outcome() (*caller.Result, error) {
	<-w.done
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.result, w.err
}

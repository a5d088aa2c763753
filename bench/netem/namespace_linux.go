package netem

import (
	"errors"
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// namespace is an OS thread with a network stack of its own. The stack lives as long as the thread, the sockets made on it
// and the processes started from it.
type namespace struct {
	work chan func()
	done chan struct{}
}

// errClosed: the network was closed.
var errClosed = errors.New("netem: the network is closed")

func openNamespace() (*namespace, error) {
	n := &namespace{work: make(chan func()), done: make(chan struct{})}
	started := make(chan error, 1)
	go n.run(started)
	return n, <-started
}

// run owns the thread. It never unlocks it: when the goroutine returns, the thread dies and the namespace with it.
func (n *namespace) run(started chan<- error) {
	runtime.LockOSThread()
	if unix.Gettid() == os.Getpid() {
		// The process's first thread does not end before the process does, and tools take its namespace for the process's:
		// hold it until another thread runs this.
		again := make(chan error, 1)
		go n.run(again)
		err := <-again
		runtime.UnlockOSThread()
		started <- err
		return
	}
	defer close(n.done)
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		started <- fmt.Errorf("make a network namespace: %w", err)
		return
	}
	started <- nil
	for f := range n.work {
		f()
	}
}

// do runs f on the namespace's thread and returns its error. One at a time; f must not call do.
func (n *namespace) do(f func() error) error {
	result := make(chan error, 1)
	n.work <- func() { result <- f() }
	return <-result
}

func (n *namespace) close() {
	close(n.work)
	<-n.done
}

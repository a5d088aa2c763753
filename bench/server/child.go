package server

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// leaveWithin is how long a server may take to end after it was told to.
const leaveWithin = 5 * time.Second

// Child is a server's process.
type Child struct {
	cmd   *exec.Cmd
	ended chan struct{} // closed when it has ended and all it said is read
}

// StartChild runs a server: start is cmd.Start, or starts it somewhere else. line is told what it writes to its standard output,
// line by line, from one goroutine. Its standard error goes to ours, unless cmd says otherwise.
func StartChild(cmd *exec.Cmd, start func(*exec.Cmd) error, line func(string)) (*Child, error) {
	if cmd.Stderr == nil {
		cmd.Stderr = os.Stderr
	}
	said, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := start(cmd); err != nil {
		return nil, fmt.Errorf("start %s: %w", cmd.Args[0], err)
	}
	c := &Child{cmd: cmd, ended: make(chan struct{})}
	go func() {
		defer close(c.ended)
		lines := bufio.NewScanner(said)
		for lines.Scan() {
			line(lines.Text())
		}
		// A line longer than a Scanner's: the rest is not for us, but it must not hold the server up.
		_, _ = io.Copy(io.Discard, said)
		_ = cmd.Wait() // what it returned does not matter to a measurement
	}()
	return c, nil
}

// PID is the process's id.
func (c *Child) PID() int { return c.cmd.Process.Pid }

// Ended is closed when it has ended.
func (c *Child) Ended() <-chan struct{} { return c.ended }

// Stop tells it to end, kills it if it does not, and waits. Idempotent.
func (c *Child) Stop() {
	_ = c.cmd.Process.Signal(syscall.SIGTERM) // an error means that it has ended already
	select {
	case <-c.ended:
	case <-time.After(leaveWithin):
		_ = c.cmd.Process.Kill()
		<-c.ended
	}
}

// Await returns once something listens at a TCP address; an error means that it has ended, or ctx has. dial may be nil.
func (c *Child) Await(ctx context.Context, dial func(context.Context, string, string) (net.Conn, error), address string) error {
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	for {
		conn, err := dial(ctx, "tcp", address)
		if err == nil {
			return conn.Close()
		}
		select {
		case <-c.ended:
			return fmt.Errorf("%s has ended: %s", c.cmd.Args[0], c.cmd.ProcessState)
		case <-ctx.Done():
			return fmt.Errorf("%s does not listen on %s: %w", c.cmd.Args[0], address, err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// FirstPort is where n ports begin that follow each other: Port, or if that is 0, ones that nobody on this machine uses now, for
// servers that cannot find some themselves.
func (p Place) FirstPort(n int) (uint16, error) {
	if p.Port > 0 {
		return p.Port, nil
	}
	const from, to, attempts = 20_000, 30_000, 100 // below what kernels give to clients
	for range attempts {
		first := from + rand.IntN(to-from-n)
		if portsFree(first, n) {
			return uint16(first), nil
		}
	}
	return 0, errors.New("find free ports: all that were tried are in use")
}

func portsFree(first, n int) bool {
	for port := first; port < first+n; port++ {
		tcp, err := net.ListenTCP("tcp", &net.TCPAddr{Port: port})
		if err != nil {
			return false
		}
		_ = tcp.Close() // nothing was accepted
		udp, err := net.ListenUDP("udp", &net.UDPAddr{Port: port})
		if err != nil {
			return false
		}
		_ = udp.Close()
	}
	return true
}

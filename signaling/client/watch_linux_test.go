package client

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

// The system tells at once when an address comes: here that of the loopback of a network namespace of our own (needs root).
func TestTheSystemTellsOfAddresses(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	result := make(chan error, 1)
	go elsewhere(result, hearOfLoopback)
	require.NoError(t, <-result)
}

// elsewhere runs f on a thread with a network stack of its own; the thread ends with the goroutine. The process's first
// thread cannot end so, therefore it is held while another one is found.
func elsewhere(result chan<- error, f func() error) {
	runtime.LockOSThread()
	if unix.Gettid() == os.Getpid() {
		inner := make(chan error, 1)
		go elsewhere(inner, f)
		err := <-inner
		runtime.UnlockOSThread()
		result <- err
		return
	}
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		result <- fmt.Errorf("make a network namespace: %w", err)
		return
	}
	result <- f()
}

func hearOfLoopback() error {
	news, stop := addressNews()
	defer stop()
	if news == nil {
		return errors.New("netlink is not there")
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	select {
	case <-news:
		return errors.New("news of nothing")
	default:
	}
	up, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	up.SetUint16(unix.IFF_UP)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, up); err != nil {
		return err
	}
	select {
	case <-news:
		return nil
	case <-time.After(10 * time.Second):
		return errors.New("the system said nothing")
	}
}

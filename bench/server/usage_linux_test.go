package server_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/tolkyn/tolkyn/bench/server"
)

// What a thread has used stays used when it ends: servers that give each participant a thread would seem cheap.
func TestCPUOfThreadsThatHaveEnded(t *testing.T) {
	before, err := server.CPU(os.Getpid())
	require.NoError(t, err)
	const used = 200 * time.Millisecond
	thread := make(chan int, 1)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		var now unix.Rusage
		for now.Utime.Nano()+now.Stime.Nano() < used.Nanoseconds() {
			if unix.Getrusage(unix.RUSAGE_THREAD, &now) != nil {
				break
			}
		}
		thread <- unix.Gettid()
	}()
	task := fmt.Sprintf("/proc/self/task/%d", <-thread)
	require.Eventually(t, func() bool {
		_, err := os.Stat(task)
		return errors.Is(err, fs.ErrNotExist)
	}, 5*time.Second, time.Millisecond)
	after, err := server.CPU(os.Getpid())
	require.NoError(t, err)
	require.GreaterOrEqual(t, after, before+used-20*time.Millisecond, "to two ticks")
}

// A process that has ended is seen as such before anybody waits for it.
func TestRunning(t *testing.T) {
	cmd := exec.Command("sleep", "60")
	require.NoError(t, cmd.Start())
	pids := []int{os.Getpid(), cmd.Process.Pid}
	require.True(t, server.Running(pids))
	require.Contains(t, server.Children(os.Getpid()), cmd.Process.Pid)
	require.NoError(t, cmd.Process.Kill())
	require.Eventually(t, func() bool { return !server.Running(pids) }, 5*time.Second, time.Millisecond)
	require.Error(t, cmd.Wait())
	require.False(t, server.Running(pids))
}

package server_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/tolkyn/tolkyn/bench/server"
)

// What a thread has used stays used when it ends: servers that give each participant a thread would seem cheap.
func TestCPUOfThreadsThatHaveEnded(t *testing.T) {
	// The main thread never ends: it is kept from being the one.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	const used = 200 * time.Millisecond
	thread := make(chan int, 2)
	work := func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		if unix.Gettid() == os.Getpid() {
			thread <- 0
			select {}
		}
		for began := threadCPU(); threadCPU()-began < used; {
		}
		thread <- unix.Gettid()
	}
	before, err := server.CPU(os.Getpid())
	require.NoError(t, err)
	go work()
	id := <-thread
	if id == 0 {
		go work()
		id = <-thread
	}
	task := fmt.Sprintf("/proc/self/task/%d", id)
	require.Eventually(t, func() bool {
		_, err := os.Stat(task)
		return errors.Is(err, fs.ErrNotExist)
	}, 5*time.Second, time.Millisecond)
	after, err := server.CPU(os.Getpid())
	require.NoError(t, err)
	require.GreaterOrEqual(t, after, before+used-20*time.Millisecond, "to two ticks")
}

// threadCPU is what the calling thread has used.
func threadCPU() time.Duration {
	var now unix.Timespec
	if unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &now) != nil {
		panic("no clock of this thread")
	}
	return time.Duration(now.Nano())
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

// A process that always wants to run is stopped in nearly every period of its quota; one without a quota never.
func TestThrottlingOf(t *testing.T) {
	group := "/sys/fs/cgroup/cpu/tolkyn-throttled-" + strconv.Itoa(os.Getpid())
	require.NoError(t, os.Mkdir(group, 0o755), "this test needs root and cgroup v1")
	t.Cleanup(func() { require.NoError(t, os.Remove(group)) })
	write := func(name string, value int) {
		require.NoError(t, os.WriteFile(filepath.Join(group, name), []byte(strconv.Itoa(value)), 0o644))
	}
	write("cpu.cfs_period_us", 10_000)
	write("cpu.cfs_quota_us", 1_000)
	cmd := exec.Command("sh", "-c", "while :; do :; done")
	require.NoError(t, cmd.Start())
	defer func() {
		require.NoError(t, cmd.Process.Kill())
		require.Error(t, cmd.Wait())
	}()
	require.Zero(t, server.ThrottlingOf(cmd.Process.Pid))
	write("cgroup.procs", cmd.Process.Pid)
	require.Equal(t, 0.1, server.Quota(cmd.Process.Pid, 2))
	require.Eventually(t, func() bool { return server.ThrottlingOf(cmd.Process.Pid).Throttled >= 3 }, 10*time.Second, time.Millisecond)
	seen := server.ThrottlingOf(cmd.Process.Pid)
	require.GreaterOrEqual(t, seen.Periods, seen.Throttled)
	require.Zero(t, server.ThrottlingOf(os.Getpid()))
}

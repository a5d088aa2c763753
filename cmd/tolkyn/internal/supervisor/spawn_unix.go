//go:build unix

package supervisor

import (
	"os"
	"os/exec"
	"syscall"
)

// handDown gives the child the file, and returns the descriptor it has there.
func handDown(cmd *exec.Cmd, file *os.File) uintptr {
	cmd.SysProcAttr = bound()
	cmd.ExtraFiles = append(cmd.ExtraFiles, file)
	return uintptr(2 + len(cmd.ExtraFiles)) // 0, 1 and 2 are the standard ones.
}

// keepForOneself hides a descriptor from what this process starts.
func keepForOneself(descriptor uintptr) { syscall.CloseOnExec(int(descriptor)) }

// deadlySignal names the signal that ended a process; empty when none did.
func deadlySignal(state *os.ProcessState) string {
	if status := state.Sys().(syscall.WaitStatus); status.Signaled() {
		return status.Signal().String()
	}
	return ""
}

// exitCode is the exit code of a process, or what a shell makes of a deadly signal.
func exitCode(state *os.ProcessState) int {
	if status := state.Sys().(syscall.WaitStatus); status.Signaled() {
		return 128 + int(status.Signal())
	}
	return state.ExitCode()
}

package supervisor

import (
	"os"
	"os/exec"
	"syscall"
)

// handDown gives the child the file, and returns the handle it has there, which is the same.
func handDown(cmd *exec.Cmd, file *os.File) uintptr {
	handle := syscall.Handle(file.Fd())
	// Where it cannot be inherited the child says so at its start.
	_ = syscall.SetHandleInformation(handle, syscall.HANDLE_FLAG_INHERIT, syscall.HANDLE_FLAG_INHERIT)
	cmd.SysProcAttr = &syscall.SysProcAttr{AdditionalInheritedHandles: []syscall.Handle{handle}}
	return file.Fd()
}

// keepForOneself hides a handle from what this process starts.
func keepForOneself(handle uintptr) { syscall.CloseOnExec(syscall.Handle(handle)) }

// deadlySignal is empty: there are none here.
func deadlySignal(*os.ProcessState) string { return "" }

// exitCode is the exit code of a process.
func exitCode(state *os.ProcessState) int { return state.ExitCode() }

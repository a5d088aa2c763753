package supervisor

import "syscall"

// bound makes the kernel end the child with the supervisor, even one that hangs.
func bound() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }

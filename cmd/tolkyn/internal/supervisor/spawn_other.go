//go:build unix && !linux

package supervisor

import "syscall"

// bound adds nothing here: the child ends when its standard input does.
func bound() *syscall.SysProcAttr { return nil }

//go:build !linux

package framed

// unsent is not known: the kernel's buffer is as it is.
func (*Writer) unsent() int { return 0 }

//go:build !linux

package light

// useLargePages: only Linux is asked for them.
func useLargePages(int) {}

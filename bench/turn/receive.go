//go:build linux

package main

import "golang.org/x/sys/unix"

// receive reads one datagram that is there; false when none is.
func receive(fd uintptr, b []byte) (int, bool) {
	n, _, err := unix.Recvfrom(int(fd), b, unix.MSG_DONTWAIT)
	return n, err == nil
}

//go:build !linux

package udp

import (
	"errors"
	"net"
	"syscall"
)

// newMover: golang.org/x/net reads and writes more than one datagram a call only on Linux.
func newMover(conn *net.UDPConn) mover { return &singleMover{conn: conn} }

// reusePort: other systems do not spread senders over the sockets of one address.
func reusePort(_, _ string, _ syscall.RawConn) error { return errors.ErrUnsupported }

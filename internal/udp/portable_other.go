//go:build !linux

package udp

import "net"

// newMover: golang.org/x/net reads and writes more than one datagram a call only on Linux.
func newMover(conn *net.UDPConn) mover { return &singleMover{conn: conn} }

package udp

import (
	"errors"
	"fmt"
	"net/netip"
	"time"
)

// ErrClosed is returned by every method of a Socket after Close.
var ErrClosed = errors.New("udp: socket closed")

// MaxDatagram is the largest datagram a Socket delivers, in bytes: an Ethernet frame with room to spare.
// Longer ones are dropped and counted as Truncated.
const MaxDatagram = 2048

const (
	// 4 MiB holds 50 ms of 80,000 packets of 1,100 bytes a second: a shard that is late by a GC pause or a handshake loses nothing.
	defaultReadBuffer = 4 << 20
	// 2 MiB: the kernel refuses a burst only when the network card is far behind, and then old media is worth nothing.
	defaultWriteBuffer = 2 << 20
)

// Port is a batched UDP socket without a wait of its own: one of a Group, or the moving half of a Socket. One goroutine calls Read
// and Flush; all other methods are safe from any goroutine.
type Port interface {
	// LocalAddr is the bound address with its real port.
	LocalAddr() netip.AddrPort
	// Read replaces what b holds by the datagrams that have arrived and returns how many they are, 0 when there are none.
	// It never blocks. The error is nil or ErrClosed.
	Read(b *Batch) (int, error)
	// Flush sends all datagrams of q in order and empties q. It never blocks: what the kernel does not take is dropped and
	// counted, and a destination that cannot be reached costs only its own datagrams. The error is nil or ErrClosed.
	Flush(q *Queue) error
	// WriteTo sends one datagram now, beside the queue. It does not block; a full kernel buffer is an error.
	WriteTo(p []byte, to netip.AddrPort) (int, error)
	// Stats returns the socket's counters.
	Stats() Stats
	// Close releases the port, and ends a Wait of a Socket. A second Close does nothing.
	Close() error
}

// Socket is a batched UDP socket. One goroutine calls Read, Flush and Wait; all other methods are safe from any goroutine.
type Socket interface {
	Port
	// Wait blocks until there is something to read, Wake is called or the timeout passes (below 0: never; 0: at once),
	// and returns nil in each case. It returns ErrClosed after Close.
	Wait(timeout time.Duration) error
	// Wake ends the current Wait, or the next one. Calls between two Waits count as one.
	Wake()
}

// Config of Listen. The zero value is the default.
type Config struct {
	ReadBuffer  int  // kernel receive buffer in bytes, past the system's limit where we may; 0: 4 MiB
	WriteBuffer int  // kernel send buffer in bytes, likewise; 0: 2 MiB
	DisableGSO  bool // send each datagram of a run by itself
	DisableGRO  bool // receive each datagram by itself
	Timestamps  bool // note when each datagram arrived: Batch.Arrived
	ECN         bool // note the ECN bits of each datagram that arrives: Batch.ECN
	ReusePort   bool // let further sockets have the address too: the kernel spreads senders over them (SO_REUSEPORT); Linux
	Portable    bool // use the portable form on Linux too
}

func (c Config) withDefaults() Config {
	if c.ReadBuffer == 0 {
		c.ReadBuffer = defaultReadBuffer
	}
	if c.WriteBuffer == 0 {
		c.WriteBuffer = defaultWriteBuffer
	}
	return c
}

// Listen binds a socket to addr; port 0 takes a free one. An IPv4 address sends and receives IPv4, an IPv6 address IPv6,
// and the wildcard [::] both. Peers' addresses are always reported unmapped.
func Listen(addr netip.AddrPort, cfg Config) (Socket, error) {
	if !addr.IsValid() {
		return nil, fmt.Errorf("listen: invalid address %v", addr)
	}
	addr = netip.AddrPortFrom(addr.Addr().Unmap(), addr.Port())
	cfg = cfg.withDefaults()
	if cfg.Portable {
		return listenPortable(addr, cfg)
	}
	return listenRaw(addr, cfg)
}

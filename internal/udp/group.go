package udp

import (
	"fmt"
	"net/netip"
	"time"
)

// Group is many ports with one wait, for a goroutine that serves them all; each costs one descriptor. On Linux its wait tells of
// other descriptors too (Watch), and of whole groups (Join), so that one goroutine can serve several groups now and leave one to
// another goroutine later.
//
//	relay ports ─┐
//	clients' port┼─► Group ── Wait ──► keys ──► Read
//	connections ─┘
//
// One goroutine calls Wait, Listen, Watch and Unwatch, Join and Leave; Wake and Close are safe from any.
type Group interface {
	// Listen is the package's Listen for a port of this group, told of by key. It leaves with its Close.
	Listen(addr netip.AddrPort, cfg Config, key Key) (Port, error)
	// Watch tells of a further descriptor that can be read, or is broken. errors.ErrUnsupported where the form cannot.
	Watch(fd int, key Key) error
	// Unwatch ends a Watch. Closing the descriptor, where it has no copy, does so too.
	Unwatch(fd int)
	// Join tells of a group, by key, when that has something to tell. Leave ends it. Both are of one form.
	Join(inner Group, key Key) error
	Leave(inner Group)
	// Wait appends to ready the keys of what can be read. It waits for some, for Wake or until the timeout passes (below 0:
	// never; 0: at once). What is not read is told of again. ErrClosed after Close.
	Wait(timeout time.Duration, ready []Key) ([]Key, error)
	// Wake ends the current Wait, or the next one. Calls between two Waits count as one.
	Wake()
	// Close ends a Wait. The ports stay open: close them first.
	Close() error
}

// Key names what a Group tells of; 0 or more.
type Key int32

// NewGroup returns an empty group, with portable one of the form for systems other than Linux.
func NewGroup(portable bool) (Group, error) {
	if portable {
		return newPortableGroup(), nil
	}
	return newRawGroup()
}

func listenable(addr netip.AddrPort) (netip.AddrPort, error) {
	if !addr.IsValid() {
		return addr, fmt.Errorf("listen: invalid address %v", addr)
	}
	return unmap(addr), nil
}

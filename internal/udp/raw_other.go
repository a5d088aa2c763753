//go:build !linux

package udp

import "net/netip"

// What batches and queues keep for the raw form.
type (
	receiveVector struct{}
	sendVector    struct{}
)

// listenRaw: only Linux has the raw form.
func listenRaw(addr netip.AddrPort, cfg Config) (Socket, error) { return listenPortable(addr, cfg) }

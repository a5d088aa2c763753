//go:build !linux

package udp

import "net/netip"

// listenRaw: only Linux has the raw form.
func listenRaw(addr netip.AddrPort, cfg Config) (Socket, error) { return listenPortable(addr, cfg) }

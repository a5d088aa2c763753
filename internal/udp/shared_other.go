//go:build !linux

package udp

import (
	"errors"
	"net/netip"
)

// ListenShared: only Linux has it here.
func ListenShared(Config) (*Shared, error) { return nil, errors.ErrUnsupported }

// WriteFrom is never called, since there is no Shared.
func (s *Shared) WriteFrom(p []byte, _ netip.Addr, to netip.AddrPort) (int, error) {
	return s.WriteTo(p, to)
}

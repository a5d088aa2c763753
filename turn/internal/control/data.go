package control

import "net/netip"

// ParseSend reads a Send indication (RFC 8656 §11.1) without copying its data. Not ok: it is none, or one that must be discarded.
func ParseSend(b []byte) (peer netip.AddrPort, data []byte, ok bool) {
	return netip.AddrPort{}, nil, false
}

// AppendData appends a Data indication (RFC 8656 §11.4): what came from peer, on its way to the client.
func AppendData(dst []byte, peer netip.AddrPort, data []byte, tx [12]byte) []byte { return dst }

package control

import (
	"encoding/binary"
	"net/netip"
)

// ParseSend reads a Send indication (RFC 8656 §11.1) without copying its data. Not ok: it is none, or one that must be discarded.
func ParseSend(b []byte) (peer netip.AddrPort, payload []byte, ok bool) {
	if len(b) < headerSize || binary.BigEndian.Uint16(b) != send|indication || int(binary.BigEndian.Uint16(b[2:])) != len(b)-headerSize ||
		len(b)&3 != 0 || binary.BigEndian.Uint32(b[4:]) != cookie {
		return netip.AddrPort{}, nil, false
	}
	tx := [12]byte(b[8:headerSize])
	var to, some bool
	for at := headerSize; at < len(b); {
		kind, value, next := attributeAt(b, at)
		switch {
		case next == 0 || !known(kind):
			return netip.AddrPort{}, nil, false
		case kind == xorPeerAddress && !to:
			peer, to = address(value, tx)
			if !to || peer.Addr().Is4In6() {
				return netip.AddrPort{}, nil, false
			}
		case kind == dataAttribute && !some:
			payload, some = value, true
		}
		at = next
	}
	return peer, payload, to && some
}

// DataSize is how many bytes a Data indication has beside its data and the padding of that to a multiple of 4, at most.
const DataSize = headerSize + 24 + 4

// AppendData appends a Data indication (RFC 8656 §11.4): what came from peer, on its way to the client.
func AppendData(dst []byte, peer netip.AddrPort, payload []byte, tx [12]byte) []byte {
	at := len(dst)
	dst = appendHeader(dst, data, indication, tx)
	dst = appendAddress(dst, xorPeerAddress, peer, tx, true)
	dst = appendAttribute(dst, dataAttribute, payload)
	setLength(dst[at:], 0)
	return dst
}

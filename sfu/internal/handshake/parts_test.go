package handshake

import (
	"net/netip"

	"github.com/pion/rtp"

	"github.com/tolkyn/tolkyn/internal/seq"
)

func extended(sequence uint16) seq.Extended { return seq.Extended(sequence) }

func testRTP(payload string) *rtp.Packet {
	return &rtp.Packet{Header: rtp.Header{Version: 2, SequenceNumber: 1, Timestamp: 1, Marker: true}, Payload: []byte(payload)}
}

// nowhere is a Wire that leads nowhere.
type nowhere struct{}

func (nowhere) WriteTo(p []byte, _ netip.AddrPort) (int, error) { return len(p), nil }

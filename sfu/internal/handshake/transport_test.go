package handshake

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"
)

// way counts what it is given.
type way struct{ sent int }

func (w *way) Send([]byte) bool { w.sent++; return true }
func (w *way) Stream() bool     { return true }

// wireCount is a Wire that does.
type wireCount struct{ sent int }

func (w *wireCount) WriteTo(p []byte, _ netip.AddrPort) (int, error) { w.sent++; return len(p), nil }

// TestAnswersGoTheWayThatTheLastPacketCame: one address can be behind several links, and a socket's too.
func TestAnswersGoTheWayThatTheLastPacketCame(t *testing.T) {
	wire, first, second := &wireCount{}, &way{}, &way{}
	m := newMux(wire, func() {}, nil)
	m.agreed = true // nothing is repeated
	at, packet := netip.MustParseAddrPort("192.0.2.1:5000"), []byte{22, 1, 2, 3}
	answer := func() {
		_, err := m.write(packet, at)
		require.NoError(t, err)
	}
	m.deliver(packet, at, first)
	answer()
	m.deliver(packet, at, second)
	answer()
	m.deliver(packet, at, nil)
	answer()
	m.deliver(packet, at, first)
	answer()
	require.Equal(t, [3]int{1, 2, 1}, [3]int{wire.sent, first.sent, second.sent})
	m.detach(first)
	answer()
	require.Equal(t, [3]int{2, 2, 1}, [3]int{wire.sent, first.sent, second.sent})

	for port := range uint16(maxTransports + 1) {
		m.deliver(packet, netip.AddrPortFrom(at.Addr(), port+1), first)
	}
	require.EqualValues(t, 1, m.stats.Overflow)
}

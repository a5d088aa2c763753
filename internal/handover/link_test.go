package handover_test

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/internal/handover"
	"github.com/tolkyn/tolkyn/internal/netsim"
)

// carrier notes what it is told.
type carrier struct {
	sent [][]byte
	done int
}

func (c *carrier) Send(_ *handover.Link, b []byte, _ bool) bool {
	c.sent = append(c.sent, b)
	return true
}

func (c *carrier) Done(*handover.Link) { c.done++ }

func TestDatagramsNeedAChannelOrNone(t *testing.T) {
	network := netsim.New(1)
	defer network.Close()
	port, err := network.Host(netip.MustParseAddr("10.0.0.1")).Socket(3478)
	require.NoError(t, err)
	client := netip.MustParseAddrPort("10.0.0.2:5000")
	cfg := handover.Config{Addr: netip.MustParseAddrPort("[::ffff:10.0.0.1]:50000"), To: client, Port: port, Carrier: &carrier{}}

	l := handover.New(cfg)
	require.Equal(t, netip.MustParseAddrPort("10.0.0.1:50000"), l.Addr())
	_, _, _, _, ok := l.Datagrams()
	require.False(t, ok)
	l.Bind(0x4001)
	via, to, header, n, ok := l.Datagrams()
	require.True(t, ok)
	require.Same(t, port, via)
	require.Equal(t, client, to)
	require.Equal(t, []byte{0x40, 1, 0, 0}, header[:n])
	l.Bind(0)
	_, _, _, _, ok = l.Datagrams()
	require.False(t, ok)

	cfg.Bare = true
	_, _, _, n, ok = handover.New(cfg).Datagrams()
	require.True(t, ok)
	require.Zero(t, n)

	stream := handover.New(handover.Config{Addr: client, Stream: true, Carrier: &carrier{}})
	stream.Bind(0x4001)
	_, _, _, _, ok = stream.Datagrams()
	require.False(t, ok)
	require.Equal(t, client, stream.Client())
}

func TestWhoPays(t *testing.T) {
	require.True(t, handover.New(handover.Config{Carrier: &carrier{}}).Pays(1<<30), "nobody counts")
	left := 2000
	l := handover.New(handover.Config{Carrier: &carrier{}, Pays: func(size int) bool {
		left -= size
		return left >= 0
	}})
	require.True(t, l.Pays(1500))
	require.False(t, l.Pays(501))
}

func TestALinkEndsOnce(t *testing.T) {
	c := &carrier{}
	l := handover.New(handover.Config{Carrier: c})
	require.True(t, l.Send([]byte{1}, false))
	require.False(t, l.Send(make([]byte, handover.MaxSize+1), true))
	l.Close()
	l.Close()
	require.Equal(t, 1, c.done)
	require.True(t, l.Send([]byte{2}, false), "the SFU has no more use for it; who is there may be told so")
	l.End()
	require.True(t, l.Ended())
	require.False(t, l.Send([]byte{3}, true))
	require.Len(t, c.sent, 2)

	other := handover.New(handover.Config{Carrier: c})
	other.End()
	other.Close()
	require.Equal(t, 1, c.done, "its carrier knows")
}

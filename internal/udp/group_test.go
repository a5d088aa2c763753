package udp_test

import (
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/internal/udp"
)

var loopback = netip.MustParseAddrPort("127.0.0.1:0")

// eachGroup runs behaviour with an empty group of each form.
func eachGroup(t *testing.T, behaviour func(t *testing.T, open func() udp.Group)) {
	for form, portable := range map[string]bool{"raw": false, "portable": true} {
		t.Run(form, func(t *testing.T) {
			behaviour(t, func() udp.Group {
				g, err := udp.NewGroup(portable)
				require.NoError(t, err)
				t.Cleanup(func() { require.NoError(t, g.Close()) })
				return g
			})
		})
	}
}

func TestGroupTellsWhichPortToRead(t *testing.T) {
	eachGroup(t, func(t *testing.T, open func() udp.Group) {
		g := open()
		var ports [3]udp.Port
		for i := range ports {
			p, err := g.Listen(loopback, udp.Config{}, udp.Key(10+i))
			require.NoError(t, err)
			defer p.Close()
			ports[i] = p
		}
		ready, err := g.Wait(0, nil)
		require.NoError(t, err)
		require.Empty(t, ready)

		_, err = ports[0].WriteTo([]byte("to the second"), ports[1].LocalAddr())
		require.NoError(t, err)
		for range 2 { // what is not read is told of again
			ready, err = g.Wait(5*time.Second, ready[:0])
			require.NoError(t, err)
			require.Equal(t, []udp.Key{11}, ready)
		}
		batch := udp.NewBatch()
		n, err := ports[1].Read(batch)
		require.NoError(t, err)
		require.Equal(t, 1, n)
		data, from := batch.Datagram(0)
		require.Equal(t, "to the second", string(data))
		require.Equal(t, ports[0].LocalAddr(), from)

		q := udp.NewQueue(1)
		q.Commit(copy(q.Next(ports[2].LocalAddr()), "to the third"))
		require.NoError(t, ports[1].Flush(q))
		ready, err = g.Wait(5*time.Second, nil)
		require.NoError(t, err)
		require.Equal(t, []udp.Key{12}, ready)

		require.NoError(t, ports[2].Close())
		require.NoError(t, ports[2].Close(), "a second one does nothing")
		_, err = ports[2].Read(batch)
		require.ErrorIs(t, err, udp.ErrClosed)
		ready, err = g.Wait(10*time.Millisecond, nil)
		require.NoError(t, err)
		require.Empty(t, ready, "a closed port is told of no more")
	})
}

func TestGroupWakes(t *testing.T) {
	eachGroup(t, func(t *testing.T, open func() udp.Group) {
		g := open()
		g.Wake()
		g.Wake()
		start := time.Now()
		ready, err := g.Wait(5*time.Second, nil)
		require.NoError(t, err)
		require.Empty(t, ready)
		require.Less(t, time.Since(start), 2*time.Second)
		start = time.Now()
		_, err = g.Wait(20*time.Millisecond, nil)
		require.NoError(t, err)
		require.GreaterOrEqual(t, time.Since(start), 20*time.Millisecond, "calls between two waits count as one")

		ended := make(chan error)
		go func() {
			for {
				if _, err := g.Wait(-1, nil); err != nil {
					ended <- err
					return
				}
			}
		}()
		time.Sleep(10 * time.Millisecond)
		require.NoError(t, g.Close())
		require.ErrorIs(t, <-ended, udp.ErrClosed)
	})
}

// Whoever waits in an outer group serves the inner ones, until they leave.
func TestGroupJoins(t *testing.T) {
	eachGroup(t, func(t *testing.T, open func() udp.Group) {
		outer, inner := open(), open()
		p, err := inner.Listen(loopback, udp.Config{}, 1)
		require.NoError(t, err)
		defer p.Close()
		require.NoError(t, outer.Join(inner, 7))
		told := func() []udp.Key {
			ready, err := outer.Wait(200*time.Millisecond, nil)
			require.NoError(t, err)
			return ready
		}
		_, err = p.WriteTo([]byte("to itself"), p.LocalAddr())
		require.NoError(t, err)
		require.Equal(t, []udp.Key{7}, told())
		ready, err := inner.Wait(0, nil)
		require.NoError(t, err)
		require.Equal(t, []udp.Key{1}, ready)
		n, err := p.Read(udp.NewBatch())
		require.NoError(t, err)
		require.Equal(t, 1, n)

		inner.Wake()
		require.Equal(t, []udp.Key{7}, told())
		_, err = inner.Wait(0, nil)
		require.NoError(t, err)
		outer.Leave(inner)
		inner.Wake()
		require.Empty(t, told())
	})
}

func TestGroupSharesAnAddress(t *testing.T) {
	eachGroup(t, func(t *testing.T, open func() udp.Group) {
		g := open()
		first, err := g.Listen(loopback, udp.Config{ReusePort: true}, 0)
		if errors.Is(err, errors.ErrUnsupported) {
			return // there is nothing to share on this system
		}
		require.NoError(t, err)
		defer first.Close()
		second, err := g.Listen(first.LocalAddr(), udp.Config{ReusePort: true}, 1)
		require.NoError(t, err)
		defer second.Close()
		from, err := g.Listen(loopback, udp.Config{}, 2)
		require.NoError(t, err)
		defer from.Close()
		_, err = from.WriteTo([]byte("to one of both"), first.LocalAddr())
		require.NoError(t, err)
		ready, err := g.Wait(5*time.Second, nil)
		require.NoError(t, err)
		require.Len(t, ready, 1)
		require.Contains(t, []udp.Key{0, 1}, ready[0])

		_, err = g.Listen(from.LocalAddr(), udp.Config{}, 3)
		require.Error(t, err, "an address that is not shared is taken")
		_, err = g.Listen(netip.AddrPort{}, udp.Config{}, 4)
		require.Error(t, err)
	})
}

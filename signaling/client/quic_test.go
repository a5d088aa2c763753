package client_test

import (
	"context"
	"errors"
	"net"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/internal/netsim"
	"github.com/tolkyn/tolkyn/signaling"
	"github.com/tolkyn/tolkyn/signaling/client"
	"github.com/tolkyn/tolkyn/signaling/wire"
)

func TestTheFirstReplyTakesOneRoundTripOrTwo(t *testing.T) {
	inQUICWorld(t, func(t *testing.T, w *world) {
		p := newPhone(w)
		fresh, took := p.timed("aru")
		require.Equal(t, 2*rtt, took)
		require.Equal(t, client.QUIC, fresh.client.Transport())
		time.Sleep(time.Second)
		known, took := p.timed("bek")
		require.Equal(t, rtt, took)
		require.Equal(t, client.QUIC, known.client.Transport())
		require.Zero(t, p.way.dialed.Load(), "WebSocket was never needed")
		rtt, err := known.client.Ping(t.Context())
		require.NoError(t, err)
		require.Equal(t, 100*ms, rtt)
		require.Equal(t, client.SessionStats{QUIC: 1}, known.client.SessionStats())

		// Other keys: early data is refused and sent again.
		w.stopServer()
		w.quic.secret = signaling.NewSecret()
		w.startServer()
		_, took = p.timed("cem")
		require.Equal(t, 2*rtt, took)
	})
}

func TestRace(t *testing.T) {
	webSocket := 3 * rtt // TCP, upgrade, Hello
	tests := map[string]struct {
		prepare func(w *world, p *phone, o *client.Options)
		took    time.Duration
		winner  client.Transport
		again   time.Duration // of the second client on this network
	}{
		"UDP is swallowed": {
			prepare: func(_ *world, p *phone, _ *client.Options) { p.darken(0, true) },
			took:    250*ms + webSocket, winner: client.WebSocket, again: webSocket,
		},
		"UDP is refused": {
			prepare: func(_ *world, _ *phone, o *client.Options) {
				listen := o.ListenPacket
				o.ListenPacket = func(ctx context.Context, server *net.UDPAddr) (net.PacketConn, error) {
					c, err := listen(ctx, server)
					return refusing{c}, err
				}
			},
			took: webSocket, winner: client.WebSocket, again: webSocket,
		},
		"there is no socket": {
			prepare: func(_ *world, _ *phone, o *client.Options) {
				o.ListenPacket = func(context.Context, *net.UDPAddr) (net.PacketConn, error) { return nil, errors.New("forbidden") }
			},
			took: webSocket, winner: client.WebSocket, again: webSocket,
		},
		"the certificate is another": {
			prepare: func(_ *world, _ *phone, o *client.Options) {
				o.Transports[0].CertificateSha256 = [][]byte{make([]byte, 32)}
			},
			took: rtt + webSocket, winner: client.WebSocket, again: 2 * rtt, // Welcome has told the right one
		},
		"nobody vouches for the certificate": {
			prepare: func(_ *world, _ *phone, o *client.Options) { o.Transports = nil },
			took:    rtt + webSocket, winner: client.WebSocket, again: 2 * rtt,
		},
		"QUIC is slower": {
			prepare: func(w *world, p *phone, _ *client.Options) {
				w.net.SetPath(w.host, p.networks[0], netsim.LinkConfig{Delay: 350 * ms})
			},
			took: 250*ms + webSocket, winner: client.WebSocket, again: webSocket,
		},
		"WebSocket is cut off": {
			prepare: func(_ *world, p *phone, _ *client.Options) { p.way.cut(true) },
			took:    2 * rtt, winner: client.QUIC, again: rtt,
		},
		"QUIC is there at the last moment": {
			prepare: func(w *world, p *phone, _ *client.Options) {
				w.net.SetPath(w.host, p.networks[0], netsim.LinkConfig{Delay: 220 * ms}) // handshake 440, upgrade 450
			},
			took: 880 * ms, winner: client.QUIC, again: 440 * ms,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			inQUICWorld(t, func(t *testing.T, w *world) {
				p := newPhone(w)
				o := p.options()
				test.prepare(w, p, &o)
				start := time.Now()
				first := w.dialWith("aru", "ws://10.0.0.1", o)
				require.Equal(t, test.took, time.Since(start))
				require.Equal(t, test.winner, first.client.Transport())

				// The loser leaves nothing behind; a handshake that was given up costs the server one more while.
				require.Equal(t, 1, w.server.Stats().Sessions)
				time.Sleep(11 * time.Second)
				stats := w.server.Stats()
				require.Equal(t, 1, stats.Sessions)
				require.Equal(t, 1, stats.Connections)

				start = time.Now()
				second := w.dialWith("bek", "ws://10.0.0.1", o)
				require.Equal(t, test.again, time.Since(start))
				require.NoError(t, second.client.Close())
				require.NoError(t, first.client.Close())
			})
		})
	}
}

func TestQUICIsTriedAgainAfterAWhile(t *testing.T) {
	inQUICWorld(t, func(t *testing.T, w *world) {
		p := newPhone(w)
		p.darken(0, true)
		require.Equal(t, client.WebSocket, p.dial("aru").client.Transport())
		p.darken(0, false)
		require.Equal(t, client.WebSocket, p.dial("bek").client.Transport())
		p.at.Store(1) // another network is another matter
		require.Equal(t, client.QUIC, p.dial("cem").client.Transport())
		p.at.Store(0)
		time.Sleep(10 * time.Minute)
		require.Equal(t, client.QUIC, p.dial("dana").client.Transport())

		// When WebSocket fails too, what failed before is worth a try.
		p.darken(0, true)
		p.at.Store(0)
		p.memory = client.NewMemory()
		require.Equal(t, client.WebSocket, p.dial("erk").client.Transport())
		p.darken(0, false)
		p.way.cut(true)
		require.Equal(t, client.QUIC, p.dial("fara").client.Transport())
	})
}

func TestARefusalIsAnAnswer(t *testing.T) {
	inQUICWorld(t, func(t *testing.T, w *world) {
		p := newPhone(w)
		start := time.Now()
		_, err := client.Dial(t.Context(), "ws://10.0.0.1", client.Token("no token"), p.options())
		var refused *client.ServerError
		require.ErrorAs(t, err, &refused)
		require.Equal(t, wire.Error_UNAUTHORIZED, refused.Code)
		require.Equal(t, 2*rtt, time.Since(start))
		require.Zero(t, p.way.dialed.Load())

		p.darken(0, true)
		p.way.cut(true)
		_, err = client.Dial(t.Context(), "ws://10.0.0.1", token("aru"), p.options())
		require.ErrorContains(t, err, "no route")
	})
}

// refusing is a socket to a port on which nobody listens.
type refusing struct{ net.PacketConn }

// WriteTo implements net.PacketConn.
func (refusing) WriteTo([]byte, net.Addr) (int, error) { return 0, syscall.ECONNREFUSED }

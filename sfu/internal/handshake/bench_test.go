package handshake

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
)

// What the SDP of a join costs, pion's part included: a microphone and a simulcast, a slot of each, as Chromium offers them.
func BenchmarkAnswer(b *testing.B) {
	engine, err := NewEngine(Config{HostAddrs: append(Config{}.HostAddrs, serverAddr)})
	require.NoError(b, err)
	offer := recorded(b, "chromium-simulcast")
	b.ReportAllocs()
	for b.Loop() {
		p, err := engine.NewPeer(nowhere{}, Hooks{})
		require.NoError(b, err)
		_, err = p.Answer(context.Background(), offer, Policy{}, nil)
		require.NoError(b, err)
		b.StopTimer()
		require.NoError(b, p.Close())
		b.StartTimer()
	}
}

// What checking an offer costs.
func BenchmarkParseOffer(b *testing.B) {
	for _, name := range []string{"chromium-simulcast", "firefox-simulcast"} {
		b.Run(name, func(b *testing.B) {
			offer := recorded(b, name)
			b.ReportAllocs()
			b.SetBytes(int64(len(offer)))
			for b.Loop() {
				_, _, err := parseOffer(offer, agreed{}, Policy{})
				require.NoError(b, err)
			}
		})
	}
}

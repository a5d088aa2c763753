package replay

import (
	"fmt"
	"strings"
	"testing"

	"github.com/pion/rtp"
	"github.com/stretchr/testify/require"
)

// TestEveryPictureLooksAsItWasSent: whatever is switched and left out, what a receiver decodes are the pictures that the
// browsers sent.
func TestEveryPictureLooksAsItWasSent(t *testing.T) {
	t.Parallel()
	each(t, network{}, func(t *testing.T, w *world) {
		all, err := w.trace()
		require.NoError(t, err)
		shown := pictures(all)
		w.checkNumbers(t, all, shown)
		raised := w.checkLayers(t, shown)
		t.Logf("%d times more temporal layers were let in without a keyframe", raised)
		w.watch(t, shown)
	})
}

// TestLossBreaksNoPicture: with loss and disorder on both ways, and what is missing asked for, pictures may be missing, but
// those that a receiver decodes are right.
func TestLossBreaksNoPicture(t *testing.T) {
	t.Parallel()
	each(t, network{loss: 0.05, reorder: 0.1}, func(t *testing.T, w *world) {
		all, err := w.trace()
		require.NoError(t, err)
		shown := pictures(all)
		w.watch(t, shown)
	})
}

// each plays all captures of each codec, for subscribers with and without the dependency descriptor.
func each(t *testing.T, net network, check func(t *testing.T, w *world)) {
	byCodec, err := recordings()
	require.NoError(t, err)
	for name, sources := range byCodec {
		for seed, as := range []struct {
			name              string
			descriptor, mixed bool
		}{{"descriptor", true, true}, {"bare", false, false}, {"short descriptor", true, false}} {
			t.Run(fmt.Sprintf("%s/%s", name, as.name), func(t *testing.T) {
				t.Parallel()
				w := newWorld(name, sources, uint64(seed), net, as.descriptor, as.mixed)
				w.play()
				check(t, w)
			})
		}
	}
}

// watch decodes what can be decoded and compares it with what was published.
func (w *world) watch(t *testing.T, shown []picture) {
	t.Helper()
	good := decodable(shown)
	require.NotEmpty(t, good)
	t.Logf("%d segments, %d changes, %d pictures, %d of them decodable", len(w.segments), len(w.changes), len(shown), len(good))
	var packets [][]*rtp.Packet
	var looks []string
	for _, p := range good {
		look, err := p.look()
		require.NoError(t, err)
		looks = append(looks, look)
		var list []*rtp.Packet
		for _, x := range p.packets {
			list = append(list, x.Packet)
		}
		packets = append(packets, list)
	}
	sums, err := decode(good[0].packets[0].source.capture.Codec, packets)
	for i := range looks {
		if i >= len(sums) || sums[i] != looks[i] {
			require.Fail(t, "a picture is not shown, or not as it was sent", "%v\npicture %d of %d, or one soon after; around it:\n%s", err, i, len(good), w.describe(good[max(0, i-8):min(len(good), i+4)]))
		}
	}
	require.NoError(t, err)
}

// describe says what pictures are made of.
func (w *world) describe(list []picture) string {
	var b strings.Builder
	for _, p := range list {
		x := p.packets[0]
		c := w.changes[w.sent[x.number].change]
		fmt.Fprintf(&b, "%d segment %d, %s, picture %d of it, wanted %v, layers", x.number, x.segment, x.source.name,
			x.source.packets[x.origin].picture, c.layer)
		last := -1
		for _, x := range p.packets {
			if at := x.source.packets[x.origin].frame; at != last {
				f := x.source.frames[at]
				fmt.Fprintf(&b, " S%dT%d", f.Spatial, f.Temporal)
				last = at
			}
		}
		if p.key {
			b.WriteString(", keyframe")
		}
		b.WriteString("\n")
	}
	return b.String()
}

package replay

import (
	"fmt"
	"strings"
	"testing"

	"github.com/pion/rtp"
	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/internal/seq"
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
		w.checkLayers(t, shown)
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
		w.watch(t, pictures(all))
	})
}

// TestVoiceGoesOnAcrossSwitches: every packet of a voice goes as it was published, and the slot's numbers and times go on
// whoever speaks, through silence as well.
func TestVoiceGoesOnAcrossSwitches(t *testing.T) {
	t.Parallel()
	byCodec, err := recordings()
	require.NoError(t, err)
	w := newWorld(voice, byCodec[voice], 1, network{}, false, false)
	w.play()
	require.Greater(t, len(w.segments), 5, "voices are switched")
	all, err := w.trace()
	require.NoError(t, err)
	require.Greater(t, len(all), 300)
	for i, x := range all {
		require.Equal(t, all[0].number+seq.Extended(i), x.number)
		if i == 0 {
			continue
		}
		step := int32(x.Timestamp - all[i-1].Timestamp)
		require.GreaterOrEqual(t, step, int32(0), "packet %d of %s", x.number, x.source.name)
		require.Zero(t, step%960, "whole 20 ms")
		if before := all[i-1]; before.segment == x.segment && before.origin >= 0 && x.origin >= 0 {
			require.Equal(t, before.origin+1, x.origin, "packet %d of %s", x.number, x.source.name)
		}
	}
}

// each plays all captures of each codec, for subscribers who take the dependency descriptor, none, and short ones. Seeds are
// those of plays in which libaom's descriptors once led a slot astray.
func each(t *testing.T, net network, check func(t *testing.T, w *world)) {
	byCodec, err := recordings()
	require.NoError(t, err)
	for name, sources := range byCodec {
		if name == voice {
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			raised := 0
			for _, to := range []struct {
				name              string
				seed              uint64
				descriptor, mixed bool
			}{{"descriptor", 1034, true, true}, {"short", 1030, true, false}, {"bare", 1056, false, false}} {
				t.Run(to.name, func(t *testing.T) {
					w := newWorld(name, sources, to.seed, net, to.descriptor, to.mixed)
					w.play()
					require.Greater(t, len(w.segments), 3, "sources are switched")
					check(t, w)
					raised += w.raised
				})
			}
			if net == (network{}) {
				require.Positive(t, raised, "more temporal layers come without a keyframe")
			}
		})
	}
}

// watch decodes what can be decoded and compares it with what was published.
func (w *world) watch(t *testing.T, shown []picture) {
	t.Helper()
	good := decodable(shown)
	t.Logf("%d sources one after another, %d changes, %d pictures, %d of them decodable", len(w.segments), len(w.changes), len(shown), len(good))
	require.GreaterOrEqual(t, 20*len(good), 19*len(shown), "what is lost comes again")
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
	sums, err := decode(w.codec.String(), packets)
	for i := range looks {
		if i >= len(sums) || sums[i] != looks[i] {
			require.Fail(t, "a picture is not shown, or not as it was sent", "%v\npicture %d of %d, or one soon after; around it:\n%s",
				err, i, len(good), w.describe(good[max(0, i-8):min(len(good), i+4)]))
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
		fmt.Fprintf(&b, "%d segment %d, %s, picture %d of it, wanted %v of %s, layers", x.number, x.segment, x.source.name,
			p.picture(), c.layer, c.source.name)
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

package replay

import (
	"testing"

	"github.com/pion/rtp/codecs"
	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/codec"
	"github.com/tolkyn/tolkyn/internal/capture"
	"github.com/tolkyn/tolkyn/internal/seq"
)

// checkNumbers: without loss a receiver sees one stream without a hole, numbered as its codec wants, whoever it came from.
func (w *world) checkNumbers(t *testing.T, all []traced, shown []picture) {
	t.Helper()
	for i, x := range all {
		require.Equal(t, all[0].number+seq.Extended(i), x.number, "sequence numbers have no hole")
		require.Equal(t, x.number.Uint16(), x.SequenceNumber)
		require.Equal(t, uint32(mediaSSRC), x.SSRC)
		require.Equal(t, uint8(mediaPT), x.PayloadType)
	}
	w.checkFrames(t, shown)
	for i, p := range shown {
		if i > 0 {
			step := int32(p.packets[0].Timestamp - shown[i-1].packets[0].Timestamp)
			require.Positive(t, step, "time goes on\n%s", w.describe(shown[i-1:i+1]))
			require.Less(t, step, int32(3*90000), "and does not jump\n%s", w.describe(shown[i-1:i+1]))
		}
	}
	switch w.codec {
	case codec.VP8:
		w.checkVP8(t, shown)
	case codec.VP9:
		w.checkVP9(t, shown)
	}
	w.checkDescriptors(t, all)
}

// checkFrames: all packets of a frame that is forwarded go, and the marker is on the last packet of each picture. Only the last
// picture of a source may be cut short, where the keyframe of the next came before its end.
func (w *world) checkFrames(t *testing.T, shown []picture) {
	t.Helper()
	for i, p := range shown {
		if !p.whole {
			require.True(t, i+1 < len(shown) && shown[i+1].packets[0].segment != p.packets[0].segment || i+1 == len(shown),
				"not whole\n%s", w.describe(shown[max(0, i-3):min(len(shown), i+2)]))
			continue
		}
		for j, x := range p.packets {
			o := x.source.packets[x.origin]
			require.Equal(t, j == len(p.packets)-1, x.Marker)
			switch {
			case j == 0:
				require.True(t, o.first, "begins within a frame\n%s", w.describe(shown[max(0, i-3):i+1]))
			case o.first:
				require.True(t, x.source.packets[p.packets[j-1].origin].last)
			default:
				require.Equal(t, p.packets[j-1].origin+1, x.origin, "a packet of a frame is left out")
			}
		}
		require.True(t, p.packets[0].source.packets[p.packets[len(p.packets)-1].origin].last)
	}
}

// checkVP8 holds picture ids and TL0 indices to RFC 7741 §4.2: the first counts pictures without a gap, the second those of
// the base layer.
func (w *world) checkVP8(t *testing.T, shown []picture) {
	t.Helper()
	var before codecs.VP8Packet
	for i, p := range shown {
		for j, x := range p.packets {
			var d codecs.VP8Packet
			_, err := d.Unmarshal(x.Payload)
			require.NoError(t, err)
			why := func() string { return w.describe(shown[max(0, i-3) : i+1]) }
			if before.I == 1 && d.I == 1 {
				step := 1
				if j > 0 {
					step = 0
				}
				mask := 0x7f
				if x.Payload[2]&0x80 != 0 { // M: 15 bits
					mask = 0x7fff
				}
				require.Equal(t, step, int(d.PictureID)-int(before.PictureID)&mask, "picture id %d after %d\n%s", d.PictureID, before.PictureID, why())
			}
			if before.L == 1 && d.L == 1 {
				step := uint8(0)
				if j == 0 && d.TID == 0 {
					step = 1
				}
				require.Equal(t, before.TL0PICIDX+step, d.TL0PICIDX, "TL0 index\n%s", why())
			}
			before = d
		}
	}
}

// checkVP9: pictures are numbered upwards (RFC 9628 §4.2), and what a picture refers to by difference has been sent.
func (w *world) checkVP9(t *testing.T, shown []picture) {
	t.Helper()
	sent := map[[2]int]bool{} // by spatial layer and picture id
	var before codecs.VP9Packet
	for i, p := range shown {
		why := func() string { return w.describe(shown[max(0, i-3) : i+1]) }
		for j, x := range p.packets {
			var d codecs.VP9Packet
			_, err := d.Unmarshal(x.Payload)
			require.NoError(t, err)
			require.True(t, d.I)
			if i+j > 0 {
				step := int(d.PictureID-before.PictureID) & 0x7fff
				require.Equal(t, j == 0, step > 0 && step < 0x4000, "picture id %d after %d\n%s", d.PictureID, before.PictureID, why())
			}
			if p.key && j == 0 {
				clear(sent)
			}
			for _, diff := range d.PDiff {
				require.True(t, !d.F || sent[[2]int{int(d.SID), int(d.PictureID-uint16(diff)) & 0x7fff}], "refers to what was not sent\n%s", why())
			}
			if !d.F && before.L && d.L && !before.F {
				step := uint8(0)
				if j == 0 && d.TID == 0 {
					step = 1
				}
				require.Equal(t, before.TL0PICIDX+step, d.TL0PICIDX, "TL0 index\n%s", why())
			}
			sent[[2]int{int(d.SID), int(d.PictureID)}] = true
			before = d
		}
	}
}

// checkDescriptors: the dependency descriptor goes along where it can, its frame numbers are moved by a constant and so go on
// saying what a frame depends on, and a stranger reads the layers in it that the publisher wrote.
func (w *world) checkDescriptors(t *testing.T, all []traced) {
	t.Helper()
	of := func(x traced, id uint8) []byte { return x.GetExtension(id) }
	moved, newest := map[int]uint16{}, map[int]uint16{}
	out := &capture.Capture{Codec: all[0].source.capture.Codec, Extensions: map[string]uint8{"dependency-descriptor": descriptorID}}
	var frames []*capture.Frame
	flush := func() {
		read, err := out.Frames(mediaSSRC)
		require.NoError(t, err, "the descriptors of %d packets", len(out.Packets))
		require.Len(t, read, len(frames))
		for i, f := range read {
			require.Equal(t, frames[i].Spatial, f.Spatial)
			require.Equal(t, frames[i].Temporal, f.Temporal)
		}
		out.Packets, frames = nil, nil
	}
	for i, x := range all {
		if i > 0 && all[i-1].segment != x.segment {
			flush()
		}
		if x.origin < 0 {
			continue
		}
		o := x.source.packets[x.origin]
		was, is := o.GetExtension(x.source.capture.Extensions["dependency-descriptor"]), of(x, descriptorID)
		if w.slot.Config().DescriptorID == 0 || len(was) == 0 {
			require.Empty(t, is)
			continue
		}
		if len(is) == 0 {
			require.False(t, w.slot.Config().Mixed, "a descriptor is left out")
			continue
		}
		require.Equal(t, was[0], is[0], "start, end and template stay")
		number := uint16(is[1])<<8 | uint16(is[2])
		by := number - (uint16(was[1])<<8 | uint16(was[2]))
		if m, known := moved[x.segment]; known {
			require.Equal(t, m, by, "frame numbers are moved by a constant")
		} else if last, known := newest[x.segment-1]; known {
			require.Less(t, number-last-1, uint16(1<<15), "frame numbers rise over a switch")
		}
		moved[x.segment] = by
		if last, known := newest[x.segment]; !known || number-last < 1<<15 {
			newest[x.segment] = number
		}
		b, err := x.Marshal()
		require.NoError(t, err)
		out.Packets = append(out.Packets, capture.Packet{Data: b})
		if o.first {
			frames = append(frames, &x.source.frames[o.frame])
		}
	}
	flush()
}

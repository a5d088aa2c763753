package shard

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/codec"
	"github.com/tolkyn/tolkyn/internal/packet"
	"github.com/tolkyn/tolkyn/internal/rtcp"
	"github.com/tolkyn/tolkyn/internal/seq"
	"github.com/tolkyn/tolkyn/sfu/internal/uplink"
)

// duct is a pipe between two shards whose loops do not run, with one VP8 stream on its way through.
type duct struct {
	t           *testing.T
	here, there *Shard
	pipe        *pipe
	number      seq.Extended // of the next packet
}

func newDuct(t *testing.T) *duct {
	f := newFan(t, 0, 100)
	d := &duct{t: t, here: f.shard, number: f.number}
	d.there = newShard(Config{Socket: &still{}, Epoch: f.shard.epoch})
	d.pipe = newPipe(d.here, d.there)
	d.here.outlets, d.there.inlets = []*pipe{d.pipe}, []*pipe{d.pipe}
	d.mirror()
	return d
}

func (d *duct) mirror() {
	Mirror{Publish{
		ID: 1, Track: 1, Encodings: []Encoding{{Config: uplink.Config{Codec: codec.VP8}}},
	}, d.here}.apply(d.there, d.there.now())
}

// want opens or closes the tap.
func (d *duct) want(wanted bool) {
	d.here.heedTrack(d.here.now(), d.pipe, 1, wishes{encodings: []encodingWish{{wanted: wanted}}})
}

// arrives hands the publisher's shard a packet; a number of 0 is the next.
func (d *duct) arrives(e seq.Extended, payload ...byte) {
	if e == 0 {
		e = d.number
	}
	d.number = max(d.number, e+1)
	now := d.here.now()
	h := packet.Header{SSRC: 7, Sequence: e.Uint16(), Timestamp: uint32(e) / 4 * 3000, PayloadType: 96}
	u := d.here.tracks[1].encodings[0]
	require.Equal(d.t, uplink.Stored, u.up.Handle(now, &h, e, payload, uplink.Extensions{}, nil))
	d.here.stored(now, u, true)
	d.here.spread(now)
}

func (d *duct) delta() { d.arrives(0, 0x10, 0x01, 0, 0) }

func (d *duct) draw() *uplink.Uplink {
	for d.there.draw(d.there.now(), turnBudget) {
	}
	return d.there.tracks[1].encodings[0].up
}

// reports hands the publisher's shard a sender report that was made now.
func (d *duct) reports() {
	now := d.here.now()
	r := rtcp.Read(rtcp.AppendSenderReport(nil, rtcp.SenderReport{SSRC: 7, NTP: rtcp.NTP(time.Now()), RTP: uint32(d.number) / 4 * 3000}, nil))
	part, ok := r.Next()
	require.True(d.t, ok)
	d.here.handleRTCP(now, d.here.peers[1], part)
}

// TestASenderReportIsKnownBehindAPipe from the first packets on, whenever the stream begins to flow there; one of before the
// publisher's restart is of other timestamps.
func TestASenderReportIsKnownBehindAPipe(t *testing.T) {
	d := newDuct(t)
	d.delta()
	d.reports()
	known := func() bool {
		_, ok := d.draw().CaptureClock(d.there.now())
		return ok
	}
	for range 3 {
		d.want(true)
		d.delta()
		require.True(t, known())
		d.want(false)
		d.delta()
	}
	d.want(true)
	d.delta()
	d.reports()
	require.True(t, known())
	d.want(false)

	d.arrives(d.number+10_000, 0x10, 0x01, 0, 0)
	d.want(true)
	d.delta()
	require.False(t, known())
	d.reports()
	require.True(t, known())
}

// TestWhatOvertookAKeyframeGoesThroughAPipe: nobody would ask for it there.
func TestWhatOvertookAKeyframeGoesThroughAPipe(t *testing.T) {
	d := newDuct(t)
	d.delta()
	first := (d.number + 3) &^ 3
	d.arrives(first+1, 0x00, 0xaa)
	d.arrives(first, 0x10, 0x10, 0, 0, 0x9d, 0x01, 0x2a, 0x80, 0x02, 0x68, 0x01)
	d.arrives(first+2, 0x00, 0xaa)
	d.want(true)
	up := d.draw()
	require.EqualValues(t, 3, up.Stats().Packets)
	require.Zero(t, up.Stats().Missing)
	_, ok := up.LastKeyframe()
	require.True(t, ok)
}

// TestAMirrorMadeAgainTakesAllRuns: what was still in the pipe for the mirror before it is of a run that does not come again.
func TestAMirrorMadeAgainTakesAllRuns(t *testing.T) {
	d := newDuct(t)
	d.want(true)
	d.delta()
	d.want(false)
	d.want(true)
	d.delta()
	d.here.heedTrack(d.here.now(), d.pipe, 1, wishes{encodings: make([]encodingWish, 1), ended: true})
	Unpublish{Track: 1}.apply(d.there, d.there.now())
	d.mirror()
	for range 3 {
		d.want(true)
		before := d.draw().Stats().Packets
		d.delta()
		require.Equal(t, before+1, d.draw().Stats().Packets)
		d.want(false)
	}
	require.Zero(t, d.there.stats.Drops)
}

// TestAHoleInAPipeIsWishedOverAtOnce: a wish of a moment ago may have been heard before the hole.
func TestAHoleInAPipeIsWishedOverAtOnce(t *testing.T) {
	d := newDuct(t)
	d.want(true)
	d.delta()
	d.draw()
	d.there.wantKeyframe(d.there.now(), d.there.tracks[1].encodings[0])
	heard := 0
	heed := func() { d.pipe.heed(func(_ TrackID, w wishes) { heard += bit(w.encodings[0].keyframe) }) }
	heed()
	require.Equal(t, 1, heard)
	for range pipeSize + 1 {
		d.delta()
	}
	d.draw()
	d.delta()
	d.draw()
	heed()
	require.Equal(t, 2, heard)
	require.EqualValues(t, 1, d.here.stats.Drops.PipeOverflow)
}

func bit(b bool) (n int) {
	if b {
		n = 1
	}
	return n
}

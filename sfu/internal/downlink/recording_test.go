package downlink

import (
	"encoding/binary"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/tolkyn/tolkyn/codec"
	"github.com/tolkyn/tolkyn/internal/capture"
	"github.com/tolkyn/tolkyn/internal/packet"
	"github.com/tolkyn/tolkyn/internal/seq"
	"github.com/tolkyn/tolkyn/sfu/internal/uplink"
)

// recording is one encoding as a real browser sent it.
type recording struct {
	name    string
	codec   codec.Codec
	layers  bool // payload or descriptor tell layers
	keyed   bool // descriptors tell that spatial layers build on each other in keyframes at most
	alone   bool // likewise never
	ssrc    uint32
	packets []recorded
	reports []report
	frames  []picture // in order
}

type recorded struct {
	made
	at         time.Duration
	descriptor []byte
	frame      int // index in frames; -1: padding
}

type report struct {
	at  time.Duration
	ntp uint64
	rtp uint32
}

// picture is what must be known of a frame to say whether a decoder can show it.
type picture struct {
	layer     codec.Layer
	timestamp uint32
	key       bool
	refs      []int // indices of the frames that it needs
	stray     bool  // it names others, which the browser has not sent: libaom does when it drops the base layer of a picture
	packets   []int // indices in packets

	// By the descriptor.
	needed, enter uint32       // the decode targets that need it, and those that may be entered at it
	past          map[int]bool // all that it builds on
	broken        []int        // those of refs which by the encoder's promise it does without
}

// recordings reads all videos, one entry an encoding.
func recordings(t require.TestingT) (all []*recording) {
	paths, err := filepath.Glob("../../../codec/testdata/captures/*.json")
	require.NoError(t, err)
	for _, path := range paths {
		c, err := capture.Read(strings.TrimSuffix(path, ".json"))
		require.NoError(t, err)
		var which codec.Codec
		for k := codec.VP8; int(k) < codec.Count; k++ {
			if strings.EqualFold(k.String(), c.Codec) {
				which = k
			}
		}
		if which == 0 {
			continue
		}
		for _, e := range c.Encodings {
			r := &recording{name: strings.TrimSuffix(filepath.Base(path), ".json"), codec: which, ssrc: e.SSRC}
			if e.RID != "" {
				r.name += "-" + e.RID
			}
			_, described := c.Extensions["dependency-descriptor"]
			r.alone = described && strings.Contains(c.Asked, `"scalabilityMode":"S`)
			r.keyed = r.alone || described && strings.Contains(c.Asked, `_KEY"`)
			r.read(t, c)
			all = append(all, r)
		}
	}
	require.NotEmpty(t, all)
	return all
}

func (r *recording) read(t require.TestingT, c *capture.Capture) {
	var numbers seq.Unwrapper
	for _, p := range c.Packets {
		if p.RTCP {
			if len(p.Data) >= 20 && p.Data[1] == 200 && binary.BigEndian.Uint32(p.Data[4:]) == r.ssrc {
				r.reports = append(r.reports, report{p.At, binary.BigEndian.Uint64(p.Data[8:]), binary.BigEndian.Uint32(p.Data[16:])})
			}
			continue
		}
		h, ok := packet.ParseHeader(p.Data)
		require.True(t, ok)
		if h.SSRC != r.ssrc || h.PayloadType != c.PayloadType {
			continue
		}
		e := numbers.Unwrap(h.Sequence)
		numbers.Accept(e)
		payload, ok := h.Payload(p.Data)
		require.True(t, ok)
		m := recorded{made: made{h: h, e: e, payload: payload}, at: p.At, frame: -1}
		if id := c.Extensions["dependency-descriptor"]; id != 0 {
			m.descriptor, _ = h.Extension(p.Data, id)
		}
		r.packets = append(r.packets, m)
	}
	slices.SortStableFunc(r.packets, func(a, b recorded) int { return int(int64(a.e - b.e)) })
	r.packets = slices.CompactFunc(r.packets, func(a, b recorded) bool { return a.e == b.e })
	r.model(t)
}

// model finds the frames and what they refer to: by the descriptor where there is one, else by the payload, and where that
// tells less, to all that it may refer to.
func (r *recording) model(t require.TestingT) {
	u := uplink.New(uplink.Config{SSRC: r.ssrc, Codec: r.codec, NACK: true})
	var s codec.Structure
	numbered := map[uint16]int{}    // by the descriptor's number
	pictures := map[[2]uint16]int{} // VP9: by picture id and spatial layer
	newest := map[codec.Layer]int{} // by layer
	for i := range r.packets {
		p := &r.packets[i]
		head := u.Head()
		require.Equal(t, uplink.Stored, u.Handle(p.at, &p.h, p.e, p.payload, uplink.Extensions{}, p.descriptor))
		if len(p.payload) == 0 {
			continue
		}
		q := u.At(head)
		m := q.Meta
		r.layers = r.layers || m.HasLayer
		if !m.Start {
			n := len(r.frames) - 1
			p.frame = n
			r.frames[n].packets = append(r.frames[n].packets, i)
			continue
		}
		f := picture{layer: m.Layer, timestamp: p.h.Timestamp, key: m.Keyframe, packets: []int{i}}
		n := len(r.frames)
		switch {
		case len(p.descriptor) > 0:
			d, ok := s.ReadDescriptor(p.descriptor)
			require.True(t, ok)
			refs, k, ok := s.References(p.descriptor)
			require.True(t, ok)
			for _, number := range refs[:k] {
				ref, ok := numbered[number]
				if !ok {
					f.stray = true
					continue
				}
				f.refs = append(f.refs, ref)
			}
			numbered[d.Number], f.needed, f.enter = n, d.Needed, d.Switch
			r.trace(&f)
		case r.codec == codec.VP9:
			for _, back := range vp9Differences(p.payload) {
				f.refs = append(f.refs, pictures[[2]uint16{m.PictureID - back, uint16(m.Layer.Spatial)}])
			}
			if m.Inherits {
				f.refs = append(f.refs, pictures[[2]uint16{m.PictureID, uint16(m.Layer.Spatial) - 1}])
			}
			if k := len(r.frames); !m.Entry && len(f.refs) == 0 {
				f.refs = append(f.refs, k-1) // not flexible, one layer
			}
			pictures[[2]uint16{m.PictureID, uint16(m.Layer.Spatial)}] = n
		case !m.Keyframe:
			// The newest frame of each temporal layer up to its own; with VP8's Y of the base only.
			for l, k := range newest {
				if l.Temporal <= m.Layer.Temporal && (l.Temporal == 0 || !m.SwitchUp) {
					f.refs = append(f.refs, k)
				}
			}
		}
		if m.Keyframe {
			clear(newest)
		}
		newest[m.Layer] = n
		p.frame = n
		r.frames = append(r.frames, f)
	}
}

// trace finds what f, the next frame, builds on, and where its references break a promise. Where a decode target may be
// entered, all that follows in it is to be decodable for who can decode that frame (AV1 RTP spec, switch indication); but
// behind such a place libaom refers to frames from before it, when it has dropped the base layer of a picture.
func (r *recording) trace(f *picture) {
	f.past = map[int]bool{}
	for _, ref := range f.refs {
		f.past[ref] = true
		maps.Copy(f.past, r.frames[ref].past)
		if slices.ContainsFunc(r.frames[ref+1:], func(place picture) bool {
			return place.enter&f.needed != 0 && !place.past[ref]
		}) {
			f.broken = append(f.broken, ref)
		}
	}
}

// vp9Differences reads P_DIFF (RFC 9628 §4.2) of a flexible descriptor.
func vp9Differences(b []byte) (all []uint16) {
	const flexible, inter = 0x10, 0x40
	if b[0]&flexible == 0 || b[0]&inter == 0 {
		return nil
	}
	at := 1
	if b[0]&0x80 != 0 {
		if at++; b[1]&0x80 != 0 {
			at++
		}
	}
	if b[0]&0x20 != 0 {
		at++
	}
	for more := true; more; at++ {
		all = append(all, uint16(b[at]>>1))
		more = b[at]&1 != 0
	}
	return all
}

// viewer is a subscriber who notes what it gets: a decoder's view, and a receiver's of the numbers.
type viewer struct {
	require.TestingT
	d         *Downlink
	r         *recording
	byTail    map[string][]int // indices of the recorded packets by the end of their payloads
	described bool

	tseq   uint16
	sealed map[seq.Extended]bool
	got    []seen
}

// seen is one packet of the slot.
type seen struct {
	got
	packet     int // index in the recording; -1: padding
	descriptor []byte
}

// everyCodec is a slot that takes them all, and descriptors under the given id.
func everyCodec(id uint8) Config {
	cfg := config(codec.VP8)
	cfg.Payloads = nil
	for c := codec.VP8; int(c) < codec.Count; c++ {
		cfg.Payloads = append(cfg.Payloads, Payload{Codec: c, PayloadType: 90 + uint8(c), RTXPayloadType: 100 + uint8(c)})
	}
	cfg.DescriptorID, cfg.Mixed = id, true
	return cfg
}

func newViewer(t require.TestingT, r *recording, id uint8) *viewer {
	return viewerOf(t, New(everyCodec(id)), r)
}

// viewerOf watches what of a recording comes out of a slot.
func viewerOf(t require.TestingT, d *Downlink, r *recording) *viewer {
	v := &viewer{TestingT: t, d: d, r: r, byTail: map[string][]int{}, described: d.cfg.DescriptorID != 0, sealed: map[seq.Extended]bool{}}
	for i := range r.packets {
		if len(r.packets[i].payload) > 0 {
			k := tail(r.packets[i].payload)
			v.byTail[k] = append(v.byTail[k], i)
		}
	}
	v.d.Ready(-time.Second)
	return v
}

// tail is what of a payload is never rewritten, and no other has.
func tail(payload []byte) string { return string(payload[max(len(payload)-40, 7):]) }

func (v *viewer) pull(now time.Duration) (all []seen) {
	for {
		b := make([]byte, 1500)
		out, state := v.d.Next(now, b, v.tseq)
		switch state {
		case Empty:
			return all
		case Sent:
			v.tseq++
			require.False(v, v.sealed[out.Seq], "sealed twice: %d", out.Seq)
			v.sealed[out.Seq] = true
			g := v.read(b, out)
			v.got = append(v.got, g)
			all = append(all, g)
		}
	}
}

func (v *viewer) read(b []byte, out Out) seen {
	h, ok := packet.ParseHeader(b[:out.Size])
	require.True(v, ok)
	require.Equal(v, out.HeaderSize, h.Size)
	payload, ok := h.Payload(b[:out.Size])
	require.True(v, ok)
	g := seen{got: got{Out: out, h: h, payload: payload}, packet: -1}
	if out.RTX {
		payload = payload[2:]
	}
	if len(payload) > 0 {
		number := out.Seq
		if out.RTX {
			number = v.d.extend(binary.BigEndian.Uint16(g.payload))
		}
		timestamp := h.Timestamp - v.d.segment(number).timestamps
		for _, i := range v.byTail[tail(payload)] { // parameter sets are repeated
			if v.r.packets[i].h.Timestamp == timestamp {
				g.packet = i
			}
		}
		require.GreaterOrEqual(v, g.packet, 0)
		i := g.packet
		require.Len(v, payload, len(v.r.packets[i].payload))
		g.meta, ok = v.r.codec.Inspect(payload, h.Marker)
		require.True(v, ok)
	}
	if id := v.d.cfg.DescriptorID; id != 0 {
		g.descriptor, _ = h.Extension(b, id)
		if g.packet >= 0 {
			require.Equal(v, len(v.r.packets[g.packet].descriptor) > 0, len(g.descriptor) > 0)
		}
	}
	return g
}

// check looks at all that came, in the order of its numbers; arrived tells when each packet of the recording came to the
// server. Where something was lost upstream, whole is false: numbers may be missing then, and frames incomplete; but what
// the slot left out is never needed. There is one exception, what comes behind a frame which needs it and is excused: that
// frame could not wait, and cannot be called back.
func (v *viewer) check(whole bool, arrived map[int]int) {
	all := slices.Clone(v.got)
	slices.SortStableFunc(all, func(a, b seen) int { return int(int64(a.Seq - b.Seq)) })
	shown := map[int]map[int]bool{} // packets by frame
	for _, g := range all {
		if g.packet >= 0 {
			f := v.r.packets[g.packet].frame
			if shown[f] == nil {
				shown[f] = map[int]bool{}
			}
			shown[f][g.packet] = true
		}
	}
	for f, packets := range shown {
		for _, i := range v.r.frames[f].packets {
			_, came := arrived[i]
			require.True(v, packets[i] || !came, "packet %d of frame %d was left out", i, f)
		}
		began, _ := v.r.came(f, arrived)
		for _, ref := range v.r.frames[f].refs {
			if at, came := v.r.came(ref, arrived); !came || shown[ref] != nil || at > began && v.r.excused(f, ref, shown, arrived) {
				continue
			}
			require.Fail(v, "left out", "frame %d (%v) needs frame %d (%v)", f, v.r.frames[f].layer, ref, v.r.frames[ref].layer)
		}
	}
	for i := 1; i < len(all); i++ {
		a, b := all[i-1], all[i]
		if whole {
			require.Equal(v, a.Seq+1, b.Seq)
		}
		if a.packet < 0 || b.packet < 0 || b.Seq != a.Seq+1 {
			continue
		}
		step := int32(b.h.Timestamp - a.h.Timestamp)
		require.GreaterOrEqual(v, step, int32(0))
		if whole {
			require.Equal(v, step > 0, a.h.Marker, "the marker stands on the last packet of each picture: %d", a.packet)
		}
		if a.meta.HasPictureID && b.meta.HasPictureID {
			ids := int((b.meta.PictureID - a.meta.PictureID) & 0x7fff)
			require.Equal(v, ids == 0, step == 0)
			if v.r.codec == codec.VP8 && whole {
				require.LessOrEqual(v, ids, 1, "picture ids have no hole")
			}
		}
		if a.meta.HasTL0 && b.meta.HasTL0 {
			require.LessOrEqual(v, b.meta.TL0-a.meta.TL0, uint8(1))
		}
	}
	if v.described && whole {
		v.checkDescriptors(all)
	}
}

// came tells when the first packet of a frame came.
func (r *recording) came(frame int, arrived map[int]int) (at int, came bool) {
	for _, i := range r.frames[frame].packets {
		if n, ok := arrived[i]; ok && (!came || n < at) {
			at, came = n, true
		}
	}
	return at, came
}

// excused reports whether a reference of a frame could rightly be left out: the publisher had promised that nobody would
// need it who enters where that is allowed, or it is an orphan by such a promise, for want of what was left out before it.
func (r *recording) excused(frame, ref int, shown map[int]map[int]bool, arrived map[int]int) bool {
	if slices.Contains(r.frames[frame].broken, ref) {
		return true
	}
	at, _ := r.came(ref, arrived)
	return slices.ContainsFunc(r.frames[ref].refs, func(before int) bool {
		n, came := r.came(before, arrived)
		return came && n < at && shown[before] == nil && r.excused(ref, before, shown, arrived)
	})
}

// checkDescriptors reads the descriptors as a receiver does.
func (v *viewer) checkDescriptors(all []seen) {
	var s codec.Structure
	came := map[uint16]bool{}
	newest, started := uint16(0), false
	for _, g := range all {
		if g.packet < 0 || len(g.descriptor) == 0 {
			continue
		}
		d, ok := s.ReadDescriptor(g.descriptor)
		require.True(v, ok)
		f := v.r.frames[v.r.packets[g.packet].frame]
		require.Equal(v, f.layer, d.Layer)
		if d.Start {
			require.True(v, !started || int16(d.Number-newest) > 0, "frame numbers rise")
			newest, started = d.Number, true
			refs, n, ok := s.References(g.descriptor)
			require.True(v, ok)
			for _, number := range refs[:n] {
				require.True(v, came[number] || f.stray, "frame %d refers to %d", d.Number, number)
			}
		}
		require.Equal(v, newest, d.Number)
		came[d.Number] = d.End
	}
}

// wish is what the slot is asked to show from a packet of the recording on.
type wish struct {
	at    int
	layer codec.Layer
}

// wishes draws a few, in order.
func (r *recording) wishes(t *rapid.T) (all []wish) {
	for range rapid.IntRange(0, 12).Draw(t, "wishes") {
		all = append(all, wish{rapid.IntRange(0, len(r.packets)-1).Draw(t, "at"), codec.Layer{
			Spatial:  rapid.SampledFrom([]uint8{0, 1, 2, 255}).Draw(t, "spatial"),
			Temporal: rapid.SampledFrom([]uint8{0, 1, 2, 255}).Draw(t, "temporal"),
		}})
	}
	slices.SortStableFunc(all, func(a, b wish) int { return a.at - b.at })
	return all
}

// Whatever layers are asked for and when, nothing being lost: every frame that goes out can be decoded, numbers have no
// hole, less comes with the next picture, and more at a keyframe at the latest.
func TestLayersOfRecordings(t *testing.T) {
	all := recordings(t)
	rapid.Check(t, func(t *rapid.T) {
		r := all[rapid.IntRange(0, len(all)-1).Draw(t, "recording")]
		t.Log(r.name)
		v := newViewer(t, r, rapid.SampledFrom([]uint8{0, 12, 20}).Draw(t, "descriptor id"))
		src := uplink.New(uplink.Config{SSRC: r.ssrc, Codec: r.codec, NACK: true})
		v.d.Assign(0, src, 1)
		left := r.wishes(t)
		want, since := codec.Everything, -1
		shown, arrived := map[int]bool{}, map[int]int{}
		wants, sinces := make([]codec.Layer, len(r.packets)), make([]int, len(r.packets))
		for i, p := range r.packets {
			for len(left) > 0 && left[0].at == i {
				if want != left[0].layer {
					want, since = left[0].layer, i
				}
				v.d.SetLayer(p.at, want)
				left = left[1:]
			}
			wants[i], sinces[i] = want, since
			require.Equal(t, uplink.Stored, src.Handle(p.at, &p.h, p.e, p.payload, uplink.Extensions{}, p.descriptor))
			arrived[i] = i
			for _, g := range v.pull(p.at) {
				if g.packet >= 0 {
					shown[r.packets[g.packet].frame] = true
				}
			}
		}
		v.check(true, arrived)
		if !r.layers {
			require.Len(t, v.got, len(r.packets))
			return
		}
		r.checkLayers(t, shown, wants, sinces)
	})
}

// arrivals draws the order in which the packets come, as indices: some are late, some come twice, some never.
func (r *recording) arrivals(t *rapid.T) (order []int) {
	type arrival struct{ at, packet int }
	late := map[int][]int{}
	for range rapid.IntRange(0, 40).Draw(t, "troubles") {
		first := rapid.IntRange(0, len(r.packets)-1).Draw(t, "packet")
		for k := range rapid.IntRange(1, 5).Draw(t, "in a row") {
			late[first+k] = rapid.SampledFrom([][]int{nil, {1}, {2}, {3}, {7}, {25}, {0, 9}}).Draw(t, "behind")
		}
	}
	var all []arrival
	for i := range r.packets {
		behind, troubled := late[i]
		if !troubled {
			behind = []int{0}
		}
		for _, n := range behind {
			all = append(all, arrival{i + n, i})
		}
	}
	slices.SortStableFunc(all, func(a, b arrival) int { return a.at - b.at })
	for _, a := range all {
		order = append(order, a.packet)
	}
	return order
}

// Whatever is lost, late and asked for: no number twice, no frame without those that it needs if they came, all of a frame
// or nothing, and what is asked for again is what was sent.
func TestLayersOfRecordingsWithLoss(t *testing.T) {
	all := recordings(t)
	rapid.Check(t, func(t *rapid.T) {
		r := all[rapid.IntRange(0, len(all)-1).Draw(t, "recording")]
		t.Log(r.name)
		v := newViewer(t, r, rapid.SampledFrom([]uint8{0, 12, 20}).Draw(t, "descriptor id"))
		src := uplink.New(uplink.Config{SSRC: r.ssrc, Codec: r.codec, NACK: true})
		v.d.Assign(0, src, 1)
		left := r.wishes(t)
		arrived := map[int]int{}
		now := time.Duration(0)
		for n, i := range r.arrivals(t) {
			p := r.packets[i]
			now = max(now, p.at)
			for len(left) > 0 && left[0].at <= i {
				v.d.SetLayer(now, left[0].layer)
				left = left[1:]
			}
			head := src.Head()
			if src.Handle(now, &p.h, p.e, p.payload, uplink.Extensions{}, p.descriptor) == uplink.Stored {
				arrived[i] = int(head)
			}
			if len(v.got) == 0 && len(v.pull(now)) > 0 {
				// It begins at a keyframe that was late, maybe: of what overtook that, it gets what is still held.
				maps.DeleteFunc(arrived, func(_, at int) bool { return at < int(src.Tail()) })
			}
			v.pull(now)
			if n%7 == 0 {
				v.resend(now, n%31)
			}
		}
		v.check(false, arrived)
	})
}

// resend asks for one of the last packets again.
func (v *viewer) resend(now time.Duration, back int) {
	if len(v.got) <= back {
		return
	}
	g := v.got[len(v.got)-1-back]
	b := make([]byte, 1500)
	out, ok := v.d.Resend(now, g.h.Sequence, b, v.tseq)
	if !ok {
		return
	}
	v.tseq++
	a := v.read(b, out)
	require.True(v, a.RTX)
	require.Equal(v, g.payload, a.payload[2:])
	require.Equal(v, g.h.Timestamp, a.h.Timestamp)
	require.Equal(v, g.h.Marker, a.h.Marker)
	require.Equal(v, g.descriptor, a.descriptor)
}

// checkLayers compares the frames shown with what was wanted when their pictures began.
func (r *recording) checkLayers(t require.TestingT, shown map[int]bool, wants []codec.Layer, sinces []int) {
	begins := map[uint32]int{} // first packet of each picture
	for _, f := range r.frames {
		if _, ok := begins[f.timestamp]; !ok {
			begins[f.timestamp] = f.packets[0]
		}
	}
	keys, top := map[uint32]bool{}, uint8(0)
	for _, f := range r.frames {
		keys[f.timestamp] = keys[f.timestamp] || f.key
		top = max(top, f.layer.Spatial)
	}
	keyed := uint8(0)             // the spatial layer wanted at the last keyframe
	frames := map[uint32][]bool{} // of a picture
	for n, f := range r.frames {
		first := begins[f.timestamp]
		want := wants[first]
		if keys[f.timestamp] {
			keyed = min(want.Spatial, top)
		}
		if sinces[f.packets[0]] > first {
			continue // changed within the picture
		}
		in := want.Holds(f.layer)
		if r.keyed {
			if frames[f.timestamp] = append(frames[f.timestamp], shown[n]); !r.alone && !keys[f.timestamp] {
				// A lower layer may be entered right behind the keyframe, which is all that it refers to, and left again.
				require.False(t, shown[n] && (f.layer.Spatial > keyed || f.layer.Temporal > want.Temporal), "frame %d", n)
				if f.layer.Spatial == top {
					n := len(slices.DeleteFunc(frames[f.timestamp], func(shown bool) bool { return !shown }))
					require.LessOrEqual(t, n, 1, "nothing is sent along")
					require.Equal(t, 1, max(n, int(min(f.layer.Temporal, 1))), "what is shown goes on")
				}
				continue
			}
			in = f.layer.Spatial == keyed && f.layer.Temporal <= want.Temporal || keys[f.timestamp] && !r.alone && f.layer.Spatial <= keyed
		}
		if !in {
			require.False(t, shown[n], "frame %d of %v, wanted %v", n, f.layer, want)
		} else if keys[f.timestamp] || f.layer.Temporal == 0 && (r.keyed || f.layer.Spatial == 0) {
			require.True(t, shown[n], "frame %d of %v, wanted %v", n, f.layer, want)
		}
	}
}

// recordingOf finds a recording by its name.
func recordingOf(t *testing.T, name string) *recording {
	all := recordings(t)
	i := slices.IndexFunc(all, func(r *recording) bool { return r.name == name })
	require.GreaterOrEqual(t, i, 0)
	return all[i]
}

// TestALowerLayerThatIsNotSentWaits for a keyframe, which is asked for; one that is sent anyway is shown at once.
func TestALowerLayerThatIsNotSentWaits(t *testing.T) {
	for name, waits := range map[string]bool{
		"chromium-vp9-l3t3": false, "chromium-vp9-l3t3-key": true, "chromium-vp9-s3t3": true, "chromium-vp9-l3t3-key-bare": false,
	} {
		r := recordingOf(t, name)
		v := newViewer(t, r, 12)
		src := uplink.New(uplink.Config{SSRC: r.ssrc, Codec: r.codec, NACK: true})
		v.d.Assign(0, src, 1)
		asked, key, less := 0, 0, len(r.frames)/4
		var last []seen
		for i, p := range r.packets {
			f := r.frames[max(p.frame, 0)]
			if p.frame == less {
				v.d.SetLayer(p.at, codec.Layer{Spatial: 0, Temporal: 7})
				less = -1
			}
			require.Equal(t, uplink.Stored, src.Handle(p.at, &p.h, p.e, p.payload, uplink.Extensions{}, p.descriptor))
			last = append(last, v.pull(p.at)...)
			if less > 0 || p.frame < 0 {
				continue
			}
			if f.key {
				key = i
			}
			if v.d.WantsKeyframe(p.at) {
				require.Zero(t, key, "%s: it has come", name)
				asked++
			}
		}
		require.Equal(t, waits, asked > 0, name)
		require.Positive(t, key, "%s: the recording ends before the next keyframe", name)
		require.Zero(t, r.frames[r.packets[last[len(last)-1].packet].frame].layer.Spatial, name)
		require.True(t, last[0].First, "%s: whichever packet is the first to be sent", name)
		require.Equal(t, 1, len(slices.DeleteFunc(slices.Clone(last), func(g seen) bool { return !g.First })), name)
	}
}

// TestALateOrphan: libaom has dropped the base layer of the picture of frame 100, which therefore refers to one from before
// the place where the slot entered. In time, it is left out with what builds on it; late, frame 103 has gone, and padding
// takes its number.
func TestALateOrphan(t *testing.T) {
	for _, r := range recordings(t) {
		broken := 0
		for _, f := range r.frames {
			broken += len(f.broken)
		}
		require.Equal(t, r.name == "chromium-av1-l3t3", broken > 0, "%s: no other encoder breaks its promises", r.name)
	}
	r := recordingOf(t, "chromium-av1-l3t3")
	const before, orphan, child, behind = 98, 100, 103, 106 // frames; up to the orphan's of one packet
	require.Equal(t, []int{88}, r.frames[orphan].broken)
	require.Equal(t, []int{orphan, 102}, r.frames[child].refs)
	for _, late := range []bool{false, true} {
		v := newViewer(t, r, 12)
		src := uplink.New(uplink.Config{SSRC: r.ssrc, Codec: r.codec, NACK: true})
		v.d.Assign(0, src, 1)
		v.d.SetLayer(0, codec.Layer{Spatial: 1, Temporal: 0})
		shown := map[int]bool{}
		play := func(frame int) (all []seen) {
			for _, i := range r.frames[frame].packets {
				p := r.packets[i]
				require.Equal(t, uplink.Stored, src.Handle(p.at, &p.h, p.e, p.payload, uplink.Extensions{}, p.descriptor))
				all = append(all, v.pull(p.at)...)
			}
			for _, g := range all {
				shown[frame] = shown[frame] || g.packet >= 0
			}
			return all
		}
		for f := range behind {
			if f == 94 {
				v.d.SetLayer(r.packets[r.frames[f].packets[0]].at, codec.Layer{Spatial: 1, Temporal: 2})
			}
			if !late || f != orphan {
				play(f)
			}
		}
		require.True(t, shown[before])
		require.False(t, shown[88])
		require.Equal(t, late, shown[child])
		if late {
			all := play(orphan)
			require.Len(t, all, 1)
			require.Equal(t, -1, all[0].packet)
		}
		require.False(t, shown[orphan])
		play(behind)
		require.True(t, shown[behind], "what does not build on it goes on")
	}
}

// TestALatePacketOfThePictureThatTurned: where layers are independent, the slot enters the middle one at the keyframes of a
// picture whose first packets are lost. The middle layer's own comes when later pictures have been walked, and all that follows
// needs it.
func TestALatePacketOfThePictureThatTurned(t *testing.T) {
	r := recordingOf(t, "chromium-vp9-s3t3")
	const lost, late, comes = 245, 249, 274 // packets
	turned := r.frames[r.packets[late].frame]
	require.Empty(t, turned.refs)
	require.Equal(t, codec.Layer{Spatial: 1}, turned.layer)
	v := newViewer(t, r, 12)
	src := uplink.New(uplink.Config{SSRC: r.ssrc, Codec: r.codec, NACK: true})
	v.d.Assign(0, src, 1)
	v.d.SetLayer(0, codec.Layer{Spatial: 2})
	arrived := map[int]int{}
	play := func(i int, at time.Duration) {
		p := r.packets[i]
		require.Equal(t, uplink.Stored, src.Handle(at, &p.h, p.e, p.payload, uplink.Extensions{}, p.descriptor))
		arrived[i] = len(arrived)
		v.pull(at)
	}
	for i, p := range r.packets {
		if i == lost-20 {
			v.d.SetLayer(p.at, codec.Layer{Spatial: 1})
		}
		if i < lost || i > late {
			play(i, p.at)
		}
		if i == comes {
			play(late, p.at)
		}
	}
	v.check(false, arrived)
	require.True(t, slices.ContainsFunc(v.got, func(g seen) bool { return g.packet == late }))
}

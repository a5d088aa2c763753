package downlink

import (
	"encoding/binary"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/codec"
	"github.com/tolkyn/tolkyn/internal/packet"
	"github.com/tolkyn/tolkyn/internal/seq"
	"github.com/tolkyn/tolkyn/sfu/internal/uplink"
)

const ms = time.Millisecond

// publisher makes packets of one stream and hands them to its uplink.
type publisher struct {
	*uplink.Uplink
	codec   codec.Codec
	ssrc    uint32
	seq     seq.Extended // of the next packet
	ts      uint32
	picture uint16
	tl0     uint8
	short   bool // 7-bit picture ids
}

func newPublisher(c codec.Codec, ssrc uint32) *publisher {
	// Everything is about to wrap.
	return &publisher{
		Uplink: uplink.New(uplink.Config{SSRC: ssrc, Codec: c, NACK: true}), codec: c, ssrc: ssrc,
		seq: 1<<16 + 65530, ts: 1<<32 - 5000, picture: 0x7ffd, tl0: 0xfd,
	}
}

// made is a packet before it meets the network.
type made struct {
	h       packet.Header
	e       seq.Extended
	payload []byte
}

// frame makes the packets of the next frame. Their payloads end in the SSRC and the extended number, so that a test can
// tell whose they are.
func (p *publisher) frame(key bool, packets int) []made {
	var all []made
	for i := range packets {
		m := made{e: p.seq, h: packet.Header{Sequence: p.seq.Uint16(), Timestamp: p.ts, SSRC: p.ssrc, Marker: i == packets-1}}
		if p.codec == codec.VP8 {
			m.payload = []byte{0x80, 0xc0}
			if i == 0 {
				m.payload[0] |= 0x10
			}
			if p.short {
				m.payload = append(m.payload, byte(p.picture&0x7f))
			} else {
				m.payload = binary.BigEndian.AppendUint16(m.payload, p.picture|0x8000)
			}
			m.payload = append(m.payload, p.tl0)
			if key && i == 0 {
				m.payload = append(m.payload, 0, 0, 0, 0x9d, 0x01, 0x2a, 0x80, 2, 0xe0, 1)
			} else {
				m.payload = append(m.payload, 1)
			}
		}
		m.payload = binary.BigEndian.AppendUint32(m.payload, p.ssrc)
		m.payload = binary.BigEndian.AppendUint64(m.payload, uint64(p.seq))
		all = append(all, m)
		p.seq++
	}
	p.ts += p.codec.ClockRate() / 50
	if p.codec == codec.VP8 {
		p.ts += p.codec.ClockRate()/30 - p.codec.ClockRate()/50
	}
	p.picture = (p.picture + 1) & 0x7fff
	p.tl0++
	return all
}

func (p *publisher) arrive(now time.Duration, all ...made) {
	for _, m := range all {
		p.Handle(now, &m.h, m.e, m.payload, uplink.Extensions{}, nil)
	}
}

// got is a packet as a subscriber reads it.
type got struct {
	Out
	h        packet.Header
	csrc     uint32
	tseq     int // -1: none
	level    int
	colors   []byte
	payload  []byte
	meta     codec.Meta
	source   uint32
	original seq.Extended
}

func read(t require.TestingT, b []byte, out Out, c codec.Codec) got {
	h, ok := packet.ParseHeader(b[:out.Size])
	require.True(t, ok)
	require.Equal(t, out.HeaderSize, h.Size)
	require.Equal(t, out.Seq.Uint16(), h.Sequence)
	require.Zero(t, h.Size%4)
	g := got{Out: out, h: h, tseq: -1, level: -1}
	g.payload, ok = h.Payload(b[:out.Size])
	require.True(t, ok)
	if h.CSRCCount > 0 {
		g.csrc = binary.BigEndian.Uint32(b[12:])
	}
	if e, ok := h.Extension(b, 5); ok {
		g.tseq = int(binary.BigEndian.Uint16(e))
	}
	if e, ok := h.Extension(b, 6); ok {
		g.level = int(e[0])
	}
	if e, ok := h.Extension(b, 7); ok {
		g.colors = e
	}
	media := g.payload
	if out.RTX {
		media = media[2:]
	}
	if len(media) >= 12 {
		tail := media[len(media)-12:]
		g.source = binary.BigEndian.Uint32(tail)
		g.original = seq.Extended(binary.BigEndian.Uint64(tail[4:]))
		g.meta, ok = c.Inspect(media, h.Marker)
		require.True(t, ok)
	}
	return g
}

// test drives one video or audio slot.
type test struct {
	*testing.T
	d    *Downlink
	now  time.Duration
	tseq uint16
	c    codec.Codec
}

func config(c codec.Codec) Config {
	cfg := Config{
		SSRC: 1000, Video: c.Video(), TransportSeqID: 5,
		FirstSequence: 0x7ffe, FirstRTXSequence: 500, FirstTimestamp: 77777,
		Payloads: []Payload{{Codec: codec.Opus, PayloadType: 111}},
	}
	if c.Video() {
		cfg.RTXSSRC = 2000
		cfg.Payloads = []Payload{{Codec: codec.VP8, PayloadType: 96, RTXPayloadType: 97}}
	}
	return cfg
}

func newTest(t *testing.T, c codec.Codec, change func(*Config)) *test {
	cfg := config(c)
	if change != nil {
		change(&cfg)
	}
	s := &test{T: t, d: New(cfg), now: time.Hour, c: c}
	s.d.Ready(s.now - time.Minute)
	return s
}

func (t *test) wait(d time.Duration) { t.now += d }

// drain calls Next until Empty.
func (t *test) drain() []got {
	t.Helper()
	var all []got
	for {
		b := make([]byte, 1500)
		out, state := t.d.Next(t.now, b, t.tseq)
		switch state {
		case Empty:
			return all
		case Sent:
			t.tseq++
			all = append(all, read(t, b, out, t.c))
		}
	}
}

func (t *test) resend(s uint16) (got, bool) {
	b := make([]byte, 1500)
	out, ok := t.d.Resend(t.now, s, b, t.tseq)
	if !ok {
		return got{}, false
	}
	t.tseq++
	return read(t, b, out, t.c), true
}

func originals(all []got) []seq.Extended {
	var list []seq.Extended
	for _, g := range all {
		list = append(list, g.original)
	}
	return list
}

func TestHeaderOfAFirstPacket(t *testing.T) {
	s := newTest(t, codec.Opus, func(c *Config) { c.AudioLevelID = 6 })
	p := newPublisher(codec.Opus, 1)
	s.d.Assign(s.now, p.Uplink, 42)
	m := p.frame(false, 1)[0]
	p.Handle(s.now, &m.h, m.e, m.payload, uplink.Extensions{Has: uplink.HasLevel, Level: 0x85}, nil)
	s.tseq = 0xabcd
	all := s.drain()
	require.Len(t, all, 1)
	g := all[0]
	require.Equal(t, uint32(1000), g.h.SSRC)
	require.Equal(t, uint8(111), g.h.PayloadType)
	require.Equal(t, uint16(0x7ffe), g.h.Sequence)
	require.Equal(t, uint32(77777), g.h.Timestamp)
	require.True(t, g.h.Marker)
	require.Equal(t, uint32(42), g.csrc)
	require.Equal(t, 0xabcd, g.tseq)
	require.Equal(t, 0x85, g.level)
	require.Equal(t, m.payload, g.payload)
	require.True(t, g.First)
	require.Equal(t, 12+4+4+8, g.HeaderSize)
}

func TestHeaderHoldsOnlyWhatWasNegotiated(t *testing.T) {
	level := uplink.Extensions{Has: uplink.HasLevel, Level: 0xff} // as loud as a level that was not there may look
	colors := uplink.Extensions{Has: uplink.HasColorSpace, ColorSpace: [4]byte{1, 13, 1, 5}}
	both := uplink.Extensions{Has: uplink.HasLevel | uplink.HasColorSpace, Level: 0x10, ColorSpace: [4]byte{9, 16, 9, 2}}
	for _, c := range []struct {
		name              string
		seqID, lvl, color uint8
		brought           uplink.Extensions
		size              int
	}{
		{"nothing", 0, 0, 0, both, 12},
		{"transport-wide number", 5, 0, 0, both, 12 + 8},
		{"level", 0, 6, 0, level, 12 + 8},
		{"level, but the packet has none", 0, 6, 0, colors, 12},
		{"number and level", 5, 6, 0, level, 12 + 4 + 8},
		{"number and level, but the packet has no level", 5, 6, 0, colors, 12 + 8},
		{"colours", 0, 0, 7, colors, 12 + 4 + 8},
		{"colours, but the packet has none", 5, 0, 7, level, 12 + 8},
		{"number and colours", 5, 0, 7, colors, 12 + 4 + 8},
		{"all", 5, 6, 7, both, 12 + 4 + 12},
		{"all, but the packet has none", 5, 6, 7, uplink.Extensions{}, 12 + 8},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newTest(t, codec.Opus, func(cfg *Config) {
				cfg.TransportSeqID, cfg.AudioLevelID, cfg.ColorSpaceID = c.seqID, c.lvl, c.color
			})
			p := newPublisher(codec.Opus, 1)
			s.d.Assign(s.now, p.Uplink, 0)
			m := p.frame(false, 1)[0]
			p.Handle(s.now, &m.h, m.e, m.payload, c.brought, nil)
			g := s.drain()[0]
			require.Equal(t, c.size, g.HeaderSize)
			require.Equal(t, c.seqID != 0, g.tseq >= 0)
			wantLevel, wantColors := -1, []byte(nil)
			if c.lvl != 0 && c.brought.Has&uplink.HasLevel != 0 {
				wantLevel = int(c.brought.Level)
			}
			if c.color != 0 && c.brought.Has&uplink.HasColorSpace != 0 {
				wantColors = c.brought.ColorSpace[:]
			}
			require.Equal(t, wantLevel, g.level)
			require.Equal(t, wantColors, g.colors)
			require.Equal(t, m.payload, g.payload)
		})
	}
}

// TestColorsFollowTheirFrame: a receiver takes them from the last packet of each keyframe, and forgets them at a keyframe
// that has none. So they must come with exactly the packets that brought them, of either source, and when resent.
func TestColorsFollowTheirFrame(t *testing.T) {
	s := newTest(t, codec.VP8, func(c *Config) { c.ColorSpaceID = 7 })
	screen, camera := newPublisher(codec.VP8, 1), newPublisher(codec.VP8, 2)
	colors := []byte{1, 13, 1, 5}
	keyframe := func(p *publisher, brought uplink.Extensions) []got {
		s.d.Assign(s.now, p.Uplink, p.ssrc)
		for i, m := range p.frame(true, 3) {
			x := uplink.Extensions{}
			if i == 2 {
				x = brought
			}
			p.Handle(s.now, &m.h, m.e, m.payload, x, nil)
		}
		s.wait(100 * ms)
		all := s.drain()
		require.Len(t, all, 3)
		return all
	}
	withColors := uplink.Extensions{Has: uplink.HasColorSpace, ColorSpace: [4]byte(colors)}
	all := keyframe(screen, withColors)
	all = append(all, keyframe(camera, uplink.Extensions{})...)
	all = append(all, keyframe(screen, withColors)...)
	for i, g := range all {
		want := []byte(nil)
		if i == 2 || i == 8 {
			want = colors
		}
		require.Equal(t, want, g.colors, i)
		r, ok := s.resend(g.h.Sequence)
		require.True(t, ok)
		require.Equal(t, want, r.colors, "resent %d", i)
		require.Equal(t, g.payload, r.payload[2:])
	}
}

func TestParticipantIsNamedForTwoSeconds(t *testing.T) {
	s := newTest(t, codec.Opus, nil)
	p := newPublisher(codec.Opus, 1)
	s.d.Assign(s.now, p.Uplink, 42)
	for i := range 150 {
		p.arrive(s.now, p.frame(false, 1)...)
		want := uint32(42)
		if i >= 100 {
			want = 0
		}
		require.Equal(t, want, s.drain()[0].csrc, i)
		s.wait(20 * ms)
	}
}

func TestVideoIsHeldAfterKeys(t *testing.T) {
	s := &test{T: t, d: New(config(codec.VP8)), now: time.Hour, c: codec.VP8}
	p := newPublisher(codec.VP8, 1)
	s.d.Assign(s.now, p.Uplink, 1)
	require.False(t, s.d.WantsKeyframe(s.now), "a keyframe before the keys comes for nothing")
	p.arrive(s.now, p.frame(true, 3)...)
	require.Empty(t, s.drain())
	_, ok := s.d.Opens()
	require.False(t, ok)
	s.wait(100 * ms)
	s.d.Ready(s.now)
	s.d.Ready(s.now + time.Hour)
	at, ok := s.d.Opens()
	require.True(t, ok)
	require.Equal(t, s.now+Hold, at)
	require.False(t, s.d.WantsKeyframe(s.now), "the one in the history will do")
	require.Empty(t, s.drain())
	s.wait(Hold - 1)
	p.arrive(s.now, p.frame(false, 2)...)
	require.Empty(t, s.drain())
	s.wait(1)
	require.Len(t, s.drain(), 5)
}

func TestVoiceIsNotHeldAndStartsWithTheKeys(t *testing.T) {
	s := &test{T: t, d: New(config(codec.Opus)), now: time.Hour, c: codec.Opus}
	p := newPublisher(codec.Opus, 1)
	s.d.Assign(s.now, p.Uplink, 1)
	p.arrive(s.now, p.frame(false, 3)...)
	require.Empty(t, s.drain())
	s.d.Ready(s.now)
	require.Empty(t, s.drain(), "nobody wants to hear the past")
	p.arrive(s.now, p.frame(false, 1)...)
	require.Len(t, s.drain(), 1)
}

func TestJoinerGetsARecentKeyframe(t *testing.T) {
	for _, c := range []struct {
		age  time.Duration
		want int
	}{{0, 5}, {replayLimit, 5}, {replayLimit + 1, 0}} {
		s := newTest(t, codec.VP8, nil)
		p := newPublisher(codec.VP8, 1)
		p.arrive(s.now, p.frame(false, 2)...)
		p.arrive(s.now, p.frame(true, 3)...)
		s.wait(c.age)
		p.arrive(s.now, p.frame(false, 2)...)
		s.d.Assign(s.now, p.Uplink, 1)
		require.Equal(t, c.want == 0, s.d.WantsKeyframe(s.now))
		all := s.drain()
		require.Len(t, all, c.want)
		if c.want > 0 {
			require.True(t, all[0].meta.Keyframe)
		}
	}
}

func TestKeyframeOvertakenByItsOwnPackets(t *testing.T) {
	s := newTest(t, codec.VP8, nil)
	p := newPublisher(codec.VP8, 1)
	s.d.Assign(s.now, p.Uplink, 1)
	p.arrive(s.now, p.frame(false, 1)...)
	k := p.frame(true, 4)
	p.arrive(s.now, k[1], k[2])
	require.Empty(t, s.drain())
	p.arrive(s.now, k[0], k[3])
	require.Equal(t, []seq.Extended{k[0].e, k[1].e, k[2].e, k[3].e}, originals(s.drain()))
}

func TestVideoSwitch(t *testing.T) {
	s := newTest(t, codec.VP8, nil)
	a, b := newPublisher(codec.VP8, 1), newPublisher(codec.VP8, 2)
	b.picture, b.tl0, b.ts, b.seq = 17, 5, 123, 1<<16+9
	s.d.Assign(s.now, a.Uplink, 101)
	a.arrive(s.now, a.frame(true, 2)...)
	s.wait(33 * ms)
	a.arrive(s.now, a.frame(false, 2)...)
	before := s.drain()
	require.Len(t, before, 4)

	s.d.Assign(s.now, b.Uplink, 102)
	current, next := s.d.Sources()
	require.Same(t, a.Uplink, current)
	require.Same(t, b.Uplink, next)
	require.True(t, s.d.WantsKeyframe(s.now))
	s.wait(33 * ms)
	a.arrive(s.now, a.frame(false, 2)...)
	b.arrive(s.now, b.frame(false, 2)...)
	old := s.drain()
	require.Len(t, old, 2, "the old source flows until the new one's keyframe")
	require.Equal(t, uint32(1), old[0].source)
	last := old[1]

	s.wait(33 * ms)
	late := a.frame(false, 1)
	b.arrive(s.now, b.frame(true, 2)...)
	s.wait(10 * ms)
	a.arrive(s.now, late...)
	all := s.drain()
	require.Len(t, all, 2)
	g := all[0]
	require.True(t, g.First)
	require.False(t, all[1].First)
	require.Equal(t, uint32(2), g.source)
	require.Equal(t, uint32(102), g.csrc)
	require.Equal(t, last.Seq+1, g.Seq)
	require.Equal(t, (last.meta.PictureID+1)&0x7fff, g.meta.PictureID)
	require.Equal(t, last.meta.TL0+1, g.meta.TL0)
	require.Equal(t, last.h.Timestamp+33*90, g.h.Timestamp)
	require.False(t, s.d.WantsKeyframe(s.now))
	current, next = s.d.Sources()
	require.Same(t, b.Uplink, current)
	require.Nil(t, next)

	a.arrive(s.now, a.frame(false, 1)...)
	require.Empty(t, s.drain(), "late packets of the old source are dropped")
}

func TestSwitchNeverGoesBackInTime(t *testing.T) {
	s := newTest(t, codec.VP8, nil)
	a, b := newPublisher(codec.VP8, 1), newPublisher(codec.VP8, 2)
	s.d.Assign(s.now, a.Uplink, 1)
	a.arrive(s.now, a.frame(true, 1)...)
	b.arrive(s.now, b.frame(true, 1)...)
	s.wait(20 * ms)
	a.arrive(s.now, a.frame(false, 1)...)
	require.Len(t, s.drain(), 2)
	s.d.Assign(s.now, b.Uplink, 2)
	require.True(t, s.d.WantsKeyframe(s.now), "b's keyframe is older than what was shown")
	require.Empty(t, s.drain())
	b.arrive(s.now, b.frame(true, 1)...)
	all := s.drain()
	require.Len(t, all, 1)
	require.Equal(t, uint32(2), all[0].source)
}

func TestAssignments(t *testing.T) {
	s := newTest(t, codec.VP8, nil)
	a, b := newPublisher(codec.VP8, 1), newPublisher(codec.VP8, 2)
	s.d.Assign(s.now, a.Uplink, 1)
	a.arrive(s.now, a.frame(true, 1)...)
	require.Len(t, s.drain(), 1)
	s.d.Assign(s.now, b.Uplink, 2)
	s.d.Assign(s.now, a.Uplink, 1)
	_, next := s.d.Sources()
	require.Nil(t, next, "taken back before the switch")
	a.arrive(s.now, a.frame(false, 1)...)
	require.Len(t, s.drain(), 1)
	s.d.Assign(s.now, nil, 0)
	a.arrive(s.now, a.frame(true, 1)...)
	require.Empty(t, s.drain())
	voice := newPublisher(codec.Opus, 3)
	s.d.Assign(s.now, voice.Uplink, 3)
	current, next := s.d.Sources()
	require.Nil(t, current)
	require.Nil(t, next)
	require.Equal(t, uint64(1), s.d.Stats().Unsupported)
}

func TestVoiceSwitchStepsByWholeFrames(t *testing.T) {
	for _, c := range []struct {
		name  string
		pause time.Duration
		want  uint32
	}{
		{"at once", 0, 960},
		{"20 ms", 20 * ms, 960},
		{"29 ms", 29 * ms, 960},
		{"31 ms", 31 * ms, 1920},
		{"a second and a bit", 1009 * ms, 48000},
		{"two hours", 2 * time.Hour, 3600 * 48000},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newTest(t, codec.Opus, nil)
			a, b := newPublisher(codec.Opus, 1), newPublisher(codec.Opus, 2)
			b.ts = 5
			s.d.Assign(s.now, a.Uplink, 1)
			a.arrive(s.now, a.frame(false, 1)...)
			last := s.drain()[0]
			s.d.Assign(s.now, b.Uplink, 2)
			s.wait(c.pause)
			b.arrive(s.now, b.frame(false, 1)...)
			g := s.drain()[0]
			require.Equal(t, c.want, g.h.Timestamp-last.h.Timestamp)
			require.Equal(t, last.Seq+1, g.Seq)
			require.True(t, g.First)
		})
	}
}

// TestVoiceFlowsUntilTheNextOneSpeaks: between two voices no frame is left out, wherever within a frame the switch falls.
func TestVoiceFlowsUntilTheNextOneSpeaks(t *testing.T) {
	for offset := time.Duration(1); offset < 20; offset += 3 { // of the second voice's frames against the first's
		s := newTest(t, codec.Opus, nil)
		a, b := newPublisher(codec.Opus, 1), newPublisher(codec.Opus, 2)
		b.ts = 5
		s.d.Assign(s.now, a.Uplink, 1)
		var all []got
		for at := time.Duration(0); at < 200; at++ {
			if at == 95 {
				s.d.Assign(s.now, b.Uplink, 2)
			}
			if at%20 == 0 {
				a.arrive(s.now, a.frame(false, 1)...)
			}
			if at%20 == offset {
				b.arrive(s.now, b.frame(false, 1)...)
			}
			all = append(all, s.drain()...)
			s.wait(ms)
		}
		for i := range all[1:] {
			require.Equal(t, uint32(960), all[i+1].h.Timestamp-all[i].h.Timestamp, "offset %d ms, packet %d", offset, i)
		}
		require.Equal(t, []uint32{1, 2}, []uint32{all[0].source, all[len(all)-1].source})
	}
}

// TestVoiceEndsThoughTheNextOneIsSilent: who was taken from the slot is not heard for long.
func TestVoiceEndsThoughTheNextOneIsSilent(t *testing.T) {
	s := newTest(t, codec.Opus, nil)
	a, b := newPublisher(codec.Opus, 1), newPublisher(codec.Opus, 2)
	s.d.Assign(s.now, a.Uplink, 1)
	heard := 0
	for range 10 {
		a.arrive(s.now, a.frame(false, 1)...)
		heard += len(s.drain())
		s.d.Assign(s.now, b.Uplink, 2)
		s.wait(20 * ms)
	}
	require.Equal(t, 3, heard, "until 60 ms after the switch")
	b.arrive(s.now, b.frame(false, 1)...)
	require.Len(t, s.drain(), 1)
}

func TestVoiceStepIsNoShorterThanThePacketBefore(t *testing.T) {
	s := newTest(t, codec.Opus, nil)
	a, b := newPublisher(codec.Opus, 1), newPublisher(codec.Opus, 2)
	s.d.Assign(s.now, a.Uplink, 1)
	for range 2 { // packets of 60 ms
		a.arrive(s.now, a.frame(false, 1)...)
		a.ts += 1920
	}
	all := s.drain()
	s.d.Assign(s.now, b.Uplink, 2)
	b.arrive(s.now, b.frame(false, 1)...)
	require.Equal(t, uint32(2880), s.drain()[0].h.Timestamp-all[1].h.Timestamp)
}

func TestVoiceNeverStartsWithAStraggler(t *testing.T) {
	s := newTest(t, codec.Opus, nil)
	p := newPublisher(codec.Opus, 1)
	all := []made{p.frame(false, 1)[0], p.frame(false, 1)[0], p.frame(false, 1)[0], p.frame(false, 1)[0]}
	p.arrive(s.now, all[0], all[2])
	s.d.Assign(s.now, p.Uplink, 1)
	p.arrive(s.now, all[1], all[3])
	require.Equal(t, []seq.Extended{all[3].e}, originals(s.drain()))
	require.Equal(t, uint64(1), s.d.Stats().Late)
}

func TestGapsAndOrderOfTheSourceAreKept(t *testing.T) {
	s := newTest(t, codec.Opus, nil)
	p := newPublisher(codec.Opus, 1)
	s.d.Assign(s.now, p.Uplink, 1)
	all := p.frame(false, 8)
	p.arrive(s.now, all[0], all[2], all[1], all[5], all[5], all[7])
	var numbers []seq.Extended
	out := s.drain()
	for _, g := range out {
		numbers = append(numbers, g.Seq-out[0].Seq)
	}
	require.Equal(t, []seq.Extended{0, 2, 1, 5, 7}, numbers)
}

func TestPaddingOnlyStaysPaddingOnly(t *testing.T) {
	s := newTest(t, codec.VP8, nil)
	p := newPublisher(codec.VP8, 1)
	s.d.Assign(s.now, p.Uplink, 0)
	p.arrive(s.now, p.frame(true, 1)...)
	pad := p.frame(false, 1)[0]
	pad.payload = nil
	p.arrive(s.now, pad)
	p.arrive(s.now, p.frame(false, 1)...)
	all := s.drain()
	require.Len(t, all, 3)
	require.True(t, all[1].h.Padding)
	require.Empty(t, all[1].payload)
	require.Equal(t, all[1].HeaderSize+1, all[1].Size)
	require.Equal(t, all[0].Seq+2, all[2].Seq)
	r, ok := s.resend(all[1].h.Sequence)
	require.True(t, ok, "receivers of H.264 stand still at a hole, whatever it is of")
	require.Equal(t, []byte{byte(all[1].h.Sequence >> 8), byte(all[1].h.Sequence)}, r.payload)
}

func TestRestartedPublisher(t *testing.T) {
	t.Run("video waits for its keyframe", func(t *testing.T) {
		s := newTest(t, codec.VP8, nil)
		p := newPublisher(codec.VP8, 1)
		s.d.Assign(s.now, p.Uplink, 7)
		p.arrive(s.now, p.frame(true, 1)...)
		last := s.drain()[0]
		p.seq, p.ts, p.picture, p.tl0 = p.seq+20000, 5, 3, 9
		s.wait(50 * ms)
		p.arrive(s.now, p.frame(false, 1)...)
		require.Empty(t, s.drain())
		require.True(t, s.d.WantsKeyframe(s.now))
		s.wait(50 * ms)
		p.arrive(s.now, p.frame(true, 2)...)
		all := s.drain()
		require.Len(t, all, 2)
		require.Equal(t, last.Seq+1, all[0].Seq)
		require.Equal(t, last.h.Timestamp+9000, all[0].h.Timestamp)
		require.Equal(t, (last.meta.PictureID+1)&0x7fff, all[0].meta.PictureID)
		require.Equal(t, uint32(7), all[0].csrc)
	})
	t.Run("voice goes on", func(t *testing.T) {
		s := newTest(t, codec.Opus, nil)
		p := newPublisher(codec.Opus, 1)
		s.d.Assign(s.now, p.Uplink, 7)
		p.arrive(s.now, p.frame(false, 1)...)
		last := s.drain()[0]
		p.seq, p.ts = p.seq+20000, 5
		s.wait(40 * ms)
		p.arrive(s.now, p.frame(false, 1)...)
		g := s.drain()[0]
		require.Equal(t, last.Seq+1, g.Seq)
		require.Equal(t, last.h.Timestamp+1920, g.h.Timestamp)
	})
}

func TestShortAndLongPictureIDs(t *testing.T) {
	s := newTest(t, codec.VP8, nil)
	a, b := newPublisher(codec.VP8, 1), newPublisher(codec.VP8, 2)
	b.short = true
	s.d.Assign(s.now, a.Uplink, 1)
	a.arrive(s.now, a.frame(true, 1)...)
	last := s.drain()[0]
	s.d.Assign(s.now, b.Uplink, 2)
	for i := range 300 {
		b.arrive(s.now, b.frame(i == 0, 1)...)
		g := s.drain()[0]
		require.Equal(t, (last.meta.PictureID+1)&0x7f, g.meta.PictureID&0x7f)
		require.False(t, g.meta.LongPictureID)
		last = g
	}
}

func TestOverwrittenPacketsAreSkipped(t *testing.T) {
	s := newTest(t, codec.Opus, nil)
	p := newPublisher(codec.Opus, 1)
	s.d.Assign(s.now, p.Uplink, 1)
	for range 2000 {
		p.arrive(s.now, p.frame(false, 1)...)
		s.wait(20 * ms)
	}
	all := s.drain()
	require.Equal(t, p.Head()-p.Tail(), uint64(len(all)))
	require.Equal(t, p.Tail(), s.d.Stats().Overrun)
	p.Release()
	require.Empty(t, s.drain())
}

func TestTooShortASpaceIsADrop(t *testing.T) {
	s := newTest(t, codec.Opus, nil)
	p := newPublisher(codec.Opus, 1)
	s.d.Assign(s.now, p.Uplink, 1)
	p.arrive(s.now, p.frame(false, 1)...)
	_, state := s.d.Next(s.now, make([]byte, 20), 0)
	require.Equal(t, Dropped, state)
	_, state = s.d.Next(s.now, make([]byte, 20), 0)
	require.Equal(t, Empty, state)
	require.Equal(t, uint64(1), s.d.Stats().TooLong)
}

func TestSenderReport(t *testing.T) {
	s := newTest(t, codec.VP8, nil)
	p := newPublisher(codec.VP8, 1)
	s.d.Assign(s.now, p.Uplink, 1)
	_, ok := s.d.SenderReport(s.now, 1)
	require.False(t, ok)
	ts := p.ts
	p.arrive(s.now, p.frame(true, 2)...)
	g := s.drain()[0]
	s.wait(100 * ms)
	r, ok := s.d.SenderReport(s.now, 0x1111_2222_3333_4444)
	require.True(t, ok)
	require.Equal(t, uint32(1000), r.SSRC)
	require.Equal(t, uint64(0x1111_2222_3333_4444), r.NTP)
	require.Equal(t, g.h.Timestamp+9000, r.RTP, "by arrival, as long as the publisher has not reported")
	require.Equal(t, uint32(2), r.Packets)
	require.Positive(t, r.Octets)

	// The publisher captured the frame 50 ms before this report, which took no time to come.
	p.HandleSenderReport(s.now, 5000<<32, ts+4500)
	r, ok = s.d.SenderReport(s.now, 1)
	require.True(t, ok)
	require.Equal(t, g.h.Timestamp+4500, r.RTP)

	p.HandleSenderReport(s.now, 5000<<32, ts+90000*3600)
	r, _ = s.d.SenderReport(s.now, 1)
	require.Equal(t, g.h.Timestamp+9000, r.RTP, "an unbelievable report is not believed")

	s.d.Assign(s.now, nil, 0)
	_, ok = s.d.SenderReport(s.now, 1)
	require.False(t, ok)
}

// Sound and picture of one publisher, whose packets travel differently long, carry timestamps that a browser maps to the
// same instant.
func TestLipSync(t *testing.T) {
	clock := new(uplink.Clock)
	report := func(c codec.Codec, delay time.Duration) (d *Downlink, rtpAt func(captured time.Duration) uint32) {
		s := newTest(t, c, nil)
		p := newPublisher(c, 1)
		p.Uplink = uplink.New(uplink.Config{SSRC: 1, Codec: c, Clock: clock})
		p.HandleSenderReport(s.now, 7000<<32, p.ts) // the report itself was quick
		s.d.Assign(s.now, p.Uplink, 1)
		s.wait(delay)
		ts := p.ts
		p.arrive(s.now, p.frame(true, 1)...)
		g := s.drain()[0]
		return s.d, func(captured time.Duration) uint32 {
			return g.h.Timestamp + p.ts - ts + uint32(captured*time.Duration(c.ClockRate())/time.Second) - (p.ts - ts)
		}
	}
	audio, audioAt := report(codec.Opus, 20*ms)
	video, videoAt := report(codec.VP8, 320*ms)
	a, ok := audio.SenderReport(time.Hour+500*ms, 1)
	require.True(t, ok)
	v, ok := video.SenderReport(time.Hour+500*ms, 1)
	require.True(t, ok)
	require.Equal(t, audioAt(500*ms), a.RTP)
	require.Equal(t, videoAt(500*ms), v.RTP)
}

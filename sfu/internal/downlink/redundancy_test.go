package downlink

import (
	"encoding/binary"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/tolkyn/tolkyn/codec"
	"github.com/tolkyn/tolkyn/internal/packet"
	"github.com/tolkyn/tolkyn/internal/seq"
	"github.com/tolkyn/tolkyn/sfu/internal/uplink"
	"github.com/tolkyn/tolkyn/sfu/internal/voice"
	"github.com/tolkyn/tolkyn/sfu/jitter"
)

const redType = 63

func withRED(c *Config) { c.RED = redType }

// speaker publishes a voice in packets of 20 ms; each tells its publisher and its number.
type speaker struct {
	*uplink.Uplink
	ssrc uint32
	fec  bool // packets carry the one before them
	next int
	gaps uint32 // ticks of pauses so far
}

func newSpeaker(ssrc uint32, fec bool) *speaker {
	return &speaker{Uplink: uplink.New(uplink.Config{SSRC: ssrc, Codec: codec.Opus, PayloadType: 111}), ssrc: ssrc, fec: fec}
}

func (p *speaker) payload(n int) []byte {
	b := []byte{9 << 3, 0x80}
	if p.fec {
		b[1] |= 0x40
	}
	b = binary.BigEndian.AppendUint32(b, p.ssrc)
	return binary.BigEndian.AppendUint32(b, uint32(n))
}

// say makes the next packet; it comes unless it is lost.
func (p *speaker) say(now time.Duration, lost bool) (arrive func(now time.Duration)) {
	return p.sayAs(now, p.payload(p.next), lost)
}

func (p *speaker) sayAs(now time.Duration, payload []byte, lost bool) (arrive func(now time.Duration)) {
	e := seq.Extended(1<<16 + 65530 + p.next)
	h := packet.Header{Sequence: e.Uint16(), Timestamp: 1<<32 - 5000 + uint32(p.next)*960 + p.gaps, SSRC: p.ssrc, PayloadType: 111}
	p.next++
	arrive = func(now time.Duration) { p.Handle(now, &h, e, payload, uplink.Extensions{}, nil) }
	if !lost {
		arrive(now)
	}
	return arrive
}

// blocks takes apart what a subscriber gets: which packets of whom, farthest first, and how long before the packet.
func blocks(t require.TestingT, g got) (numbers []int, offsets []int) {
	if g.h.PayloadType != redType {
		require.Equal(t, uint8(111), g.h.PayloadType)
		return []int{int(binary.BigEndian.Uint32(g.payload[len(g.payload)-4:]))}, []int{0}
	}
	all, n, ok := codec.ReadRED(g.payload)
	require.True(t, ok)
	for _, b := range all[:n] {
		require.Equal(t, uint8(111), b.PayloadType)
		numbers = append(numbers, int(binary.BigEndian.Uint32(b.Data[len(b.Data)-4:])))
		offsets = append(offsets, int(b.Offset))
	}
	return numbers, offsets
}

// talk has a voice say n packets, each of which leaves at once, and returns what the last was made of.
func (t *test) talk(p *speaker, n int) (numbers, offsets []int) {
	t.Helper()
	for range n {
		p.say(t.now, false)
		all := t.drain()
		require.Len(t, all, 1)
		numbers, offsets = blocks(t, all[0])
		if len(numbers) == 1 {
			require.Zero(t, all[0].Redundant)
		} else {
			require.Equal(t, len(all[0].payload)-len(p.payload(0)), all[0].Redundant)
		}
		t.wait(20 * ms)
	}
	return numbers, offsets
}

func TestModesOfAVoice(t *testing.T) {
	s := newTest(t, codec.Opus, withRED)
	p := newSpeaker(1, true)
	s.d.Assign(s.now, p.Uplink, 0)
	numbers, _ := s.talk(p, 10)
	require.Equal(t, []int{9}, numbers)
	for _, c := range []struct {
		mode       voice.Mode
		fec, plain []int
	}{
		{voice.Light, []int{2}, []int{1}},
		{voice.Medium, []int{2}, []int{2, 1}},
		{voice.Full, []int{4, 2}, []int{2, 1}},
		{voice.Most, []int{4, 2}, []int{3, 2, 1}},
		{voice.Bursts, []int{5, 2}, []int{5, 3, 1}},
		{voice.Long, []int{6, 3}, []int{8, 5, 2}},
		{voice.Plain, nil, nil},
	} {
		for _, fec := range []bool{true, false} {
			p.fec = fec
			s.d.SetRedundancy(c.mode)
			s.talk(p, 1)
			s.wait(3 * time.Second) // so long since one with FEC
			numbers, offsets := s.talk(p, 10)
			want, away := []int(nil), []int(nil)
			for _, d := range map[bool][]int{true: c.fec, false: c.plain}[fec] {
				want, away = append(want, p.next-1-d), append(away, d*960)
			}
			require.Equal(t, append(want, p.next-1), numbers, "%v, FEC %v", c.mode, fec)
			require.Equal(t, append(away, 0), offsets)
		}
	}
	st := s.d.Stats()
	require.Positive(t, st.Copies)
	require.Equal(t, st.Packets*uint64(len(p.payload(0))), st.Octets-st.CopyOctets, "the rest is what was said")
}

func TestWhoHasNoREDGetsNone(t *testing.T) {
	s := newTest(t, codec.Opus, nil)
	p := newSpeaker(1, true)
	s.d.Assign(s.now, p.Uplink, 0)
	s.d.SetRedundancy(voice.Full)
	require.Equal(t, voice.Plain, s.d.Redundancy())
	numbers, _ := s.talk(p, 10)
	require.Len(t, numbers, 1)
}

// Copies are of what the slot has shown of one source, and of what says something; and there is room for them.
func TestWhatIsNotCopied(t *testing.T) {
	s := newTest(t, codec.Opus, withRED)
	s.d.SetRedundancy(voice.Full)
	a, b := newSpeaker(1, true), newSpeaker(2, true)
	s.talkFrom(a, 10)
	numbers, _ := s.talkFrom(b, 1)
	require.Equal(t, []int{0}, numbers, "nothing of another voice")
	numbers, _ = s.talk(b, 2)
	require.Equal(t, []int{0, 2}, numbers)

	s.talk(b, 5)
	b.sayAs(s.now, []byte{9 << 3}, false) // silence: number 8
	require.Len(t, s.drain(), 1)
	s.wait(400 * ms)
	b.gaps = 18000
	numbers, _ = s.talk(b, 1)
	require.Equal(t, []int{9}, numbers, "7 and 5 are more than 341 ms away")
	numbers, _ = s.talk(b, 1)
	require.Equal(t, []int{10}, numbers, "8 says nothing, 6 is too far away")
	numbers, _ = s.talk(b, 1)
	require.Equal(t, []int{9, 11}, numbers)

	long := append(make([]byte, 0, 700), 9<<3, 0xc0)
	for range 5 {
		b.sayAs(s.now, append(long, make([]byte, 600)...), false)
		all := s.drain()
		require.Len(t, all, 1)
		require.Less(t, all[0].Size, 1100)
		s.wait(20 * ms)
	}
	b.sayAs(s.now, append(long, make([]byte, 300)...), false)
	g := s.drain()[0]
	read, n, ok := codec.ReadRED(g.payload)
	require.True(t, ok)
	require.Equal(t, 2, n, "two of 600 bytes would be too much: the nearer one")
	require.EqualValues(t, 1920, read[0].Offset)
	b.sayAs(s.now, append(long, make([]byte, 1100)...), false)
	b.say(s.now, false)
	b.say(s.now, false)
	all := s.drain()
	_, offsets := blocks(t, all[2])
	require.Equal(t, []int{4 * 960, 0}, offsets, "none of more than 1,023 bytes")
}

// talkFrom gives the slot to a voice, which says n packets.
func (t *test) talkFrom(p *speaker, n int) (numbers, offsets []int) {
	t.d.Assign(t.now, p.Uplink, p.ssrc)
	return t.talk(p, n)
}

// What the publisher's path lost is no hole among the copies, and what came late is copied like all else.
func TestCopiesOfWhatCameLate(t *testing.T) {
	s := newTest(t, codec.Opus, withRED)
	s.d.SetRedundancy(voice.Full)
	p := newSpeaker(1, true)
	s.talkFrom(p, 10)
	late := p.say(s.now, true) // 10
	p.say(s.now, true)         // 11
	numbers, _ := s.talk(p, 2)
	require.Equal(t, []int{7, 9, 13}, numbers, "four and two of those before it")
	late(s.now)
	numbers, _ = blocks(t, s.drain()[0])
	require.Equal(t, []int{8, 10}, numbers, "12 is later than itself")
	numbers, _ = s.talk(p, 1)
	require.Equal(t, []int{9, 10, 13, 14}, numbers, "at once: it has no time")
	numbers, _ = s.talk(p, 1)
	require.Equal(t, []int{10, 12, 15}, numbers)
}

// Where encoders leave the FEC out, a copy takes its place.
func TestCopiesInPlaceOfFEC(t *testing.T) {
	s := newTest(t, codec.Opus, withRED)
	s.d.SetRedundancy(voice.Full)
	p := newSpeaker(1, true)
	s.talkFrom(p, 10)
	p.fec = false
	numbers, _ := s.talk(p, 1)
	require.Equal(t, []int{6, 8, 9, 10}, numbers)
	p.fec = true
	numbers, _ = s.talk(p, 1)
	require.Equal(t, []int{7, 9, 11}, numbers)
}

// With copies under way a packet is not sent again; of what was sent before, it is.
func TestCoveredPacketsAreNotResent(t *testing.T) {
	s := newTest(t, codec.Opus, func(c *Config) { c.RED, c.NACK = redType, true })
	p := newSpeaker(1, true)
	s.d.Assign(s.now, p.Uplink, 0)
	talk := func(n int) (numbers []uint16) {
		for range n {
			p.say(s.now, false)
			b := make([]byte, 1500)
			out, state := s.d.Next(s.now, b, 0)
			require.Equal(t, Sent, state)
			s.d.StoreSealed(out.Seq, b[:out.Size])
			numbers = append(numbers, out.Seq.Uint16())
			s.wait(20 * ms)
		}
		return numbers
	}
	plain := talk(10)
	s.d.SetRedundancy(voice.Full)
	covered := talk(10)
	require.NotNil(t, s.d.Sealed(s.now, plain[5]), "5 is four before 9, the last without copies")
	require.Nil(t, s.d.Sealed(s.now, plain[6]), "10 had a copy")
	require.Nil(t, s.d.Sealed(s.now, covered[9]), "12 will have")
	require.EqualValues(t, 2, s.d.Stats().ResendCovered)
	s.d.SetRedundancy(voice.Plain)
	after := talk(1)
	require.NotNil(t, s.d.Sealed(s.now, after[0]))
}

// ear plays what arrives as a receiver does.
type ear struct {
	require.TestingT
	buffer *jitter.Buffer
	begins map[int64]bool // of packets played
	played int64
}

func newEar(t require.TestingT) *ear {
	b, err := jitter.New(jitter.Config{Start: 100 * ms, Min: 100 * ms})
	require.NoError(t, err)
	return &ear{t, b, map[int64]bool{}, -1}
}

func (e *ear) hear(now time.Duration, g got) {
	numbers, offsets := blocks(e, g)
	for i := range numbers {
		e.buffer.Insert(now, jitter.Packet{
			Sequence: g.h.Sequence, Timestamp: g.h.Timestamp - uint32(offsets[i]), Samples: 960, Copy: i < len(numbers)-1,
			Value: numbers[i],
		})
	}
}

func (e *ear) pull(now time.Duration) {
	for _, part := range e.buffer.Pull(now).Parts {
		if part.Media == 0 {
			continue
		}
		require.GreaterOrEqual(e, part.Position, e.played, "in order")
		e.played = part.Position + int64(part.Media)
		if part.Offset == 0 {
			require.False(e, e.begins[part.Position], "played twice")
			e.begins[part.Position] = true
		}
	}
}

// Over any loss and reordering on both ways, any modes, switches and pauses: each number is sealed once, each block is the packet
// that was sent at its time, and nothing is played twice or out of order.
func TestRedundancyIsNeverHeard(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cfg := config(codec.Opus)
		cfg.RED = redType
		d := New(cfg)
		now := time.Hour
		d.Ready(now)
		voices := []*speaker{newSpeaker(1, true), newSpeaker(2, false)}
		d.Assign(now, voices[0].Uplink, 1)
		at := 0
		loss := rapid.IntRange(0, 6).Draw(t, "loss of ten")
		sealed := map[seq.Extended]bool{}
		times := map[uint32]uint64{} // by timestamp: publisher and number
		hears := newEar(t)
		var late []func(time.Duration)
		var waiting []got
		for range rapid.IntRange(1, 150).Draw(t, "packets") {
			p := voices[at]
			switch rapid.IntRange(0, 29).Draw(t, "what") {
			case 0:
				d.SetRedundancy(voice.Mode(rapid.IntRange(0, voice.Modes-1).Draw(t, "mode")))
			case 1:
				at = 1 - at
				p = voices[at]
				d.Assign(now, p.Uplink, p.ssrc)
			case 2:
				pause := rapid.IntRange(1, 20).Draw(t, "pause")
				now += time.Duration(pause) * 20 * ms
				p.gaps += uint32(pause) * 960
			case 3:
				for _, arrive := range late {
					arrive(now)
				}
				late = late[:0]
			}
			lost := rapid.IntRange(0, 9).Draw(t, "lost by the publisher") < loss
			if arrive := p.say(now, lost); lost {
				late = append(late, arrive)
			}
			for {
				b := make([]byte, 1500)
				out, state := d.Next(now, b, 0)
				if state == Empty {
					break
				}
				if state != Sent {
					continue
				}
				require.False(t, sealed[out.Seq])
				sealed[out.Seq] = true
				g := read(t, b, out, codec.Opus)
				all, n, ok := codec.ReadRED(g.payload)
				if g.h.PayloadType == 111 {
					all[0], n, ok = codec.REDBlock{Data: g.payload}, 1, true
				}
				require.True(t, ok)
				for _, block := range all[:n] {
					stamp := g.h.Timestamp - uint32(block.Offset)
					who := binary.BigEndian.Uint64(block.Data[len(block.Data)-8:])
					if before, ok := times[stamp]; ok {
						require.Equal(t, before, who, fmt.Sprint("two packets at ", stamp))
					}
					times[stamp] = who
					require.Equal(t, voices[who>>32-1].payload(int(uint32(who))), block.Data[:10])
				}
				if rapid.IntRange(0, 9).Draw(t, "lost") >= loss {
					waiting = append(waiting, g)
				}
			}
			if len(waiting) > 1 && rapid.IntRange(0, 9).Draw(t, "swap") == 0 {
				waiting[0], waiting[1] = waiting[1], waiting[0]
			}
			for len(waiting) > rapid.IntRange(0, 2).Draw(t, "delayed") {
				hears.hear(now, waiting[0])
				waiting = waiting[1:]
			}
			hears.pull(now)
			hears.pull(now + 10*ms)
			now += 20 * ms
		}
	})
}

// FuzzCopies has anything for packets: what goes out is taken apart into what came in.
func FuzzCopies(f *testing.F) {
	f.Add([]byte{9 << 3, 0xc0, 1, 2}, uint8(3), uint16(960))
	f.Add([]byte{9 << 3}, uint8(5), uint16(20000))
	f.Add([]byte{0xff, 0xff, 0xff, 3}, uint8(6), uint16(0))
	f.Fuzz(func(t *testing.T, payload []byte, mode uint8, step uint16) {
		if len(payload) == 0 || len(payload) > uplink.MaxPayload-4 {
			return
		}
		cfg := config(codec.Opus)
		cfg.RED = redType
		d := New(cfg)
		d.Ready(0)
		d.SetRedundancy(voice.Mode(mode % uint8(voice.Modes)))
		src := uplink.New(uplink.Config{SSRC: 1, Codec: codec.Opus, PayloadType: 111})
		d.Assign(time.Hour, src, 1)
		var sent [][]byte
		for n := range 12 {
			h := packet.Header{SSRC: 1, Timestamp: uint32(n) * uint32(step), PayloadType: 111}
			own := binary.BigEndian.AppendUint32(payload[:len(payload):len(payload)], uint32(n))
			sent = append(sent, own)
			src.Handle(time.Hour, &h, 1<<16+seq.Extended(n), own, uplink.Extensions{}, nil)
			b := make([]byte, 1500)
			out, state := d.Next(time.Hour, b, 0)
			require.Equal(t, Sent, state)
			parsed, _ := packet.ParseHeader(b[:out.Size])
			if parsed.PayloadType == 111 {
				require.Equal(t, own, b[out.HeaderSize:out.Size])
				continue
			}
			blocks, all, ok := codec.ReadRED(b[out.HeaderSize:out.Size])
			require.True(t, ok)
			require.LessOrEqual(t, out.Size-out.HeaderSize, max(mostRED, len(own)))
			for i, block := range blocks[:all] {
				back := 0
				if i < all-1 {
					require.NotZero(t, step)
					require.Zero(t, block.Offset%step)
					back = int(block.Offset / step)
				}
				require.Equal(t, sent[n-back], block.Data)
			}
		}
	})
}

func TestCopiesDoNotAllocate(t *testing.T) {
	d := New(config(codec.Opus))
	d.cfg.RED = redType
	d.Ready(0)
	d.SetRedundancy(voice.Bursts)
	p := newSpeaker(1, true)
	d.Assign(time.Second, p.Uplink, 1)
	payload, dst, now := p.payload(0), make([]byte, 1500), time.Second
	n := 0
	step := func() {
		h := packet.Header{SSRC: 1, Timestamp: uint32(n) * 960, PayloadType: 111}
		p.Handle(now, &h, 1<<16+seq.Extended(n), payload, uplink.Extensions{}, nil)
		once(d, now, dst)
		now += 20 * ms
		n++
	}
	for range 500 {
		step()
	}
	before := d.Stats().Copies
	require.Zero(t, testing.AllocsPerRun(500, step))
	require.Equal(t, before+2*501, d.Stats().Copies)
}

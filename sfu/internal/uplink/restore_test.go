package uplink

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/tolkyn/tolkyn/codec"
	"github.com/tolkyn/tolkyn/internal/packet"
	"github.com/tolkyn/tolkyn/internal/seq"
)

const plainType, redType = 111, 63

// spoken is one packet of a voice.
type spoken struct {
	e       seq.Extended
	stamp   uint32
	payload []byte
}

// opusPacket is a SILK packet of 20 ms that ends in n; fec: it carries the one before it.
func opusPacket(n int, fec bool) []byte {
	first := byte(0x80) // voice activity
	if fec {
		first |= 0x40
	}
	return []byte{9 << 3, first, 7, byte(n >> 8), byte(n)}
}

// speak makes n packets of 20 ms; behind those in pauses nothing was sent for 100 ms.
func speak(n int, pauses ...int) (all []spoken) {
	stamp := uint32(1<<32 - 3000)
	for i := range n {
		all = append(all, spoken{first + seq.Extended(i), stamp, opusPacket(i, false)})
		stamp += 960
		if slices.Contains(pauses, i) {
			stamp += 4800
		}
	}
	return all
}

// red is the payload of a packet that brings copies of those at the distances before it, farthest first.
func red(all []spoken, i int, distances ...int) []byte {
	var blocks []codec.REDBlock
	for _, d := range distances {
		if i >= d {
			blocks = append(blocks, codec.REDBlock{
				PayloadType: plainType, Offset: uint16(all[i].stamp - all[i-d].stamp), Data: all[i-d].payload,
			})
		}
	}
	b, ok := codec.AppendRED(nil, append(blocks, codec.REDBlock{PayloadType: plainType, Data: all[i].payload}))
	if !ok {
		panic("no RED")
	}
	return b
}

func newVoice() *Uplink {
	return New(Config{SSRC: 1, Codec: codec.Opus, PayloadType: plainType, RED: redType, NACK: true})
}

// hearRED hands in packet i of a voice with copies.
func (u *Uplink) hearRED(now time.Duration, all []spoken, i int, distances ...int) Verdict {
	h := &packet.Header{Sequence: all[i].e.Uint16(), Timestamp: all[i].stamp, SSRC: 1, PayloadType: redType, Marker: true, Size: 12}
	return u.Handle(now, h, all[i].e, red(all, i, distances...), Extensions{Has: HasLevel, Level: 9}, nil)
}

// holds compares what the history has of a voice, in order of arrival, with packets of it.
func holds(t require.TestingT, u *Uplink, all []spoken, order ...int) {
	require.Equal(t, len(order), int(u.Head()-u.Tail()))
	for n, i := range order {
		p := u.At(u.Tail() + uint64(n))
		require.Equal(t, all[i].e, p.Seq, "packet %d", n)
		require.Equal(t, all[i].stamp, p.Timestamp)
		require.Equal(t, all[i].payload, u.Payload(p))
		require.True(t, p.Speech)
	}
}

func TestCopiesFillHoles(t *testing.T) {
	all := speak(10)
	u := newVoice()
	require.Equal(t, Stored, u.hearRED(time.Hour, all, 0, 2, 1))
	require.Equal(t, Stored, u.hearRED(time.Hour, all, 1, 2, 1))
	require.Equal(t, Stored, u.hearRED(time.Hour, all, 4, 2, 1))
	holds(t, u, all, 0, 1, 2, 3, 4)
	require.Zero(t, u.At(3).Ext.Has, "the level of a copy is not known")
	require.NotZero(t, u.At(4).Ext.Has)
	require.Empty(t, u.Poll(time.Hour+time.Second).NACK, "nothing is missing")
	require.Equal(t, Duplicate, u.hearRED(time.Hour, all, 3, 2, 1), "it comes late, and is there")

	require.Equal(t, Stored, u.hearRED(time.Hour, all, 9, 2, 1))
	holds(t, u, all, 0, 1, 2, 3, 4, 7, 8, 9)
	require.EqualValues(t, 4, u.Stats().Restored)
	copied, _ := u.TakeRestored()
	require.EqualValues(t, 4, copied)
	copied, _ = u.TakeRestored()
	require.Zero(t, copied)
	require.EqualValues(t, 5, u.report.received, "the path is told of as it is")
	out := u.Poll(time.Hour + 20*ms)
	require.Equal(t, []uint16{all[5].e.Uint16()}, out.NACK, "8 would bring 6, and may still come")
	out = u.Poll(time.Hour + 30*ms)
	require.Equal(t, []uint16{all[6].e.Uint16()}, out.NACK)

	// What was asked for comes within another; no round trip is taken from that.
	require.Equal(t, Stored, u.hearRED(time.Hour+40*ms, append(all, speak(11)[10]), 10, 4))
	holds(t, u, append(all, speak(11)[10]), 0, 1, 2, 3, 4, 7, 8, 9, 6, 10)
	require.Zero(t, u.Stats().RTT)
	require.Zero(t, u.Stats().Repaired)
}

// A pause among several that are missing: their numbers go on, their timestamps jump.
// TestAnOutageOfAVoiceIsNotAskedForWhole: what is older than playout waits is of no use, and all of it at once would delay what is.
func TestAnOutageOfAVoiceIsNotAskedForWhole(t *testing.T) {
	for rtt, want := range map[time.Duration]int{50 * time.Millisecond: 20, 200 * time.Millisecond: 25, time.Second: 40} {
		u, all := newVoice(), speak(200)
		u.SetRTT(rtt)
		say := func(now time.Duration, i int) {
			h := &packet.Header{Sequence: all[i].e.Uint16(), Timestamp: all[i].stamp, SSRC: 1, PayloadType: plainType, Size: 12}
			require.Equal(t, Stored, u.Handle(now, h, all[i].e, all[i].payload, Extensions{}, nil))
		}
		say(0, 0)
		say(2*time.Second, 100)
		asked := u.Poll(2*time.Second + reorderWait).NACK
		require.Len(t, asked, want)
		require.Equal(t, all[99].e.Uint16(), asked[want-1])
		require.EqualValues(t, 99-want, u.Stats().GivenUp)
	}
}

func TestCopiesAmongPauses(t *testing.T) {
	all := speak(8, 2, 4)
	for name, c := range map[string]struct {
		distances []int // of packet 5, behind 1
		order     []int
	}{
		"the last one ends a pause":       {[]int{1}, []int{0, 1, 5}},          // 4: a pause between it and 5
		"one behind the last that came":   {[]int{3}, []int{0, 1, 2, 5}},       // 2
		"nothing tells which of two":      {[]int{2}, []int{0, 1, 5}},          // 3
		"with its neighbours there it is": {[]int{3, 2, 1}, []int{0, 1, 2, 5}}, // then 3: two of them, a pause behind
	} {
		u := newVoice()
		u.hearRED(time.Hour, all, 0)
		u.hearRED(time.Hour, all, 1)
		u.hearRED(time.Hour, all, 5, c.distances...)
		t.Run(name, func(t *testing.T) { holds(t, u, all, c.order...) })
	}
}

func TestREDThatCannotBeUsed(t *testing.T) {
	all := speak(3)
	u := newVoice()
	h := &packet.Header{Sequence: all[0].e.Uint16(), Timestamp: all[0].stamp, SSRC: 1, PayloadType: redType}
	for name, payload := range map[string][]byte{
		"cut short":          {0x80 | plainType, 0},
		"of another type":    {13, 1, 2, 3},
		"nothing of its own": {plainType},
	} {
		require.Equal(t, Malformed, u.Handle(time.Hour, h, all[0].e, payload, Extensions{}, nil), name)
	}
	require.Zero(t, u.Head())
	// Copies of another type are left out, the packet is not.
	b, _ := codec.AppendRED(nil, []codec.REDBlock{{PayloadType: 13, Offset: 960, Data: []byte{1}}, {PayloadType: plainType, Data: all[2].payload}})
	u.hearRED(time.Hour, all, 0)
	h.Sequence, h.Timestamp = all[2].e.Uint16(), all[2].stamp
	require.Equal(t, Stored, u.Handle(time.Hour, h, all[2].e, b, Extensions{}, nil))
	holds(t, u, all, 0, 2)
	// And where RED was not negotiated its payload type means nothing.
	plain := New(Config{SSRC: 1, Codec: codec.Opus, PayloadType: plainType})
	h.PayloadType = 0
	require.Equal(t, Stored, plain.Handle(time.Hour, h, all[2].e, all[2].payload, Extensions{}, nil))
	holds(t, plain, all, 2)
}

// However RED packets are lost, swapped and doubled: what is stored is what was sent under its number, each once.
func TestAnyREDIsRestoredAsItWas(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(2, 60).Draw(t, "packets")
		all := speak(n, rapid.SliceOfN(rapid.IntRange(0, n), 0, 6).Draw(t, "pauses")...)
		distances := rapid.SampledFrom([][]int{{1}, {2, 1}, {4, 2}, {5, 2}, {3, 2, 1}}).Draw(t, "distances")
		u := newVoice()
		order := make([]int, 0, n)
		for i := range n {
			if i == 0 || rapid.IntRange(0, 9).Draw(t, fmt.Sprint("loss of ", i)) < 6 {
				order = append(order, i)
			}
		}
		for i := 1; i+1 < len(order); i++ {
			if rapid.IntRange(0, 9).Draw(t, "swap") == 0 {
				order[i], order[i+1] = order[i+1], order[i]
			}
		}
		had := map[seq.Extended]bool{}
		for n, i := range order {
			near := distances[:0:0]
			for _, d := range distances {
				if i >= d && all[i].stamp-all[i-d].stamp < 1<<14 {
					near = append(near, d)
				}
			}
			u.hearRED(time.Hour+time.Duration(n)*8*ms, all, i, near...)
		}
		for i := u.Tail(); i < u.Head(); i++ {
			p := u.At(i)
			k := int(p.Seq - first)
			require.False(t, had[p.Seq], "twice")
			had[p.Seq] = true
			require.Equal(t, all[k].stamp, p.Timestamp, "packet %d", k)
			require.Equal(t, all[k].payload, u.Payload(p))
		}
		for _, i := range order {
			require.True(t, had[all[i].e], "what came is there")
		}
	})
}

// FuzzRED hands in anything as RED: nothing breaks, and what came whole is kept.
func FuzzRED(f *testing.F) {
	all := speak(6)
	f.Add(red(all, 5, 4, 2), red(all, 4, 1))
	f.Add([]byte{0xef, 0, 0, 0, 111, 1}, []byte{111, 1})
	f.Fuzz(func(t *testing.T, a, b []byte) {
		u := newVoice()
		require.Equal(t, Stored, u.hearRED(time.Hour, all, 0))
		for i, payload := range [][]byte{a, b} {
			s := all[2+2*i]
			h := &packet.Header{Sequence: s.e.Uint16(), Timestamp: s.stamp, SSRC: 1, PayloadType: redType}
			u.Handle(time.Hour, h, s.e, payload, Extensions{}, nil)
		}
		last := u.At(u.Head() - 1)
		stamps := map[uint32]bool{}
		for i := u.Tail(); i < u.Head(); i++ {
			require.False(t, stamps[u.At(i).Timestamp], "two of one time")
			stamps[u.At(i).Timestamp] = true
			require.LessOrEqual(t, u.At(i).Seq, last.Seq)
		}
		require.Equal(t, all[0].payload, u.Payload(u.Find(first)))
	})
}

func TestFECIsReadAndAskedFor(t *testing.T) {
	u := New(Config{SSRC: 1, Codec: codec.Opus})
	now := time.Hour
	h := &packet.Header{SSRC: 1}
	hand := func(payload []byte) *Packet {
		h.Sequence++
		h.Timestamp += 960
		require.Equal(t, Stored, u.Handle(now, h, 1<<16+seq.Extended(h.Sequence), payload, Extensions{}, nil))
		return u.At(u.Head() - 1)
	}
	require.False(t, u.FEC(now))
	require.False(t, hand(opusPacket(1, false)).FEC)
	require.True(t, hand(opusPacket(2, true)).FEC)
	require.True(t, u.FEC(now+2900*ms), "in a pause")
	require.False(t, u.FEC(now+3*time.Second))
	quiet := hand([]byte{9 << 3})
	require.False(t, quiet.Speech, "nothing is said")
	require.False(t, hand([]byte{9<<3 | 3}).Speech, "it cannot be read")

	require.Zero(t, u.ReportBlock(now).FractionLost)
	require.True(t, u.AskFEC(now, 0.02))
	require.False(t, u.AskFEC(now, 0.02), "he knows")
	require.EqualValues(t, 6, u.ReportBlock(now).FractionLost)
	u.AskFEC(now, 0.05)
	require.EqualValues(t, 12, u.ReportBlock(now).FractionLost)
	u.AskFEC(now, 0.02)
	require.EqualValues(t, 11, u.ReportBlock(now).FractionLost, "it nears what is told now")
	u.AskFEC(now, 0.5)
	require.EqualValues(t, 24, u.ReportBlock(now).FractionLost, "no loss to slow down at")
	require.Zero(t, u.ReportBlock(now+5*time.Second).FractionLost)
	h.Sequence += 9 // his own path loses more than that
	hand(opusPacket(3, false))
	u.AskFEC(now, 0.02)
	require.EqualValues(t, 256*9/10, u.ReportBlock(now).FractionLost)
}

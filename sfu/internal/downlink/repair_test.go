package downlink

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/codec"
	"github.com/tolkyn/tolkyn/internal/packet"
	"github.com/tolkyn/tolkyn/sfu/internal/uplink"
)

// large makes packets of about a kilobyte.
func large(all []made) []made {
	for i := range all {
		b := all[i].payload
		end := len(b) - 12
		all[i].payload = append(append(append([]byte{}, b[:end]...), make([]byte, 1000)...), b[end:]...)
	}
	return all
}

// repaired is a slot with an estimate, the budget spent that it begins with.
func repaired(t *testing.T, share float64, spent bool) (*layered, []got) {
	s := newLayered(t)
	s.d.SetRTT(20 * ms)
	s.d.SetRepair(share)
	s.p.arrive(s.now, large(s.p.next(true, 20))...)
	all := s.drain()
	for i := 0; spent && i < 15; i++ {
		s.resend(all[i].h.Sequence)
	}
	return s, all
}

func TestRepairTakesItsShare(t *testing.T) {
	for _, share := range []float64{0.05, 0.1 / 0.9, 0.3/0.7 + 0.05} {
		s, _ := repaired(t, share, false)
		for range 2000 {
			s.p.n = 0 // the base layer
			s.p.arrive(s.now, large(s.p.next(false, 3))...)
			s.drain()
			for k := range uint16(30) {
				s.resend(s.d.sequence.highest.Uint16() - k)
			}
			s.wait(10 * ms)
		}
		st := s.d.Stats()
		got := float64(st.ResentOctets-budgetFloor) / float64(st.Octets)
		require.InDelta(t, share, got, 0.02*share+0.002)
		require.Positive(t, st.ResendOverBudget)
	}
}

// One packet is resent so often that hardly any stay lost, and no more: mostly in vain are the others.
func TestResendsByLoss(t *testing.T) {
	for _, c := range []struct {
		loss float64
		want int
	}{{0, 3}, {0.1, 3}, {0.2, 3}, {0.25, 4}, {0.3, 5}, {0.5, 8}, {0.9, 8}} {
		s, all := repaired(t, c.loss/(1-c.loss)+0.05, false)
		s.d.rtx.budget.left = budgetFloor
		n := 0
		for began := s.now; s.now < began+950*ms; s.wait(5 * ms) {
			if _, ok := s.resend(all[19].h.Sequence); ok {
				n++
			}
		}
		require.Equal(t, c.want, n, "loss %v", c.loss)
	}
}

func TestRepairWithoutAnEstimateIsAsBefore(t *testing.T) {
	s, all := repaired(t, 0.05, true)
	s.wait(time.Second / 2)
	_, ok := s.resend(all[19].h.Sequence)
	require.False(t, ok)
	s.d.SetRepair(0)
	_, ok = s.resend(all[19].h.Sequence)
	require.True(t, ok, "16 kB a second beside half of the media")
}

// What budget there is goes to the base layer.
func TestRepairOfTheBaseComesFirst(t *testing.T) {
	s, _ := repaired(t, 0.05, false)
	s.p.n = 1
	s.p.arrive(s.now, large(s.p.next(false, 20))...) // of the highest layer
	upper := s.drain()
	s.p.n = 0
	s.p.arrive(s.now, large(s.p.next(false, 20))...)
	base := s.drain()
	count := func(all []got) (n int) {
		for _, g := range all {
			if _, ok := s.resend(g.h.Sequence); ok {
				n++
			}
		}
		return n
	}
	require.Equal(t, 11, count(upper), "16 kB but 4 kB")
	require.Equal(t, 4, count(base))
	require.False(t, s.d.WantsKeyframe(s.now))
}

// A keyframe of 20 kB is cheaper than 21 packets that there is no budget for.
func TestAKeyframeInsteadOfRepair(t *testing.T) {
	s, _ := repaired(t, 0.05, true)
	s.p.n = 0
	s.p.arrive(s.now, large(s.p.next(false, 30))...)
	all := s.drain()
	require.Zero(t, s.d.Stats().KeyframesInstead)
	wished := -1
	refused := 0
	for i, g := range all {
		if _, ok := s.resend(g.h.Sequence); !ok {
			refused++
		}
		s.resend(g.h.Sequence) // who asks twice does not lack more for it
		if wished < 0 && s.d.WantsKeyframe(s.now) {
			wished = i
			require.Equal(t, 20, refused, "each is larger by headers and RTX")
		}
	}
	require.Positive(t, wished)
	require.Equal(t, uint64(1), s.d.Stats().KeyframesInstead)

	// The keyframe comes: nobody needs what was before it, and what budget there is is kept.
	s.p.arrive(s.now, large(s.p.next(true, 20))...)
	s.drain()
	require.False(t, s.d.WantsKeyframe(s.now))
	s.wait(30 * ms)
	over := s.d.Stats().ResendOverBudget
	_, ok := s.resend(all[29].h.Sequence)
	require.False(t, ok)
	require.Equal(t, uint64(1), s.d.Stats().ResendUseless)
	require.Equal(t, over, s.d.Stats().ResendOverBudget)
}

// What was refused and is answered later is owed no more; nor is what nobody has asked for in a second.
func TestWhatIsOwedIsForgotten(t *testing.T) {
	s, _ := repaired(t, 0.05, true)
	s.p.n = 0
	s.p.arrive(s.now, large(s.p.next(false, 10))...)
	all := s.drain()
	for _, g := range all {
		s.resend(g.h.Sequence)
	}
	owed := s.d.rtx.owed
	require.Greater(t, owed, 9000)
	s.d.SetRepair(1)
	s.p.n = 0
	s.p.arrive(s.now, large(s.p.next(false, 3))...)
	s.drain()
	r, ok := s.resend(all[9].h.Sequence)
	require.True(t, ok, "at once: it was not sent a round trip ago")
	require.Equal(t, owed-r.Size, s.d.rtx.owed)

	s.d.SetRepair(0.05)
	s.d.rtx.budget.left = 0
	s.wait(resendEnd + 1)
	s.p.n = 0
	s.p.arrive(s.now, large(s.p.next(false, 1))...)
	s.resend(s.drain()[0].h.Sequence)
	require.Less(t, s.d.rtx.owed, 1100)
}

// What leaves the history before another request could come is answered, and a keyframe asked for.
func TestAKeyframeWhenItIsTheLastChance(t *testing.T) {
	s, _ := repaired(t, 0.5, false)
	s.p.n = 0
	s.p.arrive(s.now, s.p.next(false, 1)...)
	g := s.drain()[0]
	s.d.SetRTT(200 * ms)
	s.wait(800 * ms)
	_, ok := s.resend(g.h.Sequence)
	require.True(t, ok)
	require.False(t, s.d.WantsKeyframe(s.now))
	s.wait(200 * ms)
	_, ok = s.resend(g.h.Sequence)
	require.True(t, ok)
	require.True(t, s.d.WantsKeyframe(s.now))
}

func TestPaddingRepeatsThenPads(t *testing.T) {
	s := newTest(t, codec.VP8, nil)
	pad := func(size int) (b []byte, out Out, ok bool) {
		b = make([]byte, 1500)
		out, ok = s.d.Padding(s.now, size, b, s.tseq)
		return b[:out.Size], out, ok
	}
	b, out, ok := pad(275)
	require.True(t, ok, "nothing has been sent, and a probe must be answered all the same")
	require.Equal(t, 275, out.Size)
	h, ok := packet.ParseHeader(b)
	require.True(t, ok)
	require.True(t, h.Padding)
	require.Equal(t, uint8(97), h.PayloadType)
	p := newPublisher(codec.VP8, 1)
	s.d.Assign(s.now, p.Uplink, 1)
	p.arrive(s.now, large(p.frame(true, 3))...)
	sent := s.drain()
	s.resend(sent[0].h.Sequence) // makes the gates
	first := s.d.rtx.last

	for i := range 7 {
		b, out, ok := pad(1200)
		require.True(t, ok)
		require.True(t, out.RTX)
		require.Equal(t, first+1, out.Seq, "a number each")
		first++
		g := read(t, b, out, codec.VP8)
		want := sent[2-i%3]
		require.Equal(t, want.h.Sequence, uint16(g.payload[0])<<8|uint16(g.payload[1]), "the newest first, and over again")
		require.Equal(t, want.payload, g.payload[2:])
		require.Equal(t, int(s.tseq), g.tseq)
	}
	_, ok = s.resend(sent[2].h.Sequence)
	require.False(t, ok, "it is on its way")

	for _, c := range []struct{ size, want int }{{900, 20 + 255}, {275, 275}, {100, 100}, {21, 21}, {0, 21}, {-5, 21}} {
		b, out, ok := pad(c.size)
		require.True(t, ok)
		require.Equal(t, c.want, out.Size, "a header of 20 bytes, and 255 of padding at most")
		h, ok := packet.ParseHeader(b)
		require.True(t, ok)
		require.True(t, h.Padding)
		require.Equal(t, uint32(2000), h.SSRC)
		require.Equal(t, uint8(97), h.PayloadType)
		require.Equal(t, out.Seq.Uint16(), h.Sequence)
		payload, ok := h.Payload(b)
		require.True(t, ok)
		require.Empty(t, payload)
	}
	require.Equal(t, uint64(14), s.d.Stats().Padding)

	audio := newTest(t, codec.Opus, nil)
	voice := newPublisher(codec.Opus, 1)
	audio.d.Assign(audio.now, voice.Uplink, 1)
	voice.arrive(audio.now, voice.frame(false, 1)...)
	require.Len(t, audio.drain(), 1)
	_, ok = audio.d.Padding(audio.now, 500, make([]byte, 1500), 0)
	require.False(t, ok)
}

// A paused slot still has padding to give: a probe may show that there is room for it again.
func TestPaddingOfAPausedSlot(t *testing.T) {
	s := newLayered(t)
	s.show(3, true)
	s.d.SetPaused(s.now, true)
	s.show(90, false)
	out, ok := s.d.Padding(s.now, 200, make([]byte, 1500), 0)
	require.True(t, ok)
	require.Equal(t, 200, out.Size)
}

func TestRepairAndPaddingDoNotAllocate(t *testing.T) {
	s, _ := repaired(t, 0.5, true)
	dst := make([]byte, 1500)
	p := large(s.p.next(false, 1))[0]
	p.h.Marker = true
	n := uint16(0)
	step := func() {
		s.now += ms
		p.e++
		p.h.Sequence++
		p.h.Timestamp += 90
		s.p.Handle(s.now, &p.h, p.e, p.payload, uplink.Extensions{}, nil)
		for {
			if _, state := s.d.Next(s.now, dst, 1); state == Empty {
				break
			}
		}
		n++
		s.d.Resend(s.now, s.d.sequence.highest.Uint16()-n%50, dst, 1)
		s.d.Padding(s.now, 1200, dst, 1)
		s.d.Padding(s.now, 100, dst, 1)
		s.d.Backlog(s.now)
		s.d.SetPaused(s.now, n%100 == 0)
		s.d.SetRepair(0.3)
	}
	for range 3000 {
		step()
	}
	require.Zero(t, testing.AllocsPerRun(2000, step))
}

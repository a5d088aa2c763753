package downlink

import (
	"encoding/binary"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/codec"
	"github.com/tolkyn/tolkyn/internal/seq"
)

func TestResendIsTheSamePacketOnItsOwnStream(t *testing.T) {
	s := newTest(t, codec.VP8, nil)
	a, b := newPublisher(codec.VP8, 1), newPublisher(codec.VP8, 2)
	s.d.Assign(s.now, a.Uplink, 1)
	a.arrive(s.now, a.frame(true, 3)...)
	sent := s.drain()
	s.d.Assign(s.now, b.Uplink, 2)
	b.arrive(s.now, b.frame(true, 3)...)
	sent = append(sent, s.drain()...)
	require.Len(t, sent, 6)

	for i, g := range sent {
		r, ok := s.resend(g.h.Sequence)
		require.True(t, ok)
		require.True(t, r.RTX)
		require.Equal(t, seq.Extended(1<<16+500+i), r.Seq)
		require.Equal(t, uint32(2000), r.h.SSRC)
		require.Equal(t, uint8(97), r.h.PayloadType)
		require.Equal(t, g.h.Timestamp, r.h.Timestamp)
		require.Equal(t, g.h.Marker, r.h.Marker)
		require.Equal(t, g.h.Sequence, binary.BigEndian.Uint16(r.payload))
		require.Equal(t, g.payload, r.payload[2:], "rewritten as before, of either source")
	}
	_, ok := s.resend(sent[5].h.Sequence + 1)
	require.False(t, ok, "never sent")
	require.Equal(t, uint64(6), s.d.Stats().Resent)
}

func TestResendOncePerRoundTrip(t *testing.T) {
	s := newTest(t, codec.VP8, nil)
	p := newPublisher(codec.VP8, 1)
	s.d.Assign(s.now, p.Uplink, 1)
	p.arrive(s.now, p.frame(true, 1)...)
	n := s.drain()[0].h.Sequence
	for _, c := range []struct{ rtt, gap time.Duration }{{0, defaultResendGap}, {80 * ms, 80 * ms}, {ms, minResendGap}} {
		s.d.SetRTT(c.rtt)
		s.wait(time.Second)
		_, ok := s.resend(n)
		require.True(t, ok)
		s.wait(c.gap - 1)
		_, ok = s.resend(n)
		require.False(t, ok)
		s.wait(1)
		_, ok = s.resend(n)
		require.True(t, ok)
	}
	require.Equal(t, uint64(3), s.d.Stats().ResendTooSoon)
}

func TestResendNeedsTheHistory(t *testing.T) {
	s := newTest(t, codec.VP8, nil)
	p := newPublisher(codec.VP8, 1)
	s.d.Assign(s.now, p.Uplink, 1)
	p.arrive(s.now, p.frame(true, 1)...)
	n := s.drain()[0].h.Sequence
	for i := range 1100 {
		s.wait(10 * ms)
		p.arrive(s.now, p.frame(i%100 == 0, 1)...)
		s.drain()
	}
	_, ok := s.resend(n)
	require.False(t, ok)
	require.Equal(t, uint64(1), s.d.Stats().ResendGone)
	_, ok = s.resend(n + 1100)
	require.True(t, ok)
	p.Release()
	_, ok = s.resend(n + 1099)
	require.False(t, ok)
}

func TestResendReachesEightSegmentsBack(t *testing.T) {
	s := newTest(t, codec.VP8, nil)
	p := []*publisher{newPublisher(codec.VP8, 1), newPublisher(codec.VP8, 2)}
	var sent []got
	for i := range 9 {
		s.d.Assign(s.now, p[i%2].Uplink, uint32(i))
		p[i%2].arrive(s.now, p[i%2].frame(true, 2)...)
		sent = append(sent, s.drain()...)
		s.wait(10 * ms)
	}
	require.Len(t, sent, 18)
	for i, g := range sent {
		r, ok := s.resend(g.h.Sequence)
		require.Equal(t, i >= 2, ok, i)
		if ok {
			require.Equal(t, g.payload, r.payload[2:])
		}
	}
}

// A subscriber who asks for everything again and again costs at most half his media and the floor.
func TestResendBudget(t *testing.T) {
	s := newTest(t, codec.VP8, nil)
	s.d.SetRTT(minResendGap)
	p := newPublisher(codec.VP8, 1)
	s.d.Assign(s.now, p.Uplink, 1)
	start := s.d.Stats()
	for i := range 1000 {
		all := p.frame(i == 0, 3)
		for j := range all {
			all[j].payload = append(all[j].payload[:len(all[j].payload)-12], append(make([]byte, 1000), all[j].payload[len(all[j].payload)-12:]...)...)
		}
		p.arrive(s.now, all...)
		s.drain()
		for k := range uint16(100) {
			s.resend(s.d.sequence.highest.Uint16() - k)
		}
		s.wait(10 * ms)
	}
	st := s.d.Stats()
	media := st.Octets - start.Octets
	require.Less(t, st.ResentOctets, media*55/100+10*budgetFloor)
	require.Greater(t, st.ResentOctets, media*45/100)
	require.Positive(t, st.ResendOverBudget)

	s.wait(10 * time.Second)
	var bytes int
	for k := range uint16(100) {
		if r, ok := s.resend(s.d.sequence.highest.Uint16() - k); ok {
			bytes += r.Size
		}
	}
	require.LessOrEqual(t, bytes, budgetFloor)
	require.Greater(t, bytes, budgetFloor-1200, "an idle slot has the floor only")
}

func TestSealedBytesAreSentAgain(t *testing.T) {
	s := newTest(t, codec.Opus, func(c *Config) { c.NACK = true })
	p := newPublisher(codec.Opus, 1)
	s.d.Assign(s.now, p.Uplink, 1)
	var numbers []uint16
	store := func(size int) {
		p.arrive(s.now, p.frame(false, 1)...)
		b := make([]byte, 1500)
		out, state := s.d.Next(s.now, b, 0)
		require.Equal(t, Sent, state)
		sealed := make([]byte, size)
		for i := range sealed {
			sealed[i] = byte(out.Seq)
		}
		s.d.StoreSealed(out.Seq, sealed)
		numbers = append(numbers, out.Seq.Uint16())
	}
	for i := range 200 {
		store(100 + i/2) // the ring has to grow meanwhile
		s.wait(20 * ms)
	}
	for i, n := range numbers {
		b := s.d.Sealed(s.now, n)
		require.Equal(t, i >= 150, b != nil, "%d: a second", i)
		if b == nil {
			continue
		}
		require.Len(t, b, 100+i/2)
		for _, c := range b {
			require.Equal(t, byte(n), c)
		}
		require.Nil(t, s.d.Sealed(s.now, n), "once a round trip")
	}
	require.Nil(t, s.d.Sealed(s.now, numbers[199]+1))
	_, ok := s.resend(numbers[199])
	require.False(t, ok, "no RTX was negotiated")

	plain := newTest(t, codec.Opus, nil)
	plain.d.StoreSealed(1<<16, []byte{1})
	require.Nil(t, plain.d.Sealed(plain.now, 0))
	require.Nil(t, plain.d.sealed)
}

// TestWhoAsksAgainAndAgainWaitsLonger: every 10 ms for a second, with a round trip of 40 ms.
func TestWhoAsksAgainAndAgainWaitsLonger(t *testing.T) {
	s := newTest(t, codec.VP8, nil)
	p := newPublisher(codec.VP8, 1)
	s.d.Assign(s.now, p.Uplink, 1)
	p.arrive(s.now, p.frame(true, 1)...)
	n := s.drain()[0].h.Sequence
	s.d.SetRTT(40 * ms)
	var at []time.Duration
	for began := s.now; s.now < began+time.Second; s.wait(10 * ms) {
		if _, ok := s.resend(n); ok {
			at = append(at, s.now-began)
		}
	}
	require.Equal(t, []time.Duration{0, 40 * ms, 120 * ms}, at)
}

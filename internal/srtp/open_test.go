package srtp

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/tolkyn/tolkyn/internal/packet"
	"github.com/tolkyn/tolkyn/internal/seq"
)

// sealed returns the packet of stream ssrc with number e, sealed.
func sealed(t require.TestingT, s *Sealer, ssrc uint32, e seq.Extended, size int) []byte {
	b, header := testPacket(ssrc, e.Uint16(), size)
	n := s.SealRTP(b, header, len(b), e)
	require.NotZero(t, n)
	return b[:n]
}

// open opens a copy of b.
func open(t require.TestingT, o *Opener, b []byte) (seq.Extended, Verdict) {
	b = bytes.Clone(b)
	h, ok := packet.ParseHeader(b)
	require.True(t, ok)
	_, e, v := o.OpenRTP(b, &h)
	return e, v
}

func TestReplay(t *testing.T) {
	for _, p := range profiles {
		s, o := newPair(t, p)
		for _, step := range []struct {
			e    seq.Extended
			want Verdict
		}{
			{1<<16 + 100, OK},
			{1<<16 + 100, Replayed},
			{1<<16 + 99, OK}, // late, before the first one seen
			{1<<16 + 99, Replayed},
			{1<<16 + 1123, OK},
			{1<<16 + 100, Replayed}, // the last number that the window holds
			{1<<16 + 101, OK},
			{1<<16 + 98, Replayed}, // too old to tell
			{1<<16 + 30_000, OK},
			{1<<16 + 29_000, OK},
			{1<<16 + 1123, Replayed},
		} {
			_, got := open(t, o, sealed(t, s, 1, step.e, 50))
			require.Equal(t, step.want, got, "%v %d", p, step.e-1<<16)
		}
	}
}

func TestRolloverWithLatePackets(t *testing.T) {
	s, o := newPair(t, AEADAES128GCM)
	for _, e := range []seq.Extended{65535, 65536 + 1, 65534, 65536, 65533, 65536 + 2, 65536 + 30_000, 65536 + 60_000, 2*65536 - 10, 2*65536 + 3, 2*65536 - 9} {
		e += 1 << 16
		got, verdict := open(t, o, sealed(t, s, 1, e, 50))
		require.Equal(t, OK, verdict)
		require.Equal(t, e, got)
		require.Equal(t, uint32(e>>16)-1, got.Rollover())
	}
}

func TestPacketBeforeTheStreamsBeginning(t *testing.T) {
	s, o := newPair(t, AEADAES128GCM)
	_, verdict := open(t, o, sealed(t, s, 1, 1<<16+2, 50))
	require.Equal(t, OK, verdict)
	_, verdict = open(t, o, sealed(t, s, 1, 1<<16+65535, 50))
	require.Equal(t, Malformed, verdict)
}

func TestForgedMovesNothing(t *testing.T) {
	for _, p := range profiles {
		s, o := newPair(t, p)
		for i := range 8 {
			forged := sealed(t, s, 1, 1<<16+65000+seq.Extended(i), 50)
			forged[len(forged)-1-i*5] ^= 0x10
			_, verdict := open(t, o, forged)
			require.Equal(t, Forged, verdict)
		}
		require.Empty(t, o.rtp.list, "an SSRC is remembered only once it has proved genuine")

		genuine := sealed(t, s, 1, 1<<16+5, 50)
		_, verdict := open(t, o, genuine)
		require.Equal(t, OK, verdict)
		// Taken for real, this one would make all that follow look a rollover late.
		ahead := sealed(t, s, 1, 1<<16+30_000, 50)
		ahead[3] ^= 1
		_, verdict = open(t, o, ahead)
		require.Equal(t, Forged, verdict)
		for _, e := range []seq.Extended{6, 7} {
			_, verdict = open(t, o, sealed(t, s, 1, 1<<16+e, 50))
			require.Equal(t, OK, verdict)
		}
	}
}

func TestForgedRTCPMovesNothing(t *testing.T) {
	for _, p := range profiles {
		s, o := newPair(t, p)
		b := make([]byte, 8+p.RTCPOverhead())
		copy(b, []byte{0x80, 201, 0, 1, 1, 2, 3, 4})
		require.Equal(t, len(b), s.SealRTCP(b, 8))
		for i := range b {
			forged := bytes.Clone(b)
			forged[i] ^= 1
			_, verdict := o.OpenRTCP(forged)
			require.Contains(t, []Verdict{Forged, Malformed}, verdict)
		}
		require.Empty(t, o.rtcp.list)
		_, verdict := o.OpenRTCP(bytes.Clone(b))
		require.Equal(t, OK, verdict)
		_, verdict = o.OpenRTCP(bytes.Clone(b))
		require.Equal(t, Replayed, verdict)
	}
}

func TestTooManyStreams(t *testing.T) {
	s, o := newPair(t, AEADAES128GCM)
	for i := range uint32(maxRTPStreams) {
		_, verdict := open(t, o, sealed(t, s, i, 1<<16, 50))
		require.Equal(t, OK, verdict)
	}
	next := sealed(t, s, 1000, 1<<16, 50)
	_, verdict := open(t, o, next)
	require.Equal(t, TooManyStreams, verdict)
	_, verdict = open(t, o, sealed(t, s, 7, 1<<16+1, 50))
	require.Equal(t, OK, verdict, "the others go on")
}

func TestTooManyRTCPStreams(t *testing.T) {
	s, o := newPair(t, AEADAES128GCM)
	for i := range maxRTCPStreams + 1 {
		b := make([]byte, 8+AEADAES128GCM.RTCPOverhead())
		copy(b, []byte{0x80, 201, 0, 1, 0, 0, byte(i >> 8), byte(i)})
		s.SealRTCP(b, 8)
		_, verdict := o.OpenRTCP(b)
		if i < maxRTCPStreams {
			require.Equal(t, OK, verdict)
		} else {
			require.Equal(t, TooManyStreams, verdict)
		}
	}
}

func TestVerdictNames(t *testing.T) {
	names := map[string]bool{}
	for v := OK; v <= TooManyStreams+1; v++ {
		names[v.String()] = true
	}
	require.Len(t, names, 6)
}

func TestMalformed(t *testing.T) {
	for _, p := range profiles {
		s, o := newPair(t, p)
		b := sealed(t, s, 1, 1<<16, 0)
		h, _ := packet.ParseHeader(b)
		for n := range len(b) {
			_, _, verdict := o.OpenRTP(b[:n], &h)
			require.Equal(t, Malformed, verdict)
		}
		_, _, verdict := o.OpenRTP(b, &packet.Header{})
		require.Equal(t, Malformed, verdict)

		rtcp := make([]byte, 8+p.RTCPOverhead())
		_, verdict = o.OpenRTCP(rtcp[1:])
		require.Equal(t, Malformed, verdict)
		_, verdict = o.OpenRTCP(rtcp)
		require.Equal(t, Malformed, verdict, "unencrypted")
	}
}

func TestSealRefusesWhatDoesNotFit(t *testing.T) {
	const huge = int(^uint(0) >> 1)
	for _, p := range profiles {
		s, _ := newPair(t, p)
		b := make([]byte, 12+p.RTPOverhead())
		require.Zero(t, s.SealRTP(b[:12:12], 12, 12, 1<<16), "no room for the tag")
		require.Zero(t, s.SealRTP(b, 8, 12, 1<<16))
		require.Zero(t, s.SealRTP(b, 13, 12, 1<<16))
		require.Zero(t, s.SealRTP(b, 12, huge, 1<<16))
		require.Zero(t, s.SealRTP(b, 12, 12, 1<<16+1), "not the header's number")
		require.Zero(t, s.SealRTP(b, 12, 12, 0), "before the stream's beginning")
		require.Equal(t, len(b), s.SealRTP(b[:0], 12, 12, 1<<16))

		require.Zero(t, s.SealRTCP(b, 7))
		require.Zero(t, s.SealRTCP(b, huge))
		b = make([]byte, 8+p.RTCPOverhead())
		s.rtcpIndex = maxRTCPIndex
		require.Equal(t, len(b), s.SealRTCP(b, 8))
		require.Zero(t, s.SealRTCP(b, 8), "the master key is used up")
	}
}

// Whatever order a network gives packets in, each is taken at most once, with its true number, unless it is older than
// the window.
func TestAnyOrderIsOpenedOnce(t *testing.T) {
	p := AEADAES128GCM
	rapid.Check(t, func(t *rapid.T) {
		s, err := NewSealer(testKey(p))
		require.NoError(t, err)
		o, err := NewOpener(testKey(p))
		require.NoError(t, err)
		at := seq.Extended(1<<16 + rapid.IntRange(0, 65535).Draw(t, "first"))
		highest := at
		_, verdict := open(t, o, sealed(t, s, 9, at, 1))
		require.Equal(t, OK, verdict)
		taken := map[seq.Extended]bool{at: true}
		for range rapid.IntRange(1, 60).Draw(t, "packets") {
			e := highest + seq.Extended(rapid.OneOf(rapid.IntRange(-5, 5), rapid.IntRange(-1100, 1100), rapid.IntRange(-30_000, 30_000)).Draw(t, "step"))
			if e < 1<<16 {
				continue
			}
			got, verdict := open(t, o, sealed(t, s, 9, e, 1))
			if taken[e] || e+windowSize <= highest {
				require.Equal(t, Replayed, verdict)
				continue
			}
			require.Equal(t, OK, verdict)
			require.Equal(t, e, got)
			taken[e] = true
			highest = max(highest, e)
		}
	})
}

func TestWindowAgainstAModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var w window
		seen := map[uint64]bool{}
		highest := uint64(0)
		for range rapid.IntRange(1, 200).Draw(t, "numbers") {
			i := uint64(rapid.IntRange(max(0, int(highest)-1500), int(highest)+1500).Draw(t, "number"))
			want := seen[i] || len(seen) > 0 && i+windowSize <= highest
			require.Equal(t, want, w.seen(i))
			if !want {
				w.add(i)
				seen[i], highest = true, max(highest, i)
			}
		}
	})
}

func TestNoAllocations(t *testing.T) {
	for _, p := range profiles {
		s, o := newPair(t, p)
		e := seq.Extended(1 << 16)
		b := make([]byte, 1500)
		rtcp := make([]byte, 200)
		var verdict Verdict
		turn := func() {
			n := packet.PutHeader(b, packet.Header{Sequence: e.Uint16(), SSRC: 1})
			n = s.SealRTP(b, n, 1100, e)
			h, _ := packet.ParseHeader(b[:n])
			_, _, verdict = o.OpenRTP(b[:n], &h)
			e++
			n = s.SealRTCP(rtcp, 100)
			if _, v := o.OpenRTCP(rtcp[:n]); v != OK {
				verdict = v
			}
		}
		turn()
		require.Zero(t, testing.AllocsPerRun(100, turn), p)
		require.Equal(t, OK, verdict)
	}
}

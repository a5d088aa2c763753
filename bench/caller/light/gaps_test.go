package light

import (
	"math/bits"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/tolkyn/tolkyn/internal/rtcp"
	"github.com/tolkyn/tolkyn/internal/seq"
)

const ms = time.Millisecond

func TestGapsAreAskedForTwice(t *testing.T) {
	var g gaps
	const rtt = 40 * ms
	for _, s := range []uint16{65533, 65534, 1, 2} { // 65535 and 0 are missing, across the wrap
		require.True(t, g.arrive(100*ms, s))
	}
	require.Empty(t, g.wishes(105*ms, rtt, nil), "it may only be late")
	require.Equal(t, []uint16{65535, 0}, g.wishes(110*ms, rtt, nil))
	require.Empty(t, g.wishes(120*ms, rtt, nil), "the answer is under way")
	require.True(t, g.repair(0))
	require.False(t, g.repair(0), "twice")
	require.False(t, g.repair(2), "it was never missing")
	require.False(t, g.repair(500), "not sent yet")
	require.Equal(t, []uint16{65535}, g.wishes(160*ms, rtt, nil))
	require.Zero(t, g.givenUp)
	require.Empty(t, g.wishes(210*ms, rtt, nil), "asked for twice")
	require.EqualValues(t, 1, g.givenUp)
	require.Empty(t, g.missing)
	require.EqualValues(t, 6, g.expected())
	require.EqualValues(t, 4, g.received)
	require.EqualValues(t, 1, g.repaired)
	require.EqualValues(t, 1, g.lost())
	require.True(t, g.arrive(300*ms, 65535), "late, but there")
	require.Zero(t, g.lost())
	require.EqualValues(t, 1, g.reordered)
	require.False(t, g.arrive(300*ms, 65535))
	require.EqualValues(t, 1, g.duplicates)
}

func TestGapsAreGivenUpInTime(t *testing.T) {
	var g gaps
	g.arrive(0, 10)
	g.arrive(0, 12)
	require.Empty(t, g.wishes(patience, 40*ms, nil), "past hope")
	require.EqualValues(t, 1, g.givenUp)
	g.arrive(2*time.Second, 12+maxGaps+11) // more than is asked for at once
	require.Len(t, g.missing, maxGaps)
	require.EqualValues(t, 1+10, g.givenUp)
	require.Len(t, g.wishes(3*time.Second-ms, 40*ms, nil), maxGaps)
}

// Whatever is dropped, repeated, swapped and repaired: what came, what was repaired and what is lost make up what was sent.
func TestGapsAddUp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var g gaps
		first := rapid.Uint16().Draw(t, "first")
		g.arrive(0, first)
		there := map[int]bool{0: true}
		highest := 0
		var received, repaired int64 = 1, 0
		for range rapid.IntRange(0, 200).Draw(t, "packets") {
			i := highest + rapid.IntRange(-60, 20).Draw(t, "step")
			if i < 0 {
				continue
			}
			number := first + uint16(i)
			if rapid.Bool().Draw(t, "repair") {
				if fresh := i <= highest && !there[i]; g.repair(number) != fresh {
					t.Fatalf("repair of %d", i)
				} else if fresh {
					there[i] = true
					repaired++
				}
				continue
			}
			if g.arrive(0, number) == there[i] {
				t.Fatalf("arrival of %d", i)
			}
			if !there[i] {
				there[i] = true
				received++
			}
			highest = max(highest, i)
		}
		if g.received != received || g.repaired != repaired || g.expected() != int64(highest)+1 ||
			g.lost() != int64(highest)+1-int64(len(there)) || len(g.missing) > maxGaps {
			t.Fatalf("%+v of %d", g, highest)
		}
	})
}

func TestFractionLostIsSinceTheLastReport(t *testing.T) {
	var g gaps
	g.arrive(0, 100)
	g.arrive(0, 103) // 2 of 4 missing
	require.EqualValues(t, 128, g.fraction())
	require.Zero(t, g.fraction(), "nothing since")
	for s := uint16(104); s < 112; s++ {
		if s != 107 && s != 109 {
			g.arrive(0, s)
		}
	}
	require.EqualValues(t, 2*256/8, g.fraction())
	g.arrive(0, 107) // late: more came than was due
	require.Zero(t, g.fraction())
}

func TestJitterIsOfFrames(t *testing.T) {
	var j jitter
	at, stamp := time.Duration(0), uint32(1<<32-4000) // across the wrap
	for i := range 400 {
		for range 3 { // packets of one frame
			j.handle(at, stamp, 90000)
		}
		at += 33*ms + time.Duration(i%2)*10*ms // 28 ± 5 ms off the media's 38
		stamp += 90000 * 38 / 1000
	}
	require.InDelta(t, float64(5*ms), float64(j.value), float64(ms)/10)
}

// One in each run of N is opened, whatever the reads' sizes, and each place of the run gets its share.
func TestSamplerPicksOneInN(t *testing.T) {
	for _, every := range []int{1, 2, 16, 100, MaxOpenOneIn} {
		s := newSampler(every, 7)
		places := make([]int, every)
		total, picked := 0, 0
		for i := 0; total < 400*every; i++ {
			n := i * 7 % 65
			whole := s.next()
			s.passed(n)
			for k := range n {
				if whole&(1<<k) != 0 {
					places[(total+k)%every]++
					picked++
				}
			}
			total += n
		}
		require.InDelta(t, total/every, picked, 1)
		if every <= 16 {
			for place, count := range places {
				require.InDelta(t, 400/every, count, 400/float64(every)/2+25, "place %d of %d", place, every)
			}
		}
	}
	s := newSampler(16, 1)
	require.Equal(t, 4, bits.OnesCount64(s.next()))
}

// A report's block says what RFC 3550 says it does.
func TestReportBlock(t *testing.T) {
	s := stream{slot: slot{kind: "video", ssrc: 7, rtx: 8}}
	for _, number := range []uint16{65534, 65535, 2} {
		s.gaps.arrive(0, number)
	}
	s.jitter.value = 10 * ms
	require.Equal(t, rtcp.ReportBlock{
		SSRC: 7, FractionLost: 2 * 256 / 5, TotalLost: 2, HighestSeq: 1<<16 + 2, Jitter: 900,
	}, s.block(time.Second))
	s.lastSR, s.lastSRAt = 0xabcd1234, time.Second
	b := s.block(3500 * ms)
	require.EqualValues(t, 0xabcd1234, b.LastSR)
	require.EqualValues(t, 5<<15, b.DelaySinceLastSR)
}

// A sender report names the instant it is made in the stream's own timestamps.
func TestSenderReport(t *testing.T) {
	p := published{kind: "audio", ssrc: 9, stamp: 1 << 31, stamped: time.Second, packets: 3, octets: 300}
	wall := time.Unix(1_700_000_000, 0)
	require.Equal(t, rtcp.SenderReport{
		SSRC: 9, NTP: rtcp.NTP(wall), RTP: 1<<31 + 480, Packets: 3, Octets: 300,
	}, p.report(time.Second+10*ms, wall))
}

func TestWheel(t *testing.T) {
	var w wheel
	d := &device{}
	var fired []time.Duration
	fire := func(t *timer) { fired = append(fired, t.at) }
	soon, late, moved, off := &timer{device: d}, &timer{device: d}, &timer{device: d}, &timer{device: d}
	w.arm(soon, 3*ms)
	w.arm(late, 2500*ms) // more than twice round
	w.arm(moved, 10*ms)
	w.arm(moved, 5*ms)
	w.arm(off, 4*ms)
	off.device = nil // its device has left
	w.turn(2*ms, fire)
	require.Empty(t, fired)
	w.turn(20*ms, fire)
	require.Equal(t, []time.Duration{3 * ms, 5 * ms}, fired)
	w.turn(2499*ms, fire)
	require.Len(t, fired, 2)
	w.turn(2500*ms, fire)
	require.Equal(t, []time.Duration{3 * ms, 5 * ms, 2500 * ms}, fired)
	turn := func() {
		w.arm(soon, time.Duration(w.turned+1)*tick)
		w.turn(time.Duration(w.turned+1)*tick, func(*timer) {})
	}
	for range 2 * places { // each place gets its memory
		turn()
	}
	require.Zero(t, testing.AllocsPerRun(100, turn))
}

// Packets that are asked for again are found for as long as they are remembered, across the wrap of their numbers.
func TestHistory(t *testing.T) {
	p := published{kind: "video", number: 1<<16 + 65500}
	for range 2 * history {
		p.remember(7, true, []byte{byte(p.number)})
		p.number++
	}
	find := func(s uint16) *sent { return p.find(s) }
	newest := p.number - 1
	for back := range seq.Extended(history) {
		got := find((newest - back).Uint16())
		require.NotNil(t, got)
		require.Equal(t, newest-back, got.number)
		require.Equal(t, []byte{byte(newest - back)}, got.payload)
	}
	require.Nil(t, find((newest - history).Uint16()), "forgotten")
	require.Nil(t, find((newest + 1).Uint16()), "not sent yet")
	require.Nil(t, (&published{}).find(7), "sound is not remembered")
}

func TestAnswers(t *testing.T) {
	const head = "v=0\r\na=ice-ufrag:u\r\na=ice-pwd:p\r\n"
	a, err := parseAnswer(head +
		"m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:p0\r\na=recvonly\r\na=ssrc:5 cname:x\r\n" +
		"a=candidate:1 1 tcp 1 10.0.0.1 9 typ host tcptype passive\r\na=candidate:2 1 udp 1 host.local 7 typ host\r\n" +
		"a=candidate:3 1 UDP 1 10.0.0.2 7882 typ host\r\n" +
		"m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:ra0\r\na=sendonly\r\na=ssrc:11 cname:x\r\n" +
		"m=video 9 UDP/TLS/RTP/SAVPF 96 97\r\na=mid:rv0\r\na=sendonly\r\na=ssrc-group:FID 21 22\r\na=ssrc:21 cname:x\r\na=ssrc:22 cname:x\r\n")
	require.NoError(t, err)
	require.Equal(t, "10.0.0.2:7882", a.server.String())
	require.Equal(t, []slot{{mid: "ra0", kind: "audio", ssrc: 11}, {mid: "rv0", kind: "video", ssrc: 21, rtx: 22}}, a.slots)
	_, err = parseAnswer(head)
	require.ErrorContains(t, err, "candidate")
}

func FuzzAnswer(f *testing.F) {
	f.Add("a=ice-ufrag:u\r\na=ice-pwd:p\r\na=candidate:3 1 UDP 1 10.0.0.2 7882 typ host\r\nm=")
	f.Fuzz(func(t *testing.T, sdp string) {
		if a, err := parseAnswer(sdp); err == nil {
			require.True(t, a.server.IsValid())
		}
	})
}

package uplink

import (
	"encoding/binary"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/codec"
	"github.com/tolkyn/tolkyn/internal/packet"
	"github.com/tolkyn/tolkyn/internal/seq"
)

const ms = time.Millisecond

// first is the number the tests' streams start at: just before the wire's 16 bits wrap.
const first seq.Extended = 1<<16 + 65530

// test drives an Uplink in a small language: send packets, want requests.
type test struct {
	*testing.T
	u   *Uplink
	now time.Duration
}

func newTest(t *testing.T, cfg Config) *test {
	if cfg.Codec == 0 {
		cfg.Codec, cfg.NACK = codec.VP8, true
	}
	if cfg.SSRC == 0 {
		cfg.SSRC = 1
	}
	return &test{T: t, u: New(cfg), now: time.Hour}
}

func keyframe() []byte {
	return []byte{0x10, 0, 0, 0, 0x9d, 0x01, 0x2a, 0x80, 0x02, 0xe0, 0x01}
}

func delta(fill byte) []byte { return []byte{0x10, 1, fill} }

func (t *test) header(e seq.Extended) *packet.Header {
	return &packet.Header{Sequence: e.Uint16(), Timestamp: uint32(e) * 3000, SSRC: t.u.ssrc, Marker: true, Size: 12}
}

func (t *test) payload(e seq.Extended) []byte {
	if t.u.cfg.Codec == codec.VP8 {
		return delta(byte(e))
	}
	return []byte{byte(e)}
}

// send hands in packets first+n of the primary stream.
func (t *test) send(n ...int) {
	t.Helper()
	for _, n := range n {
		e := first + seq.Extended(n)
		require.Equal(t, Stored, t.u.Handle(t.now, t.header(e), e, t.payload(e), Extensions{}, nil), "packet %d", n)
	}
}

func (t *test) sendKeyframe(n int) {
	t.Helper()
	e := first + seq.Extended(n)
	require.Equal(t, Stored, t.u.Handle(t.now, t.header(e), e, keyframe(), Extensions{}, nil))
}

func (t *test) rtx(n int) Verdict {
	e := first + seq.Extended(n)
	b := binary.BigEndian.AppendUint16(nil, e.Uint16())
	return t.u.HandleRTX(t.now, t.header(e), append(b, t.payload(e)...), Extensions{}, nil)
}

func (t *test) wait(d time.Duration) { t.now += d }

// want polls and compares the packets asked for (as first+n) and the wish for a keyframe.
func (t *test) want(pli bool, n ...int) Output {
	t.Helper()
	out := t.u.Poll(t.now)
	require.Equal(t, pli, out.PLI, "PLI")
	want := []uint16{}
	for _, n := range n {
		want = append(want, (first + seq.Extended(n)).Uint16())
	}
	require.Equal(t, want, append([]uint16{}, out.NACK...))
	return out
}

func TestPacketsAreFoundByArrivalAndByNumber(t *testing.T) {
	u := newTest(t, Config{})
	u.send(0, 2, 1, 3, 9, 8)
	require.Equal(t, uint64(6), u.u.Head())
	for i, n := range []int{0, 2, 1, 3, 9, 8} {
		p := u.u.At(uint64(i))
		require.Equal(t, first+seq.Extended(n), p.Seq)
		require.Equal(t, u.now, p.Arrival)
		require.Equal(t, n != 1 && n != 8, p.Newest)
		require.Equal(t, delta(byte(p.Seq)), u.u.Payload(p))
		require.Same(t, p, u.u.Find(p.Seq))
	}
	require.Nil(t, u.u.At(6))
	require.Nil(t, u.u.Find(first+4))
}

func TestExtensionsAreKeptWithTheirPacket(t *testing.T) {
	u := newTest(t, Config{RTXSSRC: 2})
	colors := []byte{1, 13, 1, 5}
	carried := func(level, colorSpace []byte) (x Extensions) {
		x.SetLevel(level)
		x.SetColorSpace(colorSpace)
		return x
	}
	handle := func(n int, x Extensions) *Packet {
		e := first + seq.Extended(n)
		require.Equal(t, Stored, u.u.Handle(u.now, u.header(e), e, delta(0), x, nil))
		return u.u.Find(e)
	}
	require.Equal(t, Extensions{}, handle(0, carried(nil, nil)).Ext)
	require.Equal(t, Extensions{Has: HasLevel, Level: 0xff}, handle(1, carried([]byte{0xff}, nil)).Ext)
	require.Equal(t, Extensions{Has: HasColorSpace, ColorSpace: [4]byte(colors)}, handle(2, carried(nil, colors)).Ext)
	require.Equal(t, Extensions{}, handle(3, carried(nil, make([]byte, 28))).Ext, "HDR metadata is left out with its colours")
	require.Equal(t, Extensions{}, handle(4, carried(nil, colors[:3])).Ext)
	handle(6, Extensions{})
	missing := binary.BigEndian.AppendUint16(nil, seq.Extended(first+5).Uint16())
	require.Equal(t, Stored, u.u.HandleRTX(u.now, u.header(first+5), append(missing, delta(0)...), carried(nil, colors), nil))
	require.Equal(t, Extensions{Has: HasColorSpace, ColorSpace: [4]byte(colors)}, u.u.Find(first+5).Ext, "a resent packet brings them again")
}

func TestVerdicts(t *testing.T) {
	u := newTest(t, Config{})
	u.send(0, 1, 2)
	u.send(2000)
	handle := func(n int, payload []byte) Verdict {
		e := first + seq.Extended(n)
		return u.u.Handle(u.now, u.header(e), e, payload, Extensions{}, nil)
	}
	require.Equal(t, Duplicate, handle(2000, delta(0)))
	require.Equal(t, TooOld, handle(2000-window, delta(0)))
	require.Equal(t, Stored, handle(2000-window+1, delta(0)))
	require.Equal(t, Duplicate, handle(2000-window+1, delta(0)))
	require.Equal(t, Malformed, handle(2001, []byte{0x80}), "a descriptor cut short")
	require.Equal(t, Malformed, handle(2002, make([]byte, MaxPayload+1)))
	require.Equal(t, Duplicate, handle(2001, delta(0)), "a malformed packet has been seen")
	require.Equal(t, Stored, handle(2003, nil), "padding only")
	require.Zero(t, u.u.At(u.u.Head()-1).Size())
	require.Equal(t, Duplicate, u.rtx(2000), "publishers probe with resends of what has come")
	require.Equal(t, TooOld, u.rtx(1))
	require.Equal(t, Malformed, u.u.HandleRTX(u.now, u.header(first), []byte{1}, Extensions{}, nil))
	require.Equal(t, Duplicate, u.u.HandleRTX(u.now, u.header(first), nil, Extensions{}, nil), "publishers probe with padding on the RTX stream")
	for v, name := range map[Verdict]string{Stored: "stored", Duplicate: "duplicate", TooOld: "too old", Malformed: "malformed"} {
		require.Equal(t, name, v.String())
	}
	require.Equal(t, TooOld, newTest(t, Config{}).rtx(0), "a resend before any packet has no place")
}

func TestRTXBeforeItsPrimary(t *testing.T) {
	u := newTest(t, Config{RTXSSRC: 2})
	u.send(0, 1)
	require.Equal(t, Stored, u.rtx(3))
	require.Equal(t, Stored, u.rtx(2))
	e := first + 3
	require.Equal(t, Duplicate, u.u.Handle(u.now, u.header(e), e, delta(0), Extensions{}, nil))
}

func TestFirstRequestWaitsForReordering(t *testing.T) {
	t.Run("10 ms", func(t *testing.T) {
		u := newTest(t, Config{})
		u.send(0, 2)
		out := u.want(false)
		require.Equal(t, u.now+reorderWait, out.Next)
		u.wait(reorderWait - 1)
		u.want(false)
		u.wait(1)
		u.want(false, 1)
	})
	t.Run("two more packets", func(t *testing.T) {
		u := newTest(t, Config{})
		u.send(0, 4)
		u.want(false)
		u.send(5)
		u.want(false)
		u.send(6)
		u.want(false, 1, 2, 3)
	})
	t.Run("it came", func(t *testing.T) {
		u := newTest(t, Config{})
		u.send(0, 2, 1)
		u.wait(time.Second)
		require.Zero(t, u.want(false).Next)
		require.Equal(t, uint64(1), u.u.Stats().Repaired)
	})
}

func TestRequestsAreRepeatedByRoundTripAndGivenUp(t *testing.T) {
	u := newTest(t, Config{})
	u.u.SetRTT(30 * ms)
	u.send(0, 1, 3)
	start := u.now
	var at []time.Duration
	for {
		out := u.u.Poll(u.now)
		if len(out.NACK) > 0 {
			require.Equal(t, []uint16{(first + 2).Uint16()}, out.NACK)
			at = append(at, (u.now-start)/ms)
		}
		if out.PLI {
			break
		}
		require.Greater(t, out.Next, u.now)
		u.now = out.Next
	}
	require.Equal(t, []time.Duration{10, 40, 77, 124, 182, 256, 347, 462}, at, "30 ms, then a quarter more each time")
	require.Equal(t, videoPlayout, u.now-start, "given up: a keyframe is asked for at once")
	require.Equal(t, uint64(1), u.u.Stats().GivenUp)
}

func TestTenTriesAtMost(t *testing.T) {
	u := newTest(t, Config{})
	u.u.SetRTT(ms) // gated at 20 ms
	u.u.playout = 10 * time.Second
	u.send(0, 2)
	tries := 0
	for {
		u.wait(ms)
		out := u.u.Poll(u.now)
		tries += len(out.NACK)
		if out.PLI {
			break
		}
	}
	require.Equal(t, maxTries, tries)
}

func TestLongPathsGetTimeForTwoTries(t *testing.T) {
	u := newTest(t, Config{})
	u.u.SetRTT(300 * ms)
	u.send(0, 2)
	u.wait(10 * ms)
	u.want(false, 1)
	u.wait(300 * ms)
	u.want(false, 1)
	u.wait(300 * ms)
	require.Equal(t, Stored, u.rtx(1))
	require.Zero(t, u.want(false).Next)
}

func TestVoiceIsAskedForOnlyWhereAllowed(t *testing.T) {
	for _, nack := range []bool{false, true} {
		u := newTest(t, Config{Codec: codec.Opus, NACK: nack})
		u.send(0, 2)
		u.wait(10 * ms)
		if !nack {
			u.want(false)
			continue
		}
		u.want(false, 1)
		u.wait(audioPlayout - 10*ms)
		u.want(false)
		require.Zero(t, u.u.Stats().Missing, "no voice is played 400 ms later")
	}
}

// Where much is lost a voice is asked for at once and twice a round trip, unless copies are on their way.
func TestVoiceIsAskedForEagerlyWhereMuchIsLost(t *testing.T) {
	u := newTest(t, Config{Codec: codec.Opus, NACK: true})
	u.u.SetRTT(80 * ms)
	asks := func(n int) (after []time.Duration) {
		u.send(n)
		for at := time.Duration(0); at < 250*ms; at += 10 * ms {
			if len(u.u.Poll(u.now).NACK) > 0 {
				after = append(after, at)
			}
			u.wait(10 * ms)
		}
		u.u.missing.clear()
		return after
	}
	u.send(0)
	require.Equal(t, []time.Duration{10 * ms, 90 * ms, 190 * ms}, asks(2), "each a little later than a round trip after the one before")
	u.send(4, 6, 8, 10)
	u.u.missing.clear()
	require.Equal(t, []time.Duration{0, 40 * ms, 80 * ms, 120 * ms, 160 * ms, 200 * ms, 240 * ms}, asks(12))
	u.u.copies, u.u.missing.tries = copies{reach: 3, lasts: 20 * ms}, copiesTries
	require.Equal(t, []time.Duration{50 * ms}, asks(14), "16 could bring 13; and once")
}

func TestVideoThatMustNotBeAskedForGetsAKeyframe(t *testing.T) {
	u := newTest(t, Config{Codec: codec.VP8})
	u.send(0, 2)
	u.wait(99 * ms)
	u.want(false)
	u.wait(ms)
	u.want(true)
	require.Zero(t, u.u.Stats().NACKed)
}

func TestRoundTripOfRepairs(t *testing.T) {
	u := newTest(t, Config{RTXSSRC: 2})
	u.send(0, 2)
	u.wait(10 * ms)
	u.want(false, 1)
	u.wait(40 * ms)
	require.Equal(t, Stored, u.rtx(1))
	require.Equal(t, 40*ms, u.u.Stats().RTT)
	u.u.SetRTT(25 * ms)
	require.Equal(t, 25*ms, u.u.Stats().RTT, "the lower of both")

	u.send(4)
	u.wait(10 * ms)
	u.want(false, 3)
	u.wait(2 * ms)
	u.send(3)
	require.Equal(t, 25*ms, u.u.Stats().RTT, "a late primary answers nothing")
}

func TestLargeHolesAskForAKeyframeAtOnce(t *testing.T) {
	u := newTest(t, Config{})
	u.send(0, maxMissing+2)
	u.want(true)
	require.Zero(t, u.u.Stats().Missing)
	require.Equal(t, uint64(maxMissing+1), u.u.Stats().GivenUp)

	u = newTest(t, Config{})
	u.send(0, 101, 301)
	require.Equal(t, maxMissing, u.u.Stats().Missing)
	u.want(true)
}

func TestKeyframeEndsTheSearchForOlderPackets(t *testing.T) {
	u := newTest(t, Config{})
	u.send(0, 2)
	u.sendKeyframe(5)
	u.send(7)
	u.wait(10 * ms)
	u.want(false, 6)
	i, ok := u.u.LastKeyframe()
	require.True(t, ok)
	require.Equal(t, first+5, u.u.At(i).Seq)
}

func TestKeyframeWishesAreMerged(t *testing.T) {
	u := newTest(t, Config{})
	u.sendKeyframe(0)
	u.u.RequestKeyframe(u.now)
	out := u.want(true) // the first after quiet goes at once
	require.Equal(t, u.now+keyframeInterval, out.Next)
	for range 4 {
		u.wait(100 * ms)
		u.u.RequestKeyframe(u.now)
		u.want(false)
	}
	u.wait(100 * ms)
	u.want(true) // no keyframe yet: again, twice a second
	u.sendKeyframe(1)
	u.wait(time.Second)
	require.Zero(t, u.want(false).Next)

	u.u.RequestKeyframe(u.now)
	u.want(true)
	u.wait(keyframePatience)
	require.Zero(t, u.want(false).Next, "a muted publisher is left in peace")
}

func TestKeyframeWishWaitsForLongPaths(t *testing.T) {
	u := newTest(t, Config{})
	u.u.SetRTT(600 * ms)
	u.send(0)
	u.u.RequestKeyframe(u.now)
	u.want(true)
	u.wait(899 * ms)
	u.want(false)
	u.wait(ms)
	u.want(true)
}

func TestVoiceHasNoKeyframes(t *testing.T) {
	u := newTest(t, Config{Codec: codec.Opus})
	u.u.RequestKeyframe(u.now)
	u.want(false)
}

// TestSkippingIsBounded: a subscriber that misses 2^15 numbers in a row has lost its slot for good.
func TestSkippingIsBounded(t *testing.T) {
	for name, send := range map[string]func(u *test, n int) Verdict{
		"primary": func(u *test, n int) Verdict {
			e := first + seq.Extended(n)
			return u.u.Handle(u.now, u.header(e), e, delta(0), Extensions{}, nil)
		},
		"resent": func(u *test, n int) Verdict { return u.rtx(n) },
	} {
		t.Run(name, func(t *testing.T) {
			u := newTest(t, Config{NACK: true})
			u.sendKeyframe(0)
			skipped, before, epoch := 0, u.u.At(u.u.Head()-1).Seq, u.u.Epoch()
			for n := 2500; n < 200*2500; n += 2500 {
				u.wait(10 * ms)
				if send(u, n) != Stored {
					continue
				}
				p := u.u.At(u.u.Head() - 1)
				if p.Epoch == epoch {
					skipped += int(p.Seq - before)
				}
				before, epoch = p.Seq, p.Epoch
			}
			require.LessOrEqual(t, skipped, restartJump+2*skipRate+200)
		})
	}
}

func TestRestartedStreamIsNotLoss(t *testing.T) {
	t.Run("jump ahead", func(t *testing.T) {
		u := newTest(t, Config{})
		u.sendKeyframe(0)
		u.send(1, 2)
		u.send(2 + restartJump + 1)
		require.Equal(t, uint32(1), u.u.Epoch())
		_, ok := u.u.LastKeyframe()
		require.False(t, ok)
		u.want(true)
		u.send(2+restartJump+2, 2+restartJump+4)
		u.wait(10 * ms)
		u.want(false, 2+restartJump+3)
		require.Equal(t, Stored, u.rtx(2+restartJump+3))
		require.Zero(t, u.u.Stats().Missing)
		for i := u.u.Tail() + 1; i < u.u.Head()-1; i++ {
			require.Greater(t, u.u.At(i).Seq, u.u.At(i-1).Seq, "numbers rise")
		}
	})
	t.Run("jump back needs two in a row", func(t *testing.T) {
		u := newTest(t, Config{})
		u.send(10000)
		back := func(n int) Verdict {
			e := first + seq.Extended(n)
			return u.u.Handle(u.now, u.header(e), e, delta(0), Extensions{}, nil)
		}
		require.Equal(t, TooOld, back(0))
		require.Equal(t, TooOld, back(5))
		require.Zero(t, u.u.Epoch())
		require.Equal(t, Stored, back(6))
		require.Equal(t, uint32(1), u.u.Epoch())
		require.Equal(t, Stored, back(7))
	})
	t.Run("new SSRC", func(t *testing.T) {
		u := newTest(t, Config{})
		u.send(0, 1)
		h := u.header(1<<16 + 7)
		h.SSRC = 99
		require.Equal(t, Stored, u.u.Handle(u.now, h, 1<<16+7, delta(0), Extensions{}, nil))
		require.Equal(t, uint32(99), u.u.Config().SSRC)
		require.Equal(t, uint32(1), u.u.Epoch())
		old := u.header(first + 2)
		old.SSRC = 1
		require.Equal(t, TooOld, u.u.Handle(u.now, old, first+2, delta(0), Extensions{}, nil), "a straggler of the old stream")
		b := u.u.ReportBlock(u.now)
		require.Equal(t, uint32(99), b.SSRC)
		require.Equal(t, uint32(7), b.HighestSeq)
		require.Zero(t, b.TotalLost)
	})
}

func TestEarliestAfter(t *testing.T) {
	u := newTest(t, Config{})
	u.send(0, 3, 1, 4)
	u.sendKeyframe(2)
	i, ok := u.u.LastKeyframe()
	require.True(t, ok)
	require.Equal(t, uint64(4), i)
	require.Equal(t, uint64(1), u.u.EarliestAfter(i), "packet 3 overtook the keyframe's start")
	u.send(5)
	require.Equal(t, uint64(1), u.u.EarliestAfter(i))
	require.Equal(t, uint64(100), u.u.EarliestAfter(99))
}

func TestReportBlock(t *testing.T) {
	u := newTest(t, Config{})
	require.Zero(t, u.u.ReportBlock(u.now))
	u.send(0, 1, 2, 3, 5, 6, 8, 9)
	b := u.u.ReportBlock(u.now)
	require.Equal(t, uint32(1), b.SSRC)
	require.Equal(t, uint8(2*256/10), b.FractionLost)
	require.Equal(t, int32(2), b.TotalLost)
	require.Equal(t, uint32(1<<16|3), b.HighestSeq, "the 16 bits wrapped once")
	require.Zero(t, b.LastSR)

	require.Equal(t, Stored, u.rtx(4))
	u.send(10, 11)
	u.u.HandleSenderReport(u.now, 0x1234_5678_9abc_def0, 0)
	u.wait(1500 * ms)
	b = u.u.ReportBlock(u.now)
	require.Zero(t, b.FractionLost, "since the last report")
	require.Equal(t, int32(2), b.TotalLost, "what RTX made good was lost all the same")
	require.Equal(t, uint32(0x5678_9abc), b.LastSR)
	require.Equal(t, uint32(65536*3/2), b.DelaySinceLastSR)
}

func TestJitter(t *testing.T) {
	// RFC 3550 §A.8 by hand: a packet 10 ms late (480 ticks) and back in step again: two deviations of 480.
	u := newTest(t, Config{Codec: codec.Opus})
	handle := func(n int, late time.Duration) {
		e := first + seq.Extended(n)
		h := u.header(e)
		h.Timestamp = uint32(n) * 960
		u.u.Handle(u.now+time.Duration(n)*20*ms+late, h, e, []byte{1}, Extensions{}, nil)
	}
	handle(0, 0)
	handle(1, 0)
	require.Zero(t, u.u.ReportBlock(u.now).Jitter)
	handle(2, 10*ms)
	require.Equal(t, uint32(480/16), u.u.ReportBlock(u.now).Jitter)
	handle(3, 0)
	require.Equal(t, uint32((480+480-30)>>4), u.u.ReportBlock(u.now).Jitter)
}

func TestCaptureClock(t *testing.T) {
	clock := new(Clock)
	audio := New(Config{SSRC: 1, Codec: codec.Opus, Clock: clock})
	video := New(Config{SSRC: 2, Codec: codec.VP8, Clock: clock})
	_, ok := audio.CaptureClock(0)
	require.False(t, ok)

	// The publisher's clock: NTP second 1000 is our second 10. Reports travel 200 and 50 ms.
	audio.HandleSenderReport(10*time.Second+200*ms, 1000<<32, 4800)
	video.HandleSenderReport(11*time.Second+50*ms, 1001<<32, 90000)
	now := 100 * time.Second // slewed by 5 ms a second
	a, ok := audio.CaptureClock(now)
	require.True(t, ok)
	v, ok := video.CaptureClock(now)
	require.True(t, ok)
	require.Equal(t, 10*time.Second+50*ms, a.At(4800), "as if the fastest report's delay were all reports'")
	require.Equal(t, 11*time.Second+50*ms, a.At(4800+48000))
	require.Equal(t, 11*time.Second+50*ms, v.At(90000))
	require.Equal(t, 10*time.Second+50*ms, v.At(0))
	require.Equal(t, 10*time.Second+50*ms-100*ms, a.At(0))
}

func TestClockNeverRunsBackwards(t *testing.T) {
	u := New(Config{SSRC: 1, Codec: codec.Opus})
	last := -time.Hour
	for i := range 300 {
		now := time.Duration(i) * time.Second
		delay := time.Duration((i*7919)%300) * ms
		u.HandleSenderReport(now+delay, uint64(i)<<32, uint32(i)*48000)
		for _, at := range []time.Duration{0, 300 * ms, 600 * ms} {
			c, ok := u.CaptureClock(now + delay + at)
			require.True(t, ok)
			captured := c.At(uint32(i)*48000 + ticks(at, 48000))
			require.Greater(t, captured, last)
			last = captured
		}
	}
}

func TestClockFollowsDriftAndSteps(t *testing.T) {
	var c Clock
	for i := range 600 { // the publisher loses 100 µs a second
		c.handle(time.Duration(i)*time.Second, time.Duration(i)*100*time.Microsecond)
		c.offset(time.Duration(i) * time.Second)
	}
	behind := 599*100*time.Microsecond - c.offset(600*time.Second)
	require.LessOrEqual(t, behind, 2*offsetSpan/10000+ms)
	c.handle(601*time.Second, -time.Hour)
	require.Equal(t, -time.Hour, c.offset(601*time.Second), "the publisher has set its clock")
}

func TestTicks(t *testing.T) {
	require.Equal(t, uint32(90000), ticks(time.Second, 90000))
	require.Equal(t, uint32(960), ticks(20*ms, 48000))
	hours := 1000 * time.Hour
	require.Equal(t, uint32(uint64(hours/time.Second)*90000&0xffffffff), ticks(hours, 90000))
}

func TestUnknownCodecIsMalformed(t *testing.T) {
	u := New(Config{SSRC: 1})
	require.Equal(t, Malformed, u.Handle(0, &packet.Header{SSRC: 1}, first, []byte{1}, Extensions{}, nil))
	require.Zero(t, u.Stats().Packets)
	require.NotPanics(t, func() {
		u.HandleSenderReport(0, 0, 0)
		u.CaptureClock(0)
		u.ReportBlock(0)
	})
}

package shard

import (
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/codec"
	"github.com/tolkyn/tolkyn/internal/netsim"
	"github.com/tolkyn/tolkyn/internal/packet"
	"github.com/tolkyn/tolkyn/internal/rtcp"
	"github.com/tolkyn/tolkyn/internal/seq"
	"github.com/tolkyn/tolkyn/internal/srtp"
	"github.com/tolkyn/tolkyn/internal/udp"
	"github.com/tolkyn/tolkyn/sfu/bwe"
	"github.com/tolkyn/tolkyn/sfu/internal/handshake"
	"github.com/tolkyn/tolkyn/sfu/internal/uplink"
)

// rembCall is a publisher that sends pictures as fast as it is told to over one link, and what it is told of them.
type rembCall struct {
	link  *netsim.Link
	most  bwe.Bitrate   // it would send
	timed bool          // it sends abs-send-time
	skew  float64       // its clock runs so much faster than ours
	ahead time.Duration // and shows so much more

	remb   *remb
	rate   bwe.Bitrate // of now
	seq    uint16
	events []rembEvent
	told   []bwe.Bitrate
	toldAt []time.Duration
	queue  []time.Duration // that each packet of the last seconds met
	bytes  int             // sent in them
	lost   int
}

// rembEvent is a packet that arrives, or a message that does.
type rembEvent struct {
	at      time.Duration
	header  packet.Header
	sent    []byte
	size    int
	message bwe.Bitrate
}

const rembDelay = 30 * time.Millisecond // each way

func (c *rembCall) schedule(e rembEvent) {
	i := len(c.events)
	for i > 0 && c.events[i-1].at > e.at {
		i--
	}
	c.events = append(c.events[:i:i], append([]rembEvent{e}, c.events[i:]...)...)
}

// frame sends one picture, spread over its first 10 ms.
func (c *rembCall) frame(now time.Duration) {
	size := c.rate.Bytes(time.Second / 30)
	c.bytes += size
	count := max((size+1199)/1200, 1)
	theirs := now + c.ahead + time.Duration(float64(now)*c.skew)
	for i := range count {
		spread := 10 * time.Millisecond * time.Duration(i) / time.Duration(count)
		c.seq++
		e := rembEvent{
			header: packet.Header{SSRC: 7, Sequence: c.seq, Timestamp: uint32(theirs * 90 / time.Millisecond)},
			size:   max(size/count, 100),
		}
		if c.timed {
			units := uint32((theirs + spread) * absSendUnits / time.Second)
			e.sent = []byte{byte(units >> 16), byte(units >> 8), byte(units)}
		}
		fate := c.link.Send(now+spread, e.size)
		if fate.Verdict != netsim.Arrives {
			c.lost++
			continue
		}
		e.at = fate.At
		c.queue = append(c.queue, fate.Wait)
		c.schedule(e)
	}
}

// run lets the call go on until a time; queue and bytes are of its last two seconds.
func (c *rembCall) run(from, to time.Duration) {
	const step = time.Second / 30
	for now := from; now < to; now += step {
		if now < to-2*time.Second+step {
			c.queue, c.bytes = c.queue[:0], 0
		}
		c.frame(now)
		for len(c.events) > 0 && c.events[0].at < now+step {
			e := c.events[0]
			c.events = c.events[1:]
			if e.message != 0 {
				c.rate = min(e.message, c.most)
				continue
			}
			for c.remb.due != 0 && len(c.remb.waiting) > 0 && c.remb.due <= e.at {
				c.poll(c.remb.due)
			}
			c.remb.handle(e.at, &e.header, e.sent, 90000, e.size, 2*rembDelay)
			if len(c.remb.waiting) == 1 {
				c.remb.due = e.at + rembInterval
			}
		}
	}
}

func (c *rembCall) poll(now time.Duration) {
	if bits := c.remb.poll(now, 2*rembDelay); bits != 0 {
		c.told, c.toldAt = append(c.told, bits), append(c.toldAt, now)
		c.schedule(rembEvent{at: now + rembDelay, message: bits})
	}
	c.remb.due = 0
}

// The estimate finds a bottleneck, keeps its queue short, follows it down at once and up again, by either kind of send times and
// whatever the publisher's clock shows.
func TestREMBFollowsTheBottleneck(t *testing.T) {
	for name, c := range map[string]rembCall{
		"abs-send-time":            {timed: true, ahead: 20 * time.Second},
		"timestamps":               {ahead: 13 * time.Hour},
		"abs-send-time, fast":      {timed: true, skew: 100e-6, ahead: time.Minute},
		"timestamps, slow":         {skew: -100e-6, ahead: time.Minute},
		"abs-send-time, far clock": {timed: true, ahead: 1000 * time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			link := func(rate int64) netsim.LinkConfig {
				return netsim.LinkConfig{Rate: rate, Delay: rembDelay, QueueTime: 300 * time.Millisecond}
			}
			c.link = netsim.NewLink(link(1_000_000), 1)
			c.most, c.rate = 1500*bwe.Kbps, 300*bwe.Kbps
			c.remb = newREMB(0)
			at := time.Duration(0)
			phase := func(rate int64, length time.Duration, least, most bwe.Bitrate) {
				c.link.Set(link(rate))
				c.run(at, at+length)
				at += length
				sent := bwe.Bitrate(c.bytes * 8 / 2)
				t.Logf("of %v: %v, queue %v", bwe.Bitrate(rate), sent, mean(c.queue).Round(time.Millisecond))
				require.GreaterOrEqual(t, sent, least, "at %v", at)
				require.LessOrEqual(t, sent, most, "at %v", at)
			}
			phase(1_000_000, 20*time.Second, 600*bwe.Kbps, 1200*bwe.Kbps)
			require.Less(t, mean(c.queue), 80*time.Millisecond)
			c.lost = 0
			phase(500_000, 3*time.Second, 250*bwe.Kbps, 550*bwe.Kbps)
			require.Less(t, mean(c.queue), 200*time.Millisecond)
			phase(500_000, 10*time.Second, 250*bwe.Kbps, 600*bwe.Kbps)
			phase(3_000_000, 20*time.Second, 1200*bwe.Kbps, 1500*bwe.Kbps)
			for i := 1; i < len(c.told); i++ {
				gap, rise := c.toldAt[i]-c.toldAt[i-1], c.told[i] > c.told[i-1]
				require.LessOrEqual(t, gap, rembStill+2*rembInterval)
				require.False(t, rise && gap < rembRise, "a rise may wait")
			}
		})
	}
}

func mean(all []time.Duration) time.Duration {
	sum := time.Duration(0)
	for _, d := range all {
		sum += d
	}
	return sum / time.Duration(max(len(all), 1))
}

func TestSendClock(t *testing.T) {
	const ms, rtt = time.Millisecond, 100 * time.Millisecond
	var c sendClock
	for _, step := range []struct{ now, theirs, way time.Duration }{
		{10_000 * ms, 60_000 * ms, 100 * ms}, // the first seems to take a round trip
		{10_020 * ms, 60_010 * ms, 110 * ms},
		{10_030 * ms, 60_030 * ms, 100 * ms},
		{14_010 * ms, 10 * ms, 100 * ms}, // theirs wraps
		{14_020 * ms, 160 * ms, 5 * ms},  // it runs fast
		{14_030 * ms, 160 * ms, 15 * ms},
		{15_030 * ms, 31_160 * ms, 100 * ms}, // it was set, by more than a way takes
		{15_040 * ms, 31_170 * ms, 100 * ms},
	} {
		got := step.now - c.at(step.now, step.theirs, absSendWrap, rtt)
		require.InDelta(t, step.way.Seconds(), got.Seconds(), 0.001, "at %v", step.now)
	}
	// A clock that runs slow by 100 ppm is followed: the way does not grow for ever.
	for now := 16_000 * ms; now < time.Hour; now += 20 * ms {
		theirs := 32_130*ms + time.Duration(float64(now-16_000*ms)*(1-100e-6))
		way := now - c.at(now, theirs%absSendWrap, absSendWrap, rtt)
		require.InDelta(t, 0.05, way.Seconds(), 0.055, "at %v", now)
	}
	var unknown sendClock
	require.Equal(t, sendAnchor, time.Hour-unknown.at(time.Hour, 0, absSendWrap, 0))
}

func TestREMBCountsLoss(t *testing.T) {
	st := rembStream{highest: 9}
	for _, look := range []struct {
		numbers []uint16
		lost    int
	}{
		{[]uint16{10, 11, 12}, 0},
		{[]uint16{13, 16, 15}, 1},
		{[]uint16{17, 14}, 0},         // late after all
		{[]uint16{18, 20, 21}, 0},     // the late one was one more than expected: 19 is not lost twice
		{[]uint16{25}, 3},             //
		{nil, 0},                      // nothing came
		{[]uint16{40_000}, 0},         // it begins anew
		{[]uint16{40_002, 39_999}, 0}, // of which one was before the beginning
	} {
		for _, n := range look.numbers {
			st.count(n)
		}
		require.Equal(t, look.lost, st.lost(), "%v", look.numbers)
	}
}

// The estimator hears of what the path has lost: one packet in ten here.
func TestREMBHearsOfLoss(t *testing.T) {
	r := newREMB(0)
	now, h := time.Duration(0), packet.Header{SSRC: 7}
	for i := range 2000 {
		now += 5 * time.Millisecond
		h.Sequence++
		h.Timestamp += 450
		if i%10 != 9 {
			r.handle(now, &h, nil, 90000, 1000, 0)
		}
		if i%10 == 0 {
			r.poll(now, 0)
		}
	}
	require.InDelta(t, 0.1, r.estimator.Poll(now).Loss, 0.02)
}

// Whatever a publisher's packets say of themselves, they cost no more than their place and are told an estimate.
func TestREMBOfLies(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	r := newREMB(0)
	now := time.Duration(0)
	for i := range 20_000 {
		now += time.Duration(random.IntN(2_000_000))
		h := packet.Header{SSRC: uint32(random.IntN(100)), Sequence: uint16(random.Uint32()), Timestamp: random.Uint32()}
		var sent []byte
		if random.IntN(2) == 0 {
			sent = []byte{byte(random.Uint32()), byte(random.Uint32()), byte(random.Uint32())}
		}
		r.handle(now, &h, sent, []uint32{0, 48000, 90000}[random.IntN(3)], 1000, 0)
		require.LessOrEqual(t, len(r.streams), maxREMBStreams)
		if i%50 == 0 {
			bits := r.poll(now, 0)
			require.True(t, bits == 0 || bits >= rembConfig().Min)
			require.Empty(t, r.waiting)
		}
	}
	require.NotZero(t, r.told)
}

func TestREMBAllocatesNothing(t *testing.T) {
	r := newREMB(0)
	now, h := time.Duration(0), packet.Header{SSRC: 7}
	turn := func() {
		for range 10 {
			now += 5 * time.Millisecond
			h.Sequence++
			h.Timestamp += 450
			r.handle(now, &h, nil, 90000, 1000, 0)
		}
		r.poll(now, 0)
	}
	for range 500 {
		turn()
	}
	require.Zero(t, testing.AllocsPerRun(200, turn))
}

// A publisher hears of what he sends in the way that was agreed on, and in no other.
func TestPublishersAreToldOfArrivals(t *testing.T) {
	const packets, lost, marked = 100, 30, 60
	for _, c := range []struct {
		name     string
		publish  Publish
		feedback uint8 // format of what tells of arrivals; 0: none
		remb     bool
	}{
		{"RFC 8888", Publish{CCFB: true}, rtcp.FmtCCFB, false},
		{"REMB", Publish{REMB: true}, 0, true},
		{"REMB with send times", Publish{REMB: true, Ext: handshake.ExtensionIDs{AbsSendTime: 3}}, 0, true},
		{"transport-wide", Publish{Ext: handshake.ExtensionIDs{TransportSeq: 3}}, rtcp.FmtTWCC, false},
		{"nothing", Publish{}, 0, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t)
				defer b.close()
				m := b.member(1, 0)
				c.publish.ID, c.publish.Track, c.publish.MID = 1, 7, "1"
				c.publish.Encodings = []Encoding{{Config: uplink.Config{SSRC: 5000, PayloadType: 96, Codec: codec.VP8}}}
				b.shard.Post(c.publish)
				q := udp.NewQueue(1)
				began := time.Now()
				for n := range packets {
					if n != lost {
						p := q.Next(b.shard.sock.LocalAddr())
						// One extension of id 3: of three bytes a send time, of which the first two are a number too.
						size := copy(p, []byte{0x90, 96, byte(n >> 8), byte(n), 0, 0, byte(n * 900 >> 8), byte(n * 900), 0, 0, 19, 136, 0xbe, 0xde, 0, 1})
						units := uint32(time.Since(began) * absSendUnits / time.Second)
						ext := []byte{0x32, byte(units >> 16), byte(units >> 8), byte(units)}
						if c.feedback == rtcp.FmtTWCC {
							ext = []byte{0x31, byte(n >> 8), byte(n), 0}
						}
						size += copy(p[size:], ext)
						size += 500
						q.Mark(packet.ECT1)
						if n == marked {
							q.Mark(packet.CE)
						}
						q.Commit(m.sealer.SealRTP(p, 20, size, 1<<16|seq.Extended(n)))
						require.NoError(t, m.socket.Flush(q))
					}
					time.Sleep(10 * time.Millisecond)
				}
				time.Sleep(300 * time.Millisecond)

				arrived, ecn := map[uint16]time.Duration{}, map[uint16]packet.ECN{}
				var clock rtcp.Clock
				rembs := 0
				batch := udp.NewBatch()
				for {
					n, err := m.socket.Read(batch)
					require.NoError(t, err)
					if n == 0 {
						break
					}
					for i := range n {
						data, _ := batch.Datagram(i)
						if packet.Classify(data) != packet.RTCP {
							continue
						}
						size, v := m.opener.OpenRTCP(data)
						require.Equal(t, srtp.OK, v)
						for r := rtcp.Read(data[:size]); ; {
							part, ok := r.Next()
							if !ok {
								break
							}
							if part.Type == rtcp.TypeRTPFB && part.Count != rtcp.FmtNACK {
								require.Equal(t, c.feedback, part.Count)
							}
							for _, a := range part.TransportArrivals(&clock, 0, make([]rtcp.Arrival, 1000)) {
								if a.Received {
									arrived[a.Seq], ecn[a.Seq] = a.At, a.ECN
								}
							}
							for ssrc, a := range part.CongestionArrivals(&clock, 0) {
								require.Equal(t, uint32(5000), ssrc)
								if a.Received {
									arrived[a.Seq], ecn[a.Seq] = a.At, a.ECN
								}
							}
							if rate, ok := part.REMB(); ok {
								rembs++
								require.GreaterOrEqual(t, rate, int64(100_000))
							}
						}
					}
				}
				require.Equal(t, c.remb, rembs > 0)
				if c.remb {
					require.LessOrEqual(t, rembs, 8, "in 1.3 s")
				}
				if c.feedback == 0 {
					require.Empty(t, arrived)
					return
				}
				require.Len(t, arrived, packets-1)
				require.NotContains(t, arrived, uint16(lost))
				require.InDelta(t, 0.98, (arrived[99] - arrived[1]).Seconds(), 0.001)
				if c.feedback == rtcp.FmtCCFB {
					require.Equal(t, packet.CE, ecn[marked])
					require.Equal(t, packet.ECT1, ecn[marked+1])
				}
				st, _ := b.shard.Stats()
				require.Zero(t, st.Faults)
			})
		})
	}
}

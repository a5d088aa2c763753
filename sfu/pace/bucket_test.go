package pace

import (
	"math"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/tolkyn/tolkyn/sfu/bwe"
)

const ms = time.Millisecond

// estimate is one of a path that is the bound.
func estimate(target bwe.Bitrate) bwe.Estimate { return bwe.Estimate{Target: target, Pacing: target} }

// take sends packets of size bytes until the bucket refuses, and returns how many that were.
func take(b *Bucket, now time.Duration, c Class, size int) (n int) {
	for n < 1000 {
		if _, ok := b.Take(now, c, size); !ok {
			return n
		}
		n++
	}
	return n
}

func TestNoEstimateLetsEverythingPass(t *testing.T) {
	var b Bucket
	for _, c := range []Class{Audio, Repair, Video} {
		require.Equal(t, 1000, take(&b, 0, c, 1200))
		require.Equal(t, 5*ms, b.Next(5*ms, c))
	}
	require.Equal(t, 1<<30, b.Room(0))
	require.Zero(t, b.Padding(0))
	_, ok := b.Take(0, Padding, 100)
	require.False(t, ok, "there is no probe")
	require.Equal(t, unknown, b.Next(0, Padding))

	b.SetEstimate(0, estimate(100*bwe.Kbps))
	require.Equal(t, 1, take(&b, 0, Video, 1200))
	b.SetEstimate(0, bwe.Estimate{})
	require.Equal(t, 1000, take(&b, 0, Video, 1200))
}

func TestBursts(t *testing.T) {
	for _, c := range []struct {
		name    string
		e       bwe.Estimate
		size    int
		at      int           // packets that leave at once
		next    time.Duration // when the next one may
		room    int           // at first
		roomNow int           // behind them
	}{
		{"one packet on the thinnest path", bwe.Estimate{Target: 30 * bwe.Kbps}, 1200, 1, 315*ms + 200*time.Microsecond, 18, 0},
		{"5 ms where the estimate is the bound", bwe.Estimate{Target: 8 * bwe.Mbps}, 1000, 5, 0, 5000, 0},
		{"pacing is faster than the target", bwe.Estimate{Target: 8 * bwe.Mbps, Pacing: 16 * bwe.Mbps}, 1000, 5, 0, 5000, 0},
		{"1 ms where bursts are marked", bwe.Estimate{Target: 8 * bwe.Mbps, AppLimited: true, Even: true}, 500, 2, 0, 1000, 0},
		{"20 ms where less is sent", bwe.Estimate{Target: 8 * bwe.Mbps, AppLimited: true}, 1000, 20, 0, 20000, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			var b Bucket
			b.SetEstimate(time.Second, c.e)
			require.Equal(t, c.room, b.Room(time.Second))
			require.Equal(t, c.at, take(&b, time.Second, Video, c.size))
			require.Zero(t, b.Room(time.Second))
			require.InDelta(t, time.Second+c.next, b.Next(time.Second, Video), 3000)
			require.Equal(t, time.Second, b.Next(time.Second, Audio))
			at := b.Next(time.Second, Video)
			require.Positive(t, at-time.Second)
			require.Equal(t, 1, take(&b, at, Video, c.size), "one more at Next")
		})
	}
}

// A path of 2.4 Mbit/s with timers that come each 5 ms, late or not, carries all of it.
func TestTicksLoseNoRate(t *testing.T) {
	for _, tick := range []time.Duration{ms, 5 * ms, 10 * ms, 20 * ms} {
		var b Bucket
		e := estimate(2400 * bwe.Kbps)
		b.SetEstimate(0, e)
		sent := 0
		for now := time.Duration(0); now < 10*time.Second; now += tick {
			if b.Next(now, Video) <= now {
				n := take(&b, now, Video, 1200)
				require.LessOrEqual(t, n*1200, e.Target.Bytes(burst)+1200, "one turn")
				sent += n * 1200
			}
		}
		require.InEpsilon(t, e.Target.Bytes(10*time.Second), sent, 0.005, "ticks of %v", tick)
	}
}

// Who sends by Room and charges keeps to the rate, whatever the sizes: on the thinnest path too.
func TestRoomKeepsToTheRate(t *testing.T) {
	for _, rate := range []bwe.Bitrate{30 * bwe.Kbps, 300 * bwe.Kbps, 3 * bwe.Mbps} {
		for _, size := range []int{80, 300, 1500} {
			var b Bucket
			e := estimate(rate)
			b.SetEstimate(0, e)
			sent, turn := 0, 0
			for now := time.Duration(0); now < 20*time.Second; now += 5 * ms {
				turn = 0
				for room := b.Room(now); room > 0; {
					b.Charge(now, Video, size)
					room -= size
					turn += size
				}
				require.LessOrEqual(t, turn, e.Target.Bytes(burst)+size)
				sent += turn
				b.Next(now, Video)
			}
			require.InEpsilon(t, e.Target.Bytes(20*time.Second), sent, 0.03, "%v in packets of %d", rate, size)
		}
	}
}

func TestIdleTimeIsNoCredit(t *testing.T) {
	var b Bucket
	b.SetEstimate(0, estimate(8*bwe.Mbps))
	for range 3 { // and nothing waits then
		_, ok := b.Take(0, Video, 1000)
		require.True(t, ok)
	}
	require.Equal(t, 5, take(&b, time.Hour, Video, 1000))
	b.Charge(2*time.Hour, Video, 1000)
	require.Equal(t, 5, take(&b, 3*time.Hour, Video, 1000))
	b.Charge(3*time.Hour+ms, Audio, 0) // a voice does not end the wait of the others
	require.Equal(t, 20, take(&b, 4*time.Hour, Video, 1000), "but a late timer makes up for 15 ms")
}

func TestAudioNeverWaitsAndIsCharged(t *testing.T) {
	var b Bucket
	b.SetEstimate(0, estimate(80*bwe.Kbps)) // 10 bytes a ms
	require.Equal(t, 1000, take(&b, 0, Audio, 100))
	most := b.Next(0, Video)
	require.LessOrEqual(t, most, 180*ms, "but holds others up no longer than 60 ms, or one packet of the largest size")
	require.Zero(t, take(&b, most-5*ms, Video, 100))
	require.Equal(t, 1, take(&b, most+ms, Video, 100))
}

func TestRepairHasABudget(t *testing.T) {
	var b Bucket
	e := estimate(100 * bwe.Mbps)
	e.Loss = 0.2
	b.SetEstimate(0, e)
	now := time.Duration(0)
	spent := 0
	for ; spent < 100; spent++ {
		now += 10 * ms
		if _, ok := b.Take(now, Repair, 1000); !ok {
			break
		}
	}
	require.Equal(t, 17, spent, "16 kB before there is media")
	require.Equal(t, now+unknown, b.Next(now, Repair))
	require.Equal(t, now, b.Next(now, Video))
	repaired := 0
	for range 1000 {
		now += 10 * ms
		take := func(c Class) bool { _, ok := b.Take(now, c, 1000); return ok }
		require.True(t, take(Video))
		if take(Repair) {
			repaired++
		}
	}
	require.InDelta(t, 300, repaired, 2, "0.2/0.8 and 5 points")
}

func TestWindow(t *testing.T) {
	var b Bucket
	e := estimate(100 * bwe.Mbps)
	e.Window, e.InFlight = 10000, 7500
	b.SetEstimate(0, e)
	require.Equal(t, 3, take(&b, 0, Video, 1000))
	require.Equal(t, unknown, b.Next(0, Video))
	require.Zero(t, b.Room(0))
	require.Zero(t, take(&b, 0, Repair, 1000))
	_, ok := b.Take(0, Audio, 100)
	require.True(t, ok)
	e.InFlight = 0
	b.SetEstimate(0, e)
	require.Zero(t, b.Next(0, Video))
}

func TestProbe(t *testing.T) {
	var b Bucket
	e := estimate(800 * bwe.Kbps)
	e.Probe = bwe.Probe{ID: 7, Rate: 8 * bwe.Mbps, Bytes: 20000}
	e.Window, e.InFlight = 1000, 2000 // a probe passes it
	b.SetEstimate(0, e)
	now, bytes := time.Duration(0), 0
	for i := 0; ; i++ {
		now = b.Next(now, Padding)
		pad := b.Padding(now)
		require.Positive(t, pad)
		c, size := Padding, min(pad, 1200)
		if i < 3 {
			c, size = Class(i), 1000 // of whatever there is
		}
		id, ok := b.Take(now, c, size)
		require.True(t, ok)
		require.Equal(t, uint32(7), id)
		bytes += size
		if i == 0 {
			e.Probe = bwe.Probe{} // the estimator has seen it go, and wishes no more
		}
		b.SetEstimate(now, e)
		if bytes >= 20000 {
			break
		}
	}
	require.Equal(t, 20000, bytes, "not a byte more than was wished")
	require.InDelta(t, 20*ms-tightBurst, now, float64(2*ms), "at its rate")
	require.Zero(t, b.Padding(now))
	_, ok := b.Take(now, Padding, 100)
	require.False(t, ok)

	e.Probe = bwe.Probe{ID: 7, Rate: 8 * bwe.Mbps, Bytes: 20000}
	b.SetEstimate(time.Second, e)
	require.Zero(t, b.Padding(time.Second), "it was made")
	e.Probe.ID = 8
	b.SetEstimate(time.Second, e)
	require.Positive(t, b.Padding(time.Second))
	e.Probe = bwe.Probe{}
	b.SetEstimate(time.Second, e)
	require.Zero(t, b.Padding(time.Second), "withdrawn before it began")
}

// A probe for which there is nothing to send ends, and does not name packets of long after.
func TestProbeFails(t *testing.T) {
	var b Bucket
	e := estimate(800 * bwe.Kbps)
	e.Probe = bwe.Probe{ID: 7, Rate: 8 * bwe.Mbps, Bytes: 20000} // 20 ms
	b.SetEstimate(0, e)
	id, _ := b.Take(0, Audio, 100)
	require.Equal(t, uint32(7), id)
	id, _ = b.Take(80*ms, Audio, 100)
	require.Equal(t, uint32(7), id)
	id, _ = b.Take(81*ms, Audio, 100)
	require.Zero(t, id)
}

func TestMuchThatWaitsLeavesFaster(t *testing.T) {
	for _, c := range []struct {
		name   string
		queued time.Duration // at the estimate
		change func(*bwe.Estimate)
		faster float64
	}{
		{"little", 40 * ms, func(*bwe.Estimate) {}, 1},
		{"some", 60 * ms, func(*bwe.Estimate) {}, 1.2},
		{"much", time.Second, func(*bwe.Estimate) {}, 1.5},
		{"congested", time.Second, func(e *bwe.Estimate) { e.Congested = true }, 1},
		{"a keyframe where bursts are marked", 130 * ms, func(e *bwe.Estimate) { e.Even = true }, 1},
		{"more than that", 180 * ms, func(e *bwe.Estimate) { e.Even = true }, 1.2},
	} {
		t.Run(c.name, func(t *testing.T) {
			var b Bucket
			e := estimate(2 * bwe.Mbps)
			c.change(&e)
			b.SetEstimate(0, e)
			sent := 0
			for now := time.Duration(0); now < time.Second; now += ms {
				b.Queued(e.Target.Bytes(c.queued))
				sent += take(&b, now, Video, 250) * 250
			}
			require.InEpsilon(t, c.faster*250000, sent, 0.02)
		})
	}
}

// A keyframe leaves as fast as a picture at first, and then as the bottleneck passes it: no more than 25 ms and a packet stand there. What
// waits longer than 50 ms does not change that, a probe does, and so does a bottleneck that is not known.
func TestALongBurstLeavesAsItPasses(t *testing.T) {
	const passes = 600_000 / 8 / 1000 // bytes a millisecond
	for _, c := range []struct {
		name   string
		change func(*bwe.Estimate)
		most   int // ms of queue
		takes  int // ms until 18 kB have left
	}{
		{"known", func(e *bwe.Estimate) { e.Passes = 600 * bwe.Kbps }, 25 + 16, 230},
		{"not known", func(*bwe.Estimate) {}, 130, 120},
		{"a probe", func(e *bwe.Estimate) {
			e.Passes, e.Probe = 600*bwe.Kbps, bwe.Probe{ID: 1, Rate: 1200 * bwe.Kbps, Bytes: 6000}
		}, 60, 195},
	} {
		t.Run(c.name, func(t *testing.T) {
			var b Bucket
			e := bwe.Estimate{Target: 576 * bwe.Kbps, Pacing: 576 * 145 / 100 * bwe.Kbps, AppLimited: true}
			c.change(&e)
			b.SetEstimate(0, e)
			stands, longest, waits, now := 0, 0, 18_000, time.Duration(0)
			for ; waits > 0; now += ms {
				stands = max(stands-passes, 0)
				b.Queued(waits)
				for waits > 0 {
					if _, ok := b.Take(now, Video, 1200); !ok {
						break
					}
					waits, stands = waits-1200, stands+1200
				}
				longest = max(longest, stands/passes)
			}
			t.Logf("%d ms stood there, %v until all had left", longest, now)
			require.LessOrEqual(t, longest, c.most)
			require.InEpsilon(t, c.takes, int(now/ms), 0.15)
			require.Greater(t, longest, c.most*6/10)
		})
	}
}

func TestBucketIsSmall(t *testing.T) {
	require.LessOrEqual(t, unsafe.Sizeof(Bucket{}), uintptr(96))
}

func TestBucketDoesNotAllocate(t *testing.T) {
	var b Bucket
	e := estimate(2 * bwe.Mbps)
	b.SetEstimate(0, e)
	now := time.Duration(0)
	require.Zero(t, testing.AllocsPerRun(1000, func() {
		now += ms
		b.SetEstimate(now, e)
		for c := range Class(Classes) {
			b.Take(now, c, 100)
			b.Next(now, c)
		}
		b.Queued(b.Room(now) + b.Padding(now))
	}))
}

// sent is a packet that left.
type sent struct {
	at    time.Duration
	class Class
	size  int
}

// Over any 100 ms of any use there leaves no more than the rate allows, a burst, and a packet; audio aside, which is never
// refused. What Next says holds.
func TestRateIsNeverExceeded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var b Bucket
		e := estimate(bwe.Bitrate(rapid.IntRange(30, 20000).Draw(t, "kbps")) * bwe.Kbps)
		e.Pacing = e.Target * bwe.Bitrate(rapid.IntRange(10, 25).Draw(t, "pacing")) / 10
		e.AppLimited = rapid.Bool().Draw(t, "application limited")
		if rapid.Bool().Draw(t, "the bottleneck is known") {
			e.Passes = e.Target * bwe.Bitrate(rapid.IntRange(10, 30).Draw(t, "passes")) / 10
		}
		e.Loss = float64(rapid.IntRange(0, 100).Draw(t, "loss")) / 100
		b.SetEstimate(0, e)
		var left []sent
		now := time.Duration(0)
		for range rapid.IntRange(1, 400).Draw(t, "steps") {
			now += time.Duration(rapid.IntRange(0, 20000).Draw(t, "µs")) * time.Microsecond
			c := Class(rapid.IntRange(0, Classes-1).Draw(t, "class"))
			for range rapid.IntRange(1, 30).Draw(t, "packets") {
				size := rapid.IntRange(60, packet).Draw(t, "size")
				next := b.Next(now, c)
				_, ok := b.Take(now, c, size)
				require.Equal(t, ok, next <= now)
				require.True(t, ok || c != Audio)
				require.False(t, ok && c == Padding)
				if ok {
					left = append(left, sent{now, c, size})
				} else if b.allows(c) {
					early, then := b, b
					_, ok = early.Take(next-3*roundUp, c, size)
					require.False(t, ok, "not before")
					_, ok = then.Take(next, c, size)
					require.True(t, ok)
				}
			}
		}
		most := float64(e.Pacing.Bytes(100*ms) + e.Target.Bytes(burst) + packet + 1)
		for i := range left {
			bytes := 0
			for _, p := range left[i:] {
				if p.at > left[i].at+100*ms {
					break
				}
				if p.class != Audio {
					bytes += p.size
				}
			}
			require.LessOrEqual(t, float64(bytes), most)
		}
	})
}

// Whatever an estimator says, and however time jumps: Next and Take agree, nothing waits for ever, a probe ends.
func TestAnyEstimate(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var b Bucket
		now := time.Duration(0)
		for range rapid.IntRange(1, 100).Draw(t, "steps") {
			now += time.Duration(rapid.Int64Range(-1e6, 1e9).Draw(t, "ns"))
			c := Class(rapid.IntRange(0, Classes-1).Draw(t, "class"))
			switch rapid.IntRange(0, 3).Draw(t, "what") {
			case 0:
				b.SetEstimate(now, bwe.Estimate{
					Target: bwe.Bitrate(rapid.Int64().Draw(t, "target")), Pacing: bwe.Bitrate(rapid.Int64().Draw(t, "pacing")),
					Window: rapid.Int().Draw(t, "window"), InFlight: rapid.Int().Draw(t, "in flight"), Loss: rapid.Float64().Draw(t, "loss"),
					Probe: bwe.Probe{
						ID: rapid.Uint32Range(0, 5).Draw(t, "id"), Rate: bwe.Bitrate(rapid.Int64().Draw(t, "rate")),
						Bytes: rapid.Int().Draw(t, "bytes"),
					},
					AppLimited: rapid.Bool().Draw(t, "application limited"), Congested: rapid.Bool().Draw(t, "congested"),
					Even: rapid.Bool().Draw(t, "even"),
				})
			case 1:
				b.Queued(rapid.Int().Draw(t, "queued"))
			case 2:
				b.Charge(now, c, rapid.IntRange(0, 100000).Draw(t, "charged"))
			default:
				next := b.Next(now, c)
				_, ok := b.Take(now, c, rapid.IntRange(0, packet).Draw(t, "size"))
				require.Equal(t, ok, next <= now)
			}
			require.GreaterOrEqual(t, b.Room(now), 0)
			require.GreaterOrEqual(t, b.Padding(now), 0)
			require.False(t, math.IsNaN(b.debt))
		}
		for range 100 {
			now += 10 * time.Minute
			b.Take(now, Video, packet)
		}
		if b.rate > 1000 {
			require.False(t, b.Probing())
			if b.window == 0 {
				require.LessOrEqual(t, b.Next(now+10*time.Minute, Video), now+10*time.Minute)
			}
		}
	})
}

func BenchmarkTake(b *testing.B) {
	for _, c := range []struct {
		name string
		e    bwe.Estimate
	}{
		{"off", bwe.Estimate{}},
		{"fat", bwe.Estimate{Target: 900 * bwe.Mbps, AppLimited: true}},
		{"thin", bwe.Estimate{Target: bwe.Mbps}},
	} {
		b.Run(c.name, func(b *testing.B) {
			var bucket Bucket
			bucket.SetEstimate(0, c.e)
			now := time.Duration(0)
			b.ReportAllocs()
			for b.Loop() {
				now += 20 * time.Microsecond
				bucket.Take(now, Video, 1200)
			}
		})
	}
}

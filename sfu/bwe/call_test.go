package bwe

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/internal/netsim"
)

const ms = time.Millisecond

// call plays one sender of video behind a link, in virtual time by milliseconds: frames of the target's size, paced; a report
// each 50 ms.
type call struct {
	e      *Estimator
	link   *netsim.Link
	delay  time.Duration // one way
	most   Bitrate       // of the source; 0: no bound
	silent bool          // no report passes
	lie    func(now time.Duration, results []Result) []Result

	now      time.Duration
	number   uint64
	waiting  int     // bytes
	credit   float64 // bytes that pacing lets out
	target   Bitrate // that the source follows, 100 ms late
	coming   []follow
	probe    Probe
	padded   int
	arriving []Result // by arrival, of the sender's clock
	reports  []report
	told     uint64 // the first number of the next report

	queue     time.Duration // longest wait of the newest packet
	delivered int           // bytes
	sent      int
	lost      int
	last      Estimate
}

type follow struct {
	at     time.Duration
	target Bitrate
}

type report struct {
	at      time.Duration
	results []Result
}

func newCall(cfg Config, link netsim.LinkConfig) *call {
	c := &call{e: New(0, cfg), link: netsim.NewLink(link, 1), delay: 50 * ms, number: 1, told: 1}
	c.poll()
	return c
}

func (c *call) poll() {
	c.last = c.e.Poll(c.now)
	c.coming = append(c.coming, follow{c.now + 100*ms, c.last.Target})
	if c.last.Probe.ID != 0 && c.last.Probe.ID != c.probe.ID {
		c.probe = c.last.Probe
	}
}

// run plays for d and calls each after every millisecond.
func (c *call) run(d time.Duration, each func()) {
	for end := c.now + d; c.now < end; c.now += ms {
		c.source()
		c.pace()
		if c.now%(50*ms) == 0 {
			c.report()
		}
		for len(c.reports) > 0 && c.reports[0].at <= c.now {
			results := c.reports[0].results
			c.reports = c.reports[1:]
			if c.lie != nil {
				results = c.lie(c.now, results)
			}
			if !c.silent {
				c.e.Feedback(c.now, results)
			}
			c.poll()
		}
		if c.last.Next != 0 && c.last.Next <= c.now {
			c.poll()
		}
		if each != nil {
			each()
		}
	}
}

func (c *call) source() {
	for len(c.coming) > 0 && c.coming[0].at <= c.now {
		c.target, c.coming = c.coming[0].target, c.coming[1:]
	}
	if c.now%(33*ms) == 0 {
		rate := c.target
		if c.most > 0 {
			rate = min(rate, c.most)
		}
		c.waiting = min(c.waiting+rate.Bytes(33*ms), rate.Bytes(300*ms))
	}
}

func (c *call) pace() {
	rate := c.last.Pacing
	probing := c.probe.ID != 0 && c.probe.Bytes > c.padded
	if probing {
		rate = max(rate, c.probe.Rate)
	}
	c.credit = min(c.credit+float64(rate)/8*ms.Seconds(), 0.002*float64(rate)/8+1)
	for c.credit > 0 && (c.waiting > 0 || probing) {
		size := min(max(c.waiting, 60), 1200)
		p := Packet{Number: c.number, Size: size}
		if probing {
			if c.waiting == 0 {
				size = 600
			}
			p.Size, p.Probe = size, c.probe.ID
			if c.padded += size; c.padded >= c.probe.Bytes {
				c.padded, c.probe.Bytes, probing = 0, 0, false
			}
		}
		c.waiting = max(0, c.waiting-size)
		c.credit -= float64(size)
		c.number++
		c.sent += size
		c.e.Sent(c.now, p)
		fate := c.link.Send(c.now, size)
		if fate.Verdict != netsim.Arrives {
			c.lost++
			continue
		}
		c.queue = fate.Wait
		c.delivered += size
		c.arriving = append(c.arriving, Result{Number: p.Number, Received: true, Arrival: fate.At + c.delay})
	}
}

func (c *call) report() {
	var results []Result
	for len(c.arriving) > 0 && c.arriving[0].Arrival <= c.now {
		r := c.arriving[0]
		c.arriving = c.arriving[1:]
		for ; c.told < r.Number; c.told++ {
			results = append(results, Result{Number: c.told})
		}
		r.Arrival += 7 * time.Hour // whatever its origin
		results = append(results, r)
		c.told = r.Number + 1
	}
	if results != nil {
		c.reports = append(c.reports, report{c.now + c.delay, results})
	}
}

func (c *call) rate(d time.Duration) Bitrate {
	before := c.delivered
	c.run(d, nil)
	return Bitrate(float64(c.delivered-before) * 8 / d.Seconds())
}

func flat(rate Bitrate, queue time.Duration) netsim.LinkConfig {
	return netsim.LinkConfig{Rate: int64(rate), QueueTime: queue}
}

func TestALinkIsFoundInTwoSeconds(t *testing.T) {
	for _, rate := range []Bitrate{500 * Kbps, Mbps, 3 * Mbps, 10 * Mbps} {
		c := newCall(Config{Start: 150 * Kbps}, flat(rate, 300*ms))
		c.e.Wants(0, 2*rate)
		c.run(2*time.Second, nil)
		require.GreaterOrEqual(t, c.rate(time.Second), rate*85/100, rate)
		sum, n := time.Duration(0), 0
		c.run(10*time.Second, func() { sum, n = sum+c.queue, n+1 })
		require.Less(t, sum/time.Duration(n), 10*ms+Mbps.Time(1200)*time.Duration(Mbps)/time.Duration(rate), rate)
		require.GreaterOrEqual(t, c.rate(10*time.Second), rate*93/100, rate)
		require.Zero(t, c.lost, rate)
	}
}

func TestAQueueIsDrainedAfterTheCapacityFell(t *testing.T) {
	c := newCall(Config{}, flat(2500*Kbps, 300*ms))
	c.run(10*time.Second, nil)
	c.link.Set(flat(600*Kbps, 300*ms))
	c.run(1500*ms, nil)
	c.run(3*time.Second, func() { require.Less(t, c.queue, 50*ms, c.now) })
	require.GreaterOrEqual(t, c.rate(5*time.Second), 540*Kbps)

	c.link.Set(flat(2500*Kbps, 300*ms))
	c.run(3*time.Second, nil)
	require.GreaterOrEqual(t, c.rate(time.Second), 2200*Kbps, "back in three seconds")
}

// What passed before a fall counts for nothing in what is believed after it, and is no sign that others send.
func TestAFallIsBelievedWithTheFirstPacketsThatShowIt(t *testing.T) {
	c := newCall(Config{}, flat(2500*Kbps, 300*ms))
	c.run(10*time.Second, nil)
	c.link.Set(flat(600*Kbps, 300*ms))
	fell, believed := c.now, time.Duration(0)
	c.run(time.Second, func() {
		require.False(t, c.e.control.shared(), c.now-fell)
		if believed == 0 && c.last.Lasts < 700*Kbps {
			believed = c.now - fell
		}
	})
	require.Positive(t, believed)
	require.Less(t, believed, 250*ms, "a round trip, two reports, and a queue that stands for two frames")
}

func TestRandomLossIsNoCongestion(t *testing.T) {
	for _, loss := range []float64{0.05, 0.1, 0.2} {
		link := flat(Mbps, 300*ms)
		link.Loss = loss
		c := newCall(Config{}, link)
		c.run(5*time.Second, nil)
		require.GreaterOrEqual(t, float64(c.rate(20*time.Second)), 0.85*1e6*(1-loss), loss)
		require.InDelta(t, loss, c.last.Loss, 0.06)
		require.Less(t, c.queue, 60*ms)
	}
}

// What arrived and nobody knows when is no loss and no delay. Where nothing has a time, that is as good as silence.
func TestArrivalsWithoutATime(t *testing.T) {
	c := newCall(Config{}, flat(2*Mbps, 300*ms))
	untimed := func(every uint64) func(time.Duration, []Result) []Result {
		return func(_ time.Duration, results []Result) []Result {
			for i := range results {
				if r := &results[i]; r.Received && r.Number%every == 0 {
					r.Untimed = true
					r.Arrival -= 8 * time.Second
				}
			}
			return results
		}
	}
	c.lie = untimed(3)
	c.run(5*time.Second, nil)
	require.GreaterOrEqual(t, c.rate(10*time.Second), 1800*Kbps)
	require.Zero(t, c.lost)
	require.Zero(t, c.last.Loss)
	require.Less(t, c.queue, 60*ms)
	require.Less(t, c.last.Queue, 60*ms)
	require.InDelta(t, (100 * ms).Seconds(), c.last.RTT.Seconds(), 0.05)
	require.Less(t, c.last.InFlight, Bitrate(2*Mbps).Bytes(300*ms), "they are told of")

	c.lie = untimed(1)
	c.run(3*time.Second, nil)
	require.Less(t, c.last.Target, 100*Kbps)
}

// Marks count with or without a time.
func TestMarksOfArrivalsWithoutATime(t *testing.T) {
	e := New(0, Config{})
	for n := range uint64(10) {
		e.Sent(time.Duration(n)*ms, Packet{Number: n, Size: 1000})
	}
	e.Feedback(60*ms, []Result{
		{Number: 0, Received: true, Arrival: 50 * ms},
		{Number: 1, Received: true, Untimed: true, Marked: true},
		{Number: 2},
		{Number: 3, Received: true, Untimed: true},
	})
	require.InDelta(t, markGain/3, e.ecn.share, 1e-9, "one of three")
	require.InDelta(t, 0.25, e.loss.share(), 1e-9)
	require.Equal(t, 6000, e.Poll(60*ms).InFlight)
	e.Feedback(70*ms, []Result{{Number: 2, Received: true, Untimed: true}})
	require.InDelta(t, 0, e.loss.share(), 1e-9, "it came after all")
}

func TestAShallowQueueIsSeenByItsLosses(t *testing.T) {
	for _, queue := range []time.Duration{10 * ms, 70 * ms} {
		c := newCall(Config{}, flat(3*Mbps, queue))
		c.run(5*time.Second, nil)
		lost, number := c.lost, c.number
		require.GreaterOrEqual(t, c.rate(30*time.Second), 2500*Kbps, queue)
		require.Less(t, float64(c.lost-lost)/float64(c.number-number), 0.03, queue)
	}
}

func TestWhatIsNotSentIsNotEstimated(t *testing.T) {
	c := newCall(Config{}, flat(20*Mbps, 300*ms))
	c.most = 800 * Kbps
	most := Bitrate(0)
	c.run(5*time.Second, func() { most = max(most, c.last.Target, c.last.Probe.Rate) })
	sent := c.sent
	c.run(60*time.Second, func() {
		require.LessOrEqual(t, c.last.Target, max(most, 2*800*Kbps), "the start's probes proved so much")
	})
	require.InDelta(t, 60*100e3, float64(c.sent-sent), 60*100e3*0.05, "probes are three percent at most")
	require.True(t, c.last.AppLimited)
}

func TestFeedbackThatLiesMovesNoFurtherThanTwiceWhatIsSent(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for name, lie := range map[string]func(now time.Duration, results []Result) []Result{
		"all at once": func(_ time.Duration, results []Result) []Result {
			for i := range results {
				results[i].Received, results[i].Arrival = true, results[0].Arrival
			}
			return results
		},
		"the future": func(_ time.Duration, results []Result) []Result {
			for i := range results {
				results[i].Arrival += time.Duration(random.Int64N(int64(time.Hour)))
			}
			return results
		},
		"never sent": func(_ time.Duration, results []Result) []Result {
			last := results[len(results)-1]
			for range 500 {
				last.Number++
				results = append(results, last)
			}
			return append(results, Result{Number: 1 << 60, Received: true}, Result{})
		},
	} {
		c := newCall(Config{Max: 20 * Mbps}, flat(20*Mbps, 300*ms))
		c.most, c.lie = 500*Kbps, lie
		c.e.Wants(0, c.most)
		c.run(20*time.Second, func() { require.LessOrEqual(t, c.last.Target, 2*550*Kbps, name) })
	}
}

// The start grows beyond what a whole second has shown: not for who has received what was never sent.
func TestWhoInventsPacketsGrowsByWholeSeconds(t *testing.T) {
	most := func(lie func(time.Duration, []Result) []Result) Bitrate {
		c := newCall(Config{Start: 150 * Kbps, Max: 20 * Mbps}, flat(5*Mbps, 300*ms))
		c.lie = lie
		c.run(time.Second, nil)
		return c.last.Target
	}
	honest := most(nil)
	liar := most(func(_ time.Duration, results []Result) []Result {
		last := results[len(results)-1]
		last.Number, last.Received = last.Number+500, true
		return append(results, last)
	})
	require.Less(t, liar, honest*2/3)
}

func TestSilenceHalvesTheRateUntilFeedbackComesBack(t *testing.T) {
	c := newCall(Config{Min: 50 * Kbps}, flat(2*Mbps, 300*ms))
	c.run(5*time.Second, nil)
	before := c.last.Target
	c.silent = true
	c.run(500*ms, nil)
	require.Equal(t, before, c.last.Target, "one message may be lost, or two")
	c.run(500*ms, nil)
	require.LessOrEqual(t, c.last.Target, before/2)
	c.run(4*time.Second, nil)
	require.Equal(t, 50*Kbps, c.last.Target)
	require.GreaterOrEqual(t, c.last.InFlight, c.last.Window)
	c.silent = false
	c.run(4*time.Second, nil)
	require.GreaterOrEqual(t, c.rate(time.Second), 1500*Kbps)
}

func TestANewPathIsTriedWithHalf(t *testing.T) {
	c := newCall(Config{}, flat(3*Mbps, 300*ms))
	c.run(5*time.Second, nil)
	before := c.last.Target
	c.link.Set(flat(5*Mbps, 300*ms))
	c.delay = 20 * ms
	c.e.NewPath(c.now)
	c.poll()
	require.Equal(t, before/2, c.last.Target)
	require.Zero(t, c.last.RTT)
	c.run(3*time.Second, nil)
	require.GreaterOrEqual(t, c.rate(time.Second), 4*Mbps)
}

func TestEqualCallsAreEqualToTheBit(t *testing.T) {
	play := func() (all []Estimate) {
		c := newCall(Config{}, netsim.LinkConfig{Rate: 1e6, QueueTime: 200 * ms, Loss: 0.02, Jitter: 8 * ms})
		c.run(20*time.Second, func() { all = append(all, c.last) })
		return all
	}
	require.Equal(t, play(), play())
}

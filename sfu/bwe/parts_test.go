package bwe

import (
	"math/rand/v2"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/require"
)

func TestHistoryGrowsByNeedAndForgets(t *testing.T) {
	var h history
	require.True(t, h.add(0, Packet{Number: 70, Size: 100}))
	require.False(t, h.add(0, Packet{Number: 70, Size: 100}), "used")
	require.False(t, h.add(0, Packet{Number: 69, Size: 100}))
	require.True(t, h.add(0, Packet{Number: 73, Size: 100}))
	require.Nil(t, h.find(71), "never left")
	require.Nil(t, h.find(69))
	require.Nil(t, h.find(74))
	require.Equal(t, 200, h.flying)
	require.Len(t, h.ring, minHistory)

	for n := uint64(74); n < 74+100; n++ {
		require.True(t, h.add(time.Millisecond, Packet{Number: n, Size: 100}))
	}
	require.Len(t, h.ring, 128)
	require.NotNil(t, h.find(70))
	require.Equal(t, 102*100, h.flying)

	for n := uint64(200); n < 200+2*maxHistory; n++ { // numbers between never left
		h.add(time.Millisecond, Packet{Number: n, Size: 1})
	}
	require.Len(t, h.ring, maxHistory)
	require.Nil(t, h.find(200))
	require.Equal(t, maxHistory, h.flying)

	require.True(t, h.add(time.Second, Packet{Number: 1 << 50, Size: 7}), "a leap")
	require.Equal(t, 7, h.flying)
	require.True(t, h.add(time.Minute, Packet{Number: 1<<50 + 1, Size: 9}))
	require.Equal(t, 9, h.flying, "what left a minute ago is told of no more")
}

func TestHistorySettles(t *testing.T) {
	var h history
	for n := range uint64(10) {
		h.add(0, Packet{Number: n, Size: 10})
	}
	h.skip(4)
	require.Equal(t, 60, h.flying)
	require.Equal(t, skipped, h.find(3).state)
	h.settle(h.find(3), arrived)
	require.Equal(t, 60, h.flying)
	h.settle(h.find(5), missing)
	h.settle(h.find(5), arrived)
	require.Equal(t, 50, h.flying)
}

// one makes the message of one packet of 1,000 bytes.
func one(sentAt, owd time.Duration) message {
	return message{received: 1, bytes: 1000, sent: sentAt, arrived: sentAt + owd, owd: owd, least: owd}
}

func TestDelayTellsTheQueueThatStands(t *testing.T) {
	var d delay
	_, ok := d.local(0, time.Hour)
	require.True(t, ok)
	at, ok := d.local(100*ms, time.Hour+130*ms)
	require.True(t, ok)
	require.Equal(t, 130*ms, at)
	_, ok = d.local(100*ms, 3*time.Hour)
	require.False(t, ok, "the clock was set")

	for i := range 20 {
		owd := time.Duration(0)
		if i >= 10 {
			owd = 15 * ms
		}
		if i%5 == 2 {
			owd += 40 * ms // a burst
		}
		d.report(one(time.Duration(i)*50*ms, owd), passage{})
	}
	require.Equal(t, 15*ms, d.queue())
	require.Equal(t, time.Duration(0), d.empty())
	require.InDelta(t, 160e3, d.recent(300*ms), 25e3, "1,000 bytes each 50 ms")
	require.InDelta(t, 160e3, d.delivered(300*ms), 25e3)

	// 200 ppm of skew: an hour later the delay is 0.7 s longer, and none of it is a queue.
	for i := range 72000 {
		now := time.Second + time.Duration(i)*50*ms
		d.report(one(now, now/5000), passage{})
	}
	require.Less(t, d.queue(), 6*ms)
}

// Jitter is in each report and is known in three seconds. The queue of a keyframe each second is none, though it is as long.
func TestAKeyframesQueueIsNoJitter(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 1))
	var jittered, keyed delay
	jittered.local(0, 0)
	keyed.local(0, 0)
	for i := range 100 {
		now := time.Duration(i) * 50 * ms
		jittered.report(one(now, time.Duration(random.IntN(40))*ms), passage{})
		queue := time.Duration(0)
		if i%20 < 3 {
			queue = []time.Duration{30 * ms, 60 * ms, 20 * ms}[i%20]
		}
		keyed.report(one(now, queue), passage{})
		require.Less(t, keyed.jitter(), 2*ms, now)
		if now > 3*time.Second {
			require.Greater(t, jittered.jitter(), 8*ms, now)
		}
	}
}

func TestDeliveredIsNeverMoreThanWasSent(t *testing.T) {
	var d delay
	d.local(0, 0)
	for i := range 20 {
		now := time.Duration(i) * 50 * ms
		m := one(now, 0)
		m.arrived = 0 // all at once, says the receiver
		d.report(m, passage{})
	}
	require.InDelta(t, 160e3, d.delivered(300*ms), 1e3)
	require.Zero(t, d.recent(300*ms))
}

func TestBurstsTellTheCapacity(t *testing.T) {
	var b busy
	number := uint64(0)
	frame := func(at time.Duration, service time.Duration) {
		free := at
		for i := range 4 { // 1,000 bytes each 4 ms: 2 Mbit/s
			sentAt := at + time.Duration(i)*4*ms
			free = max(free, sentAt) + service
			number++
			b.arrive(number, &sent{at: sentAt, size: 1000}, free, free-sentAt, &control{rate: 2e6}) // a gap of 6 ms
		}
	}
	for i := range 10 {
		frame(time.Duration(i)*33*ms, 8*ms) // 1 Mbit/s
	}
	require.InDelta(t, 1e6, b.rate(330*ms), 1)
	require.Zero(t, b.rate(time.Second), "of another time")

	b = busy{}
	for i := range 10 {
		frame(time.Duration(i)*33*ms, 4*ms)
	}
	require.Zero(t, b.rate(330*ms), "no packet waits for another: the capacity is beyond the burst's")

	frame(time.Second, 200*ms)
	require.True(t, b.stood(time.Second+400*ms))
	require.Zero(t, b.rate(time.Second+800*ms), "the path stood still: that is no rate")
}

// Our share is of the time in which something of ours stands in the queue, be it of one burst or not. A pause between bursts is none of it,
// nor is a moment in which the path stands still and lets all pass at once then.
func TestOurShareIsOfTheTimeThatWeStandInTheQueue(t *testing.T) {
	var b busy
	number := uint64(0)
	arrive := func(sentAt, at time.Duration) {
		number++
		b.arrive(number, &sent{at: sentAt, size: 1000}, at, at-sentAt, &control{rate: 1e6})
	}
	for i := range 30 { // one each 20 ms, which is no burst; 25 ms each by what others send between
		arrive(time.Duration(i)*20*ms, 10*ms+time.Duration(i)*25*ms)
	}
	require.InDelta(t, 320e3, b.stands.rate(), 1e3)
	require.Zero(t, b.rate(760*ms), "no burst")

	arrive(2*time.Second, 2*time.Second+8*ms)
	require.Zero(t, b.stands.rate(), "the queue was empty")
	for i := range 5 {
		arrive(2*time.Second+time.Duration(i)*ms, 2*time.Second+time.Duration(i+2)*8*ms)
	}
	require.InDelta(t, 1e6, b.stands.rate(), 1e3, "alone it is what bursts show")

	for i := range 4 {
		arrive(3*time.Second+time.Duration(i)*20*ms, 3*time.Second+70*ms)
	}
	require.Zero(t, b.stands.rate(), "a path that stood still")
}

// A keyframe of ten pictures, alone on a path that is twice what is sent, makes a queue and is no sign that others send.
func TestKeyframesAreNoNeighbours(t *testing.T) {
	c := newCall(Config{}, flat(2500*Kbps, 300*ms))
	c.most = 1200 * Kbps
	c.e.Wants(0, 1600*Kbps)
	c.run(5*time.Second, nil)
	for range 20 {
		c.waiting += 40_000
		c.run(time.Second, func() { require.False(t, c.e.control.shared(), c.now) })
		require.GreaterOrEqual(t, c.last.Lasts, 1300*Kbps, c.now)
	}
}

// What bursts showed before a fall is forgotten with it, and does not fade for a second.
func TestAMeasureBeginsAnewAfterAFall(t *testing.T) {
	c := newCall(Config{}, flat(2500*Kbps, 300*ms))
	c.run(10*time.Second, nil)
	c.link.Set(flat(600*Kbps, 300*ms))
	c.run(400*ms, nil)
	c.run(time.Second, func() { require.Less(t, c.e.busy.rate(c.e.delay.now()), 630e3, c.now) })
}

func TestLossesWhereTheQueueIsLongAreCongestion(t *testing.T) {
	for _, c := range []struct {
		name string
		lost func(i int, queue float64) bool
		want bool
	}{
		{"none", func(int, float64) bool { return false }, false},
		{"anywhere", func(i int, _ float64) bool { return i%13 == 0 }, false},
		{"where it is full", func(_ int, queue float64) bool { return queue > 0.008 }, true},
	} {
		var l loss
		for i := range 300 {
			if i%20 == 0 {
				l.begin(time.Duration(i) * 10 * ms)
			}
			queue := float64(i%10) / 1000
			l.arrived(1000, queue)
			if c.lost(i, queue) {
				l.missed(1000)
			}
		}
		l.judge()
		require.Equal(t, c.want, l.congestive(), c.name)
	}
	var l loss
	l.missed(1000)
	require.Equal(t, 1.0, l.share())
	l.came(1000)
	require.Zero(t, l.share())
	l.judge()
	require.False(t, l.congestive())
}

// A queue that others keep full hardly shows in what waits in front of losses: it shows in what is lost, and does not go soon.
func TestAQueueThatIsNearlyAlwaysFullLosesWhatIsLarge(t *testing.T) {
	for _, c := range []struct {
		name   string
		size   int
		run    int // packets lost at a time
		before bool
		want   bool
	}{
		{"large ones", 1000, 1, false, true},
		{"small ones", 200, 1, false, false},
		{"small ones, where it was full", 200, 1, true, true},
		{"an outage", 1000, 20, false, false},
	} {
		l := loss{full: c.before}
		for i := range 600 {
			if i%20 == 0 {
				l.begin(time.Duration(i) * 5 * ms)
			}
			l.arrived([]int{1000, 200}[i%2], 0.010+float64(i%10)/1000)
			if i%30 == 6 {
				for range c.run {
					l.missed(c.size)
				}
			}
		}
		wait := beyond(l.before, l.beforeN, l.all, l.all2, l.allN, leastWait)
		require.Greater(t, wait, lossLarger, c.name)
		require.Less(t, wait, lossSigma, c.name)
		l.judge()
		require.Equal(t, c.want, l.congestive(), c.name)
	}
}

func TestMarksAreAnsweredByTheirShareOnceARoundTrip(t *testing.T) {
	var k ecn
	require.Zero(t, k.cut(time.Second, 100*ms, 1e6), "no mark")
	require.False(t, k.active(time.Second))
	k.note(time.Second, 5, 10)
	require.True(t, k.active(time.Second))
	require.InDelta(t, 0.5/8/2*0.5, k.cut(time.Second, 100*ms, 20e6), 1e-9)
	k.note(time.Second+50*ms, 10, 10)
	require.Zero(t, k.cut(time.Second+50*ms, 100*ms, 20e6), "in the same round trip")
	require.Positive(t, k.cut(time.Second+150*ms, 100*ms, 20e6))
	k.note(time.Second+200*ms, 10, 10)
	require.Less(t, k.cut(time.Second+300*ms, 100*ms, 1e6), 0.05, "a thin link marks what bursts do")
	k.note(time.Second+400*ms, 0, 10)
	require.Zero(t, k.cut(time.Second+450*ms, 100*ms, 20e6))
	require.False(t, k.active(time.Minute))
}

// What L4S marks had waited a few ms; what an AQM of RFC 3168 marks had waited longer, as had others that it did not mark.
func TestMarksTellL4SFromAnOldAQM(t *testing.T) {
	var k ecn
	feed := func(from, to time.Duration, most float64) {
		for i := range 400 {
			wait := time.Duration(i%30) * ms
			share := min(max((wait-from).Seconds()/(to-from).Seconds(), 0), 1) * most
			marked := float64(i*37%100) < share*100
			k.note(time.Second, map[bool]int{true: 1}[marked], 1)
			k.waited(wait.Seconds(), marked)
		}
	}
	feed(20*ms, 80*ms, 0.3)
	require.False(t, k.early(time.Second), "RED")
	feed(2*ms, 10*ms, 1)
	require.True(t, k.early(time.Second), "a ramp of L4S")
	for range 300 {
		k.note(2*time.Second, 1, 1)
		k.waited(0.1, true)
	}
	require.True(t, k.early(2*time.Second), "its queue is long now, and all is marked: that is no other one")
	require.False(t, k.early(10*time.Minute), "marks stay away")
	feed(20*ms, 80*ms, 0.3)
	require.False(t, k.early(time.Second))
}

func TestGrowthWaitsWhereMarksCameAndHurriesElsewhere(t *testing.T) {
	k := ecn{last: time.Second, top: 10e6}
	at := func(calm time.Duration, rate, bursts float64) float64 {
		return k.speed(time.Second+100*ms+calm, 100*ms, rate, bursts)
	}
	require.InDelta(t, 0.02, at(0, 5e6, 0), 1e-9)
	require.InDelta(t, 0.32, at(time.Second, 5e6, 0), 1e-9)
	require.InDelta(t, 0.02, at(time.Second, 9.5e6, 0), 1e-9, "near where marks came")
	require.InDelta(t, 0.17, at(3*time.Second, 9.5e6, 0), 1e-9)
	require.InDelta(t, 0.02, at(time.Second, 5e6, 5.2e6), 1e-9, "bursts say so")
	require.InDelta(t, 3*(0.92*1.2-1), at(0, 4e6, 4.8e6), 1e-9, "bursts say that there is more")
	require.InDelta(t, 1, at(time.Minute, 5e6, 0), 1e-9)
	k.bound = 4 * time.Second
	require.InDelta(t, 0.02, at(2*time.Second, 5e6, 0), 1e-9, "what was not filled was not marked")
}

func TestProbesProveOneAfterTheOther(t *testing.T) {
	e := New(0, Config{Start: 300 * Kbps})
	e.Wants(0, 10*Mbps)
	p := e.Poll(0).Probe
	require.Equal(t, Probe{ID: 1, Rate: 1200 * Kbps, Bytes: 4500}, p)
	require.Equal(t, p, e.Poll(ms).Probe, "the same until it is sent")
	number, at := uint64(0), 10*ms
	var results []Result
	for range 5 {
		number++
		e.Sent(at, Packet{Number: number, Size: 900, Probe: p.ID})
		results = append(results, Result{Number: number, Received: true, Arrival: time.Hour + at})
		at += 6 * ms // 1.2 Mbit/s
	}
	require.Zero(t, e.Poll(at).Probe, "under way")
	e.Feedback(at+100*ms, results)
	est := e.Poll(at + 100*ms)
	require.InDelta(t, float64(provedProbe*1.2e6), float64(est.Target), 1e3)
	require.Equal(t, uint32(2), est.Probe.ID)
	require.InDelta(t, probeStart*provedProbe*1.2e6, float64(est.Probe.Rate), 5e3)

	require.Zero(t, New(0, Config{Start: 300 * Kbps, Max: 310 * Kbps}).Poll(0).Probe, "nothing is to be found")
}

func TestAProbeThatMetTheBottleneckEndsTheStart(t *testing.T) {
	e := New(0, Config{Start: 300 * Kbps})
	p := e.Poll(0).Probe
	var results []Result
	for i := range uint64(5) {
		at := time.Duration(i) * 6 * ms
		e.Sent(at, Packet{Number: i, Size: 900, Probe: p.ID})
		results = append(results, Result{Number: i, Received: true, Arrival: time.Duration(i) * 12 * ms})
	}
	e.Feedback(150*ms, results)
	est := e.Poll(150 * ms)
	require.InDelta(t, float64(provedProbe*0.6e6), float64(est.Target), 1e3)
	require.Zero(t, est.Probe)
}

func TestAProbeThatDoesNotComeBackIsGivenUp(t *testing.T) {
	e := New(0, Config{})
	p := e.Poll(0).Probe
	for i := range uint64(5) {
		e.Sent(time.Duration(i)*ms, Packet{Number: i, Size: 900, Probe: p.ID})
	}
	est := e.Poll(5 * ms)
	require.NotZero(t, est.Next)
	require.Zero(t, e.Poll(est.Next).Probe)
	require.Zero(t, e.probes.flight)
}

func TestReportsOfOldClients(t *testing.T) {
	e := New(0, Config{Start: 300 * Kbps, Min: 50 * Kbps})
	number := uint64(0)
	second := func(s int) {
		for i := range 100 { // 400 kbit/s
			number++
			e.Sent(time.Duration(s)*time.Second+time.Duration(i)*10*ms, Packet{Number: number, Size: 500})
		}
	}
	second(0)
	e.REMB(time.Second, 350*Kbps)
	require.Equal(t, 350*Kbps, e.Poll(time.Second).Target)
	second(1)
	e.REMB(2*time.Second, 5*Mbps)
	require.InDelta(t, 800e3, float64(e.Poll(2*time.Second).Target), 30e3, "twice what is sent")
	e.Report(2*time.Second, 20, 100)
	require.InDelta(t, 720e3, float64(e.Poll(2*time.Second).Target), 30e3)
	second(2)
	e.Report(3*time.Second, 0, 100)
	require.InDelta(t, 777e3, float64(e.Poll(3*time.Second).Target), 30e3)
	e.REMB(3*time.Second, 10*Kbps)
	require.Equal(t, 50*Kbps, e.Poll(3*time.Second).Target, "never below the minimum")
	e.Report(3*time.Second, -1, 0)
	e.Report(3*time.Second, 200, 100)

	e.Feedback(3*time.Second, []Result{{Number: number, Received: true}})
	target := e.Poll(3 * time.Second).Target
	e.REMB(3*time.Second+ms, 9*Mbps)
	e.Report(3*time.Second+ms, 100, 100)
	require.Equal(t, target, e.Poll(3*time.Second+ms).Target, "feedback by packets knows better")
}

func TestLargerRatesYieldFirst(t *testing.T) {
	e := New(0, Config{})
	at := func(rate Bitrate, priority float64) float64 {
		e.control.rate, e.cfg.Priority = float64(rate), priority
		return e.control.threshold(e)
	}
	require.InDelta(t, 0.017, at(500*Kbps, 1), 1e-9)
	require.InDelta(t, 0.030, at(50*Kbps, 1), 1e-9)
	require.InDelta(t, 0.0085, at(Mbps, 1), 1e-9, "what busy ends take")
	require.InDelta(t, 0.0085, at(20*Mbps, 1), 1e-9)
	require.InDelta(t, 0.017, at(Mbps, 2), 1e-9, "of twice the weight")
}

// Who sends little of what he may, as a server whose pictures do not fit, does not fall to what arrives of it because a few
// milliseconds stand somewhere; where the path has become too thin even for that he does.
func TestAShortQueueIsNotOfWhoSendsLittle(t *testing.T) {
	for _, c := range []struct {
		stands time.Duration
		falls  bool
	}{{20 * ms, false}, {150 * ms, true}} {
		e := New(0, Config{Start: 2 * Mbps})
		e.Wants(0, 4*Mbps)
		var number uint64
		var results []Result
		for now := time.Duration(0); now < 6*time.Second; now += 20 * ms {
			number++
			e.Sent(now, Packet{Number: number, Size: 150})
			owd := 10 * ms
			if now > 3*time.Second {
				owd += c.stands
			}
			results = append(results, Result{Number: number, Received: true, Arrival: now + owd})
			if len(results) == 5 {
				e.Feedback(now+2*owd, results)
				e.Poll(now + 2*owd)
				results = results[:0]
			}
		}
		if falls := e.control.rate < 1e6; falls != c.falls {
			t.Errorf("%v stand: %.0f bit/s", c.stands, e.control.rate)
		}
	}
}

func TestAnIdleEstimatorIsSmall(t *testing.T) {
	require.LessOrEqual(t, unsafe.Sizeof(Estimator{})+minHistory*unsafe.Sizeof(sent{}), uintptr(2048))
}

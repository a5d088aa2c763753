package cc

import (
	"math"
	"time"

	"github.com/tolkyn/tolkyn/sfu/bwe"
)

const (
	bin     = 100 * time.Millisecond // of what is counted in time
	binsOf1 = int(time.Second / bin)
	qStep   = 100 * time.Microsecond // of delays in histograms
)

// log is what happened in a run.
type log struct {
	c     Case
	bins  int
	flows []flowLog
	links []linkLog
	tcp   []int32 // bytes that arrived, by bins
	queue delays  // at bottlenecks, of the flows' packets
	wait  delays  // in the senders' queues
}

type flowLog struct {
	sentBytes, sentPackets []int32 // by bins
	lostPackets            []int32
	delivered              []int32 // bytes of media that arrived, by bins
	target                 []bwe.Bitrate
	queued                 []float32 // ms, the longest wait in the sender's queue

	packets, lostTotal int
	bytes, padding     int
	staleBytes         int // that the sender's queue dropped
	feedback           int // bytes of reports
	estimateMin        bwe.Bitrate
	estimateMax        bwe.Bitrate
	proved             float64 // bits a second, the best that a probe or a second has shown
	over               float64 // the most that a target was of what was proved or twice what was sent
	probes             map[uint32]*probed
}

// probed is what arrived of one probe.
type probed struct {
	first, last time.Duration
	bytes       int // after the first packet
}

type linkLog struct {
	queueMax, queueSum []float32 // ms, by bins
	queueN             []int32
	dropped            []int32
}

func newLog(c Case) *log {
	l := &log{c: c, bins: int((c.Duration + bin - 1) / bin)}
	l.tcp = make([]int32, l.bins)
	for range c.Flows {
		l.flows = append(l.flows, flowLog{
			sentBytes: make([]int32, l.bins), sentPackets: make([]int32, l.bins), lostPackets: make([]int32, l.bins), delivered: make([]int32, l.bins),
			target: make([]bwe.Bitrate, l.bins), queued: make([]float32, l.bins), estimateMin: math.MaxInt64,
			probes: map[uint32]*probed{},
		})
	}
	for range c.Links {
		l.links = append(l.links, linkLog{
			queueMax: make([]float32, l.bins), queueSum: make([]float32, l.bins), queueN: make([]int32, l.bins),
			dropped: make([]int32, l.bins),
		})
	}
	return l
}

func (l *log) at(now time.Duration) int { return min(int(now/bin), l.bins-1) }

func (l *log) queued(flow int32, wait time.Duration, now time.Duration) {
	l.wait.add(wait)
	at := &l.flows[flow].queued[l.at(now)]
	*at = max(*at, milliseconds(wait))
}

func (l *log) sent(flow int32, now time.Duration, size int, what content, probe uint32) {
	f := &l.flows[flow]
	f.packets++
	f.bytes += size
	if what == padding {
		f.padding += size
	}
	f.sentBytes[l.at(now)] += int32(size)
	f.sentPackets[l.at(now)]++
	if l.c.Flows[flow].Liar != Honest {
		f.prove(now, probe, size) // what a liar acknowledges is proved by its sending alone
	}
}

// lost notes a packet that does not arrive; link -1: on the flow's own way.
func (l *log) lost(flow int32, now time.Duration, link int) {
	f := &l.flows[flow]
	f.lostTotal++
	f.lostPackets[l.at(now)]++
	if link >= 0 {
		l.links[link].dropped[l.at(now)]++
	}
}

func (l *log) waited(link int, now, wait time.Duration) {
	l.queue.add(wait)
	at := &l.links[link]
	ms, i := milliseconds(wait), l.at(now)
	at.queueMax[i] = max(at.queueMax[i], ms)
	at.queueSum[i] += ms
	at.queueN[i]++
}

func (l *log) arrived(flow int32, now time.Duration, p packet) {
	f := &l.flows[flow]
	if p.kind != padding {
		f.delivered[l.at(now)] += int32(p.size)
	}
	if l.c.Flows[flow].Liar == Honest {
		f.prove(now, p.probe, p.size)
	}
}

// prove notes a packet of a probe: what came of it in the time that it took is proved, though only of several packets.
func (f *flowLog) prove(now time.Duration, probe uint32, size int) {
	if probe == 0 {
		return
	}
	of := f.probes[probe]
	if of == nil {
		f.probes[probe] = &probed{first: now, last: now}
		return
	}
	of.bytes += size
	of.last = now
	if took := of.last - of.first; took >= 5*time.Millisecond {
		f.proved = max(f.proved, float64(of.bytes*8)/took.Seconds())
	}
}

// estimated notes what the controller said: the target holds from now on.
func (l *log) estimated(flow int32, now time.Duration, est bwe.Estimate) {
	f := &l.flows[flow]
	f.target[l.at(now)] = est.Target
	f.estimateMin, f.estimateMax = min(f.estimateMin, est.Target), max(f.estimateMax, est.Target)
	if c := l.c.Flows[flow]; !c.Untold && c.Liar == Honest {
		return
	}
	if sent := f.busiest(l.at(now)); sent > 0 {
		f.over = max(f.over, float64(est.Target)/max(2*sent, f.proved))
	}
}

// busiest is the greatest rate of any second of the last ten before a bin: a source wavers, and what it sent it did send.
func (f *flowLog) busiest(end int) float64 {
	most := 0
	for last := end; last >= binsOf1 && last > end-10*binsOf1; last-- {
		sum := 0
		for _, b := range f.sentBytes[last-binsOf1 : last] {
			sum += int(b)
		}
		most = max(most, sum)
	}
	return float64(most * 8)
}

func milliseconds(d time.Duration) float32 { return float32(d.Seconds() * 1000) }

// delays is a histogram.
type delays struct {
	counts []uint32
	n      uint64
	sum    time.Duration
}

func (d *delays) add(v time.Duration) {
	i := int(v / qStep)
	for i >= len(d.counts) {
		d.counts = append(d.counts, make([]uint32, i+1000-len(d.counts))...)
	}
	d.counts[i]++
	d.n++
	d.sum += v
}

func (d *delays) mean() float64 {
	if d.n == 0 {
		return 0
	}
	return d.sum.Seconds() * 1000 / float64(d.n)
}

// quantile in ms, at most 0.1 too high.
func (d *delays) quantile(q float64) float64 {
	rank := uint64(math.Ceil(q * float64(d.n)))
	for i, n := range d.counts {
		if uint64(n) >= rank {
			return float64(i+1) * qStep.Seconds() * 1000
		}
		rank -= uint64(n)
	}
	return 0
}

func (l *log) reported(flow int32, size int) { l.flows[flow].feedback += size }

// stale notes bytes that waited too long in the sender's queue.
func (l *log) stale(flow int32, _ time.Duration, size int) { l.flows[flow].staleBytes += size }

func (l *log) arrivedTCP(now time.Duration, size int) { l.tcp[l.at(now)] += int32(size) }

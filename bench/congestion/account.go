//go:build linux

package main

import (
	"slices"
	"time"
)

const (
	// window and warm are of the goal: never under 15 pictures a second in any 2 s after the first 5.
	window = 2 * time.Second
	warm   = 5 * time.Second
)

// phase is a capacity that holds from a time on.
type phase struct {
	from time.Duration
	rate int64 // bits a second
}

// passage is what the bottleneck did with one IP packet.
type passage struct {
	at      time.Duration // when it came
	queue   time.Duration // how long it waited; of one that was dropped 0
	size    int           // bytes
	dropped bool          // the queue was full
}

// look is one reading of both pages.
type look struct {
	at               time.Duration
	receiver, sender taken
}

// course is what was seen of one call. Times count from the first phase.
type course struct {
	phases   []phase
	length   time.Duration
	passages []passage     // of UDP, in order
	looks    []look        // in order
	delays   []delay       // of pictures, in order
	late     time.Duration // p99 by which the emulator itself was late: what of the delays is this machine's fault
}

// delay is of one picture: from the encoder to the arrival of its last packet.
type delay struct{ at, took time.Duration }

// figures describe a part of a call.
type figures struct {
	sent, received     float64 // kbit/s into the bottleneck and out of it, IP and UDP headers included
	lost               float64 // share of packets that it dropped
	queueMean, queue95 float64 // ms
	fps, fpsMin        float64 // pictures decoded a second: in all, and in the worst window that began in this part
	sentFPS            float64 // pictures encoded a second, of the encoding with most
	freezes            float64 // count
	frozen             float64 // s
	height             float64 // lines of the received picture, the mean over readings
	delay50, delay95   float64 // ms
	concealed          float64 // share of the sound
	limitedCPU         float64 // share of the time in which the sender's machine held its encoder back
	late               float64 // ms, course.late
}

// parts are the figures of each phase, and of the whole call at the end.
func (c *course) parts() []figures {
	var out []figures
	for i, p := range c.phases {
		to := c.length
		if i+1 < len(c.phases) {
			to = c.phases[i+1].from
		}
		out = append(out, c.between(p.from, to))
	}
	return append(out, c.between(0, c.length))
}

// between describes what happened from one time to another.
func (c *course) between(from, to time.Duration) figures {
	f := figures{late: milliseconds(c.late)}
	c.link(from, to, &f)
	c.pictures(from, to, &f)
	var took []time.Duration
	for _, d := range c.delays {
		if d.at >= from && d.at < to {
			took = append(took, d.took)
		}
	}
	f.delay50, f.delay95 = milliseconds(quantile(took, 0.5)), milliseconds(quantile(took, 0.95))
	return f
}

// link is what the bottleneck did.
func (c *course) link(from, to time.Duration, f *figures) {
	var queues []time.Duration
	var sum time.Duration
	sent, received, dropped, packets := 0, 0, 0, 0
	for _, p := range c.passages {
		if left := p.at + p.queue; !p.dropped && left >= from && left < to {
			received += p.size
		}
		if p.at < from || p.at >= to {
			continue
		}
		packets++
		sent += p.size
		if p.dropped {
			dropped++
			continue
		}
		queues = append(queues, p.queue)
		sum += p.queue
	}
	seconds := (to - from).Seconds()
	f.sent, f.received = float64(sent)*8/1000/seconds, float64(received)*8/1000/seconds
	f.lost = float64(dropped) / float64(max(packets, 1))
	f.queueMean = milliseconds(sum) / float64(max(len(queues), 1))
	f.queue95 = milliseconds(quantile(queues, 0.95))
}

// pictures is what the pages said.
func (c *course) pictures(from, to time.Duration, f *figures) {
	var in []look
	for _, l := range c.looks {
		if l.at >= from && l.at <= to {
			in = append(in, l)
			f.height += l.receiver.Video.FrameHeight
		}
	}
	if len(in) < 2 {
		return
	}
	f.height /= float64(len(in))
	first, last := in[0], in[len(in)-1]
	seconds := (last.at - first.at).Seconds()
	got, had := last.receiver, first.receiver
	f.fps = (got.Video.FramesDecoded - had.Video.FramesDecoded) / seconds
	f.freezes = got.Video.FreezeCount - had.Video.FreezeCount
	f.frozen = got.Video.TotalFreezesDuration - had.Video.TotalFreezesDuration
	if samples := got.Audio.TotalSamples - had.Audio.TotalSamples; samples > 0 {
		concealed := got.Audio.ConcealedSamples - got.Audio.SilentConcealedSamples - had.Audio.ConcealedSamples + had.Audio.SilentConcealedSamples
		f.concealed = concealed / samples
	}
	for i, e := range last.sender.Sent.Encodings {
		if i < len(first.sender.Sent.Encodings) {
			before := first.sender.Sent.Encodings[i]
			f.sentFPS = max(f.sentFPS, (e.FramesEncoded-before.FramesEncoded)/seconds)
			f.limitedCPU = max(f.limitedCPU, (e.LimitedCPU-before.LimitedCPU)/seconds)
		}
	}
	f.fpsMin = c.worst(from, to)
}

// worst is the lowest rate of pictures in any window that began in this part and after the first seconds; 0 where there is none.
func (c *course) worst(from, to time.Duration) float64 {
	least, any := 0.0, false
	for i, l := range c.looks {
		if l.at < max(from, warm) || l.at >= to {
			continue
		}
		j := i
		for j < len(c.looks) && c.looks[j].at-l.at < window {
			j++
		}
		if j == len(c.looks) {
			break
		}
		rate := pictureRate(l, c.looks[j])
		if !any || rate < least {
			least, any = rate, true
		}
	}
	return least
}

// pictureRate is how many pictures were decoded between two readings ÷ the time from the last one before them to the last one in
// them. ÷ the time between the readings, one more or less at the edges counts, half a picture a second in 2 s: 15 a second were
// 14.5 and 15.5 in turn. What of a standstill lies behind the last picture counts where it ends.
func pictureRate(from, to look) float64 {
	a, b := &from.receiver.Video, &to.receiver.Video
	n, took := b.FramesDecoded-a.FramesDecoded, b.TotalInterFrameDelay-a.TotalInterFrameDelay
	if n <= 0 {
		return 0
	}
	if took <= 0 { // of another stream, which has just begun
		took = (to.at - from.at).Seconds()
	}
	return n / took
}

// quantile of times, 0 of none.
func quantile(v []time.Duration, share float64) time.Duration {
	if len(v) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(v))
	return sorted[min(int(share*float64(len(sorted))), len(sorted)-1)]
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

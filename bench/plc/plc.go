package plc

import (
	"math"
	"time"
)

const (
	shortestPeriod = 2500 * time.Microsecond // 400 Hz
	longestPeriod  = 15 * time.Millisecond   // 66 Hz: voices lie between
	compared       = 20 * time.Millisecond   // of sound tell the period
	mostPeriods    = 3
	step           = 10 * time.Millisecond // so long until a period more is repeated, and a fade further
	fade           = 0.2                   // of the loudness goes with each step after the first: after 60 ms there is nothing
	bridge         = 2 * time.Millisecond  // for what the first sample is off the last one before the hole
	shortestBlend  = 4 * time.Millisecond  // of cross-fade with what comes after a hole ...
	longestBlend   = 10 * time.Millisecond // ... which grows with it
)

// Concealer makes the samples of one voice, mono, as it is told what is played and what is missing. Samples lie between -1 and 1. One
// goroutine.
type Concealer struct {
	rate    int
	history []float32 // the newest samples that were played, oldest first
	made    int       // samples made up so far in the present hole; 0: there is none

	// Of a hole.
	sound  []float32 // the history before it
	period int
	long   int     // of the end of sound is repeated
	at     int     // in that
	off    float32 // by how much the first sample would be off
}

// New returns a Concealer at a rate of 8,000 to 48,000 samples a second, a whole number of them in a millisecond.
func New(rate int) *Concealer {
	c := &Concealer{rate: rate}
	c.history = make([]float32, c.samples(compared+mostPeriods*longestPeriod+longestPeriod))
	return c
}

func (c *Concealer) samples(d time.Duration) int {
	return int(int64(d) * int64(c.rate) / int64(time.Second))
}

// Play appends sound that is there. After a hole its beginning is cross-faded with what would have been made up.
func (c *Concealer) Play(dst, sound []float32) []float32 {
	begin := len(dst)
	dst = append(dst, sound...)
	out := dst[begin:]
	if c.made > 0 && len(out) > 0 {
		blend := min(c.samples(shortestBlend)+c.made/8, c.samples(longestBlend), len(out))
		for i := range blend {
			w := float32(i+1) / float32(blend+1)
			out[i] = w*out[i] + (1-w)*c.next()
		}
		c.made = 0
	}
	c.remember(out)
	return dst
}

// Conceal appends n samples that are made up.
func (c *Concealer) Conceal(dst []float32, n int) []float32 {
	begin := len(dst)
	for range n {
		dst = append(dst, c.next())
	}
	c.remember(dst[begin:])
	return dst
}

// Silence appends n samples of a pause that the voice itself makes. What was made up before it runs out into it.
func (c *Concealer) Silence(dst []float32, n int) []float32 { return c.Play(dst, make([]float32, n)) }

// remember keeps the newest samples.
func (c *Concealer) remember(out []float32) {
	keep := len(c.history)
	if len(out) >= keep {
		copy(c.history, out[len(out)-keep:])
		return
	}
	copy(c.history, c.history[len(out):])
	copy(c.history[keep-len(out):], out)
}

// next makes one sample up.
func (c *Concealer) next() float32 {
	if c.made == 0 {
		c.begin()
	} else if c.made%c.samples(step) == 0 && c.long < mostPeriods*c.period {
		c.long += c.period // by whole periods: where it is in one stays
		c.at += c.period
	}
	v := c.repeated(c.at)
	if left := 1 - float32(c.made)/float32(c.samples(bridge)); left > 0 {
		v += c.off * left
	}
	v *= c.loudness()
	c.at = (c.at + 1) % c.long
	c.made++
	return v
}

// begin takes the sound before a hole apart.
func (c *Concealer) begin() {
	c.sound = append(c.sound[:0], c.history...)
	c.period = c.findPeriod()
	c.long, c.at = c.period, 0
	c.off = c.sound[len(c.sound)-1] - c.repeated(0)
}

// repeated is a sample of what is repeated. Its end runs over into its beginning: over the last quarter of a period it is cross-faded
// with what lay before the beginning, which that followed.
func (c *Concealer) repeated(i int) float32 {
	first := len(c.sound) - c.long
	v := c.sound[first+i]
	quarter := c.period / 4
	if k := i - (c.long - quarter); k >= 0 {
		w := float32(k+1) / float32(quarter+1)
		v = (1-w)*v + w*c.sound[first-quarter+k]
	}
	return v
}

// loudness of what is made up now.
func (c *Concealer) loudness() float32 {
	steps := float32(c.made) / float32(c.samples(step))
	return min(1, max(0, 1-fade*(steps-1)))
}

// findPeriod is by how much the end of the sound has to be moved back to be most like what lies there: the lag with the highest
// normalised correlation, of several as good ones nearly the shortest.
func (c *Concealer) findPeriod() int {
	window := c.samples(compared)
	end := c.sound[len(c.sound)-window:]
	best, found := 0.0, c.samples(longestPeriod)
	for lag := c.samples(shortestPeriod); lag <= c.samples(longestPeriod); lag++ {
		before := c.sound[len(c.sound)-window-lag:]
		if v := correlation(end, before[:window]); v > best*1.02 {
			best, found = v, lag
		}
	}
	return found
}

// correlation is 1 of pieces that are alike but for their loudness, and 0 of those that have nothing in common, or of silence.
func correlation(a, b []float32) float64 {
	var both, ofA, ofB float64
	for i := range a {
		both += float64(a[i]) * float64(b[i])
		ofA += float64(a[i]) * float64(a[i])
		ofB += float64(b[i]) * float64(b[i])
	}
	if ofA < 1e-9 || ofB < 1e-9 {
		return 0
	}
	return both / math.Sqrt(ofA*ofB)
}

// Stretch appends src made n samples long: one place of it is left out or said twice, cross-faded over a half of what there is to
// either side, where the two sides are most alike. It is for small changes: what is to become more than twice as long is repeated.
func Stretch(dst, src []float32, n int) []float32 {
	if len(src) == 0 {
		return append(dst, make([]float32, n)...)
	}
	for n > 2*len(src) {
		dst = append(dst, src...)
		n -= len(src)
	}
	if n == len(src) {
		return append(dst, src...)
	}
	// Up to cut it is src, from there on src moved by so much; over blend samples around it is both.
	by := len(src) - n               // above 0: that many are left out
	blend := min(n, len(src)+by) / 2 // what may be cross-faded at all lies inside of both
	from, best := max(-by, 0), -2.0
	for at := from; at+blend <= min(n, len(src)); at++ {
		if v := correlation(src[at:at+blend], src[at+by:at+by+blend]); v > best {
			from, best = at, v
		}
	}
	dst = append(dst, src[:from]...)
	for i := range blend {
		w := float32(i+1) / float32(blend+1)
		dst = append(dst, (1-w)*src[from+i]+w*src[from+by+i])
	}
	return append(dst, src[from+by+blend:]...)
}

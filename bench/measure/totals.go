package measure

import (
	"math"
	"slices"
	"time"
)

// Summary is all streams of one kind, field by field what a report's Total holds: report.Total(summary) converts it.
type Summary struct {
	Streams   int
	Missing   int // due, and nothing came
	Packets   int64
	Bytes     int64
	Delay     Distribution
	Played    Distribution
	Buffered  Distribution
	Before    Distribution
	After     Distribution
	Concealed Distribution
	Window    Distribution
	Hole      Distribution
	Resent    float64
	Copied    float64
	FEC       float64
	MOS       Distribution
	MOSWorst  float64
	FPS       Distribution
	Freezes   int64
	Frozen    Distribution
	Score     Distribution
	ScoreP5   float64
	LipSync   Distribution
	PerMinute float64
	Switches  int64
}

// Pool is the values of all streams of one kind together.
type Pool struct {
	Delay    Histogram `json:"delay"`
	Buffered Histogram `json:"buffered"`
	Played   Histogram `json:"played"`
	LipSync  Skew      `json:"lip_sync"`
	Keyframe Histogram `json:"keyframe_wait"`
}

func (p *Pool) add(h Histograms) {
	p.Delay.Merge(h.Delay)
	p.Buffered.Merge(h.Buffered)
	p.Played.Merge(h.Played)
	p.LipSync.Merge(h.LipSync)
	p.Keyframe.Merge(h.Keyframe)
}

// Totals gathers a run: streams with their histograms, and callers. The zero value is ready; one goroutine. Its JSON
// carries all of it from a worker process to the one that adds up.
type Totals struct {
	Streams []Stream `json:"streams"`
	Callers []Caller `json:"callers"`
	Audio   Pool     `json:"audio"`
	Video   Pool     `json:"video"`
}

// AddStream takes a stream's result. The histograms are copied; nil ones add nothing.
func (t *Totals) AddStream(s Stream, h Histograms) {
	t.Streams = append(t.Streams, s)
	t.pool(s.Kind).add(h)
}

// AddCaller takes a caller's result. Who reached no step has none of them, and not null: reports have a schema.
func (t *Totals) AddCaller(c Caller) {
	if c.Steps == nil {
		c.Steps = map[Step]float64{}
	}
	t.Callers = append(t.Callers, c)
}

// Merge takes all of another process's.
func (t *Totals) Merge(other *Totals) {
	t.Streams = append(t.Streams, other.Streams...)
	t.Callers = append(t.Callers, other.Callers...)
	for _, kind := range []Kind{Audio, Video} {
		from := other.pool(kind)
		t.pool(kind).add(Histograms{&from.Delay, &from.Buffered, &from.Played, &from.LipSync, &from.Keyframe})
	}
}

func (t *Totals) pool(k Kind) *Pool {
	if k == Video {
		return &t.Video
	}
	return &t.Audio
}

// Summary sums one kind up. Delays are over all values of all streams; shares, rates and scores have one value a stream. A
// stream that was due and of which nothing came counts as the worst there is: all lost, MOS and score 1, no frames.
func (t *Totals) Summary(k Kind) Summary {
	pool := t.pool(k)
	out := Summary{
		Delay: pool.Delay.Distribution(), Played: pool.Played.Distribution(), Buffered: pool.Buffered.Distribution(),
		LipSync: pool.LipSync.Distribution(),
	}
	var seconds float64
	for _, s := range t.Streams {
		if s.Kind != k {
			continue
		}
		out.Streams++
		if s.Packets == 0 {
			out.Missing++
		}
		out.Packets += s.Packets
		out.Bytes += s.Bytes
		out.Switches += s.Switches
		seconds += s.Seconds
		if s.Picture != nil {
			out.Freezes += s.Picture.Freezes
		}
	}
	of := func(value func(*Stream) (float64, bool)) []float64 { return t.values(k, value) }
	out.Before = Summarize(of(lossBefore))
	out.After = Summarize(of(lossAfter))
	out.Concealed = Summarize(of(concealed))
	out.Window = Summarize(of(concealedWindow))
	out.Hole = Summarize(of(longestHole))
	out.Resent = Summarize(of(resent)).Mean
	out.Copied = Summarize(of(copied)).Mean
	out.FEC = Summarize(of(fec)).Mean
	scores := of(streamMOS)
	out.MOS = Summarize(scores) // and sorts them
	out.MOSWorst = rank(scores, 5)
	out.FPS = Summarize(of(streamFPS))
	out.Frozen = Summarize(of(frozen))
	scores = of(streamScore)
	out.Score = Summarize(scores)
	out.ScoreP5 = rank(scores, 5)
	if seconds > 0 {
		out.PerMinute = float64(out.Bytes) / seconds * 60
	}
	return out
}

// values are those that streams of a kind ("": any) have.
func (t *Totals) values(k Kind, value func(*Stream) (float64, bool)) []float64 {
	var all []float64
	for i := range t.Streams {
		if k != "" && t.Streams[i].Kind != k {
			continue
		}
		if v, ok := value(&t.Streams[i]); ok {
			all = append(all, v)
		}
	}
	return all
}

// Setup is how long each step took over all callers that reached it, in ms.
func (t *Totals) Setup() map[Step]Distribution {
	values := map[Step][]float64{}
	for _, c := range t.Callers {
		for step, v := range c.Steps {
			values[step] = append(values[step], v)
		}
	}
	out := make(map[Step]Distribution, len(values))
	for step, v := range values {
		out[step] = Summarize(v)
	}
	return out
}

// Timeline puts the seconds of all streams together: packets, rates and frames are added up, shares and medians are means
// over streams, weighed by packets (of the picture: by streams), DelayP95 is the mean of the streams' and DelayMax the
// largest.
func (t *Totals) Timeline() []Slice {
	type weights struct{ packets, delays, sounds, pictures float64 }
	at := map[int64]*Slice{}
	weight := map[int64]*weights{}
	for i := range t.Streams {
		for _, s := range t.Streams[i].Slices {
			key := int64(math.Round(s.At))
			sum, w := at[key], weight[key]
			if sum == nil {
				sum, w = &Slice{At: s.At}, &weights{}
				at[key], weight[key] = sum, w
			}
			packets := float64(s.Packets)
			due := packets
			if s.LossShare < 1 {
				due = packets / (1 - s.LossShare)
			}
			sum.Packets += s.Packets
			sum.Bitrate += s.Bitrate
			mean(&sum.LossShare, &w.packets, s.LossShare, max(due, 1))
			if s.DelayMax > 0 {
				delays := w.delays
				mean(&sum.DelayP50, &delays, s.DelayP50, packets)
				mean(&sum.DelayP95, &w.delays, s.DelayP95, packets)
				sum.DelayMax = max(sum.DelayMax, s.DelayMax)
			}
			if t.Streams[i].Kind == Audio {
				mean(&sum.Concealed, &w.sounds, s.Concealed, 1)
				continue
			}
			if t.Streams[i].Picture == nil {
				continue // nobody looked at its frames
			}
			frames := w.pictures
			mean(&sum.FPS, &frames, s.FPS, 1)
			mean(&sum.Frozen, &w.pictures, s.Frozen, 1)
		}
	}
	out := make([]Slice, 0, len(at))
	for _, s := range at {
		out = append(out, *s)
	}
	slices.SortFunc(out, func(a, b Slice) int {
		return int(time.Duration(a.At*float64(time.Second)) - time.Duration(b.At*float64(time.Second)))
	})
	return out
}

// mean takes one more value of weight w into a weighted mean.
func mean(at, weight *float64, v, w float64) {
	if w <= 0 {
		return
	}
	*weight += w
	*at += (v - *at) * w / *weight
}

// What conditions and totals read of a stream; false: the stream has no such value.

func lossBefore(s *Stream) (float64, bool) { return ifCame(s, s.Loss.Before, 1), true }
func lossAfter(s *Stream) (float64, bool)  { return ifCame(s, s.Loss.After, 1), true }

// concealed: whoever has no playout buffer does not know it.
func concealed(s *Stream) (float64, bool) {
	return playedOut(s, func(a *Sound) float64 { return a.Concealed })
}

// playedOut is the same of other shares that grow worse.
func playedOut(s *Stream, value func(*Sound) float64) (float64, bool) {
	if s.Packets > 0 && s.Played.Count == 0 {
		return 0, false
	}
	return ofSound(s, value, 1)
}

func concealedWindow(s *Stream) (float64, bool) {
	return playedOut(s, func(a *Sound) float64 { return a.Window })
}

func longestHole(s *Stream) (float64, bool) {
	v, ok := playedOut(s, func(a *Sound) float64 { return a.Hole / ms(longest) }) // of a stream that never came: as long as can be
	return v * ms(longest), ok
}

func resent(s *Stream) (float64, bool) {
	return restored(s, func(a *Sound) float64 { return a.Resent })
}

func copied(s *Stream) (float64, bool) {
	return restored(s, func(a *Sound) float64 { return a.Copied })
}

func fec(s *Stream) (float64, bool) {
	return restored(s, func(a *Sound) float64 { return a.FEC })
}

// restored is the same of shares that are neither good nor bad.
func restored(s *Stream, value func(*Sound) float64) (float64, bool) {
	if s.Packets == 0 || s.Played.Count == 0 {
		return 0, false
	}
	return ofSound(s, value, 0)
}

func streamMOS(s *Stream) (float64, bool) {
	return ofSound(s, func(a *Sound) float64 { return a.MOS }, 1)
}

func streamFPS(s *Stream) (float64, bool) {
	return ofPicture(s, func(p *Picture) float64 { return p.FPS }, 0)
}

func streamScore(s *Stream) (float64, bool) {
	return ofPicture(s, func(p *Picture) float64 { return p.Score }, 1)
}

func frozen(s *Stream) (float64, bool) {
	return ofPicture(s, func(p *Picture) float64 {
		if s.Seconds <= 0 {
			return 0
		}
		return min(1, p.FrozenSeconds/s.Seconds)
	}, 1)
}

// ofSound reads a value of a sound that came, and takes worst for one that did not.
func ofSound(s *Stream, value func(*Sound) float64, worst float64) (float64, bool) {
	switch {
	case s.Kind != Audio:
		return 0, false
	case s.Packets == 0:
		return worst, true
	case s.Sound == nil:
		return 0, false
	}
	return value(s.Sound), true
}

// ofPicture is the same of a picture.
func ofPicture(s *Stream, value func(*Picture) float64, worst float64) (float64, bool) {
	switch {
	case s.Kind != Video:
		return 0, false
	case s.Packets == 0:
		return worst, true
	case s.Picture == nil:
		return 0, false
	}
	return value(s.Picture), true
}

func ifCame(s *Stream, v, worst float64) float64 {
	if s.Packets == 0 {
		return worst
	}
	return v
}

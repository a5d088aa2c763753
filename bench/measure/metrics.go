package measure

import (
	"slices"
	"strings"
)

// unitKind is what a metric's values are, in the unit that they are kept in.
type unitKind int

const (
	plain    unitKind = iota // a number: no unit
	fraction                 // 0 to 1; written with %, or plain
	millis                   // ms; written with ms or s
	bitrate                  // bit/s; written with bit/s, kbit/s or Mbit/s
	volume                   // bytes; written with kB or MB
)

// Metric is one name that conditions know.
type Metric struct {
	Name  string
	Unit  string // that it must be written with: "%", "ms", "kbit/s", or none
	Of    string // "stream" or "caller": what has one value, or many
	About string
	// Default is what the name means without a suffix: "mean" or "sum".
	Default string
}

type metric struct {
	Metric
	kind   unitKind
	higher bool // is better
	// stream reads a stream's one value.
	stream func(*Stream) (float64, bool)
	// pool reads the values of all streams together; stream then gives what names the worst one.
	pool func(*Pool) pooled
	// caller reads a caller's values.
	caller func(*Caller) []float64
}

// pooled is a distribution over values of many streams.
type pooled interface {
	Count() int64
	Mean() float64
	Percentile(p float64) float64
}

// metrics is the one table of names, in the order in which they are told.
var metrics = []metric{
	streams("loss_before", fraction, "mean", "packets missing on the first try", lossBefore),
	streams("loss", fraction, "mean", "packets missing after repair", lossAfter),
	pools("delay", "sent → whole at the receiver", func(p *Pool) pooled { return &p.Delay }, func(s *Stream) Distribution { return s.Delay }),
	pools("played", "sent → played or shown", func(p *Pool) pooled { return &p.Played }, func(s *Stream) Distribution { return s.Played }),
	pools("buffered", "waiting at the receiver for its moment", func(p *Pool) pooled { return &p.Buffered },
		func(s *Stream) Distribution { return s.Buffered }),
	pools("lip_sync", "sound played later than its picture (negative: earlier)", func(p *Pool) pooled { return &p.LipSync },
		func(s *Stream) Distribution {
			if s.Sound == nil {
				return Distribution{}
			}
			return s.Sound.LipSync
		}),
	pools("keyframe_wait", "needing a keyframe → having it", func(p *Pool) pooled { return &p.Keyframe },
		func(s *Stream) Distribution {
			if s.Picture == nil {
				return Distribution{}
			}
			return s.Picture.KeyframeWait
		}),
	streams("jitter", millis, "mean", "RFC 3550's, at the end", func(s *Stream) (float64, bool) { return s.Jitter, s.Packets > 0 }),
	streams("concealed", fraction, "mean", "sound that was made up", concealed),
	streams("concealed_10s", fraction, "mean", "the same in the worst 10 s, without the longest hole", concealedWindow),
	streams("hole", millis, "mean", "the longest time without sound that was sent", longestHole),
	streams("resent", fraction, "mean", "sound that came by retransmission", resent),
	streams("copied", fraction, "mean", "sound that came as a copy in a later packet", copied),
	streams("fec", fraction, "mean", "sound that came as the coarse copy in the packet behind it", fec),
	better("mos", plain, "E-model, 1 to 4.5", streamMOS),
	better("fps", plain, "harmonic frame rate", streamFPS),
	streams("freezes", plain, "sum", "pictures that stood still", func(s *Stream) (float64, bool) {
		return ofPicture(s, func(p *Picture) float64 { return float64(p.Freezes) }, 0)
	}),
	streams("frozen", fraction, "mean", "time that the picture stood still", frozen),
	better("score", plain, "of the picture, 1 to 5", streamScore),
	better("bitrate", bitrate, "of RTP", func(s *Stream) (float64, bool) { return s.Bitrate, true }),
	streams("wrong", plain, "sum", "frames of somebody else", func(s *Stream) (float64, bool) { return float64(s.Wrong), true }),
	streams("missing", plain, "sum", "streams of which nothing came", func(s *Stream) (float64, bool) {
		return float64(count(s.Packets == 0)), true
	}),
	streams("drops", plain, "sum", "packets that the receiver was too slow for",
		func(s *Stream) (float64, bool) { return float64(s.Loss.Dropped), true }),
	step("join", Total, "beginning → everything there"),
	step("connect", Connect, "transport to the server"),
	step("auth", Auth, "token shown → accepted"),
	step("answer", Join, "offer → answer"),
	step("ice", ICE, "answer → a pair of addresses works"),
	step("dtls", DTLS, "pair → keys"),
	step("first_packet", FirstPacket, "keys → anybody's media"),
	step("first_frame", FirstFrame, "media → a frame that can be decoded"),
	callers("failed", plain, "sum", "callers that ended with an error", func(c *Caller) []float64 {
		return []float64{float64(count(c.Error != ""))}
	}),
	callers("reconnects", plain, "sum", "of callers", func(c *Caller) []float64 { return []float64{float64(c.Reconnects)} }),
	callers("gap", millis, "mean", "silence at a reconnect or change of path", func(c *Caller) []float64 { return c.Gaps }),
	callers("rtt", millis, "mean", "of the media path", func(c *Caller) []float64 { return ifMeasured(c.RTT) }),
	callers("up_per_minute", volume, "mean", "of a caller's data volume, upwards", func(c *Caller) []float64 {
		return ifMeasured(c.UpPerMinute)
	}),
	callers("down_per_minute", volume, "mean", "of a caller's data volume, downwards", func(c *Caller) []float64 {
		return ifMeasured(c.DownPerMinute)
	}),
	callers("forged", plain, "sum", "packets that failed authentication", func(c *Caller) []float64 {
		return []float64{float64(c.Forged)}
	}),
}

func streams(name string, kind unitKind, standard, about string, value func(*Stream) (float64, bool)) metric {
	return metric{Metric: Metric{name, unitName(kind), "stream", about, standard}, kind: kind, stream: value}
}

func better(name string, kind unitKind, about string, value func(*Stream) (float64, bool)) metric {
	m := streams(name, kind, "mean", about, value)
	m.higher = true
	return m
}

// pools: a stream's 99th percentile says which one is worst.
func pools(name, about string, pool func(*Pool) pooled, own func(*Stream) Distribution) metric {
	m := streams(name, millis, "mean", about, func(s *Stream) (float64, bool) { d := own(s); return d.P99, d.Count > 0 })
	m.pool = pool
	return m
}

func callers(name string, kind unitKind, standard, about string, values func(*Caller) []float64) metric {
	return metric{Metric: Metric{name, unitName(kind), "caller", about, standard}, kind: kind, caller: values}
}

// step: who failed before it counts as a minute, or failing would look like being fast.
func step(name string, which Step, about string) metric {
	return callers(name, millis, "mean", about, func(c *Caller) []float64 {
		v, ok := c.Steps[which]
		switch {
		case ok:
			return []float64{v}
		case c.Error != "":
			return []float64{ms(longest)}
		}
		return nil
	})
}

// ifMeasured is a caller's only value, where there is one.
func ifMeasured(v float64) []float64 {
	if v <= 0 {
		return nil
	}
	return []float64{v}
}

func unitName(k unitKind) string {
	return [...]string{plain: "", fraction: "%", millis: "ms", bitrate: "kbit/s", volume: "kB"}[k]
}

// Metrics returns the names that conditions know, for help and docs.
func Metrics() []Metric {
	out := make([]Metric, len(metrics))
	for i, m := range metrics {
		out[i] = m.Metric
	}
	return out
}

// statistics are the suffixes of a name. p5 is the value that 95 % are above.
var statistics = map[string]float64{"p5": 5, "p50": 50, "p90": 90, "p95": 95, "p99": 99, "min": 0, "max": 100}

// figure is a name taken apart: video_delay_p99.
type figure struct {
	metric    *metric
	kind      Kind   // "": both
	statistic string // "p99", "mean", "sum"
}

// parseFigure takes a name apart; false: nothing has that name.
func parseFigure(name string) (figure, bool) {
	var f figure
	rest := name
	for _, k := range []Kind{Audio, Video} {
		if cut, ok := strings.CutPrefix(name, string(k)+"_"); ok {
			rest, f.kind = cut, k
		}
	}
	find := func(n string) bool {
		i := slices.IndexFunc(metrics, func(m metric) bool { return m.Name == n })
		if i < 0 {
			return false
		}
		f.metric = &metrics[i]
		return f.kind == "" || f.metric.caller == nil
	}
	if find(rest) {
		f.statistic = f.metric.Default
		return f, true
	}
	i := strings.LastIndexByte(rest, '_')
	if i < 0 || !find(rest[:i]) {
		return figure{}, false
	}
	f.statistic = rest[i+1:]
	_, known := statistics[f.statistic]
	return f, known || f.statistic == "mean" || f.statistic == "sum" && f.metric.pool == nil
}

// value reads the figure; false: there is nothing to read it of.
func (f figure) value(t *Totals) (float64, bool) {
	if f.metric.pool != nil {
		return f.ofPool(t)
	}
	var values []float64
	if f.metric.caller != nil {
		for i := range t.Callers {
			values = append(values, f.metric.caller(&t.Callers[i])...)
		}
	} else {
		values = t.values(f.kind, f.metric.stream)
	}
	if len(values) == 0 {
		return 0, f.statistic == "sum" && (len(t.Streams) > 0 || len(t.Callers) > 0)
	}
	switch f.statistic {
	case "sum":
		var sum float64
		for _, v := range values {
			sum += v
		}
		return sum, true
	case "mean":
		return Summarize(values).Mean, true
	}
	slices.Sort(values)
	return rank(values, statistics[f.statistic]), true
}

func (f figure) ofPool(t *Totals) (float64, bool) {
	var p pooled
	switch f.kind {
	case "":
		var both Pool
		for _, one := range []*Pool{&t.Audio, &t.Video} {
			both.add(Histograms{&one.Delay, &one.Buffered, &one.Played, &one.LipSync, &one.Keyframe})
		}
		p = f.metric.pool(&both)
	default:
		p = f.metric.pool(t.pool(f.kind))
	}
	if p.Count() == 0 {
		return 0, false
	}
	if f.statistic == "mean" {
		return p.Mean(), true
	}
	return p.Percentile(statistics[f.statistic]), true
}

// worst names the stream or caller that has the worst value; empty where all are alike or there is none.
func (f figure) worst(t *Totals) string {
	name, worst, same := "", 0.0, true
	take := func(v float64, who string) {
		switch {
		case name == "":
			name, worst = who, v
		case v == worst:
		case f.metric.higher == (v < worst):
			name, worst, same = who, v, false
		default:
			same = false
		}
	}
	total := 0
	if f.metric.caller != nil {
		for i := range t.Callers {
			for _, v := range f.metric.caller(&t.Callers[i]) {
				take(v, t.Callers[i].Name())
				total++
			}
		}
	} else {
		for i := range t.Streams {
			s := &t.Streams[i]
			if v, ok := f.metric.stream(s); ok && (f.kind == "" || f.kind == s.Kind) {
				take(v, s.Name())
				total++
			}
		}
	}
	if same && total > 1 {
		return ""
	}
	return name
}

// Name tells people which stream it is: "bek hears aru (room-1)".
func (s *Stream) Name() string {
	verb := " hears "
	if s.Kind == Video {
		verb = " sees "
	}
	name := s.Receiver + verb + s.Sender
	if s.Track != "" && s.Track != "microphone" && s.Track != "camera" {
		name += "'s " + s.Track
	}
	return inRoom(name, s.Room)
}

// Name tells people which caller it is: "bek (room-1)".
func (c *Caller) Name() string { return inRoom(c.Identity, c.Room) }

func inRoom(name, room string) string {
	if room == "" {
		return name
	}
	return name + " (" + room + ")"
}

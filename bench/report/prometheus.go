package report

import (
	"bufio"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/tolkyn/tolkyn/bench/measure"
)

// WritePrometheus writes r in Prometheus' text exposition format 0.0.4, for a textfile collector or a push: gauges, and
// summaries of distributions (quantile 1 is the greatest value). Names are tolkyn_bench_<what>_<unit> in base units:
// seconds, bytes, ratios of 0 to 1. Every line carries scenario and server. Streams and callers are not in it one by one:
// their names would make a series each.
func WritePrometheus(w io.Writer, r Report) error {
	r = settled(r)
	p := &exposition{out: bufio.NewWriter(w), always: labels("scenario", r.Scenario.Name, "server", r.Server.Kind)}

	p.family("passed", "gauge", "1: every condition was met.")
	p.sample("passed", "", truth(r.Passed))
	p.family("partial", "gauge", "1: the run was ended early.")
	p.sample("partial", "", truth(r.Partial))
	p.family("info", "gauge", "Always 1; what was measured, with what, where.")
	p.sample("info", labels("version", r.Version, "commit", r.Commit, "server_version", r.Server.Version,
		"cpu", r.Machine.CPU, "kernel", r.Machine.Kernel, "go", r.Machine.Go, "gso", strconv.FormatBool(r.Machine.GSO)), 1)
	p.family("bottleneck", "gauge", "1 for what gave way first.")
	for _, where := range []string{"server", "client", "network"} {
		p.sample("bottleneck", labels("where", where), truth(r.Bottleneck == where))
	}
	if !r.Started.IsZero() {
		p.family("start_time_seconds", "gauge", "When the run began, in seconds since 1970.")
		p.sample("start_time_seconds", "", float64(r.Started.UnixMilli())/1000)
	}
	p.family("duration_seconds", "gauge", "How long it ran.")
	p.sample("duration_seconds", "", r.Seconds)
	p.family("people", "gauge", "Callers of all rooms.")
	p.sample("people", "", float64(r.Scenario.People))
	p.family("rooms", "gauge", "Rooms.")
	p.sample("rooms", "", float64(r.Scenario.Rooms))

	if len(r.Conditions) > 0 {
		p.family("condition_passed", "gauge", "1: this condition was met.")
		for _, c := range r.Conditions {
			p.sample("condition_passed", labels("condition", c.Text), truth(c.Passed))
		}
		p.family("condition_value", "gauge", "What was compared with the condition's limit, in the unit named.")
		for _, c := range r.Conditions {
			p.sample("condition_value", labels("condition", c.Text, "unit", c.Unit), c.Value)
		}
	}

	p.family("setup_seconds", "summary", "Setting up a call, by step.")
	for _, step := range steps {
		if d, ok := r.Setup[step]; ok {
			p.summary("setup_seconds", labels("step", string(step)), d, 1e-3)
		}
	}

	kinds := []struct {
		kind  measure.Kind
		total Total
	}{{measure.Audio, r.Audio}, {measure.Video, r.Video}}
	for _, g := range []struct {
		name, help string
		get        func(Total) float64
	}{
		{"streams", "Streams measured.", func(t Total) float64 { return float64(t.Streams) }},
		{"missing_streams", "Streams that were due, and nothing came.", func(t Total) float64 { return float64(t.Missing) }},
		{"packets", "RTP packets received.", func(t Total) float64 { return float64(t.Packets) }},
		{"bytes", "Bytes of them.", func(t Total) float64 { return float64(t.Bytes) }},
		{"stream_bytes_per_minute", "Bytes of a stream a minute.", func(t Total) float64 { return t.PerMinute }},
	} {
		p.family(g.name, "gauge", g.help)
		for _, k := range kinds {
			p.sample(g.name, labels("kind", string(k.kind)), g.get(k.total))
		}
	}
	for _, s := range []struct {
		name, help string
		scale      float64
		only       measure.Kind
		get        func(Total) measure.Distribution
	}{
		{"delay_seconds", "From being sent to having arrived.", 1e-3, "", func(t Total) measure.Distribution { return t.Delay }},
		{"played_seconds", "From being sent to being played or shown.", 1e-3, "", func(t Total) measure.Distribution { return t.Played }},
		{"buffered_seconds", "Waiting to be played.", 1e-3, "", func(t Total) measure.Distribution { return t.Buffered }},
		{"loss_before_repair_ratio", "Packets missing at first, of those expected; over streams.", 1, "", func(t Total) measure.Distribution { return t.Before }},
		{"loss_ratio", "Packets that never came, of those expected; over streams.", 1, "", func(t Total) measure.Distribution { return t.After }},
		{"concealed_ratio", "Sound that was made up; over streams.", 1, measure.Audio, func(t Total) measure.Distribution { return t.Concealed }},
		{"concealed_10s_ratio", "The same in the worst 10 s of a stream, without its longest hole; over streams.", 1, measure.Audio, func(t Total) measure.Distribution { return t.Window }},
		{"hole_seconds", "The longest time without sound that was sent; over streams.", 1e-3, measure.Audio, func(t Total) measure.Distribution { return t.Hole }},
		{"mos_score", "Mean opinion score by the E-model, 1 to 4.5; over streams.", 1, measure.Audio, func(t Total) measure.Distribution { return t.MOS }},
		{"lip_sync_seconds", "By how much sound was later than its picture.", 1e-3, measure.Audio, func(t Total) measure.Distribution { return t.LipSync }},
		{"frames_per_second", "Harmonic frame rate; over streams.", 1, measure.Video, func(t Total) measure.Distribution { return t.FPS }},
		{"frozen_ratio", "Time that pictures stood still; over streams.", 1, measure.Video, func(t Total) measure.Distribution { return t.Frozen }},
		{"video_score", "Video score, 1 to 5; over streams.", 1, measure.Video, func(t Total) measure.Distribution { return t.Score }},
	} {
		p.family(s.name, "summary", s.help)
		for _, k := range kinds {
			if s.only == "" || s.only == k.kind {
				p.summary(s.name, labels("kind", string(k.kind)), s.get(k.total), s.scale)
			}
		}
	}
	p.family("mos_p5_score", "gauge", "95 % of audio streams had a better one.")
	p.sample("mos_p5_score", "", r.Audio.MOSWorst)
	p.family("video_p5_score", "gauge", "95 % of video streams had a better one.")
	p.sample("video_p5_score", "", r.Video.ScoreP5)
	p.family("freezes", "gauge", "Times that a picture stood still.")
	p.sample("freezes", "", float64(r.Video.Freezes))

	for _, g := range []struct {
		name, help string
		get        func(Cost) float64
	}{
		{"cpu_seconds", "CPU used while everybody was in the call.", func(c Cost) float64 { return c.CPUSeconds }},
		{"cpu_per_received_packet_seconds", "CPU for each packet that callers received.", func(c Cost) float64 { return c.PerReceivedNS / 1e9 }},
		{"cpu_per_packet_seconds", "CPU for each packet that callers sent or received.", func(c Cost) float64 { return c.PerInAndOutNS / 1e9 }},
		{"memory_per_caller_bytes", "Resident memory above the empty server's, for each caller.", func(c Cost) float64 { return c.MemoryPerCaller }},
		{"dropped_datagrams", "Datagrams that the kernel had no room for.", func(c Cost) float64 { return float64(c.Drops) }},
	} {
		p.family(g.name, "gauge", g.help)
		// A server elsewhere cost something too, but nobody measured it: no line rather than 0.
		if r.Server.Local {
			p.sample(g.name, labels("side", "server"), g.get(r.ServerCost))
		}
		p.sample(g.name, labels("side", "client"), g.get(r.ClientCost))
	}
	if c := r.Capacity; c != nil {
		p.family("capacity", "gauge", "The largest load that held.")
		p.sample("capacity", labels("unit", c.Unit), float64(c.Largest))
	}
	if err := p.out.Flush(); err != nil {
		return fmt.Errorf("write Prometheus text: %w", err)
	}
	return nil
}

// exposition writes families of samples. Errors stay in out until Flush.
type exposition struct {
	out    *bufio.Writer
	always string // labels of every sample
}

func (p *exposition) family(name, kind, help string) {
	fmt.Fprintf(p.out, "# HELP tolkyn_bench_%s %s\n# TYPE tolkyn_bench_%s %s\n", name, help, name, kind)
}

func (p *exposition) sample(name, with string, value float64) {
	p.line(name, with, strconv.FormatFloat(value, 'g', -1, 64))
}

func (p *exposition) line(name, with, value string) {
	all := p.always
	if with != "" {
		all += "," + with
	}
	fmt.Fprintf(p.out, "tolkyn_bench_%s{%s} %s\n", name, all, value)
}

func (p *exposition) summary(name, with string, d measure.Distribution, scale float64) {
	for _, q := range []struct {
		quantile string
		value    float64
	}{{"0.5", d.P50}, {"0.9", d.P90}, {"0.95", d.P95}, {"0.99", d.P99}, {"1", d.Max}} {
		value := strconv.FormatFloat(q.value*scale, 'g', -1, 64)
		if d.Count == 0 {
			value = "NaN" // what the format wants where there is nothing
		}
		p.line(name, with+`,quantile="`+q.quantile+`"`, value)
	}
	p.sample(name+"_sum", with, d.Mean*float64(d.Count)*scale)
	p.sample(name+"_count", with, float64(d.Count))
}

// labels joins pairs of name and value; values are escaped and made valid UTF-8, names are ours.
func labels(pairs ...string) string {
	escape := strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)
	var b strings.Builder
	for i := 0; i+1 < len(pairs); i += 2 {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(pairs[i] + `="` + escape.Replace(strings.ToValidUTF8(pairs[i+1], "�")) + `"`)
	}
	return b.String()
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

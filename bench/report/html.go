package report

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"io"
	"math"
	"mime"
	"slices"
	"strconv"
	"strings"

	"github.com/tolkyn/tolkyn/bench/measure"
)

var (
	//go:embed page/report.html
	pageHTML string
	//go:embed page/page.css
	pageCSS string
	//go:embed page/page.js
	pageJS string
)

// What a page holds at most, so that it opens on a phone after a run of any size. All of it stands in JSON and CSV.
const (
	maxPlotPoints = 600  // of a timeline: more than a plot is wide in pixels
	maxRows       = 2000 // streams, and callers: the worst
	maxSparks     = 600  // streams with timelines of their own
	maxLinks      = 60
	sparkBudget   = 11000 // points of one measure, over all streams: four measures at about 4 bytes make 180 kB
)

// WriteHTML writes r as one page that loads nothing from outside: its policy forbids any request. It is readable without
// JavaScript but for plots and lists, prints, follows the reader's light or dark, and fits a phone. Without recordings it
// stays below 400 kB for 500 streams. Recordings of kinds that browsers do not play are left out.
func WriteHTML(w io.Writer, r Report) error {
	r = settled(r)
	p := reportPage{
		frame: frameOf("Tolkyn bench: " + strings.TrimSpace(r.Scenario.Name)), Report: r, Verdict: verdictOf(r),
		Place: place(r.Server), Tiles: tilesOf(r), SetupRows: setupOf(r), Recordings: playable(r.Recordings),
		Capacity: r.Capacity, Links: r.Links, Facts: factsOf(r),
	}
	p.StateText = map[string]string{"passed": "✓ Passed", "failed": "✗ Failed", "partial": "… Ended early", "measured": "• Measured"}[p.Verdict.State]
	if !r.Started.IsZero() {
		p.When = r.Started.UTC().Format("2 January 2006, 15:04 UTC")
	}
	if len(r.Links) > maxLinks {
		p.Links = r.Links[:maxLinks]
		p.LinkNote = fmt.Sprintf("The first %d of %s.", maxLinks, plural(len(r.Links), "link", "links"))
	}
	p.Data.Distributions = curvesOf(r.Streams)
	if len(r.Timeline) > 0 {
		p.Data.Timeline = timelineOf(r.Timeline, maxPlotPoints)
	}
	if len(r.Usage) > 0 {
		p.Data.Usage = usageOf(r.Usage)
	}
	if len(r.Streams) > 0 {
		p.Data.Streams = packStreams(r.Streams)
		if len(r.Streams) > maxRows {
			p.StreamNote = fmt.Sprintf("The worst %s of %s; JSON and CSV have all.", count(maxRows), count(int64(len(r.Streams))))
		}
	}
	if len(r.Callers) > 0 {
		p.Data.Callers = packCallers(r.Callers)
		if len(r.Callers) > maxRows {
			p.CallerNote = fmt.Sprintf("The %s that fared worst, of %s; JSON has all.", count(maxRows), count(int64(len(r.Callers))))
		}
	}
	if r.Capacity != nil {
		p.Data.Capacity = packCapacity(*r.Capacity)
	}
	return writePage(w, "report", p)
}

// WriteHTML writes the comparison as one page; see the function WriteHTML.
func (c Comparison) WriteHTML(w io.Writer) error {
	p := comparisonPage{
		frame: frameOf("Tolkyn bench compares: " + strings.TrimSpace(c.A.Last.Scenario.Name)), C: c,
		A: playable(c.A.Last.Recordings), B: playable(c.B.Last.Recordings), Facts: factsOf(c.A.Last),
	}
	p.Heading, p.Detail = c.verdict()
	d := &overlay{A: timelineOf(c.A.Last.Timeline, maxPlotPoints), B: timelineOf(c.B.Last.Timeline, maxPlotPoints), Dots: [][2][]number{}}
	for _, m := range c.Metrics {
		d.Dots = append(d.Dots, [2][]number{numbers(m.A.Values), numbers(m.B.Values)})
	}
	p.Data.Comparison = d
	return writePage(w, "comparison", p)
}

func writePage(w io.Writer, name string, page any) error {
	t, err := template.New("page").Funcs(template.FuncMap{
		"figure": figure, "percent": percent, "nanoseconds": nanoseconds, "measured": measured, "show": Difference.show, "plural": plural,
		"number": func(v any) string { return count(toInt(v)) },
	}).Parse(pageHTML)
	if err != nil {
		return fmt.Errorf("parse page: %w", err)
	}
	var b bytes.Buffer
	if err := t.ExecuteTemplate(&b, name, page); err != nil {
		return fmt.Errorf("make page: %w", err)
	}
	if _, err := b.WriteTo(w); err != nil {
		return fmt.Errorf("write page: %w", err)
	}
	return nil
}

func toInt(v any) int64 {
	switch v := v.(type) {
	case int:
		return int64(v)
	case int64:
		return v
	}
	return 0
}

// frame is what both pages have around them.
type frame struct {
	Title  string
	Policy string
	Style  template.CSS
	Script template.JS
	Data   pageData
}

func frameOf(title string) frame {
	// The one script is named by its hash: no other can run here, whatever a name in the data tries.
	sum := sha256.Sum256([]byte(pageJS))
	policy := "default-src 'none'; script-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'; " +
		"style-src 'unsafe-inline'; img-src data:; media-src data:; base-uri 'none'; form-action 'none'"
	return frame{Title: title, Policy: policy, Style: template.CSS(pageCSS), Script: template.JS(pageJS)}
}

type reportPage struct {
	frame
	Report      Report
	Verdict     verdict
	StateText   string
	Place, When string
	Tiles       []tile
	SetupRows   []setupRow
	Recordings  []playing
	Capacity    *Capacity
	Links       []Link
	LinkNote    string
	StreamNote  string
	CallerNote  string
	Facts       []fact
}

type comparisonPage struct {
	frame
	C               Comparison
	Heading, Detail string
	A, B            []playing
	Facts           []fact
}

// tile is a key figure.
type tile struct{ Name, Value, Unit, Grade, Note string }

func tilesOf(r Report) []tile {
	var all []tile
	if a := r.Audio; a.Streams > 0 || a.Missing > 0 {
		all = append(all,
			tile{"Voice, worst 5 %", figure(a.MOSWorst), "MOS", grade(a.MOSWorst), "median " + figure(a.MOS.P50)},
			tile{"Voice, sent to played", figure(a.Played.P95), "ms p95", "", "median " + figure(a.Played.P50) + " ms"},
			tile{"Voice, made up", figure(a.Concealed.P95 * 100), "% p95", "", "worst 10 s " + percent(a.Window.Max) + ", longest hole " + figure(a.Hole.Max) + " ms"},
			tile{"Voice, repaired", figure((a.Resent + a.Copied + a.FEC) * 100), "%", "", percent(a.Resent) + " sent again, " + percent(a.Copied) + " RED, " + percent(a.FEC) + " FEC"},
			tile{"Voice, network delay", figure(a.Delay.P95), "ms p95", "", "max " + figure(a.Delay.Max) + " ms"})
	}
	if v := r.Video; v.Streams > 0 || v.Missing > 0 {
		all = append(all,
			tile{"Picture, worst 5 %", figure(v.ScoreP5), "of 5", grade(v.ScoreP5), "median " + figure(v.Score.P50)},
			tile{"Frame rate", figure(v.FPS.P50), "fps", "", plural(int(v.Freezes), "freeze", "freezes") + ", frozen " + percent(v.Frozen.P95) + " p95"},
			tile{"Picture, network delay", figure(v.Delay.P95), "ms p95", "", "max " + figure(v.Delay.Max) + " ms"},
			tile{"Picture, lost", figure(v.After.P95 * 100), "% p95", "", "before repair " + percent(v.Before.P95)})
	}
	if d, ok := r.Setup[measure.Total]; ok && d.Count > 0 {
		all = append(all, tile{"In the call after", figure(d.P95), "ms p95", "", "median " + figure(d.P50) + " ms"})
	}
	if r.Server.Local && r.ServerCost.CPUSeconds > 0 {
		value, unit, _ := strings.Cut(nanoseconds(r.ServerCost.PerReceivedNS), " ")
		note := "out to callers"
		if r.Machine.FloorNS > 0 {
			note = "out; " + figure(r.ServerCost.PerReceivedNS/r.Machine.FloorNS) + " × the floor of " + nanoseconds(r.Machine.FloorNS)
		}
		all = append(all, tile{"Server CPU a packet", value, unit, "", note})
		value, unit, _ = strings.Cut(memory(r.ServerCost.MemoryPerCaller), " ")
		all = append(all, tile{"Memory a caller", value, unit, "", "of the server"})
	}
	drops := tile{"Datagrams dropped", count(r.ServerCost.Drops + r.ClientCost.Drops), "", "", "none at server or bench"}
	if r.ServerCost.Drops+r.ClientCost.Drops > 0 {
		drops.Note = count(r.ServerCost.Drops) + " at the server, " + count(r.ClientCost.Drops) + " at the bench"
	}
	return append(all, drops)
}

// grade puts a score of 1 to 5 in a word: from 4.03 up people are satisfied, below 3.6 many are not (ITU-T G.107, table B.1).
func grade(score float64) string {
	switch {
	case score >= 4.03:
		return "good"
	case score >= 3.6:
		return "fair"
	}
	return "poor"
}

type setupRow struct {
	Name                      string
	P50, P95, Max, Left, Wide float64
}

func setupOf(r Report) []setupRow {
	longest := 0.0
	for _, d := range r.Setup {
		longest = max(longest, d.P95)
	}
	var rows []setupRow
	for _, step := range steps {
		d, ok := r.Setup[step]
		if !ok || d.Count == 0 {
			continue
		}
		row := setupRow{Name: stepNames[step], P50: d.P50, P95: d.P95, Max: d.Max}
		if longest > 0 {
			row.Left = math.Round(max(0, d.P50)/longest*1000) / 10
			row.Wide = math.Round(max(0, d.P95-d.P50)/longest*1000) / 10
		}
		rows = append(rows, row)
	}
	return rows
}

type fact struct{ Name, Value string }

func factsOf(r Report) []fact {
	var all []fact
	add := func(name, value string) {
		if value != "" {
			all = append(all, fact{name, value})
		}
	}
	m := r.Machine
	add("Processor", m.CPU)
	if m.Cores > 0 {
		add("Cores", strconv.Itoa(m.Cores))
	}
	if m.Memory > 0 {
		add("Memory", memory(float64(m.Memory)))
	}
	add("Kernel", m.Kernel)
	add("Segmented sending (GSO)", map[bool]string{true: "yes", false: "no"}[m.GSO])
	floor := "not measured"
	if m.FloorNS > 0 {
		floor = nanoseconds(m.FloorNS) + " a packet"
	}
	add("Floor: rewrite, seal, send", floor)
	add("Bench", strings.TrimSpace(r.Version+" "+r.Commit))
	add("Go", m.Go)
	add("Server", strings.TrimSpace(r.Server.Kind+" "+r.Server.Version))
	add("Address", r.Server.Address)
	add("Seed", strconv.FormatUint(r.Scenario.Seed, 10))
	add("Length", duration(r.Seconds))
	add("Bench CPU", figure(r.ClientCost.CPUSeconds)+" s")
	return all
}

// playing is a recording with its address.
type playing struct {
	Title string
	Video bool
	URL   template.URL
}

// playable are the kinds that browsers play. Others would be a download of bytes that nobody named.
func playable(recordings []Recording) []playing {
	var all []playing
	for _, r := range recordings {
		kind, _, err := mime.ParseMediaType(r.MIME)
		if err != nil || !slices.Contains([]string{"audio/ogg", "audio/webm", "audio/wav", "video/webm", "video/mp4"}, kind) {
			continue
		}
		url := template.URL("data:" + kind + ";base64," + base64.StdEncoding.EncodeToString(r.Data))
		all = append(all, playing{r.Title, strings.HasPrefix(kind, "video/"), url})
	}
	return all
}

// number is a figure in the page's data: four digits that count, null where there is none.
type number float64

// MarshalJSON writes n as short as its four digits allow.
func (n number) MarshalJSON() ([]byte, error) {
	f := float64(n)
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return []byte("null"), nil
	}
	if a := math.Abs(f); a >= 1000 {
		return strconv.AppendFloat(nil, math.Round(f), 'f', -1, 64), nil
	} else if a < 1e-6 {
		return []byte("0"), nil
	}
	short, err := strconv.ParseFloat(strconv.FormatFloat(f, 'g', 4, 64), 64)
	if err != nil {
		return nil, err
	}
	return strconv.AppendFloat(nil, short, 'f', -1, 64), nil
}

func numbers(v []float64) []number {
	out := make([]number, len(v))
	for i, f := range v {
		out[i] = number(f)
	}
	return out
}

// pageData is what page.js reads. Absent parts are not drawn.
type pageData struct {
	Timeline      *plotted       `json:"timeline,omitempty"`
	Usage         *used          `json:"usage,omitempty"`
	Distributions *distributions `json:"distributions,omitempty"`
	Streams       *packedStreams `json:"streams,omitempty"`
	Callers       *packedCallers `json:"callers,omitempty"`
	Capacity      *packedLoads   `json:"capacity,omitempty"`
	Comparison    *overlay       `json:"comparison,omitempty"`
	Study         []studyData    `json:"study,omitempty"`
}

// plotted is a timeline in columns.
type plotted struct {
	At        []number `json:"at"`
	P50       []number `json:"p50"`
	P95       []number `json:"p95"`
	Max       []number `json:"max"`
	Loss      []number `json:"loss"` // %
	Kbps      []number `json:"kbps"`
	FPS       []number `json:"fps"`
	Concealed []number `json:"concealed"` // %
	Frozen    []number `json:"frozen"`    // %
}

type overlay struct {
	A    *plotted      `json:"a"`
	B    *plotted      `json:"b"`
	Dots [][2][]number `json:"dots"`
}

// timelineOf makes at most n points: of several seconds the greatest delay, and the mean of the rest.
func timelineOf(slicesOf []measure.Slice, n int) *plotted {
	p := &plotted{
		At: []number{}, P50: []number{}, P95: []number{}, Max: []number{}, Loss: []number{}, Kbps: []number{},
		FPS: []number{}, Concealed: []number{}, Frozen: []number{},
	}
	each := (len(slicesOf) + n - 1) / n
	for part := range slices.Chunk(slicesOf, max(1, each)) {
		var sum measure.Slice
		for _, s := range part {
			sum.DelayP50 += s.DelayP50
			sum.DelayP95 = max(sum.DelayP95, s.DelayP95)
			sum.DelayMax = max(sum.DelayMax, s.DelayMax)
			sum.LossShare += s.LossShare
			sum.Bitrate += s.Bitrate
			sum.FPS += s.FPS
			sum.Concealed += s.Concealed
			sum.Frozen += s.Frozen
			sum.Packets += s.Packets
		}
		k := float64(len(part))
		p.At = append(p.At, number(part[0].At))
		delay := func(v float64) number {
			if sum.Packets == 0 {
				return number(math.NaN()) // nothing came, so nothing was late
			}
			return number(v)
		}
		p.P50 = append(p.P50, delay(sum.DelayP50/k))
		p.P95 = append(p.P95, delay(sum.DelayP95))
		p.Max = append(p.Max, delay(sum.DelayMax))
		p.Loss = append(p.Loss, number(sum.LossShare/k*100))
		p.Kbps = append(p.Kbps, number(sum.Bitrate/k/1000))
		p.FPS = append(p.FPS, number(sum.FPS/k))
		p.Concealed = append(p.Concealed, number(sum.Concealed/k*100))
		p.Frozen = append(p.Frozen, number(sum.Frozen/k*100))
	}
	return p
}

// used is what server and bench used, in columns.
type used struct {
	At       []number `json:"at"`
	Server   []number `json:"server"`
	Client   []number `json:"client"`
	Kernel   []number `json:"kernel"`
	Memory   []number `json:"memory"` // MiB
	Sent     []number `json:"sent"`
	Received []number `json:"received"`
	Callers  []number `json:"callers"`
}

func usageOf(all []Usage) *used {
	u := &used{
		At: []number{}, Server: []number{}, Client: []number{}, Kernel: []number{}, Memory: []number{}, Sent: []number{},
		Received: []number{}, Callers: []number{},
	}
	each := (len(all) + maxPlotPoints - 1) / maxPlotPoints
	for part := range slices.Chunk(all, max(1, each)) {
		var sum Usage
		for _, x := range part {
			sum.ServerCPU += x.ServerCPU
			sum.ClientCPU += x.ClientCPU
			sum.KernelCPU += x.KernelCPU
			sum.ServerMemory = max(sum.ServerMemory, x.ServerMemory)
			sum.Sent += x.Sent
			sum.Received += x.Received
			sum.Callers = max(sum.Callers, x.Callers)
		}
		k := float64(len(part))
		u.At = append(u.At, number(part[0].At))
		u.Server = append(u.Server, number(sum.ServerCPU/k))
		u.Client = append(u.Client, number(sum.ClientCPU/k))
		u.Kernel = append(u.Kernel, number(sum.KernelCPU/k))
		u.Memory = append(u.Memory, number(float64(sum.ServerMemory)/(1<<20)))
		u.Sent = append(u.Sent, number(sum.Sent/k))
		u.Received = append(u.Received, number(sum.Received/k))
		u.Callers = append(u.Callers, number(sum.Callers))
	}
	return u
}

// distributions are over streams: delays as cumulative curves, scores as histograms.
type distributions struct {
	Curves []curves    `json:"curves"`
	Bars   []histogram `json:"bars"`
}

type curves struct {
	Title string  `json:"title"`
	Unit  string  `json:"unit"`
	Lines []curve `json:"lines"`
}

type curve struct {
	Name   string   `json:"name"`
	Colour string   `json:"colour"`
	Dash   string   `json:"dash"`
	Values []number `json:"values"` // ascending
}

type histogram struct {
	Title  string   `json:"title"`
	Unit   string   `json:"unit"`
	Edges  []number `json:"edges"`
	Groups []bar    `json:"groups"`
}

type bar struct {
	Name   string `json:"name"`
	Colour string `json:"colour"`
	Counts []int  `json:"counts"`
}

// curvesOf returns nil where nothing came.
func curvesOf(streams []measure.Stream) *distributions {
	d := &distributions{Curves: []curves{}, Bars: []histogram{}}
	of := func(kind measure.Kind, get func(measure.Stream) float64) []number {
		var v []float64
		for _, s := range streams {
			if s.Kind == kind && s.Packets > 0 {
				v = append(v, get(s))
			}
		}
		slices.Sort(v)
		// A hundred steps are all that an eye can tell in a curve.
		const most = 100
		if len(v) > most {
			thin := make([]float64, most)
			for i := range thin {
				thin[i] = v[(i+1)*len(v)/most-1]
			}
			v = thin
		}
		return numbers(v)
	}
	for _, c := range []struct {
		kind  measure.Kind
		title string
	}{{measure.Audio, "Voice: delay of the streams"}, {measure.Video, "Picture: delay of the streams"}} {
		lines := []curve{
			{"p50", "c3", "", of(c.kind, func(s measure.Stream) float64 { return s.Delay.P50 })},
			{"p95", "c1", "dash", of(c.kind, func(s measure.Stream) float64 { return s.Delay.P95 })},
			{"max", "c2", "dot", of(c.kind, func(s measure.Stream) float64 { return s.Delay.Max })},
		}
		if len(lines[0].Values) > 0 {
			d.Curves = append(d.Curves, curves{c.title, "% of streams at or below", lines})
		}
	}
	const bins, low, high = 40, 1.0, 5.0
	h := histogram{Title: "Scores", Unit: "streams; voice by MOS, picture by score"}
	for i := range bins + 1 {
		h.Edges = append(h.Edges, number(low+float64(i)*(high-low)/bins))
	}
	voice, picture := make([]int, bins), make([]int, bins)
	any := false
	put := func(counts []int, score float64) {
		i := int((score - low) / (high - low) * bins)
		counts[min(bins-1, max(0, i))]++
		any = true
	}
	for _, s := range streams {
		switch {
		case s.Packets == 0:
		case s.Sound != nil:
			put(voice, s.Sound.MOS)
		case s.Picture != nil:
			put(picture, s.Picture.Score)
		}
	}
	if any {
		h.Groups = []bar{{"voice", "c1", voice}, {"picture", "c2", picture}}
		d.Bars = append(d.Bars, h)
	}
	if len(d.Curves)+len(d.Bars) == 0 {
		return nil
	}
	return d
}

// packedStreams are rows of columns; names stand once and rows point to them, for a name is in many.
type packedStreams struct {
	Names  []string `json:"names"`
	Fields []string `json:"fields"`
	Rows   [][]any  `json:"rows"`
}

// sparks are the timelines of one stream, in equal parts of a span of seconds.
type sparks struct {
	From    number   `json:"from"`
	Span    number   `json:"span"`
	Delay   []number `json:"d"` // p95, ms
	Loss    []number `json:"l"` // %
	Kbps    []number `json:"k"`
	Quality []number `json:"q"` // of sound % concealed, of a picture fps
}

func packStreams(all []measure.Stream) *packedStreams {
	sorted := worst(all)
	sorted = sorted[:min(maxRows, len(sorted))]
	points := min(120, sparkBudget/min(maxSparks, len(sorted)))
	p := &packedStreams{Fields: []string{
		"room", "receiver", "sender", "track", "codec", "video", "seconds", "packets", "kbps", "before", "after", "repaired",
		"duplicates", "reordered", "dropped", "wrong", "jitter", "delay50", "delay95", "delay99", "delayMax", "buffered50", "played95",
		"score", "concealed", "concealed10", "hole", "resent", "copied", "fec", "events", "late", "accelerated", "expanded", "r", "lip50",
		"fps", "freezes", "frozen", "width", "height", "undecodable", "switches", "keyframe95", "spark",
	}}
	index := map[string]int{}
	name := func(s string) int {
		i, ok := index[s]
		if !ok {
			i = len(p.Names)
			index[s] = i
			p.Names = append(p.Names, s)
		}
		return i
	}
	for i, s := range sorted {
		sound, picture := s.Sound, s.Picture
		if sound == nil {
			sound = &measure.Sound{}
		}
		if picture == nil {
			picture = &measure.Picture{}
		}
		video, score, frozen := 0, sound.MOS, 0.0
		if s.Kind == measure.Video {
			video, score = 1, picture.Score
			if s.Seconds > 0 {
				frozen = picture.FrozenSeconds / s.Seconds * 100
			}
		}
		row := []any{name(s.Room), name(s.Receiver), name(s.Sender), name(s.Track), name(s.Codec), video}
		for _, v := range []float64{
			s.Seconds, float64(s.Packets), s.Bitrate / 1000, s.Loss.Before * 100, s.Loss.After * 100, float64(s.Loss.Repaired),
			float64(s.Loss.Duplicates), float64(s.Loss.Reordered), float64(s.Loss.Dropped), float64(s.Wrong), s.Jitter,
			s.Delay.P50, s.Delay.P95, s.Delay.P99, s.Delay.Max, s.Buffered.P50, s.Played.P95,
			score, sound.Concealed * 100, sound.Window * 100, sound.Hole, sound.Resent * 100, sound.Copied * 100, sound.FEC * 100, float64(sound.Events), sound.Late * 100, sound.Accelerated * 100, sound.Expanded * 100,
			sound.R, sound.LipSync.P50,
			picture.FPS, float64(picture.Freezes), frozen, float64(picture.Width), float64(picture.Height),
			float64(picture.Undecodable), float64(s.Switches), picture.KeyframeWait.P95,
		} {
			row = append(row, number(v))
		}
		var spark *sparks
		if i < maxSparks {
			spark = sparksOf(s, points)
		}
		p.Rows = append(p.Rows, append(row, spark))
	}
	return p
}

func sparksOf(s measure.Stream, points int) *sparks {
	if len(s.Slices) == 0 {
		return nil
	}
	first, last := s.Slices[0].At, s.Slices[len(s.Slices)-1].At+1
	n := min(points, len(s.Slices))
	out := &sparks{From: number(first), Span: number(last - first)}
	buckets := make([]struct{ delay, loss, bits, quality, n, with float64 }, n)
	for _, x := range s.Slices {
		i := 0
		if last > first {
			i = min(n-1, max(0, int((x.At-first)/(last-first)*float64(n)+1e-9)))
		}
		b := &buckets[i]
		b.n++
		b.loss += x.LossShare * 100
		b.bits += x.Bitrate / 1000
		if s.Kind == measure.Video {
			b.quality += x.FPS
		} else {
			b.quality += x.Concealed * 100
		}
		if x.Packets > 0 {
			b.with++
			b.delay = max(b.delay, x.DelayP95)
		}
	}
	// Three digits: a sparkline is 24 pixels high.
	short := func(v float64) number {
		switch {
		case v >= 100:
			return number(math.Round(v))
		case v >= 10:
			return number(math.Round(v*10) / 10)
		}
		return number(math.Round(v*100) / 100)
	}
	for _, b := range buckets {
		delay := number(math.NaN())
		if b.with > 0 {
			delay = short(b.delay)
		}
		k := max(1, b.n)
		out.Delay = append(out.Delay, delay)
		out.Loss = append(out.Loss, short(b.loss/k))
		out.Kbps = append(out.Kbps, short(b.bits/k))
		out.Quality = append(out.Quality, short(b.quality/k))
	}
	return out
}

type packedCallers struct {
	Steps []string `json:"steps"`
	Rows  []caller `json:"rows"`
}

type caller struct {
	Name     string    `json:"name"`
	Room     string    `json:"room"`
	Kind     string    `json:"kind"`
	Error    string    `json:"error"`
	Signal   string    `json:"signal"`
	Path     string    `json:"path"`
	Steps    []*number `json:"steps"` // null: not reached
	Total    number    `json:"total"`
	RTT      number    `json:"rtt"`
	Sent     int64     `json:"sent"`
	Received int64     `json:"received"`
	Gap      *number   `json:"gap"` // the longest
	Up       *number   `json:"up"`  // kB a call-minute; null: not measured
	Down     *number   `json:"down"`
}

func kilobytes(v float64) *number {
	if v <= 0 {
		return nil
	}
	n := number(math.Round(v/100) / 10)
	return &n
}

func packCallers(all []measure.Caller) *packedCallers {
	p := &packedCallers{Rows: []caller{}}
	for _, step := range steps[:len(steps)-1] {
		p.Steps = append(p.Steps, stepNames[step])
	}
	for _, c := range all {
		row := caller{
			Name: c.Identity, Room: c.Room, Kind: c.Kind, Error: c.Error, Signal: c.Signal, Path: c.Path, RTT: number(c.RTT),
			Sent: c.SentPackets, Received: c.ReceivedPackets, Total: number(math.NaN()),
		}
		for _, step := range steps[:len(steps)-1] {
			var cell *number
			if v, ok := c.Steps[step]; ok {
				n := number(v)
				cell = &n
			}
			row.Steps = append(row.Steps, cell)
		}
		if v, ok := c.Steps[measure.Total]; ok {
			row.Total = number(v)
		}
		if len(c.Gaps) > 0 {
			n := number(slices.Max(c.Gaps))
			row.Gap = &n
		}
		row.Up, row.Down = kilobytes(c.UpPerMinute), kilobytes(c.DownPerMinute)
		p.Rows = append(p.Rows, row)
	}
	// Those that failed first, then the slowest.
	slices.SortStableFunc(p.Rows, func(a, b caller) int {
		weight := func(c caller) float64 {
			if c.Error != "" {
				return math.Inf(1)
			}
			if math.IsNaN(float64(c.Total)) {
				return math.MaxFloat64
			}
			return float64(c.Total)
		}
		switch x, y := weight(a), weight(b); {
		case x > y:
			return -1
		case x < y:
			return 1
		}
		return 0
	})
	p.Rows = p.Rows[:min(maxRows, len(p.Rows))]
	return p
}

type packedLoads struct {
	Tries []load `json:"tries"`
}

type load struct {
	Load   int    `json:"load"`
	Held   bool   `json:"held"`
	Server number `json:"server"`
	Client number `json:"client"`
	Packet number `json:"packet"` // ns
}

func packCapacity(c Capacity) *packedLoads {
	p := &packedLoads{Tries: []load{}}
	for _, t := range c.Tries {
		p.Tries = append(p.Tries, load{t.Load, t.Held, number(t.ServerCPU), number(t.ClientCPU), number(t.PerPacket)})
	}
	return p
}

//go:build linux

package main

import (
	"fmt"
	"html/template"
	"math"
	"os"
	"strings"
	"time"
)

// plot is one call on the page.
type plot struct {
	Title, About string
	Panels       []template.HTML
}

// Sizes of a panel in CSS pixels, and the step of what is summed.
const (
	panelWidth, panelHeight = 900, 150
	margin                  = 44
	bin                     = 500 * time.Millisecond
	maxTicks                = 12 // of the time axis, so that their numbers do not meet
)

// writePage writes one file that loads nothing: for each call capacity and rates, queue and delay, pictures a second.
func writePage(path string, plots []plot) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	if err := pageTemplate.Execute(f, plots); err != nil {
		return err
	}
	return f.Close()
}

var pageTemplate = template.Must(template.New("page").Parse(`<!doctype html><html lang="en"><meta charset="utf-8">
<meta name="viewport" content="width=device-width,initial-scale=1"><title>Congestion in real time</title>
<style>:root{color-scheme:light}body{font:15px/1.5 system-ui;color:#1c2b2a;margin:2em auto;max-width:920px;padding:0 16px}
h1{font-size:1.6em}h2{font-size:1.15em;margin-top:2em}figure{margin:0 0 8px;overflow-x:auto}svg{min-width:560px;max-width:100%;height:auto}svg text{font:11px system-ui;fill:#444}
svg .capacity{stroke:#999;fill:none;stroke-dasharray:5 3}svg .a{stroke:#1565c0;fill:none}svg .b{stroke:#2e7d32;fill:none}svg .c{stroke:#c62828;fill:none}svg .grid{stroke:#ddd}</style>
<h1>Congestion in real time</h1>
{{range .}}<h2>{{.Title}}</h2><p>{{.About}}</p>{{range .Panels}}<figure>{{.}}</figure>{{end}}{{end}}`))

// panels are the drawings of one call.
func (c *course) panels() []template.HTML {
	n := int(c.length/bin) + 1
	l := curvesOf(c.passages, n)
	delays := make([]float64, n)
	for _, d := range c.delays {
		if i := int(d.at / bin); i >= 0 && i < n {
			delays[i] = max(delays[i], milliseconds(d.took))
		}
	}
	fps, lines := make([]float64, n), make([]float64, n)
	for i := 1; i < len(c.looks); i++ {
		a, b := c.looks[i-1], c.looks[i]
		if at := int(b.at / bin); at < n {
			fps[at] = (b.receiver.Video.FramesDecoded - a.receiver.Video.FramesDecoded) / (b.at - a.at).Seconds()
			lines[at] = b.receiver.Video.FrameHeight / 24 // 720 lines stand as high as 30 pictures
		}
	}
	return []template.HTML{
		panel(ratesTitle, line{"capacity", steps(c.phases, n)}, line{"a", l.sent}, line{"b", l.received}),
		panel("ms, worst of each half second: queue (blue), encoder to receiver (green); packets dropped (red)", line{"a", l.queue}, line{"b", delays}, line{"c", l.lost}),
		panel("pictures decoded a second (blue); lines of the picture ÷ 24 (green)", line{"a", fps}, line{"b", lines}),
	}
}

const ratesTitle = "kbit/s: capacity (dashed), into the bottleneck (blue), out of it (green)"

// panels are the drawings of a run of drops.
func (d *dropped) panels() []template.HTML {
	n := int(d.length()/bin) + 1
	l := curvesOf(d.passages, n)
	var phases []phase
	for i := range d.cycles {
		begin := time.Duration(i) * d.cycle()
		phases = append(phases, phase{begin, narrow}, phase{begin + d.low, wide})
	}
	layers := make([]float64, n)
	for _, a := range d.frames {
		if i := int(a.at / bin); i < n && a.layer >= 0 {
			layers[i] = max(layers[i], float64(a.layer+1))
		}
	}
	return []template.HTML{
		panel(ratesTitle, line{"capacity", steps(phases, n)}, line{"a", l.sent}, line{"b", l.received}),
		panel("ms, worst of each half second: queue (blue); packets dropped (red)", line{"a", l.queue}, line{"c", l.lost}),
		panel("largest layer that came, 1 to 3; 0: none", line{"a", layers}),
	}
}

// curves are the bottleneck's, a value for each bin.
type curves struct{ sent, received, queue, lost []float64 }

func curvesOf(passages []passage, n int) curves {
	l := curves{make([]float64, n), make([]float64, n), make([]float64, n), make([]float64, n)}
	perBin := 8 / 1000.0 / bin.Seconds()
	for _, p := range passages {
		i := int(p.at / bin)
		if i >= n {
			continue
		}
		l.sent[i] += float64(p.size) * perBin
		if p.dropped {
			l.lost[i]++
			continue
		}
		l.queue[i] = max(l.queue[i], milliseconds(p.queue))
		if j := int((p.at + p.queue) / bin); j < n {
			l.received[j] += float64(p.size) * perBin
		}
	}
	return l
}

// steps is the capacity in kbit/s.
func steps(phases []phase, n int) []float64 {
	out := make([]float64, n)
	for i := range out {
		for _, p := range phases {
			if time.Duration(i)*bin >= p.from {
				out[i] = float64(p.rate) / 1000
			}
		}
	}
	return out
}

// line is one curve: a value for each bin.
type line struct {
	class  string
	values []float64
}

// panel draws curves over one time axis.
func panel(title string, lines ...line) template.HTML {
	most := 1.0
	for _, l := range lines {
		for _, v := range l.values {
			most = max(most, v)
		}
	}
	step := math.Pow(10, math.Floor(math.Log10(most)))
	if most/step < 3 {
		step /= 2
	}
	var b strings.Builder
	fmt.Fprintf(&b, `<svg viewBox="0 0 %d %d" width="%d"><text x="%d" y="11">%s</text>`, panelWidth, panelHeight, panelWidth, margin, template.HTMLEscapeString(title))
	y := func(v float64) float64 { return panelHeight - 16 - v/most*(panelHeight-36) }
	for v := 0.0; v <= most; v += step {
		fmt.Fprintf(&b, `<line class="grid" x1="%d" x2="%d" y1="%.1f" y2="%.1f"/><text x="0" y="%.1f">%g</text>`, margin, panelWidth, y(v), y(v), y(v)+4, v)
	}
	n := len(lines[0].values)
	x := func(i int) float64 { return margin + float64(i)/float64(max(n-1, 1))*(panelWidth-margin) }
	tick := 10 * time.Second
	for time.Duration(n)*bin/tick > maxTicks {
		tick *= 2
	}
	for i := 0; i < n; i += int(tick / bin) {
		fmt.Fprintf(&b, `<text x="%.1f" y="%d">%g s</text>`, x(i), panelHeight-2, (time.Duration(i) * bin).Seconds())
	}
	for _, l := range lines {
		fmt.Fprintf(&b, `<polyline class="%s" points="`, l.class)
		for i, v := range l.values {
			fmt.Fprintf(&b, "%.1f,%.1f ", x(i), y(v))
		}
		b.WriteString(`"/>`)
	}
	b.WriteString("</svg>")
	return template.HTML(b.String()) // of our own numbers and words
}

package jitter_test

import (
	"fmt"
	"strings"
	"time"
)

// plot draws the first minute of a trace: how long packets took beyond the fastest, when they were played, and where
// playout had to make something up. 100 ms a step.
func plot(title string, journeys []journey, p playback) string {
	const (
		width, height           = 900, 266
		left, right, top, lower = 44, 20, 58, 34
		length                  = time.Minute
		cell                    = 100 * time.Millisecond
		cells                   = int(length / cell)
		ceiling                 = 240 * time.Millisecond // of the vertical axis
	)
	x := func(i int) float64 { return left + float64(i)*float64(width-left-right)/float64(cells) }
	y := func(d time.Duration) float64 {
		return top + (1-float64(min(max(d, 0), ceiling))/float64(ceiling))*(height-top-lower)
	}
	var slowest, delay [cells]time.Duration
	var concealed [cells]bool
	for _, j := range journeys {
		if i := int(j.arrived / cell); i < cells && !j.lost {
			slowest[i] = max(slowest[i], j.arrived-j.sent-transit)
		}
	}
	for _, h := range p.heard {
		if i := int(h.played / cell); i < cells {
			delay[i] = h.played - h.sent - transit
		}
	}
	for _, s := range p.samples {
		if i := int(s.at / cell); i < cells && s.concealed > 0 {
			concealed[i] = true
		}
	}

	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" role="img" aria-label=%q>`+"\n", width, height, title)
	b.WriteString(`<style>
svg{background:#fff;font:12px system-ui,sans-serif}text{fill:#24292f}.grid{stroke:#d0d7de}.packets{stroke:#8c959f;stroke-width:1.3}
.played{fill:none;stroke:#0969da;stroke-width:1.8}.concealed{fill:#cf222e}.title{font-weight:600;font-size:13px}
@media(prefers-color-scheme:dark){svg{background:#0d1117}text{fill:#e6edf3}.grid{stroke:#30363d}.packets{stroke:#6e7681}
.played{stroke:#58a6ff}.concealed{fill:#ff7b72}}
</style>
`)
	fmt.Fprintf(&b, `<text class="title" x="%d" y="18">%s</text>`+"\n", left, title)
	legend := func(at int, mark, text string) {
		fmt.Fprintf(&b, `%s<text x="%d" y="38">%s</text>`+"\n", mark, at+24, text)
	}
	legend(left, fmt.Sprintf(`<line class="packets" x1="%d" y1="34" x2="%d" y2="34"/>`, left, left+18), "slowest packet of 100 ms")
	legend(230, `<line class="played" x1="230" y1="34" x2="248" y2="34"/>`, "played so much later than the fastest can come")
	legend(580, `<rect class="concealed" x="580" y="30" width="18" height="7"/>`, "concealed")
	for d := time.Duration(0); d <= ceiling; d += 60 * time.Millisecond {
		fmt.Fprintf(&b, `<line class="grid" x1="%d" y1="%.1f" x2="%d" y2="%.1f"/><text x="%d" y="%.1f" text-anchor="end">%d</text>`+"\n",
			left, y(d), width-right, y(d), left-6, y(d)+4, d.Milliseconds())
	}
	for s := 0; s <= 60; s += 10 {
		fmt.Fprintf(&b, `<text x="%.1f" y="%d" text-anchor="middle">%d s</text>`+"\n", x(s*cells/60), height-6, s)
	}
	b.WriteString(`<text x="6" y="38">ms</text>` + "\n" + `<path class="packets" d="`)
	for i, d := range slowest {
		if d > 0 {
			fmt.Fprintf(&b, "M%.1f %.1fV%.1f", x(i), y(0), y(d))
		}
	}
	b.WriteString(`"/>` + "\n" + `<path class="played" d="`)
	command := "M"
	for i, d := range delay {
		if d > 0 {
			fmt.Fprintf(&b, "%s%.1f %.1f", command, x(i), y(d))
			command = "L"
		}
	}
	b.WriteString(`"/>` + "\n")
	for i, c := range concealed {
		if c {
			fmt.Fprintf(&b, `<rect class="concealed" x="%.1f" y="%d" width="2" height="7"/>`+"\n", x(i), height-lower+4)
		}
	}
	b.WriteString("</svg>\n")
	return b.String()
}

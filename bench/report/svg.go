package report

import (
	"bufio"
	"fmt"
	"html"
	"io"
	"math"
	"strconv"
	"strings"
)

// Sizes of a drawing, in its own units: as wide as a page of text, with letters that can still be read at half of that, on a
// phone.
const (
	svgWidth  = 720
	svgLeft   = 78 // of the plots: room for "1,500"
	svgRight  = 14
	svgLetter = 20
	svgLine   = 28 // from line to line of text
	svgTall   = 230
	svgFlat   = 130
	svgSign   = 11.0 // width of a letter, about
)

// svgColours are those of the page by day, which stand out from white: 4.5 to 1 at least.
var svgColours = [plotColours]string{"#0072b2", "#b84f00", "#00805a", "#a3487f", "#6a4fc0", "#7d6a00"}

// WriteSVG draws plots over one time axis, below each other: dark on white, for documents. The first is the tallest.
func WriteSVG(w io.Writer, title, about string, plots []Plot) error {
	d := drawing{out: bufio.NewWriter(w)}
	heads := wrapped(about, (svgWidth-2*svgRight)/svgSign*1.1)
	height := svgLine * (len(heads) + 1)
	for i, p := range plots {
		height += panelHeight(i) + svgLine*(1+len(legend(p))) + svgLine/2
	}
	height += svgLine + svgLine/2
	fmt.Fprintf(d.out, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" role="img" font-family="system-ui, sans-serif" font-size="%d" fill="#111">`,
		svgWidth, height, svgWidth, height, svgLetter)
	fmt.Fprintf(d.out, "\n<title>%s: %s</title>\n<rect width=\"%d\" height=\"%d\" fill=\"#fff\"/>\n", html.EscapeString(title), html.EscapeString(about), svgWidth, height)
	d.text(svgRight, "start", "bold", title)
	for _, line := range heads {
		d.text(svgRight, "start", "normal", line)
	}
	for i, p := range plots {
		d.panel(p, panelHeight(i), i == len(plots)-1)
	}
	fmt.Fprintln(d.out, "</svg>")
	return d.out.Flush()
}

func panelHeight(i int) int {
	if i == 0 {
		return svgTall
	}
	return svgFlat
}

type drawing struct {
	out *bufio.Writer
	y   int // of what was drawn last
}

// text writes one line below what is there.
func (d *drawing) text(x int, anchor, weight, s string) {
	d.y += svgLine
	fmt.Fprintf(d.out, "<text x=\"%d\" y=\"%d\" text-anchor=\"%s\" font-weight=\"%s\">%s</text>\n", x, d.y-svgLine/4, anchor, weight, html.EscapeString(s))
}

// panel draws one plot: its name, its legend, its axes and lines.
func (d *drawing) panel(p Plot, height int, last bool) {
	packed := p.pack()
	d.y += svgLine / 2
	d.text(svgRight, "start", "bold", p.Title+", "+p.Unit)
	for _, row := range legend(p) {
		d.y += svgLine
		x := svgLeft
		for _, i := range row {
			l := p.Lines[i]
			fmt.Fprintf(d.out, "<path d=\"M%d %dh34\" stroke=\"%s\" stroke-width=\"3\"%s/>\n", x, d.y-svgLine/2, svgColours[i%plotColours], dashes(l.Dash))
			fmt.Fprintf(d.out, "<text x=\"%d\" y=\"%d\">%s</text>\n", x+42, d.y-svgLine/4, html.EscapeString(l.Name))
			x += keyWidth(l.Name)
		}
	}
	bottom := d.y + height
	most, points := 0.0, 0
	for _, l := range packed.Lines {
		points = max(points, len(l.Y))
		for _, v := range l.Y {
			if f := float64(v); !math.IsNaN(f) && !math.IsInf(f, 0) {
				most = max(most, f)
			}
		}
	}
	step := round(most / 3)
	high := max(math.Ceil(most/step), 1) * step
	y := func(v float64) float64 { return float64(bottom) - v/high*float64(height) }
	for v := 0.0; v <= high*1.001; v += step {
		fmt.Fprintf(d.out, "<path d=\"M%d %.1fH%d\" stroke=\"#ddd\"/>\n", svgLeft, y(v), svgWidth-svgRight)
		fmt.Fprintf(d.out, "<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%s</text>\n", svgLeft-8, y(v)+svgLetter/3, grouped(v))
	}
	length := float64(points) * float64(packed.Step)
	x := func(s float64) float64 { return svgLeft + s/max(length, 1e-9)*(svgWidth-svgRight-svgLeft) }
	for i, l := range packed.Lines {
		fmt.Fprintf(d.out, "<path d=\"%s\" fill=\"none\" stroke=\"%s\" stroke-width=\"2\" stroke-linejoin=\"round\"%s/>\n",
			course(l.Y, float64(packed.Step), x, y), svgColours[i%plotColours], dashes(l.Dash))
	}
	d.y = bottom
	if !last {
		return
	}
	every := round(length / 6)
	for s := 0.0; s <= length*1.001; s += every {
		name, anchor := grouped(s), "middle"
		if s+every > length*1.001 {
			name, anchor = name+" s", "end"
		}
		fmt.Fprintf(d.out, "<text x=\"%.1f\" y=\"%d\" text-anchor=\"%s\">%s</text>\n", x(s), bottom+svgLine, anchor, name)
	}
}

// course is a line's path, with gaps where there is nothing to draw.
func course(values []number, step float64, x, y func(float64) float64) string {
	var b strings.Builder
	pen := "M"
	for i, n := range values {
		v := float64(n)
		if math.IsNaN(v) || math.IsInf(v, 0) {
			pen = "M"
			continue
		}
		fmt.Fprintf(&b, "%s%.0f %.1f", pen, x((float64(i)+0.5)*step), y(v))
		pen = "L"
	}
	return b.String()
}

func dashes(dash string) string {
	switch dash {
	case "dash":
		return ` stroke-dasharray="9 6"`
	case "dot":
		return ` stroke-dasharray="3 3"`
	}
	return ""
}

func keyWidth(name string) int { return 42 + int(float64(len([]rune(name)))*svgSign) + 18 }

// legend is which lines' names stand on which row.
func legend(p Plot) [][]int {
	var rows [][]int
	used := svgWidth
	for i, l := range p.Lines {
		width := keyWidth(l.Name)
		if used+width > svgWidth-svgRight {
			rows, used = append(rows, nil), svgLeft
		}
		rows[len(rows)-1] = append(rows[len(rows)-1], i)
		used += width
	}
	return rows
}

// round is the next of 1, 2, 5, 10, …
func round(v float64) float64 {
	if v <= 0 {
		return 1
	}
	power := math.Pow(10, math.Floor(math.Log10(v)))
	for _, m := range []float64{1, 2, 5} {
		if m*power >= v*0.999 {
			return m * power
		}
	}
	return 10 * power
}

// grouped writes a number with its thousands apart.
func grouped(v float64) string {
	whole, rest, _ := strings.Cut(strconv.FormatFloat(math.Round(v*1000)/1000, 'f', -1, 64), ".")
	for i := len(whole) - 3; i > 0; i -= 3 {
		whole = whole[:i] + "," + whole[i:]
	}
	if rest != "" {
		whole += "." + rest
	}
	return whole
}

// wrapped breaks a sentence into lines of so many letters at most.
func wrapped(s string, most float64) []string {
	var lines []string
	for _, word := range strings.Fields(s) {
		if n := len(lines); n > 0 && float64(len([]rune(lines[n-1]))+1+len([]rune(word))) <= most {
			lines[n-1] += " " + word
		} else {
			lines = append(lines, word)
		}
	}
	return lines
}

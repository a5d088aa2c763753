package scene

import "math"

// Picture is drawn in a room of 1280 × 720 units, whatever its size is; the origin is at the top left.
type Picture struct {
	W, H int
	RGB  []float32 // three a pixel, row after row, 0 to 255

	unit float64 // pixels
}

// Units across and down.
const (
	across = 1280
	down   = 720
)

type color [3]float32

func hex(rgb uint32) color {
	return color{float32(rgb >> 16), float32(rgb >> 8 & 255), float32(rgb & 255)}
}

func mix(a, b color, share float32) color {
	for i := range a {
		a[i] += (b[i] - a[i]) * share
	}
	return a
}

func newPicture(w int) *Picture {
	h := w * down / across
	return &Picture{W: w, H: h, RGB: make([]float32, 3*w*h), unit: float64(w) / across}
}

// fill paints where inside says how far within a shape a point is, in units; edges are a pixel soft. The shape lies between
// the corners.
func (p *Picture) fill(x0, y0, x1, y1 float64, c color, inside func(x, y float64) float64) {
	for py := max(0, int(y0*p.unit)-1); py < min(p.H, int(y1*p.unit)+2); py++ {
		for px := max(0, int(x0*p.unit)-1); px < min(p.W, int(x1*p.unit)+2); px++ {
			x, y := (float64(px)+0.5)/p.unit, (float64(py)+0.5)/p.unit
			cover := inside(x, y)*p.unit + 0.5
			if cover <= 0 {
				continue
			}
			at := 3 * (py*p.W + px)
			share := float32(min(cover, 1))
			for i := range c {
				p.RGB[at+i] += (c[i] - p.RGB[at+i]) * share
			}
		}
	}
}

func (p *Picture) ellipse(cx, cy, rx, ry float64, c color) {
	p.fill(cx-rx, cy-ry, cx+rx, cy+ry, c, func(x, y float64) float64 {
		return (1 - math.Hypot((x-cx)/rx, (y-cy)/ry)) * min(rx, ry)
	})
}

func (p *Picture) rect(x0, y0, x1, y1 float64, c color) {
	p.fill(x0, y0, x1, y1, c, func(x, y float64) float64 { return min(x-x0, x1-x, y-y0, y1-y) })
}

// line is as thick as twice r and round at its ends.
func (p *Picture) line(x0, y0, x1, y1, r float64, c color) {
	dx, dy := x1-x0, y1-y0
	square := max(dx*dx+dy*dy, 1e-9)
	p.fill(min(x0, x1)-r, min(y0, y1)-r, max(x0, x1)+r, max(y0, y1)+r, c, func(x, y float64) float64 {
		t := min(max(((x-x0)*dx+(y-y0)*dy)/square, 0), 1)
		return r - math.Hypot(x-x0-t*dx, y-y0-t*dy)
	})
}

// Shrink returns the picture at a width that divides its own.
func (p *Picture) Shrink(w int) *Picture {
	n := p.W / w
	if n == 1 {
		return p
	}
	out := newPicture(w)
	for y := range out.H {
		for x := range out.W {
			for i := range 3 {
				var sum float32
				for dy := range n {
					for dx := range n {
						sum += p.RGB[3*((y*n+dy)*p.W+x*n+dx)+i]
					}
				}
				out.RGB[3*(y*out.W+x)+i] = sum / float32(n*n)
			}
		}
	}
	return out
}

// YUV returns the picture as encoders take it: BT.601 in the range of video, chroma halved both ways. The planes follow each
// other: W × H, then twice W/2 × H/2.
func (p *Picture) YUV() []byte {
	out := make([]byte, 0, p.W*p.H*3/2)
	for at := 0; at < len(p.RGB); at += 3 {
		c := p.RGB[at : at+3 : at+3]
		out = append(out, level(16+0.2568*c[0]+0.5041*c[1]+0.0979*c[2]))
	}
	half := p.Shrink(p.W / 2)
	for at := 0; at < len(half.RGB); at += 3 {
		c := half.RGB[at : at+3 : at+3]
		out = append(out, level(128-0.1482*c[0]-0.2910*c[1]+0.4392*c[2]))
	}
	for at := 0; at < len(half.RGB); at += 3 {
		c := half.RGB[at : at+3 : at+3]
		out = append(out, level(128+0.4392*c[0]-0.3678*c[1]-0.0714*c[2]))
	}
	return out
}

func level(v float32) byte { return byte(min(max(v+0.5, 16), 240)) }

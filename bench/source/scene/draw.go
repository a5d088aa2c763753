package scene

import "math"

// looks of the scenes: nobody takes one for another.
var looks = [...]struct {
	wall, shade, shirt, skin, hair color
	long                           bool // hair
}{
	{hex(0xe8d9c5), hex(0xb08f68), hex(0x2f5d8a), hex(0xe3b48c), hex(0x3a2a20), true},
	{hex(0xcfe0e6), hex(0x6f9db0), hex(0xb5533c), hex(0xc98f65), hex(0x15110f), false},
	{hex(0xdfe5d0), hex(0x8aa060), hex(0x5a3f86), hex(0xedc5a3), hex(0xa8641f), true},
	{hex(0xe6d0dc), hex(0xa8728f), hex(0x2f7a56), hex(0x8f5f40), hex(0x8d8d93), false},
}

// Draw returns frame of frames in a loop, w pixels wide: 1280, 640 or 320. mouth is how far it is open, 0 to 1.
func Draw(scene, frame, frames int, mouth float64, w int) *Picture {
	p := paint(scene, frame, frames, mouth, w)
	p.grain(uint32(frame))
	p.rect(0, 0, across, across/40, color{})
	return p
}

// paint leaves the grain and the room for the code to others.
func paint(scene, frame, frames int, mouth float64, w int) *Picture {
	p := newPicture(w)
	look := looks[scene%len(looks)]
	turn := 2 * math.Pi * float64(frame) / float64(frames)
	swayX, swayY := 10*math.Sin(turn)+4*math.Sin(3*turn), 6*math.Sin(2*turn)

	p.wall(look.wall, look.shade, swayX, swayY)
	p.window(90+swayX, 120+swayY, turn)
	p.clock(1130+swayX, 200+swayY, float64(frame)/float64(frames), frame)
	p.plant(1160+swayX, 640+swayY, math.Sin(2*turn))
	p.person(640+0.6*swayX, 40+0.6*swayY, turn, mouth, look.shirt, look.skin, look.hair, look.long)
	p.letter(scene, 640+0.6*swayX, 640+0.6*swayY)
	hop := math.Abs(math.Sin(3 * turn))
	p.ellipse(150+70*math.Sin(turn), 660-150*hop, 34, 34, hex(0xf2c230))
	return p
}

// wall is a gradient with a pattern, so that an encoder has to follow the sway.
func (p *Picture) wall(light, dark color, swayX, swayY float64) {
	for py := range p.H {
		for px := range p.W {
			x, y := float64(px)/p.unit-swayX, float64(py)/p.unit-swayY
			c := mix(light, dark, float32((x/across+y/down)/2))
			stripes := float32(7 * math.Sin(x/9) * math.Sin(y/13))
			for i := range c {
				p.RGB[3*(py*p.W+px)+i] = c[i] + stripes
			}
		}
	}
}

func (p *Picture) window(x, y, turn float64) {
	p.rect(x-14, y-14, x+274, y+294, hex(0xf5f2ea))
	p.fill(x, y, x+260, y+280, hex(0x9cc7ea), func(px, py float64) float64 { return min(px-x, x+260-px, py-y, y+280-py) })
	drift := 38 * math.Sin(turn)
	for i, at := range []float64{0, 38, 76} {
		p.ellipse(x+90+drift+at, y+90-8*float64(i%2), 40, 26, hex(0xffffff))
	}
	p.fill(x, y+200, x+260, y+280, hex(0x6b9658), func(px, py float64) float64 {
		hills := py - y - 245 + 18*math.Sin((px-x)/38)
		return min(hills, px-x, x+260-px, y+280-py)
	})
	p.rect(x-24, y+280, x+284, y+304, hex(0xd9d2c4))
	p.rect(x+125, y, x+135, y+280, hex(0xf5f2ea))
}

// clock goes round once in a loop, and tells seconds and tenths.
func (p *Picture) clock(x, y, share float64, frame int) {
	p.ellipse(x, y, 120, 120, hex(0x2a2a2e))
	p.ellipse(x, y, 110, 110, hex(0xfafaf5))
	for i := range 12 {
		sin, cos := math.Sincos(2 * math.Pi * float64(i) / 12)
		p.line(x+88*sin, y-88*cos, x+100*sin, y-100*cos, 4, hex(0x2a2a2e))
	}
	sin, cos := math.Sincos(2 * math.Pi * share)
	p.line(x, y, x+80*sin, y-80*cos, 6, hex(0xc0281c))
	p.ellipse(x, y, 11, 11, hex(0x2a2a2e))

	p.rect(x-92, y+140, x+92, y+262, hex(0x18181c))
	p.digit(x-74, y+158, frame/30%10)
	p.ellipse(x, y+240, 8, 8, hex(0x6cf08a))
	p.digit(x+24, y+158, frame%30/3)
}

// segments of the digits 0 to 9: top, upper left, upper right, middle, lower left, lower right, bottom.
var segments = [10]uint8{0b1110111, 0b0010010, 0b1011101, 0b1011011, 0b0111010, 0b1101011, 0b1101111, 0b1010010, 0b1111111, 0b1111011}

func (p *Picture) digit(x, y float64, n int) {
	for i, s := range [7][4]float64{{0, 0, 50, 0}, {0, 0, 0, 43}, {50, 0, 50, 43}, {0, 43, 50, 43}, {0, 43, 0, 86}, {50, 43, 50, 86}, {0, 86, 50, 86}} {
		if segments[n]>>(6-i)&1 == 1 {
			p.line(x+s[0], y+s[1], x+s[2], y+s[3], 6, hex(0x6cf08a))
		}
	}
}

func (p *Picture) plant(x, y, wind float64) {
	for i := range 7 {
		lean := float64(i-3) * 26
		p.line(x, y, x+lean+10*wind, y-150+math.Abs(lean), 9, mix(hex(0x4f7d4a), hex(0x86b06f), float32(i)/7))
	}
	p.rect(x-48, y-10, x+48, y+110, hex(0xb8623d))
}

func (p *Picture) person(x, y, turn, mouth float64, shirt, skin, hair color, long bool) {
	nod := 6*math.Sin(2*turn) + 5*mouth
	headY := y + 250 + nod
	if long {
		p.ellipse(x, headY+50, 172, 240, hair)
	}
	p.ellipse(x, y+720, 320, 250, shirt)
	p.rect(x-52, headY+110, x+52, headY+230, mix(skin, hex(0), 0.12))

	// The hand waves three times in a loop.
	elbowX, elbowY := x+265, y+570.0
	handX, handY := elbowX+20+50*math.Sin(3*turn), elbowY-210.0
	p.line(x+200, y+610, elbowX, elbowY, 46, shirt)
	p.line(elbowX, elbowY, handX, handY, 36, shirt)
	p.ellipse(handX, handY-42, 46, 50, skin)
	for i := range 4 {
		sin, cos := math.Sincos(-0.45 + 0.3*float64(i) + 0.25*math.Sin(3*turn))
		p.line(handX+28*sin, handY-50-28*cos, handX+88*sin, handY-50-88*cos, 11, skin)
	}

	p.ellipse(x, headY, 132, 166, skin)
	p.fill(x-142, headY-185, x+142, headY-20, hair, func(px, py float64) float64 {
		cap := (1 - math.Hypot((px-x)/142, (py-headY+30)/150)) * 142
		fringe := headY - 75 + 0.0028*(px-x)*(px-x) - py
		return min(cap, fringe)
	})
	open := 12.0
	if blink := math.Mod(turn/(2*math.Pi)*3, 1); blink > 0.45 && blink < 0.52 {
		open = 2
	}
	look := 5 * math.Sin(turn)
	for _, side := range []float64{-50, 50} {
		p.ellipse(x+side, headY-8, 25, open+3, hex(0xf8f8f4))
		p.ellipse(x+side+look, headY-8, 11, min(open, 11), hex(0x2b211c))
		p.line(x+side-22, headY-44-6*mouth, x+side+22, headY-46-6*mouth, 5, hair)
	}
	p.line(x, headY+8, x-10, headY+46, 5, mix(skin, hex(0), 0.25))
	p.ellipse(x, headY+92, 46-6*mouth, 7+30*mouth, hex(0x7d3f34))
	p.ellipse(x, headY+97+8*mouth, 30-6*mouth, 2+16*mouth, hex(0xb8605a))
}

// letters are strokes in a square of four.
var letters = [][][4]float64{
	{{0, 4, 2, 0}, {2, 0, 4, 4}, {0.9, 2.6, 3.1, 2.6}},
	{{0.5, 0, 0.5, 4}, {0.5, 0, 2.8, 0}, {2.8, 0, 3.4, 1}, {3.4, 1, 2.8, 2}, {0.5, 2, 2.8, 2}, {2.8, 2, 3.6, 3}, {3.6, 3, 2.8, 4}, {2.8, 4, 0.5, 4}},
	{{3.6, 0.8, 2.6, 0}, {2.6, 0, 1.4, 0}, {1.4, 0, 0.5, 1}, {0.5, 1, 0.5, 3}, {0.5, 3, 1.4, 4}, {1.4, 4, 2.6, 4}, {2.6, 4, 3.6, 3.2}},
	{{0.5, 0, 0.5, 4}, {0.5, 0, 2.4, 0}, {2.4, 0, 3.6, 1.2}, {3.6, 1.2, 3.6, 2.8}, {3.6, 2.8, 2.4, 4}, {2.4, 4, 0.5, 4}},
}

func (p *Picture) letter(scene int, x, y float64) {
	const size = 22
	for _, s := range letters[scene%len(letters)] {
		p.line(x+(s[0]-2)*size, y+(s[1]-2)*size, x+(s[2]-2)*size, y+(s[3]-2)*size, 9, hex(0xffffff))
	}
}

// grain is what a camera's sensor adds: another in each picture, so that no part of it is ever free of cost.
func (p *Picture) grain(seed uint32) {
	const strength = 5 // of 255, at most
	for i := range p.W * p.H {
		v := (uint32(i)*2654435761 ^ seed*2246822519) * 3266489917
		v ^= v >> 15
		n := (float32(v*668265263>>16)/32768 - 1) * strength
		for k := range 3 {
			p.RGB[3*i+k] += n
		}
	}
}

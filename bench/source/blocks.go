package source

import "encoding/binary"

// Code is what a picture says of itself in blocks of black and white.
type Code struct {
	Scene int   `json:"scene"` // 0 to 3
	Layer Layer `json:"layer"`
	Frame int   `json:"frame"` // in the loop, 0 to LoopFrames-1
}

// The blocks: a row along the top, as high as one of them and 40 wide, so that one is 8 pixels in the smallest layer: two
// transforms of VP8 side by side. Four black ones stand at each end; between them white, black, white, black say how bright
// the two are, then 12 bits of the code and 16 of its checksum.
const (
	blocksAcross = 40
	blocksMargin = 4
	blocksMarks  = 4
	blocksBits   = 12 + 16

	minBlock    = 4  // pixels: below it, the codec's ringing is as large as a block
	minContrast = 50 // of 255, between white and black: no picture loses so much and can still be looked at
)

// DrawBlocks draws the code along the top of a picture: black is 16, white 235. w must be a multiple of 40.
func (c Code) DrawBlocks(luma []byte, stride, w int) {
	const black, white = 16, 235
	bits, size := c.bits(), w/blocksAcross
	for i := range blocksAcross {
		v := byte(black)
		if at := blocksMargin + blocksMarks + blocksBits - 1 - i; at >= 0 && i >= blocksMargin && bits>>at&1 == 1 {
			v = white
		}
		for y := range size {
			for x := range size {
				luma[y*stride+i*size+x] = v
			}
		}
	}
}

// bits is the code as it is drawn, marks included, the first in the highest place.
func (c Code) bits() uint32 {
	payload := uint16(c.Scene&3)<<10 | uint16(c.Layer&3)<<8 | uint16(c.Frame&0xff)
	return 0b1010<<blocksBits | uint32(payload)<<16 | uint32(crc16(payload))
}

// ReadBlocks reads the code of a picture of w × h pixels, of which luma holds the brightness, row after row, stride bytes
// apart, in any range. The picture may have been scaled, to 160 pixels across at least. It is false for a picture without a
// code, and for one too damaged to be sure of it: 20 bits of marks and checksum must fit.
func ReadBlocks(luma []byte, stride, w, h int) (Code, bool) {
	size := float64(w) / blocksAcross
	if size < minBlock || stride < w || float64(h) < size || len(luma) < stride*(int(size)-1)+w {
		return Code{}, false
	}
	var level [blocksMarks + blocksBits]int
	for i := range level {
		level[i] = middle(luma, stride, float64(blocksMargin+i)*size, size)
	}
	white, black := (level[0]+level[2])/2, (level[1]+level[3])/2
	if white-black < minContrast {
		return Code{}, false
	}
	var bits uint32
	for _, v := range level {
		bits <<= 1
		switch share := (v - black) * 100 / (white - black); {
		case share > 60:
			bits |= 1
		case share > 40:
			return Code{}, false
		}
	}
	payload := uint16(bits >> 16 & 0xfff)
	c := Code{Scene: int(payload >> 10), Layer: Layer(payload >> 8 & 3), Frame: int(payload & 0xff)}
	return c, c.bits() == bits
}

// middle is the mean over the middle half of a block that begins at x.
func middle(luma []byte, stride int, x, size float64) int {
	sum, count := 0, 0
	for py := int(size / 4); py < int(size*3/4); py++ {
		for px := int(x + size/4); px < int(x+size*3/4); px++ {
			sum += int(luma[py*stride+px])
			count++
		}
	}
	return sum / count
}

// crc16 is CRC-16/CCITT-FALSE of the two bytes of v.
func crc16(v uint16) uint16 {
	crc := uint16(0xffff)
	for _, b := range binary.BigEndian.AppendUint16(nil, v) {
		crc ^= uint16(b) << 8
		for range 8 {
			high := crc&0x8000 != 0
			crc <<= 1
			if high {
				crc ^= 0x1021
			}
		}
	}
	return crc
}

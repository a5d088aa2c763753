package source

import "github.com/tolkyn/tolkyn/internal/clip"

const (
	// opusExtension is the id of our extension: from the upper end, where experiments stand, and none that an encoder in use
	// writes (libopus: DRED 126, QEXT 124). If it is ever given to somebody, magic and checksum still tell ours apart.
	opusExtension = 121
	// opusStamp is what the extension takes: its id, its length, the stamp.
	opusStamp = 2 + StampSize

	maxOpusFrame = 1275 // RFC 6716 §3.4, R2
)

// Extension ids with a meaning of their own, and where ids begin whose payload has a length (same draft).
const (
	extensionPadding   = 0
	extensionRepeat    = 2
	extensionLongFirst = 32
)

// AppendOpus appends the packet with a stamp in its padding, in front of what the padding held. Sound, duration and order of
// frames stay the same. Two kinds of packets are appended as they are: those no decoder takes, and those whose padding
// repeats extensions for each frame, where one more in front would change what is repeated. It allocates only where dst has
// no room; dst and packet must not overlap.
//
// The decoder of libopus, which browsers have, makes the same samples of both. That of ffmpeg itself (-c:a opus, seen in 5.1)
// does not: of a frame that its encoder cut short it reads on into the padding, where RFC 6716 §4.1.1 wants zeros. Keep
// recordings that people may play with anything by StripOpus.
func AppendOpus(dst, packet []byte, s Stamp) []byte {
	p, ok := cutOpus(packet)
	if !ok || repeats(p.padding) {
		return append(dst, packet...)
	}
	dst = append(dst, p.toc|3, p.count|0x40)
	dst = appendPaddingLength(dst, opusStamp+len(p.padding))
	dst = append(dst, p.lengths...)
	dst = append(dst, p.frames...)
	dst = append(dst, opusExtension<<1|1, StampSize)
	dst = s.append(dst)
	return append(dst, p.padding...)
}

// ReadOpus reads the stamp of a packet of Opus; false when it has none.
func ReadOpus(packet []byte) (Stamp, bool) {
	if len(packet) < 3+opusStamp || packet[0]&3 != 3 || packet[1]&0x40 == 0 {
		return Stamp{}, false // nearly every packet without a stamp ends here
	}
	p, ok := cutOpus(packet)
	for rest := p.padding; ok && len(rest) > 0; {
		var e extension
		if e, rest, ok = nextExtension(rest); ok && e.id == opusExtension {
			if s, found := readStamp(e.payload); found {
				return s, true
			}
		}
	}
	return Stamp{}, false
}

// StripOpus appends the packet without the stamp that AppendOpus gave it; one without a stamp, as it is. It allocates only
// where dst has no room; dst and packet must not overlap.
func StripOpus(dst, packet []byte) []byte {
	p, ok := cutOpus(packet)
	if !ok || len(p.padding) < opusStamp || p.padding[0] != opusExtension<<1|1 || p.padding[1] != StampSize {
		return append(dst, packet...)
	}
	if _, ok := readStamp(p.padding[2:opusStamp]); !ok {
		return append(dst, packet...)
	}
	dst = append(dst, p.toc|3)
	if p.padding = p.padding[opusStamp:]; len(p.padding) > 0 {
		dst = appendPaddingLength(append(dst, p.count|0x40), len(p.padding))
	} else {
		dst = append(dst, p.count)
	}
	dst = append(dst, p.lengths...)
	dst = append(dst, p.frames...)
	return append(dst, p.padding...)
}

func appendPaddingLength(dst []byte, n int) []byte {
	for ; n > 254; n -= 254 {
		dst = append(dst, 255)
	}
	return append(dst, byte(n))
}

// opusParts is a packet taken apart, as code 3 has it (RFC 6716 §3.2.5).
type opusParts struct {
	toc     byte   // with code 0
	count   byte   // frames, and 0x80 where lengths are given
	lengths []byte // as they stand in the packet
	frames  []byte
	padding []byte
}

// cutOpus reads a packet of any code; false for what no decoder takes.
func cutOpus(packet []byte) (p opusParts, ok bool) {
	if _, ok := clip.OpusDuration(packet); !ok {
		return p, false
	}
	p.toc = packet[0] &^ 3
	rest := packet[1:]
	switch packet[0] & 3 {
	case 0:
		p.count = 1
	case 1:
		p.count = 2
	case 2:
		p.count = 2 | 0x80
	case 3:
		p.count = rest[0] &^ 0x40
		padded := rest[0]&0x40 != 0
		if rest = rest[1:]; padded {
			if rest, p.padding, ok = cutPadding(rest); !ok {
				return p, false
			}
		}
	}
	n := int(p.count & 0x3f)
	if p.count&0x80 == 0 {
		p.frames = rest
		return p, len(rest)%n == 0 && len(rest)/n <= maxOpusFrame
	}
	at, sum := 0, 0
	for range n - 1 {
		size, used := frameLength(rest[at:])
		if used == 0 {
			return p, false
		}
		at += used
		sum += size
	}
	p.lengths, p.frames = rest[:at], rest[at:]
	last := len(p.frames) - sum
	return p, last >= 0 && last <= maxOpusFrame
}

// cutPadding reads how long the padding at the end of rest is, and takes both off.
func cutPadding(rest []byte) (_, padding []byte, ok bool) {
	size := 0
	for i, b := range rest {
		if b == 255 {
			size += 254
			continue
		}
		size += int(b)
		rest = rest[i+1:]
		if size > len(rest) {
			return nil, nil, false
		}
		return rest[:len(rest)-size], rest[len(rest)-size:], true
	}
	return nil, nil, false
}

// frameLength reads a length (RFC 6716 §3.2.1) and how many bytes it took: 0 when it is cut off.
func frameLength(b []byte) (size, used int) {
	switch {
	case len(b) == 0:
		return 0, 0
	case b[0] < 252:
		return int(b[0]), 1
	case len(b) == 1:
		return 0, 0
	}
	return int(b[0]) + 4*int(b[1]), 2
}

type extension struct {
	id      byte
	payload []byte
}

// nextExtension reads the first extension of a padding and returns what is behind it; false for a padding that ends in the
// middle of one, and at a repeat, whose payloads do not stand where others do.
func nextExtension(padding []byte) (e extension, rest []byte, ok bool) {
	head, rest := padding[0], padding[1:]
	e.id = head >> 1
	more := head&1 == 1
	size := 0
	switch {
	case e.id == extensionRepeat:
		return e, nil, false
	case e.id == extensionPadding && !more:
		size = len(rest)
	case e.id == extensionPadding:
	case e.id < extensionLongFirst:
		size = int(head & 1)
	case !more:
		size = len(rest)
	default:
		for laced := true; laced; {
			if len(rest) == 0 {
				return e, nil, false
			}
			size += int(rest[0])
			laced = rest[0] == 255
			rest = rest[1:]
		}
	}
	if size > len(rest) {
		return e, nil, false
	}
	e.payload = rest[:size]
	return e, rest[size:], true
}

// repeats says whether a padding repeats extensions.
func repeats(padding []byte) bool {
	for ok := true; ok && len(padding) > 0; {
		var e extension
		if e, padding, ok = nextExtension(padding); e.id == extensionRepeat {
			return true
		}
	}
	return false
}

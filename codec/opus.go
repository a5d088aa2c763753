package codec

// inspectOpus: every Opus packet is a whole frame that decodes on its own (RFC 7587 §4.2); its marker bit only tells the
// start of a talkspurt. The bytes are not judged: end-to-end encrypted ones need not begin with a readable TOC.
func inspectOpus() Meta { return Meta{Start: true, End: true} }

// OpusMode is which of Opus's coders made a packet (RFC 6716 §3.1).
type OpusMode uint8

// The modes.
const (
	OpusSILK   OpusMode = iota // speech at low rates
	OpusHybrid                 // SILK below 8 kHz, CELT above
	OpusCELT                   // music, and speech at high rates
)

// OpusPacket is what the table of contents and the packing of an Opus packet tell.
type OpusPacket struct {
	Samples   uint16 // duration in ticks of 48 kHz, 120 to 5760 (120 ms)
	Bandwidth uint16 // highest audio frequency in Hz: 4000, 6000, 8000, 12000 or 20000
	Frames    uint8  // 1 to 48
	Channels  uint8  // 1 or 2
	Mode      OpusMode
	DTX       bool // no frame has more than one byte: it says that there is silence, and nothing of it
	FEC       bool // it begins with a second, coarser coding of the time before it (RFC 6716 §2.1.7, LBRR)
}

const (
	// A frame has at most 1,275 bytes (RFC 6716 §3.4, R2).
	opusFrameLimit = 1275
	// A packet lasts at most 120 ms (RFC 6716 §3.2.5, R5).
	opusDurationLimit = 5760
)

// Durations of a frame in ticks of 48 kHz and bandwidths in Hz, RFC 6716 table 2: SILK in four durations for each of three
// bandwidths, hybrid in two for two, CELT in four for four.
func opusConfig(config uint8) (mode OpusMode, samples, bandwidth uint16) {
	switch {
	case config < 12:
		return OpusSILK, [4]uint16{480, 960, 1920, 2880}[config&3], [3]uint16{4000, 6000, 8000}[config>>2]
	case config < 16:
		return OpusHybrid, [2]uint16{480, 960}[config&1], [2]uint16{12000, 20000}[config>>1&1]
	default:
		return OpusCELT, [4]uint16{120, 240, 480, 960}[config&3], [4]uint16{4000, 8000, 12000, 20000}[config>>2&3]
	}
}

// ReadOpus reads an Opus packet that is not encrypted end to end. False: it breaks a rule of RFC 6716 §3.4. Padding is
// passed over and its bytes are not looked at; whoever forwards keeps them, because they may carry deep redundancy.
func ReadOpus(payload []byte) (p OpusPacket, ok bool) {
	if len(payload) == 0 {
		return OpusPacket{}, false
	}
	toc := payload[0]
	mode, samples, bandwidth := opusConfig(toc >> 3)
	frames, first, longest, ok := opusFrames(toc&3, payload[1:])
	if !ok || longest > opusFrameLimit || frames*int(samples) > opusDurationLimit {
		return OpusPacket{}, false
	}
	return OpusPacket{
		Samples: uint16(frames) * samples, Bandwidth: bandwidth,
		Frames: uint8(frames), Channels: toc>>2&1 + 1, Mode: mode,
		DTX: longest <= 1, FEC: opusFEC(mode, samples, toc>>2&1 != 0, first),
	}, true
}

// opusFrames reads the packing by its code, RFC 6716 §3.2: how many frames there are, the first one, the longest one's size.
func opusFrames(code uint8, body []byte) (frames int, first []byte, longest int, ok bool) {
	switch code {
	case 0:
		return 1, body, len(body), true
	case 1:
		half := len(body) / 2
		return 2, body[:half], half, len(body)%2 == 0
	case 2:
		size, rest, ok := opusSize(body)
		if !ok || size > len(rest) {
			return 0, nil, 0, false
		}
		return 2, rest[:size], max(size, len(rest)-size), true
	default:
		return opusManyFrames(body)
	}
}

// opusManyFrames reads the packing of code 3, RFC 6716 §3.2.5.
func opusManyFrames(body []byte) (frames int, first []byte, longest int, ok bool) {
	if len(body) == 0 {
		return 0, nil, 0, false
	}
	head := body[0]
	body = body[1:]
	if frames = int(head & 0x3f); frames == 0 {
		return 0, nil, 0, false
	}
	if head&0x40 != 0 {
		if body, ok = opusUnpad(body); !ok {
			return 0, nil, 0, false
		}
	}
	if head&0x80 == 0 {
		size := len(body) / frames
		return frames, body[:size], size, len(body)%frames == 0
	}
	sizes, sum, firstSize := body, 0, 0
	for i := range frames - 1 {
		var size int
		if size, sizes, ok = opusSize(sizes); !ok {
			return 0, nil, 0, false
		}
		if i == 0 {
			firstSize = size
		}
		sum += size
		longest = max(longest, size)
	}
	if sum > len(sizes) {
		return 0, nil, 0, false
	}
	if frames == 1 {
		firstSize = len(sizes)
	}
	return frames, sizes[:firstSize], max(longest, len(sizes)-sum), true
}

// opusSize reads the size of a frame, RFC 6716 §3.2.1, and returns what follows it.
func opusSize(b []byte) (size int, rest []byte, ok bool) {
	switch {
	case len(b) == 0:
		return 0, nil, false
	case b[0] < 252:
		return int(b[0]), b[1:], true
	case len(b) < 2:
		return 0, nil, false
	default:
		return int(b[0]) + 4*int(b[1]), b[2:], true
	}
}

// opusUnpad reads how much padding there is and cuts it off. 255 stands for 254 and more to come.
func opusUnpad(b []byte) (rest []byte, ok bool) {
	padding := 0
	for i, v := range b {
		if v == 255 {
			padding += 254
			continue
		}
		padding += int(v)
		rest = b[i+1:]
		if padding > len(rest) {
			return nil, false
		}
		return rest[:len(rest)-padding], true
	}
	return nil, false
}

// opusFEC reads the LBRR flags of the first frame. SILK's part begins, for each channel, with one voice activity flag for
// every 20 ms and the LBRR flag (RFC 6716 §4.2.3); they have even odds, and so the range coder leaves them in the highest
// bits as they are.
func opusFEC(mode OpusMode, samples uint16, stereo bool, first []byte) bool {
	if mode == OpusCELT || len(first) == 0 {
		return false
	}
	voice := max(samples/960, 1)
	flags := first[0] << voice // the LBRR flag of the first channel is the highest bit now
	return flags&0x80 != 0 || stereo && flags<<(voice+1)&0x80 != 0
}

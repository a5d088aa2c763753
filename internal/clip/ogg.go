package clip

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

const (
	oggHeaderSize  = 27
	oggContinued   = 0x01 // header type, RFC 3533 §6
	oggFirst       = 0x02
	oggLast        = 0x04
	noGranule      = ^uint64(0)
	maxOpusPacket  = 61 << 10  // 48 frames of 1,275 bytes, RFC 6716 §3.4
	maxAudioBytes  = 256 << 20 // 9 hours at 64 kbit/s
	maxTagsBytes   = 16 << 20  // cover pictures
	maxAudioBlocks = 1 << 20   // 5 hours of 20 ms
)

// AudioPacket is one packet of Opus.
type AudioPacket struct {
	At   int64 // ticks of 48 kHz from the beginning
	Data []byte
}

// Audio is a clip of Opus.
type Audio struct {
	Packets []AudioPacket

	length int64
}

// ReadAudio reads the whole of an Ogg file with one stream of Opus. Where a file's positions leave a gap, so do the times.
// Errors say what is wrong and what helps.
func ReadAudio(from io.Reader) (*Audio, error) {
	r := oggReader{from: bufio.NewReader(from), audio: &Audio{}}
	for {
		err := r.page()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("page %d: %w", r.pages+1, err)
		}
	}
	switch {
	case r.pages == 0:
		return nil, errors.New("the file is empty")
	case len(r.partial) > 0:
		return nil, errors.New("the file ends in the middle of a packet: it was cut off; mend it with ffmpeg -i FILE -c copy clip.ogg")
	case len(r.audio.Packets) == 0:
		return nil, errors.New("no sound: the file holds headers alone")
	}
	return r.audio, nil
}

// Length is when the clip is over, in ticks.
func (a *Audio) Length() int64 { return a.length }

// Reel returns the clip's packets as they are due.
func (a *Audio) Reel(loop bool) *Reel {
	r := &Reel{at: make([]int64, len(a.Packets)), keys: make([]bool, len(a.Packets)), length: a.length, rate: 48000, loop: loop}
	for i, p := range a.Packets {
		r.at[i], r.keys[i] = p.At, true
	}
	return r
}

// oggReader takes pages apart.
type oggReader struct {
	from    *bufio.Reader
	audio   *Audio
	pages   int
	serial  uint32
	headers int // packets of header seen: OpusHead, OpusTags
	partial []byte
	bytes   int
	base    int64 // position of the first packet
	placed  bool
}

func (r *oggReader) page() error {
	const cut = "the file ends in the middle of it: it was cut off; mend it with ffmpeg -i FILE -c copy clip.ogg"
	var header [oggHeaderSize]byte
	if _, err := io.ReadFull(r.from, header[:]); err != nil {
		if errors.Is(err, io.EOF) {
			return io.EOF
		}
		return short(err, cut)
	}
	if string(header[:4]) != "OggS" {
		if r.pages == 0 {
			return errors.New("not an Ogg file: it does not begin with OggS; make one with ffmpeg -i FILE -c:a libopus clip.ogg")
		}
		return errors.New("it does not begin with OggS: the file is damaged; make it again with ffmpeg -i FILE -c:a libopus clip.ogg")
	}
	segments := make([]byte, header[26])
	if _, err := io.ReadFull(r.from, segments); err != nil {
		return short(err, cut)
	}
	size := 0
	for _, s := range segments {
		size += int(s)
	}
	body := make([]byte, size)
	if _, err := io.ReadFull(r.from, body); err != nil {
		return short(err, cut)
	}
	if want := binary.LittleEndian.Uint32(header[22:]); want != oggChecksum(header, segments, body) {
		return errors.New("its checksum does not fit: the file is damaged; make it again with ffmpeg -i FILE -c:a libopus clip.ogg")
	}
	serial, kind := binary.LittleEndian.Uint32(header[14:]), header[5]
	switch {
	case r.pages == 0:
		r.serial = serial
	case serial != r.serial || kind&oggFirst != 0:
		return errors.New("the file holds more than one stream; take the sound alone with ffmpeg -i FILE -map 0:a:0 -c copy clip.ogg")
	}
	if (kind&oggContinued != 0) != (len(r.partial) > 0) {
		return errors.New("a packet is begun and not ended, or the other way round: the file is damaged; make it again with ffmpeg -i FILE -c:a libopus clip.ogg")
	}
	r.pages++
	return r.packets(segments, body, binary.LittleEndian.Uint64(header[6:]), kind&oggLast != 0)
}

// packets puts together what the page's segments hold.
func (r *oggReader) packets(segments, body []byte, granule uint64, last bool) error {
	var done [][]byte
	for _, s := range segments {
		r.partial = append(r.partial, body[:s]...)
		body = body[s:]
		limit := maxOpusPacket
		if r.headers < 2 {
			limit = maxTagsBytes
		}
		if len(r.partial) > limit {
			return fmt.Errorf("a packet of more than %d bytes: the file is damaged", limit)
		}
		if s < 255 {
			if r.headers < 2 {
				if err := r.header(r.partial); err != nil {
					return err
				}
				r.headers++
			} else {
				done = append(done, r.partial)
			}
			r.partial = nil
		}
	}
	return r.place(done, granule, last)
}

func (r *oggReader) header(packet []byte) error {
	if r.headers == 1 {
		if !bytes.HasPrefix(packet, []byte("OpusTags")) {
			return errors.New("OpusTags are missing: the file is damaged; make it again with ffmpeg -i FILE -c:a libopus clip.ogg")
		}
		return nil
	}
	switch {
	case !bytes.HasPrefix(packet, []byte("OpusHead")) || len(packet) < 19:
		return errors.New("not Opus; convert with ffmpeg -i FILE -c:a libopus clip.ogg")
	case packet[8]&0xf0 != 0:
		return fmt.Errorf("version %d of Opus in Ogg is not known; make the file again with ffmpeg -i FILE -c:a libopus clip.ogg", packet[8])
	case packet[18] != 0 || packet[9] < 1 || packet[9] > 2:
		return fmt.Errorf("%d channels, mapping %d: want mono or stereo; convert with ffmpeg -i FILE -ac 2 -c:a libopus clip.ogg", packet[9], packet[18])
	}
	return nil
}

// place gives the packets that end on a page their times. A page's position is that of its end (RFC 7845 §4); the last
// one's may be smaller, to cut the end off.
func (r *oggReader) place(done [][]byte, granule uint64, last bool) error {
	var samples int64
	for _, p := range done {
		n, ok := OpusDuration(p)
		if !ok {
			return errors.New("a packet that is no Opus: the file is damaged; make it again with ffmpeg -i FILE -c:a libopus clip.ogg")
		}
		samples += int64(n)
	}
	if len(done) == 0 {
		return nil
	}
	if granule != noGranule && granule <= maxTicks && !last {
		start := int64(granule) - samples
		if !r.placed {
			r.base = start
		}
		r.audio.length = max(r.audio.length, start-r.base)
	} else if granule != noGranule && granule > maxTicks {
		return fmt.Errorf("it says that it ends %d samples after the beginning: the file is damaged", granule)
	}
	r.placed = true
	for _, p := range done {
		r.bytes += len(p)
		if r.bytes > maxAudioBytes || len(r.audio.Packets) == maxAudioBlocks {
			return errors.New("the file is too long; cut it with ffmpeg -i FILE -c copy -t 3600 clip.ogg")
		}
		n, _ := OpusDuration(p)
		r.audio.Packets = append(r.audio.Packets, AudioPacket{At: r.audio.length, Data: p})
		r.audio.length += int64(n)
	}
	return nil
}

// OpusDuration is how long a packet of Opus plays, in samples of 48 kHz (RFC 6716 §3.1 and §3.2); false for what no decoder
// takes: nothing, no frames, more than 120 ms.
func OpusDuration(packet []byte) (samples int, ok bool) {
	if len(packet) == 0 {
		return 0, false
	}
	frames := 1
	switch packet[0] & 3 {
	case 1, 2:
		frames = 2
	case 3:
		if len(packet) < 2 {
			return 0, false
		}
		frames = int(packet[1] & 0x3f)
	}
	samples = frames * opusFrame(packet[0])
	return samples, samples > 0 && samples <= 5760
}

// opusFrame is how long one frame of a configuration plays.
func opusFrame(toc byte) int {
	size := int(toc>>3) & 3
	switch {
	case toc&0x80 != 0: // CELT: 2.5, 5, 10, 20 ms
		return 120 << size
	case toc&0x60 == 0x60: // hybrid: 10, 20 ms
		return 480 << (size & 1)
	case size == 3: // SILK: 10, 20, 40, 60 ms
		return 2880
	}
	return 480 << size
}

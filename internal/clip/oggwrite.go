package clip

import (
	"encoding/binary"
	"io"
)

const (
	// opusPreSkip is how far Opus encoders look ahead at 48 kHz: 6.5 ms, which players leave out.
	opusPreSkip = 312
	// oggPage is how much sound goes into one page at most: a second, which is what a crash loses.
	oggPage = 48000
	// smallestGap is what Opus can conceal: 2.5 ms. A shorter hole waits for more to come.
	smallestGap = 120
)

// AudioWriter writes Opus to Ogg (RFC 7845). Where nothing came, it writes packets that ask the decoder to conceal, so that
// every later sound stays in its place (§4.1).
type AudioWriter struct {
	// Filled counts the samples, of 48 kHz, that decoders are asked to conceal.
	Filled int64

	to       io.Writer
	serial   uint32
	pages    uint32
	segments []byte
	body     []byte
	started  bool
	end      int64 // samples written
	paged    int64 // of them in pages before this one
	toc      byte  // of the last packet
}

// NewAudioWriter writes the headers. serial tells streams apart that are put into one file later.
func NewAudioWriter(to io.Writer, serial uint32) (*AudioWriter, error) {
	w := &AudioWriter{to: to, serial: serial}
	head := append([]byte("OpusHead"), 1, 2)
	head = binary.LittleEndian.AppendUint16(head, opusPreSkip)
	head = binary.LittleEndian.AppendUint32(head, 48000)
	head = append(head, 0, 0, 0) // gain, mapping
	w.lace(head)
	if err := w.flush(oggFirst, 0); err != nil {
		return nil, err
	}
	tags := binary.LittleEndian.AppendUint32([]byte("OpusTags"), uint32(len("tolkyn")))
	tags = append(tags, "tolkyn"...)
	w.lace(append(tags, 0, 0, 0, 0))
	return w, w.flush(0, 0)
}

// Write appends a packet that plays from at on, in samples of 48 kHz; what lies between it and the one before is filled. A
// packet that is early goes right behind the one before. It ignores what is no Opus.
func (w *AudioWriter) Write(at int64, packet []byte) error {
	samples, ok := OpusDuration(packet)
	if !ok {
		return nil
	}
	if w.started {
		if err := w.fill(at - w.end); err != nil {
			return err
		}
	}
	w.started, w.toc = true, packet[0]
	return w.append(packet, int64(samples))
}

// fill writes packets without content for a gap: such a packet is a frame that was lost (RFC 6716 §3.2.1).
func (w *AudioWriter) fill(gap int64) error {
	for gap >= smallestGap {
		toc := w.toc &^ 3 // one frame, as long as the ones before
		if int64(opusFrame(toc)) > gap {
			toc = 0xe0 | w.toc&4 // CELT fullband, 2.5 ms, as stereo as the ones before
			for size := byte(3); size > 0; size-- {
				if 120<<size <= gap {
					toc |= size << 3
					break
				}
			}
		}
		samples := int64(opusFrame(toc))
		if err := w.append([]byte{toc}, samples); err != nil {
			return err
		}
		w.Filled += samples
		gap -= samples
	}
	return nil
}

func (w *AudioWriter) append(packet []byte, samples int64) error {
	if len(w.segments)+len(packet)/255+1 > 255 || w.end-w.paged >= oggPage {
		if err := w.flush(0, w.end); err != nil {
			return err
		}
		w.paged = w.end
	}
	w.lace(packet)
	w.end += samples
	return nil
}

// lace adds a packet to the page.
func (w *AudioWriter) lace(packet []byte) {
	for n := len(packet); ; n -= 255 {
		w.segments = append(w.segments, byte(min(n, 255)))
		if n < 255 {
			break
		}
	}
	w.body = append(w.body, packet...)
}

// flush writes the page.
func (w *AudioWriter) flush(kind byte, granule int64) error {
	var header [oggHeaderSize]byte
	copy(header[:], "OggS")
	header[5] = kind
	binary.LittleEndian.PutUint64(header[6:], uint64(granule))
	binary.LittleEndian.PutUint32(header[14:], w.serial)
	binary.LittleEndian.PutUint32(header[18:], w.pages)
	header[26] = byte(len(w.segments))
	binary.LittleEndian.PutUint32(header[22:], oggChecksum(header, w.segments, w.body))
	page := append(append(header[:], w.segments...), w.body...)
	w.pages++
	w.segments, w.body = w.segments[:0], w.body[:0]
	_, err := w.to.Write(page)
	return err
}

// Length is how much sound was written, in samples of 48 kHz, filled gaps included.
func (w *AudioWriter) Length() int64 { return w.end }

// Close writes what is left and marks the end. It does not close what is written to.
func (w *AudioWriter) Close() error { return w.flush(oggLast, w.end) }

// oggChecksum is that of a page, computed with 0 in its place (RFC 3533 §6).
func oggChecksum(header [oggHeaderSize]byte, segments, body []byte) uint32 {
	clear(header[22:26])
	var sum uint32
	for _, part := range [][]byte{header[:], segments, body} {
		for _, b := range part {
			sum = sum<<8 ^ oggTable[byte(sum>>24)^b]
		}
	}
	return sum
}

// oggTable is of the polynomial 0x04c11db7, without reflection: hash/crc32 has only the reflected form.
var oggTable = func() (table [256]uint32) {
	for i := range table {
		sum := uint32(i) << 24
		for range 8 {
			if sum&(1<<31) != 0 {
				sum = sum<<1 ^ 0x04c11db7
			} else {
				sum <<= 1
			}
		}
		table[i] = sum
	}
	return table
}()

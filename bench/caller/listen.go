package caller

import (
	"encoding/binary"
	"time"

	"github.com/pion/opus"

	"github.com/tolkyn/tolkyn/bench/measure"
	"github.com/tolkyn/tolkyn/bench/plc"
	"github.com/tolkyn/tolkyn/bench/source"
	"github.com/tolkyn/tolkyn/internal/clip"
	"github.com/tolkyn/tolkyn/sfu/jitter"
)

// What a caller heard, as samples: its playout buffer's decisions carried out.

const (
	// soundRate is a voice's: half a minute takes a megabyte, and there is nothing to hear above 8 kHz that loss would be heard by.
	soundRate = 16_000
	opusRate  = 48_000
	perSample = opusRate / soundRate // of what the buffer counts in

	// longestPause is kept as it was; of a longer one, while a sender was away, so much.
	longestPause = 3 * time.Second
)

// take is one stretch of playout; its samples are of 48 kHz.
type take struct {
	at                     time.Duration
	action                 jitter.Action
	samples, media, offset int
	packet                 *heard
}

// listen decodes what was played, makes up what was missing and stretches what was stretched. What came as in-band FEC is made up as
// well, so that a recording sounds worse than the call did there: the decoder does not decode it.
func (f *film) listen() []float32 {
	decoder, err := opus.NewDecoderWithOutput(soundRate, 1)
	if err != nil || len(f.takes) == 0 {
		return nil // no error: the rate is one of Opus's
	}
	voice := plc.New(soundRate)
	var out, decoded []float32
	var of *heard
	played := 0 // of 48 kHz
	next := f.takes[0].at
	for _, t := range f.takes {
		if gap := t.at - next; gap > 0 {
			gap = min(gap, longestPause)
			out = voice.Silence(out, int(gap*soundRate/time.Second))
		}
		next = t.at + samplesToTime(t.samples)
		n := (played+t.samples)/perSample - played/perSample
		played += t.samples
		if t.packet != nil && t.packet != of {
			of, decoded = t.packet, decode(&decoder, t.packet)
		}
		begin, end := t.offset/perSample, (t.offset+t.media)/perSample
		switch {
		case t.action == jitter.Silence:
			out = voice.Silence(out, n)
		case t.packet == nil || end > len(decoded):
			out = voice.Conceal(out, n)
		default:
			out = voice.Play(out, plc.Stretch(nil, decoded[begin:end], n))
		}
	}
	return out
}

// decode returns a packet's samples; nil where there are none to be had.
func decode(d *opus.Decoder, h *heard) []float32 {
	samples, ok := clip.OpusDuration(h.payload)
	if !ok || h.came == measure.Coarse {
		return nil
	}
	out := make([]float32, samples/perSample)
	n, err := d.DecodeToFloat32(source.StripOpus(nil, h.payload), out)
	if err != nil {
		return nil
	}
	return out[:min(n, len(out))]
}

// wav writes samples as a WAV file: 16 bits, mono.
func wav(samples []float32) []byte {
	const header, width = 44, 2
	size := len(samples) * width
	b := make([]byte, 0, header+size)
	le := binary.LittleEndian
	b = append(b, "RIFF"...)
	b = le.AppendUint32(b, uint32(header-8+size))
	b = append(b, "WAVEfmt "...)
	b = le.AppendUint32(b, 16)
	b = le.AppendUint16(b, 1) // PCM
	b = le.AppendUint16(b, 1) // channel
	b = le.AppendUint32(b, soundRate)
	b = le.AppendUint32(b, soundRate*width)
	b = le.AppendUint16(b, width)
	b = le.AppendUint16(b, 8*width)
	b = append(b, "data"...)
	b = le.AppendUint32(b, uint32(size))
	for _, v := range samples {
		b = le.AppendUint16(b, uint16(int16(32767*min(1, max(-1, v)))))
	}
	return b
}

package caller

import (
	"bytes"
	"fmt"
	"slices"
	"time"

	"github.com/at-wat/ebml-go/webm"

	"github.com/tolkyn/tolkyn/bench/measure"
	"github.com/tolkyn/tolkyn/bench/report"
	"github.com/tolkyn/tolkyn/bench/source"
	"github.com/tolkyn/tolkyn/internal/clip"
	"github.com/tolkyn/tolkyn/sfu/jitter"
)

// maxFilm bounds what is kept of one sender: a minute at 720p.
const maxFilm = 10 << 20

// recorder keeps what a receiver hears and sees, as it would have played it: one film of each sender.
type recorder struct {
	who   string
	films []*film
}

// film is a sender's sound and picture.
type film struct {
	from   *role
	takes  []take  // of sound, without gaps in time while it is played out
	blocks []block // as packets and frames
	size   int
	w, h   int
}

type block struct {
	at       time.Duration
	picture  bool
	keyframe bool
	data     []byte
}

// reel is where one stream's part goes.
type reel struct{ film *film }

func (r *recorder) track(st *stream) *reel {
	i := slices.IndexFunc(r.films, func(f *film) bool { return f.from == st.from })
	if i < 0 {
		r.films = append(r.films, &film{from: st.from})
		i = len(r.films) - 1
	}
	return &reel{r.films[i]}
}

// sound keeps a stretch of playout. It is decoded after the run: now it would take the run's time.
func (k *reel) sound(at time.Duration, part jitter.Part) {
	h, _ := part.Packet.Value.(*heard)
	if k.film.size <= maxFilm {
		k.film.takes = append(k.film.takes, take{at, part.Action, part.Samples, part.Media, part.Offset, h})
	}
	if part.Offset == 0 && h != nil && h.came != measure.Coarse {
		// Not every decoder that people play files with passes over what a stamp lies in.
		k.film.add(block{at: at, keyframe: true, data: source.StripOpus(nil, h.payload)})
	}
}

func (k *reel) picture(at time.Duration, f clip.Frame) {
	if f.Keyframe {
		k.film.w, k.film.h = f.Width, f.Height
	}
	k.film.add(block{at: at, picture: true, keyframe: f.Keyframe, data: f.Data})
}

func (f *film) add(b block) {
	if f.size+len(b.data) <= maxFilm {
		f.blocks = append(f.blocks, b)
		f.size += len(b.data)
	}
}

// recordings are the films that hold anything.
func (r *recorder) recordings() ([]report.Recording, error) {
	var out []report.Recording
	for _, f := range r.films {
		if len(f.takes) > 0 {
			out = append(out, report.Recording{Title: fmt.Sprintf("%s hears %s", r.who, f.from.Identity), MIME: "audio/wav", Data: wav(f.listen())})
		}
		if f.w > 0 {
			data, err := f.webm()
			if err != nil {
				return nil, fmt.Errorf("record %s: %w", f.from.Identity, err)
			}
			out = append(out, report.Recording{Title: fmt.Sprintf("%s sees and hears %s", r.who, f.from.Identity), MIME: "video/webm", Data: data})
		}
	}
	return out, nil
}

// opusHead is what players must know of the sound (RFC 7845 §5.1): two channels, no delay of the encoder's own, 48 kHz.
var opusHead = []byte("OpusHead\x01\x02\x00\x00\x80\xbb\x00\x00\x00\x00\x00")

func (f *film) webm() ([]byte, error) {
	tracks := []webm.TrackEntry{{
		Name: "sound", TrackNumber: 1, TrackUID: 1, CodecID: "A_OPUS", TrackType: 2, CodecPrivate: opusHead,
		Audio: &webm.Audio{SamplingFrequency: 48000, Channels: 2},
	}}
	if f.w > 0 {
		tracks = append(tracks, webm.TrackEntry{
			Name: "picture", TrackNumber: 2, TrackUID: 2, CodecID: "V_VP8", TrackType: 1,
			Video: &webm.Video{PixelWidth: uint64(f.w), PixelHeight: uint64(f.h)},
		})
	}
	// Pictures may have been shown later than what came after them: with their sound.
	slices.SortStableFunc(f.blocks, func(a, b block) int { return int(a.at - b.at) })
	var out memory
	writers, err := webm.NewSimpleBlockWriter(&out, tracks)
	if err != nil {
		return nil, err
	}
	for _, b := range f.blocks {
		to := writers[0]
		if b.picture {
			to = writers[len(writers)-1]
		}
		if _, err := to.Write(b.keyframe, (b.at - f.blocks[0].at).Milliseconds(), b.data); err != nil {
			return nil, err
		}
	}
	for _, w := range writers {
		if err := w.Close(); err != nil {
			return nil, err
		}
	}
	return out.Bytes(), nil
}

// memory is a file that stays here.
type memory struct{ bytes.Buffer }

// Close implements io.Closer.
func (*memory) Close() error { return nil }

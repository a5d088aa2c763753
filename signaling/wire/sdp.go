package wire

import (
	"bytes"
	"compress/flate"
	"errors"
	"fmt"
	"io"
	"sync"
	"unicode/utf8"
)

// MaxSDP bounds an inflated session description, in bytes. Sixteen audio and 49 video slots of Chromium make about 110 KB.
const MaxSDP = 256 << 10

// The ways a description can be refused; test with errors.Is.
var (
	ErrSDPTooLarge = errors.New("session description is too large")
	ErrBadSDP      = errors.New("not a deflated session description")
)

// deflaters are 600 KB each to make; a server that admits 50 joins a second makes a few of them once.
var deflaters = sync.Pool{New: func() any {
	w, err := flate.NewWriter(io.Discard, flate.DefaultCompression)
	if err != nil {
		panic("wire: the default compression level is unknown: " + err.Error())
	}
	return w
}}

// Offer packs an offer for the wire. ErrSDPTooLarge above MaxSDP.
func Offer(sdp string) (*Sdp, error) { return pack(Sdp_OFFER, sdp) }

// Answer packs an answer for the wire. ErrSDPTooLarge above MaxSDP.
func Answer(sdp string) (*Sdp, error) { return pack(Sdp_ANSWER, sdp) }

func pack(t Sdp_Type, sdp string) (*Sdp, error) {
	if len(sdp) > MaxSDP {
		return nil, fmt.Errorf("%w: %d bytes, at most %d", ErrSDPTooLarge, len(sdp), MaxSDP)
	}
	var b bytes.Buffer
	w, ok := deflaters.Get().(*flate.Writer)
	if !ok {
		panic("wire: the pool holds something that is no flate.Writer")
	}
	defer deflaters.Put(w)
	w.Reset(&b)
	// Writing to memory does not fail.
	_, _ = io.WriteString(w, sdp)
	_ = w.Close()
	return &Sdp{Type: t, Deflate: b.Bytes()}, nil
}

// Inflate unpacks the description. It stops at MaxSDP whatever the input promises, so a compression bomb costs 256 KiB.
// Errors: ErrSDPTooLarge; ErrBadSDP when the bytes are no DEFLATE, are cut short, go on after their end, or are no UTF-8.
func (x *Sdp) Inflate() (string, error) {
	in := bytes.NewReader(x.GetDeflate())
	r := flate.NewReader(in)
	text, err := io.ReadAll(io.LimitReader(r, MaxSDP+1))
	switch {
	case err != nil:
		return "", fmt.Errorf("%w: %w", ErrBadSDP, err)
	case len(text) > MaxSDP:
		return "", fmt.Errorf("%w: more than %d bytes inflated", ErrSDPTooLarge, MaxSDP)
	case in.Len() > 0:
		return "", fmt.Errorf("%w: %d bytes after the end", ErrBadSDP, in.Len())
	case len(text) == 0 || !utf8.Valid(text):
		return "", fmt.Errorf("%w: empty or not UTF-8", ErrBadSDP)
	}
	return string(text), nil
}

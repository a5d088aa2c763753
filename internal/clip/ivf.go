package clip

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/bits"
)

const (
	ivfHeaderSize      = 32
	ivfFrameHeaderSize = 12

	// maxFrame bounds one frame: 8 MiB, four times an uncompressed 1080p picture's share at the worst quantiser.
	maxFrame = 8 << 20
	// maxFrames bounds a clip's index to 32 MB: 9 hours at 30 frames a second.
	maxFrames = 1 << 20
	// maxTicks bounds times in a clip: 30 days at 90 kHz.
	maxTicks = 30 * 24 * 3600 * 90000
)

// VideoFrame says where a frame of a clip is.
type VideoFrame struct {
	At       int64 // ticks of 90 kHz from the first frame
	Keyframe bool

	offset int64
	size   int
}

// Video is a clip of VP8. Its methods are safe from any goroutine if its reader is.
type Video struct {
	Width, Height int // pixels, of the first keyframe
	Frames        []VideoFrame

	from io.ReaderAt
}

// ReadVideo reads the whole of an IVF file (size bytes of from) once, checks it and remembers where its frames are; from
// stays in use. It skips frames that are empty, as encoders write for dropped ones. Errors say what is wrong and what helps.
func ReadVideo(from io.ReaderAt, size int64) (*Video, error) {
	var header [ivfHeaderSize]byte
	if _, err := from.ReadAt(header[:], 0); err != nil {
		return nil, short(err, "the file is shorter than an IVF header of 32 bytes: it is empty or was cut off")
	}
	if string(header[:4]) != "DKIF" {
		return nil, errors.New("not an IVF file: it does not begin with DKIF; make one with ffmpeg -i FILE -c:v libvpx clip.ivf")
	}
	if codec := string(header[8:12]); codec != "VP80" {
		return nil, fmt.Errorf("codec %q, want VP80 (VP8): convert with ffmpeg -i FILE -c:v libvpx clip.ivf", codec)
	}
	start := int64(binary.LittleEndian.Uint16(header[6:]))
	if start < ivfHeaderSize {
		return nil, fmt.Errorf("the header says it has %d bytes, want at least 32: the file is damaged", start)
	}
	// Files give the rate first, as if seconds a tick were upside down.
	perSecond, step := binary.LittleEndian.Uint32(header[16:]), binary.LittleEndian.Uint32(header[20:])
	if perSecond == 0 || step == 0 {
		return nil, fmt.Errorf("time base %d/%d, want both above 0: the file is damaged", step, perSecond)
	}
	v := &Video{from: from}
	var first uint64
	for at := start; at < size; {
		frame, stamp, err := v.readFrame(at, size)
		if err != nil {
			return nil, fmt.Errorf("frame %d, at byte %d: %w", len(v.Frames)+1, at, err)
		}
		if len(v.Frames) == 0 {
			first = stamp
		}
		if frame.size > 0 {
			if err := v.place(&frame, first, stamp, step, perSecond); err != nil {
				return nil, fmt.Errorf("frame %d, at byte %d: %w", len(v.Frames)+1, at, err)
			}
			v.Frames = append(v.Frames, frame)
		}
		at += ivfFrameHeaderSize + int64(frame.size)
	}
	if len(v.Frames) == 0 {
		return nil, errors.New("no frames: the file is empty")
	}
	return v, nil
}

// place gives a frame its time. Frames that are never shown may have the time of the one after: they go right before it.
func (v *Video) place(f *VideoFrame, first, stamp uint64, step, perSecond uint32) error {
	n := len(v.Frames)
	if n == maxFrames {
		return fmt.Errorf("more than %d frames: cut the file with ffmpeg -i FILE -c copy -t 3600 clip.ivf", maxFrames)
	}
	ok := false
	if f.At, ok = ticks(stamp-first, step, perSecond); stamp < first || !ok {
		return fmt.Errorf("it has time %d, the first one %d: the file is damaged", stamp, first)
	}
	if n > 0 && f.At == v.Frames[n-1].At {
		f.At++
	}
	if n > 0 && f.At < v.Frames[n-1].At {
		return errors.New("it is earlier than the one before; make the file again with ffmpeg -i FILE -c:v libvpx clip.ivf")
	}
	return nil
}

// readFrame reads a frame's header, and enough of the frame to know what it is.
func (v *Video) readFrame(at, size int64) (VideoFrame, uint64, error) {
	const cut = "the file ends in the middle of it: it was cut off; mend it with ffmpeg -i FILE -c copy clip.ivf"
	var b [ivfFrameHeaderSize + vp8KeyframeSize]byte
	n, err := v.from.ReadAt(b[:], at)
	if n < ivfFrameHeaderSize {
		return VideoFrame{}, 0, short(err, cut)
	}
	length, stamp := binary.LittleEndian.Uint32(b[:]), binary.LittleEndian.Uint64(b[4:])
	if length > maxFrame {
		return VideoFrame{}, 0, fmt.Errorf("it says it has %d bytes, more than the %d a frame may have: the file is damaged", length, maxFrame)
	}
	if int64(length) > size-at-ivfFrameHeaderSize {
		return VideoFrame{}, 0, errors.New(cut)
	}
	f := VideoFrame{offset: at + ivfFrameHeaderSize, size: int(length)}
	if length == 0 {
		return f, stamp, nil
	}
	if n < min(len(b), ivfFrameHeaderSize+f.size) {
		return VideoFrame{}, 0, short(err, cut)
	}
	head := b[ivfFrameHeaderSize:min(len(b), ivfFrameHeaderSize+f.size)]
	var width, height int
	width, height, f.Keyframe = keyframe(head)
	switch {
	case !f.Keyframe && head[0]&1 == 0:
		return VideoFrame{}, 0, errors.New("it is a VP8 keyframe without a picture: the file is damaged")
	case len(v.Frames) == 0 && !f.Keyframe:
		return VideoFrame{}, 0, errors.New("a clip must begin with a keyframe; make it with ffmpeg -i FILE -c:v libvpx clip.ivf")
	case len(v.Frames) == 0:
		v.Width, v.Height = width, height
	}
	return f, stamp, nil
}

// Frame reads frame i into buf, which grows where it is too small.
func (v *Video) Frame(i int, buf []byte) ([]byte, error) {
	f := v.Frames[i]
	if cap(buf) < f.size {
		buf = make([]byte, f.size)
	}
	buf = buf[:f.size]
	if _, err := v.from.ReadAt(buf, f.offset); err != nil {
		return nil, short(err, "the file became shorter while it was played")
	}
	return buf, nil
}

// Length is when the clip is over, in ticks: the last frame is shown as long as the one before it.
func (v *Video) Length() int64 {
	n := len(v.Frames)
	last := v.Frames[n-1].At
	if n == 1 {
		return last + 90000/30
	}
	return last + last - v.Frames[n-2].At
}

// Reel returns the clip's frames as they are due.
func (v *Video) Reel(loop bool) *Reel {
	r := &Reel{at: make([]int64, len(v.Frames)), keys: make([]bool, len(v.Frames)), length: v.Length(), rate: 90000, loop: loop}
	for i, f := range v.Frames {
		r.at[i], r.keys[i] = f.At, f.Keyframe
	}
	return r
}

// ticks is stamp × step / perSecond seconds at 90 kHz; false beyond maxTicks.
func ticks(stamp uint64, step, perSecond uint32) (int64, bool) {
	hi, lo := bits.Mul64(stamp, uint64(step)*90000)
	if hi >= uint64(perSecond) {
		return 0, false
	}
	n, rest := bits.Div64(hi, lo, uint64(perSecond))
	if rest >= (uint64(perSecond)+1)/2 {
		n++
	}
	return int64(n), n <= maxTicks
}

// short turns the end of a file into words.
func short(err error, words string) error {
	if err == nil || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New(words)
	}
	return err
}

// VideoWriter writes VP8 to IVF, with times in ticks of 90 kHz.
type VideoWriter struct {
	to         io.WriteSeeker
	last, step int64
}

// NewVideoWriter writes the header. Players take the picture's size from the keyframes; the one here is for tools that
// look no further.
func NewVideoWriter(to io.WriteSeeker, width, height int) (*VideoWriter, error) {
	header := make([]byte, 0, ivfHeaderSize)
	header = append(header, "DKIF\x00\x00\x20\x00VP80"...)
	header = binary.LittleEndian.AppendUint16(header, uint16(width))
	header = binary.LittleEndian.AppendUint16(header, uint16(height))
	header = binary.LittleEndian.AppendUint32(header, 90000)
	header = binary.LittleEndian.AppendUint32(header, 1)
	header = append(header, make([]byte, ivfHeaderSize-len(header))...) // the length: Close knows it
	_, err := to.Write(header)
	return &VideoWriter{to: to, step: 90000 / 30}, err
}

// Write appends a frame. at must rise.
func (w *VideoWriter) Write(at int64, frame []byte) error {
	b := make([]byte, 0, ivfFrameHeaderSize+len(frame))
	b = binary.LittleEndian.AppendUint32(b, uint32(len(frame)))
	b = binary.LittleEndian.AppendUint64(b, uint64(at))
	_, err := w.to.Write(append(b, frame...))
	if at > w.last {
		w.last, w.step = at, at-w.last
	}
	return err
}

// Length is when the file is over, in ticks, if the last frame is shown as long as the one before it.
func (w *VideoWriter) Length() int64 { return w.last + w.step }

// Close writes the length into the header. It is called a number of frames, but read as a number of ticks by what plays and
// probes; the two are one only where a tick is a frame. It does not close what is written to.
func (w *VideoWriter) Close() error {
	if _, err := w.to.Seek(24, io.SeekStart); err != nil {
		return err
	}
	_, err := w.to.Write(binary.LittleEndian.AppendUint32(nil, uint32(min(w.Length(), 1<<32-1))))
	return err
}

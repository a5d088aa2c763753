package caller

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/pion/rtp"

	"github.com/tolkyn/tolkyn/internal/clip"
	"github.com/tolkyn/tolkyn/signaling/client"
)

// recording is one received track and its file. The receiver's lock guards it.
type recording struct {
	who   client.Participant
	track client.Track
	kind  client.Kind
	files *store
	tap   *tap // whose packets count
	gone  time.Duration
	over  bool

	line      clip.Timeline
	assembler clip.Assembler
	output    *output
	video     *clip.VideoWriter
	audio     *clip.AudioWriter
	start     time.Duration // when the file's first frame came
	last      int64         // ticks of the last frame in the file
	wanting   time.Duration // since when a keyframe is missing; 0 while none is
	asked     time.Duration
	came      time.Duration // the newest packet

	packets, bytes, lost, frames uint64
	width, height                int
	jitter                       float64 // ticks
	transit                      int64
	measured                     bool // transit is of this stretch
}

func newRecording(files *store, who client.Participant, track client.Track, kind client.Kind) *recording {
	rec := &recording{files: files, who: who, track: track, kind: kind}
	rec.line.Rate = rec.rate()
	return rec
}

func (rec *recording) rate() int64 {
	if rec.kind == client.Video {
		return 90000
	}
	return 48000
}

// interrupt says that what comes next does not follow what came before.
func (rec *recording) interrupt() {
	rec.line.Break()
	rec.assembler.Break()
	rec.measured = false
}

// startsKeyframe looks whether a packet may begin a keyframe.
func (rec *recording) startsKeyframe(p *rtp.Packet) bool {
	var probe clip.Assembler
	_, _ = probe.Push(p) // whether it is whole does not matter
	return !probe.WantsKeyframe()
}

// take counts and writes a packet.
func (rec *recording) take(a clip.Arrived) error {
	if a.Fresh {
		rec.interrupt()
	}
	rec.came = a.At
	rec.packets++
	rec.bytes += uint64(a.Packet.MarshalSize())
	rec.lost += uint64(a.Lost)
	rec.noteJitter(a)
	if rec.over {
		return nil
	}
	if rec.kind == client.Audio {
		return rec.takeAudio(a)
	}
	if a.Lost > 0 {
		rec.assembler.Break()
	}
	frame, ok := rec.assembler.Push(a.Packet)
	if !ok {
		return nil
	}
	rec.frames++
	if frame.Keyframe {
		rec.width, rec.height = frame.Width, frame.Height
	}
	return rec.writeFrame(a.At, frame)
}

// noteJitter is RFC 3550 §6.4.1, over packets that came in order: a resend says nothing about the path's evenness.
func (rec *recording) noteJitter(a clip.Arrived) {
	if !a.InOrder {
		return
	}
	// The low 32 bits, as timestamps have no more.
	arrival := uint32(int64(a.At) / 1000 * rec.rate() / 1_000_000)
	transit := int64(int32(arrival - a.Packet.Timestamp))
	if rec.measured {
		d := float64(int32(transit - rec.transit))
		rec.jitter += (max(d, -d) - rec.jitter) / 16
	}
	rec.transit, rec.measured = transit, true
}

func (rec *recording) takeAudio(a clip.Arrived) error {
	if _, ok := clip.OpusDuration(a.Packet.Payload); !ok {
		return nil // padding, or nothing that could be played
	}
	rec.frames++
	at := rec.line.Place(a.At, a.Packet.Timestamp)
	if !rec.files.keeps() {
		return nil
	}
	if rec.output == nil {
		var err error
		if rec.output, err = rec.files.create(rec.who.Identity, rec.track.ID, ".ogg"); err != nil {
			return err
		}
		rec.start = a.At
		if rec.audio, err = clip.NewAudioWriter(rec.output, rand.Uint32()); err != nil {
			return rec.failed(err)
		}
	}
	return rec.failed(rec.audio.Write(at, a.Packet.Payload))
}

func (rec *recording) writeFrame(now time.Duration, frame clip.Frame) error {
	at := rec.line.Place(now, frame.Timestamp)
	if !rec.files.keeps() {
		return nil
	}
	if rec.output == nil {
		var err error
		if rec.output, err = rec.files.create(rec.who.Identity, rec.track.ID, ".ivf"); err != nil {
			return err
		}
		rec.start = now
		if rec.video, err = clip.NewVideoWriter(rec.output, frame.Width, frame.Height); err != nil {
			return rec.failed(err)
		}
	} else {
		at = max(at, rec.last+1)
	}
	rec.last = at
	return rec.failed(rec.video.Write(at, frame.Data))
}

func (rec *recording) failed(err error) error {
	if err != nil {
		return fmt.Errorf("--record: write %s: %w", rec.output.path, err)
	}
	return nil
}

// needsKeyframe says whether it is time to ask for one.
func (rec *recording) needsKeyframe(now time.Duration) bool {
	if rec.kind != client.Video || rec.over || now-rec.came > flowing || !rec.assembler.WantsKeyframe() {
		rec.wanting = 0
		return false
	}
	if rec.wanting == 0 {
		rec.wanting = now
	}
	if now-rec.wanting < askAfter || rec.asked > 0 && now-rec.asked < askEvery {
		return false
	}
	rec.asked = now
	return true
}

// close ends the file. Idempotent.
func (rec *recording) close() error {
	if rec.over {
		return nil
	}
	rec.over = true
	if rec.output == nil {
		return nil
	}
	var err error
	switch {
	case rec.video != nil:
		err = rec.video.Close()
	case rec.audio != nil:
		err = rec.audio.Close()
	}
	return rec.failed(errors.Join(err, rec.output.close()))
}

func (rec *recording) report() Track {
	t := Track{
		Who: rec.who.Identity, Name: rec.who.Name, ID: rec.track.ID, Kind: kindName(rec.kind), Over: rec.over,
		Packets: rec.packets, Bytes: rec.bytes, Lost: int64(rec.lost), JitterMS: rec.jitter / float64(rec.rate()) * 1000,
		Frames: rec.frames, Dropped: rec.assembler.Abandoned, Width: rec.width, Height: rec.height,
		StartSeconds: rec.start.Seconds(),
	}
	if rec.video != nil {
		t.Seconds = float64(rec.video.Length()) / float64(rec.rate())
	}
	if rec.audio != nil {
		t.Seconds = float64(rec.audio.Length()) / float64(rec.rate())
		t.FilledSeconds = float64(rec.audio.Filled) / float64(rec.rate())
	}
	if all := rec.packets + rec.lost; all > 0 {
		t.LostPercent = 100 * float64(rec.lost) / float64(all)
	}
	if rec.output != nil {
		t.File = rec.output.path
	}
	return t
}

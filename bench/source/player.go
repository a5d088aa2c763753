package source

import (
	"fmt"
	"time"

	"github.com/tolkyn/tolkyn/internal/clip"
)

// Player says which frame of a clip is due when, and stamps it. Its times are those of playing: they begin at 0 with the first
// frame and go on through every loop. One goroutine at a time.
//
//	for {
//		wait until p.Due()        // on a keyframe request meanwhile: p.Request(now)
//		frame, err := p.Take(buffer[:0], now, sent)
//		send frame.Data with frame.Timestamp
//	}
type Player struct {
	reel   *clip.Reel
	video  *clip.Video // one of the two
	audio  *clip.Audio
	clock  int64
	base   uint32 // timestamp of 0
	sender uint32
	every  uint32 // frames of which one is stamped
	taken  uint32
	raw    []byte
}

// Frame is one that is due: a VP8 frame, to be cut by clip.PacketizeVP8, or a packet of Opus.
type Frame struct {
	Data      []byte // stamped, but for three packets of four of all profiles but Voice
	Stamp     Stamp
	Timestamp uint32 // for its RTP packets
	Keyframe  bool   // of sound each one is
	Place     int    // in the clip: what a picture's Code says too
}

// Video plays the picture of a scene, any number: they repeat after Scenes. Every sender should have a sender of its own.
func (c *Clips) Video(scene int, l Layer, sender uint32) *Player {
	v := c.videos[wrap(scene, Scenes)][wrap(int(l), Layers)]
	return &Player{reel: v.Reel(true), video: v, clock: videoClock, every: 1, sender: sender, base: sender * 2654435761}
}

// Audio plays the voice of a scene, any number: they repeat after Scenes.
func (c *Clips) Audio(scene int, p Profile, sender uint32) *Player {
	a := c.audios[wrap(scene, Scenes)][wrap(int(p), Profiles)]
	return &Player{reel: a.Reel(true), audio: a, clock: audioClock, every: p.stampEvery(), sender: sender, base: sender * 2654435761}
}

func wrap(n, of int) int { return (n%of + of) % of }

// Due is when the next frame is to be sent.
func (p *Player) Due() time.Duration {
	_, at, _ := p.reel.Next()
	return p.duration(at)
}

// Request asks for a picture that can be decoded alone: the clip jumps to its next one, which is due at once. Who asks within 300 ms
// of another request is answered by the same.
func (p *Player) Request(now time.Duration) {
	if p.video != nil {
		p.reel.Encode(p.ticks(now))
	}
}

// Rest tells that the frame taken last went to nobody: as of an encoder that is off, it answers no request.
func (p *Player) Rest() { p.reel.Rest() }

// Take appends the next frame to dst, with a stamp that says it was sent at sent (µs since the Unix epoch). now is on the
// clock of playing: whoever comes more than a second late goes on from there and does not send what it slept through all at
// once. It allocates only where dst has no room.
func (p *Player) Take(dst []byte, now time.Duration, sent int64) (Frame, error) {
	p.reel.Late(p.ticks(now))
	place, at, _ := p.reel.Next()
	f := Frame{
		Stamp:     Stamp{Sender: p.sender, Frame: p.taken, Sent: sent},
		Timestamp: p.base + uint32(at),
		Keyframe:  true,
		Place:     place,
	}
	if p.video != nil {
		var err error
		if p.raw, err = p.video.Frame(place, p.raw); err != nil {
			return Frame{}, fmt.Errorf("read frame %d of the clip: %w", place, err)
		}
		f.Keyframe = p.video.Frames[place].Keyframe
		f.Data = AppendVP8(dst, p.raw, f.Stamp)
	} else {
		f.Data = p.voice(dst, place, f.Stamp)
	}
	p.reel.Played()
	p.taken++
	return f, nil
}

// voice appends a packet of Opus, stamped if it is its turn.
func (p *Player) voice(dst []byte, place int, s Stamp) []byte {
	if p.taken%p.every != 0 {
		return append(dst, p.audio.Packets[place].Data...)
	}
	return AppendOpus(dst, p.audio.Packets[place].Data, s)
}

func (p *Player) duration(ticks int64) time.Duration {
	return time.Duration(ticks/p.clock)*time.Second + time.Duration(ticks%p.clock)*time.Second/time.Duration(p.clock)
}

func (p *Player) ticks(d time.Duration) int64 {
	return int64(d/time.Second)*p.clock + int64(d%time.Second)*p.clock/int64(time.Second)
}

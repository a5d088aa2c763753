package caller

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"

	"github.com/tolkyn/tolkyn/internal/clip"
	"github.com/tolkyn/tolkyn/signaling/client"
)

// player sends one clip in real time.
type player struct {
	// Fixed after openPlayers.
	path  string
	file  *os.File
	id    string
	video *clip.Video // one of the two
	audio *clip.Audio
	rate  int64
	track *webrtc.TrackLocalStaticRTP
	wants chan struct{} // one place: a keyframe is wanted

	// Owned by run.
	packet  rtp.Packet
	base    uint32 // timestamp of 0
	picture uint16
	buffer  []byte

	// Guarded by mu.
	mu       sync.Mutex
	reel     *clip.Reel
	requests uint64
	frames   uint64
	through  int64 // ticks
}

// openPlayers reads every clip from end to end before anything is sent. The first of a kind is the track "camera" or
// "microphone", the others "camera-2" and so on.
func openPlayers(paths []string, loop bool) (_ []*player, err error) {
	var out []*player
	defer func() {
		if err != nil {
			closePlayers(out)
		}
	}()
	count := map[string]int{}
	for _, path := range paths {
		p := &player{path: path, wants: make(chan struct{}, 1), base: rand.Uint32(), picture: uint16(rand.Uint32())}
		p.packet.Version, p.packet.SequenceNumber = 2, uint16(rand.Uint32())
		if p.file, err = os.Open(path); err != nil {
			return nil, fmt.Errorf("--play: %w", err)
		}
		out = append(out, p)
		kind, mime, err := p.read(loop)
		if err != nil {
			return nil, fmt.Errorf("--play %s: %w", path, err)
		}
		p.id = kind
		if count[kind]++; count[kind] > 1 {
			p.id = fmt.Sprintf("%s-%d", kind, count[kind])
		}
		if p.track, err = webrtc.NewTrackLocalStaticRTP(webrtc.RTPCodecCapability{MimeType: mime}, p.id, "clip"); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// read takes the file for what its name's end says.
func (p *player) read(loop bool) (kind, mime string, err error) {
	info, err := p.file.Stat()
	switch {
	case err != nil:
		return "", "", err
	case !info.Mode().IsRegular():
		return "", "", errors.New("not a file")
	}
	switch strings.ToLower(filepath.Ext(p.path)) {
	case ".ivf":
		if p.video, err = clip.ReadVideo(p.file, info.Size()); err != nil {
			return "", "", err
		}
		p.reel, p.rate = p.video.Reel(loop), 90000
		return "camera", webrtc.MimeTypeVP8, nil
	case ".ogg", ".opus":
		if p.audio, err = clip.ReadAudio(p.file); err != nil {
			return "", "", err
		}
		p.reel, p.rate = p.audio.Reel(loop), 48000
		return "microphone", webrtc.MimeTypeOpus, nil
	}
	return "", "", errors.New("want a name that ends in .ivf (VP8) or .ogg (Opus); convert with ffmpeg -i FILE -c:v libvpx clip.ivf " +
		"or ffmpeg -i FILE -c:a libopus clip.ogg")
}

func closePlayers(list []*player) {
	for _, p := range list {
		_ = p.file.Close() // only read
	}
}

func tracksOf(list []*player) (out []client.LocalTrack) {
	for _, p := range list {
		source := client.Microphone
		if p.video != nil {
			source = client.Camera
		}
		out = append(out, client.LocalTrack{ID: p.id, Source: source, Track: p.track, OnKeyframeRequest: p.wantKeyframe})
	}
	return out
}

// wantKeyframe is called by the Room.
func (p *player) wantKeyframe() {
	select {
	case p.wants <- struct{}{}:
	default: // asked already
	}
}

// run plays until the clip or ctx is over. Every frame has its moment counted from start, so that nothing adds up.
func (p *player) run(ctx context.Context, start time.Time) error {
	for {
		p.mu.Lock()
		_, at, more := p.reel.Next()
		p.mu.Unlock()
		timer := time.NewTimer(time.Until(start.Add(p.duration(at))))
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-p.wants:
			timer.Stop()
			p.mu.Lock()
			p.requests++
			p.reel.Request(p.ticks(time.Since(start)))
			p.mu.Unlock()
			continue
		case <-timer.C:
		}
		if !more {
			p.mu.Lock()
			p.through = at
			p.mu.Unlock()
			return nil
		}
		p.mu.Lock()
		p.reel.Late(p.ticks(time.Since(start)))
		i, at, _ := p.reel.Next()
		p.mu.Unlock()
		if err := p.send(i, at); err != nil {
			return fmt.Errorf("--play %s: %w", p.path, err)
		}
		p.mu.Lock()
		p.reel.Played()
		p.frames++
		p.through = at
		p.mu.Unlock()
	}
}

func (p *player) send(i int, at int64) error {
	p.packet.Timestamp = p.base + uint32(at)
	if p.audio != nil {
		return p.write(p.audio.Packets[i].Data, false)
	}
	var err error
	if p.buffer, err = p.video.Frame(i, p.buffer); err != nil {
		return err
	}
	p.picture++
	parts := clip.PacketizeVP8(p.buffer, p.picture)
	for i, part := range parts {
		if err := p.write(part, i == len(parts)-1); err != nil {
			return err
		}
	}
	return nil
}

func (p *player) write(payload []byte, last bool) error {
	p.packet.Payload, p.packet.Marker = payload, last
	err := p.track.WriteRTP(&p.packet)
	p.packet.SequenceNumber++
	// A connection that is being replaced takes nothing; the next one asks for a keyframe.
	if err != nil && !isClosed(err) {
		return err
	}
	return nil
}

func (p *player) duration(ticks int64) time.Duration {
	return time.Duration(ticks/p.rate)*time.Second + time.Duration(ticks%p.rate)*time.Second/time.Duration(p.rate)
}

func (p *player) ticks(d time.Duration) int64 {
	return int64(d/time.Second)*p.rate + int64(d%time.Second)*p.rate/int64(time.Second)
}

// isClosed says whether a write failed because the connection has gone.
func isClosed(err error) bool {
	return errors.Is(err, io.ErrClosedPipe) || errors.Is(err, net.ErrClosed)
}

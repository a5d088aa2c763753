package sfu_test

import (
	"encoding/binary"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
)

// camera says what the client's synthetic video does next.
type camera struct {
	keyframe atomic.Bool
	paused   atomic.Bool
	muted    atomic.Bool // audio
}

// talk sends audio (50 packets/s) and video (30 frames/s of 3 packets) until the client stops.
func (c *client) talk() *client {
	c.mu.Lock()
	c.camera = &camera{}
	c.camera.keyframe.Store(true)
	c.mu.Unlock()
	c.wg.Go(c.sendAudio)
	c.wg.Go(func() { c.film(c.video, c.camera, c.name[0]) })
	return c
}

func (c *client) sendAudio() {
	p := rtp.Packet{Header: rtp.Header{Version: 2, PayloadType: 111, SequenceNumber: uint16(rand.Uint32()), Timestamp: rand.Uint32()}}
	for c.pause(20 * time.Millisecond) {
		if c.camera.muted.Load() {
			p.Timestamp += 960
			continue
		}
		p.Payload = c.mark(make([]byte, 80))
		p.Payload[0] = 0x78 // CELT fullband, 20 ms, one frame
		c.audio.WriteRTP(&p)
		p.SequenceNumber++
		p.Timestamp += 960
	}
}

// film sends video on a track until the client stops, marked with who or what it shows.
func (c *client) film(track *webrtc.TrackLocalStaticRTP, cam *camera, mark byte) {
	p := rtp.Packet{Header: rtp.Header{Version: 2, PayloadType: 96, SequenceNumber: uint16(rand.Uint32()), Timestamp: rand.Uint32()}}
	picture, tl0 := uint16(rand.Uint32()), uint8(rand.Uint32())
	for c.pause(time.Second / 30) {
		if cam.paused.Load() {
			p.Timestamp += 3000
			continue
		}
		key := cam.keyframe.Swap(false)
		for i := range 3 {
			p.Payload = vp8Packet(key, i == 0, picture, tl0, 900)
			p.Payload[15] = mark
			p.Marker = i == 2
			track.WriteRTP(&p)
			p.SequenceNumber++
		}
		p.Timestamp += 3000
		picture++
		tl0++
	}
}

// mark writes who sent it where the receiving side looks.
func (c *client) mark(b []byte) []byte {
	b[15] = c.name[0]
	return b
}

// pause waits a packet interval; false once the client stops.
func (c *client) pause(d time.Duration) bool {
	select {
	case <-c.stopping:
		return false
	case <-time.After(d):
		return true
	}
}

// vp8Packet makes a payload that every part of the server reads as VP8 (RFC 7741).
func vp8Packet(key, start bool, picture uint16, tl0 uint8, size int) []byte {
	b := make([]byte, size)
	b[0] = 0x80 // X
	if start {
		b[0] |= 0x10 // S
	}
	b[1] = 0xe0 // I, L, T
	binary.BigEndian.PutUint16(b[2:], picture|0x8000)
	b[4] = tl0
	b[5] = 0 // TID 0
	if !start {
		return b
	}
	b[6] = 1 // P: not a keyframe
	if key {
		copy(b[6:], []byte{0x10, 0, 0, 0x9d, 0x01, 0x2a, 0x80, 0x02, 0x68, 0x01}) // 640 × 360, but the mark is in it
	}
	return b
}

func isKeyframe(payload []byte) bool {
	return len(payload) > 6 && payload[0]&0x10 != 0 && payload[6]&1 == 0
}

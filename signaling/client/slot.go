package client

import (
	"context"
	"io"
	"sync/atomic"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"

	"github.com/tolkyn/tolkyn/signaling/wire"
)

// slotQueue packets wait for the reader of a slot: half a second of video at 6 Mbit/s.
const slotQueue = 512

// Slot is one receive position. It stays the same while the server changes what flows in it, and while the media
// connection is rebuilt. All methods are safe from any goroutine.
type Slot struct {
	room    *Room
	kind    wire.Track_Kind
	index   int
	packets chan Packet
	dropped atomic.Uint64

	// Guarded by room.mu.
	mid   string
	shown shown
	track *webrtc.TrackRemote
	layer SlotLayer
}

// shown names what flows in a slot.
type shown struct{ peerID, trackID string }

// Kind is Audio or Video.
func (s *Slot) Kind() wire.Track_Kind { return s.kind }

// Index counts the slots of one kind from 0.
func (s *Slot) Index() int { return s.index }

// MID is the a=mid of the m-line the slot is on now.
func (s *Slot) MID() string {
	s.room.mu.Lock()
	defer s.room.mu.Unlock()
	return s.mid
}

// Shows says whose track flows here now, by the server's newest word; false when none does. Packets under way may still be
// of the one before: for 2 s after each change they carry a CSRC.
func (s *Slot) Shows() (Participant, Track, bool) {
	s.room.mu.Lock()
	defer s.room.mu.Unlock()
	p := s.room.participants[s.shown.peerID]
	if p == nil {
		return Participant{}, Track{}, false
	}
	t, ok := p.track(s.shown.trackID)
	return p.clone(), t, ok
}

// Codec is the MIME type of what came in last, "audio/opus" or "video/VP8"; empty before the first packet. The server
// changes it as it likes: Packet.Codec tells of each packet.
func (s *Slot) Codec() string {
	s.room.mu.Lock()
	defer s.room.mu.Unlock()
	if s.track == nil {
		return ""
	}
	return s.track.Codec().MimeType
}

// Packet is one RTP packet as it came.
type Packet struct {
	*rtp.Packet
	At       time.Time // when it was taken from the connection
	Codec    string    // MIME type, by the payload type
	Repaired bool      // it came by retransmission (RFC 4588)
}

// ReadRTP is ReadPacket for those who want the packet alone.
func (s *Slot) ReadRTP(ctx context.Context) (*rtp.Packet, error) {
	p, err := s.ReadPacket(ctx)
	return p.Packet, err
}

// ReadPacket returns the next packet in order of arrival; io.EOF when the Room has ended. Slots are read all the time: whoever
// does not call it for 512 packets loses those that follow (see Dropped), and nobody else notices.
func (s *Slot) ReadPacket(ctx context.Context) (Packet, error) {
	select {
	case p := <-s.packets:
		return p, nil
	default:
	}
	select {
	case p := <-s.packets:
		return p, nil
	case <-s.room.ctx.Done():
		return Packet{}, io.EOF
	case <-ctx.Done():
		return Packet{}, ctx.Err()
	}
}

// Dropped counts the packets that came while nobody read.
func (s *Slot) Dropped() uint64 { return s.dropped.Load() }

// RequestKeyframe asks for a picture that can be decoded alone. The server asks for one by itself whenever the slot
// changes and when packets are lost for good.
func (s *Slot) RequestKeyframe() error {
	s.room.mu.Lock()
	m, track := s.room.media, s.track
	s.room.mu.Unlock()
	if track == nil {
		return nil
	}
	return m.pc.WriteRTCP([]rtcp.Packet{&rtcp.PictureLossIndication{MediaSSRC: uint32(track.SSRC())}})
}

// receive reads the track until its PeerConnection closes.
func (s *Slot) receive(track *webrtc.TrackRemote) {
	for {
		p, attributes, err := track.ReadRTP()
		if err != nil {
			return
		}
		repair, repaired := attributes.Get(webrtc.AttributeRtxPayloadType).(uint8)
		if repaired {
			p.PayloadType = repairs(repair, p.PayloadType)
		}
		select {
		case s.packets <- Packet{Packet: p, At: time.Now(), Codec: mimeOf(p.PayloadType), Repaired: repaired}:
		default:
			s.dropped.Add(1)
		}
	}
}

package client

import (
	"context"
	"io"
	"strings"
	"sync/atomic"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"

	"github.com/tolkyn/tolkyn/internal/red"
	"github.com/tolkyn/tolkyn/signaling/wire"
)

// slotQueue packets wait for the reader of a slot: half a second of video at 6 Mbit/s.
const slotQueue = 512

// Slot is one receive position. It stays the same while the server changes what flows in it, and while the media
// connection is rebuilt. It gives each packet once, whichever way it came. Of sound that comes with copies of what came before
// (RFC 2198) it gives the packets themselves, a copy under the number of what was lost. All methods are safe from any goroutine.
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
	if mime := s.track.Codec().MimeType; !strings.EqualFold(mime, mimeRED) {
		return mime
	}
	return webrtc.MimeTypeOpus
}

// Packet is one RTP packet as it came.
type Packet struct {
	*rtp.Packet
	At       time.Time // when it was taken from the connection
	Codec    string    // MIME type, by the payload type
	Repaired bool      // it came by retransmission (RFC 4588), or, of sound, once it was asked for
	Copied   bool      // it did not come, but a copy of its payload in a later packet (RFC 2198)
	// It did not come, and was computed from the parity that the server sends of pictures over long ways (RFC 8627).
	Recovered bool
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

// receive reads the track until its PeerConnection closes; stream is what its parity mends, nil: it has none.
func (s *Slot) receive(track *webrtc.TrackRemote, stream *protected) {
	var copies red.Splitter
	if stream != nil {
		stream.attach(func(at time.Time, p *rtp.Packet) {
			s.give(Packet{Packet: p, At: at, Codec: mimeOf(p.PayloadType), Recovered: true})
		})
	}
	for {
		p, attributes, err := track.ReadRTP()
		if err != nil {
			return
		}
		at := time.Now()
		repair, repaired := attributes.Get(webrtc.AttributeRtxPayloadType).(uint8)
		if repaired {
			p.PayloadType = repairs(repair, p.PayloadType)
			if stream != nil && !stream.came(p.SequenceNumber) {
				continue
			}
		}
		if s.kind == Audio {
			repaired = attributes.Get(askedFor{}) != nil
			if !s.open(at, p, &copies) {
				continue
			}
		}
		s.give(Packet{Packet: p, At: at, Codec: mimeOf(p.PayloadType), Repaired: repaired})
	}
}

// open takes a voice out of what came as RED, and gives the copies in front of it that are of use. False: it can be nobody's.
func (s *Slot) open(at time.Time, p *rtp.Packet, copies *red.Splitter) bool {
	own, filled, ok := copies.Take(p.SequenceNumber, p.Timestamp, p.Payload, p.PayloadType == payloadRED)
	if !ok {
		return false
	}
	p.PayloadType, p.Payload = payloadOpus, own
	for _, c := range filled {
		header := rtp.Header{
			Version: 2, PayloadType: payloadOpus, SequenceNumber: c.Sequence, Timestamp: c.Timestamp, SSRC: p.SSRC, CSRC: p.CSRC,
		}
		s.give(Packet{Packet: &rtp.Packet{Header: header, Payload: c.Payload}, At: at, Codec: webrtc.MimeTypeOpus, Copied: true})
	}
	return true
}

// give has the reader take a packet, if it has kept up.
func (s *Slot) give(p Packet) {
	select {
	case s.packets <- p:
	default:
		s.dropped.Add(1)
	}
}

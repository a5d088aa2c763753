package shard

import (
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/codec"
	"github.com/tolkyn/tolkyn/internal/packet"
	"github.com/tolkyn/tolkyn/internal/rtcp"
	"github.com/tolkyn/tolkyn/internal/seq"
	"github.com/tolkyn/tolkyn/internal/srtp"
	"github.com/tolkyn/tolkyn/sfu/internal/downlink"
	"github.com/tolkyn/tolkyn/sfu/internal/handshake"
	"github.com/tolkyn/tolkyn/sfu/internal/ladder"
	"github.com/tolkyn/tolkyn/sfu/internal/uplink"
)

// Header extension ids of the films.
const (
	filmMID = iota + 1
	filmRID
	filmRepaired
)

// film is a video track with encodings and the camera behind it. The camera gives the keyframes that are asked of it, and
// may do as it is told by LayersWanted.
type film struct {
	m         *member
	track     TrackID
	mid       string
	encodings []*reel
	obeys     bool
	dumb      bool // a paused stream resumes on no keyframe: that must be asked for
}

// reel is one encoding of a film.
type reel struct {
	ssrc, rtx     uint32
	rid           string
	width, height uint16
	size          int  // bytes of a picture
	mark          byte // last of each payload
	off, broken   bool // told off; of itself
	key           bool // the next picture is a keyframe
	number        seq.Extended
	pictures      uint32
	named         int  // packets that carried the RID
	layered       bool // three temporal layers
}

// films publishes a track of VP8 with these pictures, an encoding each; RIDs are a, b, c.
func (m *member) films(track TrackID, sizes ...uint16) *film {
	f := &film{m: m, track: track, mid: fmt.Sprint(track)}
	p := Publish{
		ID: m.id, Track: track, MID: f.mid,
		Ext: handshake.ExtensionIDs{MID: filmMID, RID: filmRID, RepairedRID: filmRepaired},
	}
	for i, height := range sizes {
		r := &reel{
			ssrc: uint32(track)*1000 + uint32(i)*10, rid: string(rune('a' + i)), height: height, width: height * 16 / 9,
			size: int(height) * 4, mark: byte(i), key: true, number: 1<<16 + 1,
		}
		r.rtx = r.ssrc + 1
		f.encodings = append(f.encodings, r)
		p.Encodings = append(p.Encodings, Encoding{RID: r.rid, Config: uplink.Config{
			PayloadType: 96, RTXPayloadType: 97, Codec: codec.VP8, NACK: true,
		}})
	}
	m.film = append(m.film, f)
	require.True(m.b.t, m.b.shard.Post(p))
	return f
}

// picture sends one picture of every encoding that is on, in as many packets as it needs.
func (f *film) picture() {
	for _, r := range f.encodings {
		if !r.off && !r.broken {
			f.send(r)
		}
	}
}

func (f *film) send(r *reel) {
	if r.key && r.layered {
		r.pictures += (4 - r.pictures%4) % 4 // a keyframe is of the base layer
	}
	left := r.size
	for first := true; left > 0; first = false {
		size := min(left, 1000)
		left -= size
		p := make([]byte, 1500)
		n := packet.PutHeader(p, packet.Header{
			Sequence: r.number.Uint16(), Timestamp: r.pictures * 3000, SSRC: r.ssrc, PayloadType: 96, Marker: left == 0,
		})
		elements := []packet.Extension{{ID: filmMID, Data: []byte(f.mid)}, {ID: filmRID, Data: []byte(r.rid)}}
		if r.named < 5 { // as Chromium does
			r.named++
			n = packet.PutExtensions(p, n, elements)
		}
		payload := p[n : n+max(size, 20)]
		payload[0] = 0x00
		if first {
			payload[0] = 0x10
		}
		picture := payload[1:]
		if r.layered { // RFC 7741 §4.2: picture id, TL0PICIDX, TID and Y
			payload[0] |= 0x80
			payload[1] = 0xe0
			binary.BigEndian.PutUint16(payload[2:], uint16(r.pictures)|0x8000)
			payload[4] = byte(r.pictures / 4)
			payload[5] = [4]byte{0, 2<<6 | 1<<5, 1<<6 | 1<<5, 2<<6 | 1<<5}[r.pictures%4]
			picture = payload[6:]
		}
		picture[0] = 1
		if first && r.key {
			copy(picture, []byte{0, 0, 0, 0x9d, 0x01, 0x2a})
			binary.LittleEndian.PutUint16(picture[6:], r.width)
			binary.LittleEndian.PutUint16(picture[8:], r.height)
		}
		payload[len(payload)-1] = r.mark
		f.m.put(p[:f.m.sealer.SealRTP(p, n, n+len(payload), r.number)])
		r.number++
	}
	r.key = false
	r.pictures++
}

func (m *member) put(b []byte) { m.socket.WriteTo(b, m.b.shard.sock.LocalAddr()) }

// heardRTCP gives a publisher's cameras the keyframes that are asked of them.
func (m *member) heardRTCP(b []byte) {
	size, v := m.opener.OpenRTCP(b)
	if v != srtp.OK {
		return
	}
	for r := rtcp.Read(b[:size]); ; {
		part, ok := r.Next()
		if !ok {
			return
		}
		if part.Type != rtcp.TypePSFB || part.Count != rtcp.FmtPLI {
			if part.Type == rtcp.TypeRR {
				for i := range int(part.Count) {
					block, _ := part.Block(i)
					m.reported = append(m.reported, block.SSRC)
				}
			}
			continue
		}
		ssrc, _ := part.MediaSSRC()
		for _, f := range m.film {
			for _, r := range f.encodings {
				if r.ssrc == ssrc {
					r.key = true
					m.asked++
				}
			}
		}
	}
}

// seen is one packet that a viewer got in a video slot.
type seen struct {
	number    seq.Extended
	timestamp uint32
	payload   byte // type
	mark      byte
	key       bool
	at        time.Time
}

// viewer is a member with one video slot that decodes these codecs.
func (b *bench) viewer(id PeerID, codecs ...codec.Codec) *member {
	m := b.member(id, 0)
	var payloads []downlink.Payload
	for _, c := range codecs {
		payloads = append(payloads, downlink.Payload{Codec: c, PayloadType: 100 + uint8(c)})
	}
	b.shard.Post(OpenSlot{ID: id, Slot: 0, Video: true, CNAME: "c", Config: downlink.Config{
		SSRC: uint32(id) * 100, Video: true, NACK: true, Payloads: payloads, FirstSequence: 1,
	}})
	return m
}

// watch makes the viewer's slot show a track in a view of that many lines, 0 for all there are.
func (m *member) watch(track TrackID, lines uint32) {
	v := ladder.View{Width: lines * 16 / 9, Height: lines}
	m.b.shard.Post(Assign{ID: m.id, Slot: 0, Track: track, CSRC: uint32(track), View: v})
}

// run lets time pass while everybody films 30 pictures a second and listens.
func (b *bench) run(d time.Duration, members ...*member) {
	for ; d > 0; d -= 33 * time.Millisecond {
		for _, m := range members {
			for _, f := range m.film {
				f.picture()
			}
		}
		time.Sleep(33 * time.Millisecond)
		for _, m := range members {
			m.listen()
		}
		b.obey(members)
	}
}

// obey turns encodings on and off as the shard has told their publishers.
func (b *bench) obey(members []*member) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, m := range members {
		for _, f := range m.film {
			list := b.wanted[f.track]
			if !f.obeys || list == nil {
				continue
			}
			for i, r := range f.encodings {
				if r.off && list[i].Wanted && !f.dumb {
					r.key = true // a paused stream resumes on a keyframe
				}
				r.off = !list[i].Wanted
			}
		}
	}
}

// marks are the encodings that a viewer saw, in order, without repeats, from the n-th packet on.
func (m *member) marks(from int) (marks []byte) {
	for _, s := range m.saw[from:] {
		if len(marks) == 0 || marks[len(marks)-1] != s.mark {
			marks = append(marks, s.mark)
		}
	}
	return marks
}

// requireSeamless holds what a viewer saw to one stream: numbers without a hole, timestamps that never run back, a keyframe
// at each change, no pause longer than that.
func (m *member) requireSeamless(pause time.Duration) {
	t := m.b.t
	require.NotEmpty(t, m.saw)
	require.True(t, m.saw[0].key)
	for i := 1; i < len(m.saw); i++ {
		a, b := m.saw[i-1], m.saw[i]
		require.Equal(t, a.number+1, b.number, "packet %d", i)
		require.GreaterOrEqual(t, int32(b.timestamp-a.timestamp), int32(0), "packet %d", i)
		if a.mark != b.mark {
			require.True(t, b.key, "packet %d: %d is entered at a keyframe", i, b.mark)
			require.NotEqual(t, a.timestamp, b.timestamp)
		}
		require.LessOrEqual(t, b.at.Sub(a.at), pause, "packet %d", i)
	}
}

// see notes a packet that came in a video slot.
func (m *member) see(b []byte, h *packet.Header, size int, number seq.Extended) {
	payload, ok := h.Payload(b[:size])
	if !ok || len(payload) < 12 {
		return
	}
	picture := payload[1:]
	if payload[0]&0x80 != 0 {
		picture = payload[6:]
	}
	m.saw = append(m.saw, seen{
		number: number, timestamp: h.Timestamp, payload: h.PayloadType, mark: payload[len(payload)-1],
		key: payload[0]&0x10 != 0 && picture[0]&1 == 0, at: time.Now(),
	})
}

// told is what the shard last said of a track's encodings: which are wanted; nil when it has said nothing.
func (b *bench) told(track TrackID) (on []bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, e := range b.wanted[track] {
		on = append(on, e.Wanted)
	}
	return on
}

// hears are the callbacks of a bench's shard.
func (b *bench) hears(cfg *Config) {
	cfg.LayersWanted = func(_ PeerID, track TrackID, list []EncodingWanted) {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.wanted[track] = list
		b.tellings++
	}
	cfg.CodecWanted = func(_ PeerID, track TrackID, c codec.Codec, wanted bool) {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.codecs = append(b.codecs, fmt.Sprint(track, " ", c, " ", wanted))
	}
	cfg.LayersChanged = func(id PeerID, slots []SlotLayer) {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.layers[id] = append(b.layers[id], slots...)
		b.layersAt[id] = append(b.layersAt[id], time.Now())
	}
}

func (b *bench) codecsTold() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.codecs)
}

func (b *bench) lastLayer(id PeerID) SlotLayer {
	b.mu.Lock()
	defer b.mu.Unlock()
	require.NotEmpty(b.t, b.layers[id])
	return b.layers[id][len(b.layers[id])-1]
}

package client

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/pion/webrtc/v4"
)

// LocalTrack is what this client publishes.
type LocalTrack struct {
	// ID is unique within this client and at most 64 bytes; default the ID of Track.
	ID     string
	Source Source
	// Track is written to by its owner: a webrtc.TrackLocalStaticSample or TrackLocalStaticRTP of Opus, VP8, VP9, H.264 (constrained
	// baseline, packetization mode 1) or AV1. Required, unless there are Encodings.
	Track webrtc.TrackLocal
	// Encodings make a simulcast of a video, the smallest first: the same picture in several sizes and one codec. The server
	// takes three, or the first alone of a device of LowDevice.
	Encodings []Encoding
	// BackupOf is the ID of another track that shows the same picture in another codec, as CodecWanted asked for. The others
	// hear of that one alone.
	BackupOf string
	// Muted tracks are known to the others; nothing that is written goes out.
	Muted bool
	// OnKeyframeRequest is called, from a goroutine of the Room, when somebody needs a picture that can be decoded alone.
	// It must not block. Optional.
	OnKeyframeRequest func()
	// OnLayersWanted is called, from a goroutine of the Room, with all encodings of the track when somebody begins or ceases to
	// watch one, and when the Room has been rebuilt: then all are wanted until the server says otherwise. What is written to one
	// that is not wanted does not go out, so that it need not be encoded; when it is wanted again, a keyframe is asked for. It
	// must not block. Optional.
	OnLayersWanted func([]EncodingWanted)
	// OnTargetBitrate is called, from a goroutine of the Room, with all encodings of a video when what our uplink carries of them has
	// changed by 5 % or more, so that encoders can follow. Without it, or who does not follow: what is written waits, the highest
	// encodings of all tracks are paused when they do not fit, and of the rest what waits for a second is dropped. It must not
	// block. Optional.
	OnTargetBitrate func([]TargetBitrate)
	// MaxBitrate and MinBitrate are what the encoder of Track takes and can be turned down to, in bits a second; with Encodings, each
	// has its own. 0: MaxBitrate is all there is, MinBitrate half of MaxBitrate. They count for tracks with OnTargetBitrate;
	// of others what is written is measured.
	MaxBitrate, MinBitrate int
}

// Encoding is one stream of a simulcast.
type Encoding struct {
	RID   string            // 1 to 16 letters, digits, - and _, unique in the track
	Track webrtc.TrackLocal // as LocalTrack.Track
	// OnKeyframeRequest is called when a picture of this encoding is needed; without it, LocalTrack's.
	OnKeyframeRequest func()
	// MaxBitrate and MinBitrate are as LocalTrack's.
	MaxBitrate, MinBitrate int
}

// publication is a LocalTrack on its m-line.
type publication struct {
	local LocalTrack
	codec string  // MIME type; empty: the track does not tell
	gates []*gate // one for each encoding

	// Owned by whoever has the turn.
	transceiver *webrtc.RTPTransceiver

	// Guarded by the Room's mu.
	muted   bool
	limited bool // the server has said what it wants of the track
}

func newPublication(l LocalTrack) (*publication, error) {
	streams := l.Encodings
	switch {
	case len(streams) == 0 && l.Track == nil:
		return nil, errors.New("client: LocalTrack.Track is required, or Encodings")
	case len(streams) == 0:
		streams = []Encoding{{Track: l.Track}}
	case l.Track != nil:
		return nil, errors.New("client: LocalTrack has Track and Encodings; set one of them")
	case len(streams) == 1:
		return nil, errors.New("client: LocalTrack.Encodings has one alone; set Track instead")
	}
	first := streams[0].Track
	p := &publication{local: l, muted: l.Muted}
	for _, e := range streams {
		if err := p.add(e, len(streams) > 1); err != nil {
			return nil, err
		}
	}
	p.codec = codecOf(first)
	if l.ID == "" {
		p.local.ID = first.ID()
	}
	for _, g := range p.gates {
		g.id, g.stream = p.local.ID, first.StreamID()
		g.set(muted, l.Muted)
	}
	return p, nil
}

// add checks an encoding and gives it a gate.
func (p *publication) add(e Encoding, simulcast bool) error {
	if !simulcast {
		p.gates = []*gate{{TrackLocal: e.Track}}
		return nil
	}
	switch {
	case !isRID(e.RID):
		return fmt.Errorf("client: Encoding.RID %q: use 1 to 16 letters, digits, - and _", e.RID)
	case e.Track == nil || e.Track.Kind() != webrtc.RTPCodecTypeVideo:
		return fmt.Errorf("client: Encoding.Track of RID %q has to be a video", e.RID)
	case slices.ContainsFunc(p.gates, func(g *gate) bool { return g.rid == e.RID }):
		return fmt.Errorf("client: two Encodings have the RID %q", e.RID)
	case len(p.gates) > 0 && !strings.EqualFold(codecOf(e.Track), codecOf(p.gates[0].TrackLocal)):
		return fmt.Errorf("client: Encoding.Track of RID %q has another codec than the first", e.RID)
	}
	p.gates = append(p.gates, &gate{TrackLocal: e.Track, rid: e.RID, level: len(p.gates)})
	return nil
}

// isRID follows RFC 8851 §10 with its erratum 7132; longer ones do not fit into a header extension of one byte.
func isRID(s string) bool {
	return s != "" && len(s) <= 16 && strings.IndexFunc(s, func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '_'
	}) < 0
}

// addEncodings gives a sender the encodings beside the first.
func (p *publication) addEncodings(sender *webrtc.RTPSender) error {
	for _, g := range p.gates[1:] {
		if err := sender.AddEncoding(g); err != nil {
			return err
		}
	}
	return nil
}

// onKeyframeRequest is what to call when an encoding needs a picture; nil: nobody cares.
func (p *publication) onKeyframeRequest(encoding int) func() {
	if encoding < len(p.local.Encodings) && p.local.Encodings[encoding].OnKeyframeRequest != nil {
		return p.local.Encodings[encoding].OnKeyframeRequest
	}
	return p.local.OnKeyframeRequest
}

// follows says whether p may take the m-line of a track that has ended.
func (p *publication) follows(q *publication) bool {
	return p.gates[0].Kind() == q.gates[0].Kind() && strings.EqualFold(p.codec, q.codec) &&
		slices.EqualFunc(p.gates, q.gates, func(a, b *gate) bool { return a.rid == b.rid })
}

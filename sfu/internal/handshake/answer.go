package handshake

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/pion/webrtc/v4"

	"github.com/tolkyn/tolkyn/codec"
)

// ExtensionIDs are the negotiated RTP header extension ids, 0 for those not negotiated.
type ExtensionIDs struct {
	MID          uint8 // RFC 8843 §15
	TransportSeq uint8 // draft-holmer-rmcat-transport-wide-cc-extensions-01
	AudioLevel   uint8 // RFC 6464
	ColorSpace   uint8 // libwebrtc's docs/native-code/rtp-hdrext/color-space
	RID          uint8 // RFC 8852 §3.1
	RepairedRID  uint8 // RFC 8852 §3.2
	Descriptor   uint8 // the dependency descriptor, AV1's RTP specification, annex A
}

// Payload is one codec of an m-line.
type Payload struct {
	Codec          codec.Codec
	PayloadType    uint8
	RTXPayloadType uint8 // RFC 4588; 0 without
}

// Published is an m-line on which the client sends.
type Published struct {
	MID   string
	Video bool
	Payload
	SSRC        uint32 // 0: learn it from the MID extension
	RTXSSRC     uint32 // 0: none, or learn it likewise
	NACK        bool   // the client was told that it may be asked to send again
	TransportCC bool   // the client expects transport-wide feedback; never NACK audio that has it
	Ext         ExtensionIDs
	// Encodings are what a=simulcast:send lists and the answer takes (RFC 8853), in the order of the offer; one without a RID
	// when there is no simulcast.
	Encodings []Encoding
}

// Encoding is one stream of a simulcast, or the only one of an m-line without.
type Encoding struct {
	RID           string // empty without simulcast
	SSRC, RTXSSRC uint32 // 0: learn them from the RID and repaired-RID extensions
}

// Policy is what we want of the m-lines on which the client sends. The zero value takes what the client prefers.
type Policy struct {
	// Codecs of video in order of preference; those not named are not taken. Nil: the first in the offer that we know.
	Codecs []codec.Codec
	// MaxEncodings of a simulcast, those listed first in the offer; 0: three.
	MaxEncodings int
}

// Slot is an m-line on which the client receives.
type Slot struct {
	MID         string
	Video       bool
	Index       int // counted from 0, audio and video apart; a slot keeps it while its m-line lives
	SSRC        uint32
	RTXSSRC     uint32 // 0 without RTX
	Payloads    []Payload
	NACK        bool // the client may ask for packets again
	TransportCC bool // the client reports arrivals of what carries Ext.TransportSeq
	Ext         ExtensionIDs
	// CNAME for this slot's SDES. Audio slot i and video slot i share it, and their msid stream: browsers keep audio
	// and video in step only within one stream.
	CNAME string
}

// Answer is the answer to an offer, and all that the media path must know of it.
type Answer struct {
	SDP                  string
	LocalUfrag, LocalPwd string
	// The client's, as in its offer.
	RemoteUfrag, RemotePwd string
	Published              []Published // in m-line order; those inactive now are absent
	Slots                  []Slot      // likewise
	// Ended are the mids of slots that earlier answers had and whose m-lines have been stopped since: their places are free,
	// and one of Slots may have taken one.
	Ended []string
}

// 512 transceivers over a session's life: pion never forgets one, and each recycled m-line makes one.
const maxTransceivers = 512

// ErrBroken: pion would not go on with an offer after it had begun. It cannot be taken back, so the session is over.
var ErrBroken = errors.New("negotiation broke off half-way")

// Answer answers an offer: the first one, one that adds, stops or recycles m-lines, and one that restarts ICE (new
// ice-ufrag; DTLS and keys stay). The answer carries every candidate.
//
// accept, unless nil, is asked before anything is changed; it is told the m-lines on which the client sends, by mid,
// and whether each is video. An offer that is refused, by accept or by us, leaves no trace: the client goes on with
// what was agreed before and may offer anew. Errors: *OfferError, accept's, ErrClosed, ctx's, and ErrBroken, which
// Hooks.Failed hears as well.
func (p *Peer) Answer(ctx context.Context, sdp string, policy Policy, accept func(sending map[string]bool) error) (*Answer, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ending.Lock()
	ended := p.ended
	p.ending.Unlock()
	if ended {
		return nil, ErrClosed
	}
	o, agreed, err := parseOffer(sdp, p.agreed)
	if err != nil {
		return nil, err
	}
	slots, err := p.planSlots(o)
	if err != nil {
		return nil, err
	}
	if err := p.mayGrow(o, slots); err != nil {
		return nil, err
	}
	if accept != nil {
		if err := accept(o.sending()); err != nil {
			return nil, err
		}
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	a, err := p.apply(ctx, o, slots)
	if err != nil {
		return nil, p.broken(err)
	}
	for mid := range p.slots {
		if _, goesOn := slots[mid]; !goesOn {
			a.Ended = append(a.Ended, mid)
		}
	}
	p.agreed, p.slots = agreed, slots
	return a, nil
}

// sending tells on which m-lines the client sends, and whether that is video.
func (o *offer) sending() map[string]bool {
	sending := map[string]bool{}
	for _, s := range o.sections {
		if !s.refused && (s.direction == sendonly || s.direction == sendrecv) {
			sending[s.mid] = s.video
		}
	}
	return sending
}

// broken ends a session that pion left half-way through an offer: it would meet every later one in the wrong state.
func (p *Peer) broken(err error) error {
	if p.pc.ConnectionState() == webrtc.PeerConnectionStateClosed || p.pc.SignalingState() == webrtc.SignalingStateClosed {
		return ErrClosed
	}
	err = fmt.Errorf("%w: %w", ErrBroken, err)
	p.fail(err)
	return err
}

// apply takes the checked offer through pion and completes its answer.
func (p *Peer) apply(ctx context.Context, o *offer, slots map[string]slotPlace) (*Answer, error) {
	text, err := p.negotiate(ctx, o, slots)
	if err != nil {
		return nil, err
	}

	// Out of the answer, not from pion's ICETransport: that is being started, and reads there would race with it.
	ufrag, pwd := credentialsOf(text)
	if ufrag != "" && ufrag != p.ufrag {
		p.ufrag = ufrag
		if p.hooks.LocalCredentials != nil {
			p.hooks.LocalCredentials(ufrag, pwd)
		}
	}
	a := &Answer{LocalUfrag: ufrag, LocalPwd: pwd, RemoteUfrag: o.ufrag, RemotePwd: o.pwd}
	if err := a.complete(o, slots, text, p.engine.candidates); err != nil {
		return nil, err
	}
	return a, nil
}

// credentialsOf reads the ICE credentials of pion's answer, the same in every m-line of its one bundle.
func credentialsOf(text string) (ufrag, pwd string) {
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\r\n")
		if v, ok := strings.CutPrefix(line, "a=ice-ufrag:"); ok {
			ufrag = v
		}
		if v, ok := strings.CutPrefix(line, "a=ice-pwd:"); ok {
			pwd = v
		}
	}
	return ufrag, pwd
}

// planSlots gives every receiving m-line its index: the one it had, else the lowest that is free.
func (p *Peer) planSlots(o *offer) (map[string]slotPlace, error) {
	slots := map[string]slotPlace{}
	taken := map[slotPlace]bool{}
	for _, s := range o.sections {
		place, had := p.slots[s.mid]
		if !s.refused && had && (s.direction == recvonly || s.direction == inactive) {
			slots[s.mid], taken[place] = place, true
		}
	}
	limit := map[bool]int{false: p.engine.cfg.MaxAudioSlots, true: p.engine.cfg.MaxVideoSlots}
	count := map[bool]int{}
	for _, s := range o.sections {
		place, have := slots[s.mid]
		if !have && (s.refused || s.direction != recvonly) {
			continue
		}
		if count[s.video]++; count[s.video] > limit[s.video] {
			return nil, &OfferError{
				ErrTooManySlots, s.line, fmt.Sprintf("there are more than %d for %s", limit[s.video], s.media),
				"offer fewer recvonly transceivers",
			}
		}
		if !have {
			place = slotPlace{video: s.video}
			for taken[place] {
				place.index++
			}
			slots[s.mid], taken[place] = place, true
		}
	}
	return slots, nil
}

// mayGrow bounds the transceivers and the senders of a session, with those that the offer adds.
func (p *Peer) mayGrow(o *offer, slots map[string]slotPlace) error {
	known := map[string]bool{}
	for _, t := range p.pc.GetTransceivers() {
		known[t.Mid()] = true
	}
	total := len(known)
	for _, s := range o.sections {
		if !s.refused && !known[s.mid] {
			total++
		}
	}
	senders := len(p.ssrcs) / 2 // one for the media, one for RTX
	for mid := range slots {
		if _, had := p.slots[mid]; !had {
			senders++
		}
	}
	if max(total, senders) > maxTransceivers {
		return &OfferError{
			ErrTooManyMLines, 0, fmt.Sprintf("this session has recycled m-lines more than %d times", maxTransceivers),
			"join again",
		}
	}
	return nil
}

// negotiate takes the offer through pion and returns pion's answer.
func (p *Peer) negotiate(ctx context.Context, o *offer, slots map[string]slotPlace) (string, error) {
	reduced := o.reduce(func(mid string) bool { _, ok := slots[mid]; return ok }, p.engine.checkable(o.candidates))
	if err := p.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: reduced}); err != nil {
		return "", err
	}
	if err := p.addSenders(slots); err != nil {
		return "", err
	}
	answer, err := p.pc.CreateAnswer(nil)
	if err != nil {
		return "", err
	}
	if err := p.pc.SetLocalDescription(answer); err != nil {
		return "", err
	}
	return answer.SDP, p.gathered(ctx)
}

// addSenders gives each new slot a sender of its own, also one whose m-line was a slot before: its numbers begin anew, so
// they need a new SSRC. By SetSender, never AddTrack: that would pick its own transceiver.
func (p *Peer) addSenders(slots map[string]slotPlace) error {
	for _, t := range p.pc.GetTransceivers() {
		place, ok := slots[t.Mid()]
		if _, had := p.slots[t.Mid()]; !ok || had {
			continue
		}
		if old := t.Sender(); old != nil {
			if err := old.Stop(); err != nil {
				return err
			}
		}
		track := slotTrack{place}
		s, err := p.newSender(track)
		if err != nil {
			return err
		}
		if err := t.SetSender(s, track); err != nil {
			return err
		}
	}
	return nil
}

// newSender makes a sender whose SSRCs this session has never used. pion draws them at random, and two alike under one
// key would use every nonce twice.
func (p *Peer) newSender(track slotTrack) (*webrtc.RTPSender, error) {
	for {
		s, err := p.api.NewRTPSender(track, p.pc.SCTP().Transport())
		if err != nil {
			return nil, err
		}
		e := s.GetParameters().Encodings[0]
		media, rtx := e.SSRC, e.RTX.SSRC
		if media == 0 || media == rtx || p.ssrcs[media] || p.ssrcs[rtx] {
			continue
		}
		p.ssrcs[media] = true
		if rtx != 0 {
			p.ssrcs[rtx] = true
		}
		return s, nil
	}
}

// slotPlace is a slot's kind and number.
type slotPlace struct {
	video bool
	index int
}

func (s slotPlace) stream() string { return "slot" + strconv.Itoa(s.index) }

// slotTrack is what pion takes for the track of a slot. It never writes: the shard sends.
type slotTrack struct{ slotPlace }

// Bind implements webrtc.TrackLocal.
func (t slotTrack) Bind(c webrtc.TrackLocalContext) (webrtc.RTPCodecParameters, error) {
	if codecs := c.CodecParameters(); len(codecs) > 0 {
		return codecs[0], nil
	}
	return webrtc.RTPCodecParameters{}, webrtc.ErrUnsupportedCodec
}

// Unbind implements webrtc.TrackLocal.
func (slotTrack) Unbind(webrtc.TrackLocalContext) error { return nil }

// ID implements webrtc.TrackLocal.
func (t slotTrack) ID() string { return t.Kind().String() + strconv.Itoa(t.index) }

// RID implements webrtc.TrackLocal.
func (slotTrack) RID() string { return "" }

// StreamID implements webrtc.TrackLocal; pion makes it the CNAME as well.
func (t slotTrack) StreamID() string { return t.stream() }

// Kind implements webrtc.TrackLocal.
func (t slotTrack) Kind() webrtc.RTPCodecType {
	if t.video {
		return webrtc.RTPCodecTypeVideo
	}
	return webrtc.RTPCodecTypeAudio
}

// complete reads pion's answer and writes the one that leaves: with the directions as they are, all candidates, and the
// refused m-lines in their places.
func (a *Answer) complete(o *offer, slots map[string]slotPlace, text string, candidates []string) error {
	blocks, err := splitOffer(text)
	if err != nil {
		return err
	}
	var b strings.Builder
	b.Grow(len(text) + 256)
	put := func(line string) { b.WriteString(line); b.WriteString("\r\n") }
	for _, l := range blocks[0] {
		put(string(l.key) + "=" + l.value)
	}
	blocks = blocks[1:]
	for _, s := range o.sections {
		if s.refused {
			format, _, _ := strings.Cut(s.formats, " ")
			put("m=" + s.media + " 0 " + s.proto + " " + format)
			put("c=IN IP4 0.0.0.0")
			put("a=mid:" + s.mid)
			if s.media == "audio" || s.media == "video" {
				put("a=inactive")
			}
			continue
		}
		if len(blocks) == 0 {
			return fmt.Errorf("pion left out the m-line with mid %q", s.mid)
		}
		place, isSlot := slots[s.mid]
		m, err := readAnswered(s, blocks[0])
		if err != nil {
			return err
		}
		sends := isSlot && s.direction == recvonly
		for _, l := range blocks[0] {
			name, _ := attributeOf(l)
			switch {
			case name == "candidate" || name == "end-of-candidates":
				continue
			case !sends && (name == "ssrc" || name == "ssrc-group" || name == "msid"):
				continue
			case directionOf(name) != 0:
				put("a=" + answerDirection(s.direction))
				continue
			}
			put(string(l.key) + "=" + l.value)
		}
		for _, c := range candidates {
			put(c)
		}
		if candidates != nil {
			put("a=end-of-candidates")
			candidates = nil
		}
		switch {
		case sends:
			a.Slots = append(a.Slots, m.slot(s, place))
		case s.direction == sendonly || s.direction == sendrecv:
			a.Published = append(a.Published, m.published(s))
		}
		blocks = blocks[1:]
	}
	a.SDP = b.String()
	return nil
}

// answerDirection turns the client's direction into ours. Who offers both gets only his sending: slots are m-lines of
// their own.
func answerDirection(d direction) string {
	switch d {
	case recvonly:
		return "sendonly"
	case inactive:
		return "inactive"
	default:
		return "recvonly"
	}
}

// answered is what pion's answer says of one m-line: the only truth, since it is what the client will go by.
type answered struct {
	payload           Payload
	ext               ExtensionIDs
	nack, transportCC bool
	ssrc, rtxSSRC     uint32
}

func readAnswered(s section, lines []sdpLine) (answered, error) {
	m := answered{payload: Payload{Codec: s.codec}}
	fail := func(what string) (answered, error) {
		return m, fmt.Errorf("pion's answer for mid %q has %s", s.mid, what)
	}
	fields := strings.Fields(lines[0].value)
	if len(fields) < 4 || fields[1] == "0" {
		return fail("no live m-line")
	}
	uris := extensionURIs()
	for _, l := range lines {
		name, value := attributeOf(l)
		head, rest, _ := strings.Cut(value, " ")
		switch name {
		case "mid":
			if value != s.mid {
				return fail("another mid: " + value)
			}
		case "rtpmap":
			pt, err := strconv.ParseUint(head, 10, 7)
			if err != nil {
				return fail("payload type " + head)
			}
			if strings.HasPrefix(rest, "rtx/") {
				m.payload.RTXPayloadType = uint8(pt)
			} else {
				m.payload.PayloadType = uint8(pt)
			}
		case "rtcp-fb":
			m.nack = m.nack || rest == "nack"
			m.transportCC = m.transportCC || rest == "transport-cc"
		case "extmap":
			id, err := strconv.ParseUint(head, 10, 8)
			if err != nil {
				return fail("extension id " + head)
			}
			switch rest {
			case uris[extMID]:
				m.ext.MID = uint8(id)
			case uris[extTransportSeq]:
				m.ext.TransportSeq = uint8(id)
			case uris[extAudioLevel]:
				m.ext.AudioLevel = uint8(id)
			case uris[extColorSpace]:
				m.ext.ColorSpace = uint8(id)
			}
		case "ssrc-group":
			if f := strings.Fields(value); len(f) == 3 {
				m.ssrc, m.rtxSSRC = ssrcOf(f[1]), ssrcOf(f[2])
			}
		case "ssrc":
			if m.ssrc == 0 {
				m.ssrc = ssrcOf(head)
			}
		}
	}
	if m.payload.PayloadType != s.pt {
		return fail(fmt.Sprintf("payload type %d where %d was offered", m.payload.PayloadType, s.pt))
	}
	return m, nil
}

func ssrcOf(s string) uint32 {
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil {
		return 0
	}
	return uint32(n)
}

func (m answered) published(s section) Published {
	return Published{
		MID: s.mid, Video: s.video, Payload: m.payload,
		SSRC: s.ssrc, RTXSSRC: s.repair, NACK: m.nack, TransportCC: m.transportCC && m.ext.TransportSeq != 0, Ext: m.ext,
	}
}

func (m answered) slot(s section, place slotPlace) Slot {
	if m.payload.RTXPayloadType == 0 {
		m.rtxSSRC = 0
	}
	return Slot{
		MID: s.mid, Video: s.video, Index: place.index,
		SSRC: m.ssrc, RTXSSRC: m.rtxSSRC, Payloads: []Payload{m.payload},
		NACK: m.nack, TransportCC: m.transportCC && m.ext.TransportSeq != 0, Ext: m.ext, CNAME: place.stream(),
	}
}

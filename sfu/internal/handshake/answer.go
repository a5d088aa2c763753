package handshake

import (
	"context"
	"errors"
	"fmt"

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
	AbsSendTime  uint8 // libwebrtc's docs/native-code/rtp-hdrext/abs-send-time; only of who is sent REMB
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
	NACK bool // the client was told that it may be asked to send again
	// RED is the payload type under which sound may come with copies of what was sent before (RFC 2198); 0: not agreed.
	RED uint8
	// What tells the client of congestion, one of them or none. Never NACK audio that has TransportCC.
	TransportCC bool // transport-wide feedback, of what carries Ext.TransportSeq
	CCFB        bool // congestion control feedback (RFC 8888)
	REMB        bool // our estimate (draft-alvestrand-rmcat-remb-03)
	Ext         ExtensionIDs
	// Encodings are what a=simulcast:send lists and the answer takes (RFC 8853), in the order of the offer; one without a RID
	// when there is no simulcast.
	Encodings []Encoding
}

// Encoding is one stream of a simulcast, or the only one of an m-line without.
type Encoding struct {
	RID           string // empty without simulcast
	SSRC, RTXSSRC uint32 // 0: learn them from the MID, RID and repaired-RID extensions
}

// Policy is what we want of the m-lines on which the client sends. The zero value takes what the client prefers.
type Policy struct {
	// Codecs of video in order of preference; those not named are not taken. Nil: the first in the offer that we know.
	Codecs []codec.Codec
	// MaxEncodings of a simulcast, those listed first in the offer; 0: three.
	MaxEncodings int
	// Saver asks of sound what a network wants that counts each byte: packets of 60 ms, nothing in silence, 12 kbit/s, and no
	// feedback on arrivals.
	Saver bool
}

// Slot is an m-line on which the client receives.
type Slot struct {
	MID         string
	Video       bool
	Index       int // counted from 0, audio and video apart; a slot keeps it while its m-line lives
	SSRC        uint32
	RTXSSRC     uint32    // 0 without RTX
	Payloads    []Payload // any of them may come next: the payload type alone tells; in the client's order of preference
	NACK        bool      // the client may ask for packets again
	RED         uint8     // payload type under which sound may be sent with copies of what was sent before (RFC 2198); 0: not agreed
	FEC         uint8     // payload type under which parity of what is sent may go out on FECSSRC (RFC 8627); 0: not agreed
	FECSSRC     uint32    // 0 without
	TransportCC bool      // the client reports arrivals of what carries Ext.TransportSeq; or, one of the three at most,
	CCFB        bool      // it reports arrivals by SSRC (RFC 8888),
	REMB        bool      // or tells its own estimate (draft-alvestrand-rmcat-remb-03)
	Ext         ExtensionIDs
	Mixed       bool // packets may have two-byte header extensions (RFC 8285 §6): values of more than 16 bytes, ids above 14
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
	// Ended are the mids of slots that earlier answers had and that are no more: their m-lines have been stopped, or take
	// other codecs or extensions now. Their places are free, and one of Slots may have taken one, even of the same mid.
	Ended []string
}

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
	o, agreed, err := parseOffer(sdp, p.agreed, policy)
	if err != nil {
		return nil, err
	}
	slots, gone, err := p.planSlots(o)
	if err != nil {
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
	a.Ended = gone
	p.agreed, p.slots = agreed, slots
	for _, s := range slots {
		p.ssrcs[s.ssrc], p.ssrcs[s.rtx] = true, true
		if s.parity != 0 {
			p.ssrcs[s.parity] = true
		}
	}
	return a, nil
}

// sending tells on which m-lines the client sends, and whether that is video.
func (o *offer) sending() map[string]bool {
	sending := map[string]bool{}
	for _, s := range o.sections {
		if !s.refused && s.sends() {
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
	text, err := p.negotiate(ctx, o)
	if err != nil {
		return nil, err
	}

	// Out of the answer, not from pion's ICETransport: that is being started, and reads there would race with it.
	t := transportOf(text)
	if t.ufrag != p.ufrag {
		p.ufrag = t.ufrag
		if p.hooks.LocalCredentials != nil {
			p.hooks.LocalCredentials(t.ufrag, t.pwd)
		}
	}
	p.id.version++
	a := &Answer{LocalUfrag: t.ufrag, LocalPwd: t.pwd, RemoteUfrag: o.ufrag, RemotePwd: o.pwd}
	a.write(o, slots, t, p.id, p.engine.candidates)
	return a, nil
}

// negotiate takes the offer's ICE and DTLS through pion and returns pion's answer.
func (p *Peer) negotiate(ctx context.Context, o *offer) (string, error) {
	reduced := o.reduce(p.engine.checkable(o.candidates))
	if err := p.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: reduced}); err != nil {
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

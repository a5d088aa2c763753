package client

import (
	"fmt"
	"strings"

	"github.com/pion/webrtc/v4"
)

// The codecs that are offered, under the payload types that Chromium gives them: a slot takes all of them, and the payload
// type of a packet tells which it is.

const (
	payloadOpus = 111
	payloadRED  = 63 // copies of earlier packets of Opus in front of a packet's own (RFC 2198)
)

// mimeRED is the MIME type of RED as SDP has it.
const mimeRED = "audio/red"

// pictureCodec is one codec of video; its RTX (RFC 4588) has the payload type behind its own.
type pictureCodec struct {
	mime        string
	payloadType webrtc.PayloadType
	fmtp        string
}

// pictureCodecs are in the order in which a track is offered that does not say what it holds.
func pictureCodecs() [4]pictureCodec {
	return [...]pictureCodec{
		{webrtc.MimeTypeVP8, 96, ""},
		{webrtc.MimeTypeVP9, 98, "profile-id=0"},
		{webrtc.MimeTypeH264, 108, "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f"},
		{webrtc.MimeTypeAV1, 45, ""},
	}
}

// parameters are what pion knows of the codec and of its RTX.
func (c pictureCodec) parameters() []webrtc.RTPCodecParameters {
	feedback := []webrtc.RTCPFeedback{{Type: "ccm", Parameter: "fir"}, {Type: "nack"}, {Type: "nack", Parameter: "pli"}, {Type: "transport-cc"}}
	return []webrtc.RTPCodecParameters{
		{PayloadType: c.payloadType, RTPCodecCapability: webrtc.RTPCodecCapability{
			MimeType: c.mime, ClockRate: 90000, SDPFmtpLine: c.fmtp, RTCPFeedback: feedback,
		}},
		{PayloadType: c.payloadType + 1, RTPCodecCapability: webrtc.RTPCodecCapability{
			MimeType: webrtc.MimeTypeRTX, ClockRate: 90000, SDPFmtpLine: fmt.Sprintf("apt=%d", c.payloadType),
		}},
	}
}

// registerCodecs tells an engine of all of them.
func registerCodecs(engine *webrtc.MediaEngine) error {
	for _, p := range []webrtc.RTPCodecParameters{
		{PayloadType: payloadOpus, RTPCodecCapability: webrtc.RTPCodecCapability{
			MimeType: webrtc.MimeTypeOpus, ClockRate: 48000, Channels: 2, SDPFmtpLine: "minptime=10;useinbandfec=1",
			RTCPFeedback: []webrtc.RTCPFeedback{{Type: webrtc.TypeRTCPFBNACK}},
		}},
		{PayloadType: payloadRED, RTPCodecCapability: webrtc.RTPCodecCapability{
			MimeType: mimeRED, ClockRate: 48000, Channels: 2, SDPFmtpLine: fmt.Sprintf("%d/%d", payloadOpus, payloadOpus),
		}},
	} {
		if err := engine.RegisterCodec(p, webrtc.RTPCodecTypeAudio); err != nil {
			return err
		}
	}
	for _, c := range pictureCodecs() {
		for _, p := range c.parameters() {
			if err := engine.RegisterCodec(p, webrtc.RTPCodecTypeVideo); err != nil {
				return err
			}
		}
	}
	return nil
}

// mimeOf names the codec of a payload type, empty for none of ours.
func mimeOf(payloadType uint8) string {
	switch payloadType {
	case payloadOpus:
		return webrtc.MimeTypeOpus
	case payloadRED:
		return mimeRED
	}
	for _, c := range pictureCodecs() {
		if c.payloadType == webrtc.PayloadType(payloadType) {
			return c.mime
		}
	}
	return ""
}

// repairs is the payload type of what came as RTX of this one. pion says the one that the track has now, which is another after a
// change of codecs, and none before the first packet that came the straight way: probes of the server may come before it.
func repairs(repair, otherwise uint8) uint8 {
	for _, c := range pictureCodecs() {
		if c.payloadType+1 == webrtc.PayloadType(repair) {
			return uint8(c.payloadType)
		}
	}
	return otherwise
}

// codecOf is the MIME type of what a track holds; empty when it does not tell.
func codecOf(t webrtc.TrackLocal) string {
	told, ok := t.(interface {
		Codec() webrtc.RTPCodecCapability
	})
	if !ok {
		return ""
	}
	return told.Codec().MimeType
}

// preferences is what the m-line of a track of this codec offers; nil: everything.
func preferences(mime string) []webrtc.RTPCodecParameters {
	for _, c := range pictureCodecs() {
		if strings.EqualFold(c.mime, mime) {
			return c.parameters()
		}
	}
	return nil
}

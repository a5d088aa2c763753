package client

import (
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/pion/interceptor"
	"github.com/pion/rtp"
	"github.com/pion/sdp/v3"
	"github.com/pion/webrtc/v4"
)

// names is the interceptor that puts MID and RID on what a simulcast sends (RFC 8843 §15, RFC 8852 §3), which pion leaves to
// others: on its packets until a report shows that the server knows their SSRC, on what is sent again always. It is the
// innermost of the chain: retransmissions are made further out.
type names struct {
	interceptor.NoOp

	// Guarded by mu.
	mu     sync.Mutex
	bySSRC map[uint32]*name
}

// name is what the packets of one encoding carry.
type name struct {
	mid, rid                 string
	level                    int
	midID, ridID, repairedID uint8 // of the header extensions; 0 when not agreed
	known                    atomic.Bool
}

// NewInterceptor implements interceptor.Factory: each PeerConnection has names of its own.
func (n *names) NewInterceptor(string) (interceptor.Interceptor, error) { return n, nil }

// bind takes note of an encoding that begins to be sent.
func (n *names) bind(c webrtc.TrackLocalContext, mid, rid string, level int) {
	x := &name{mid: mid, rid: rid, level: level}
	for _, e := range c.HeaderExtensions() {
		switch e.URI {
		case sdp.SDESMidURI:
			x.midID = uint8(e.ID)
		case sdp.SDESRTPStreamIDURI:
			x.ridID = uint8(e.ID)
		case sdp.SDESRepairRTPStreamIDURI:
			x.repairedID = uint8(e.ID)
		}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.bySSRC[uint32(c.SSRC())] = x
}

// reported: the server has named this SSRC.
func (n *names) reported(ssrc uint32) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if x := n.bySSRC[ssrc]; x != nil {
		x.known.Store(true)
	}
}

// priority orders the streams of video for the pacer: smaller encodings leave first.
func (n *names) priority(info *interceptor.StreamInfo) uint8 {
	n.mu.Lock()
	defer n.mu.Unlock()
	if x := n.bySSRC[info.SSRC]; x != nil {
		return uint8(x.level)
	}
	return 0
}

// UnbindLocalStream implements interceptor.Interceptor.
func (n *names) UnbindLocalStream(info *interceptor.StreamInfo) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.bySSRC, info.SSRC)
}

// BindLocalStream implements interceptor.Interceptor.
func (n *names) BindLocalStream(info *interceptor.StreamInfo, writer interceptor.RTPWriter) interceptor.RTPWriter {
	unnumber(info)
	n.mu.Lock()
	x := n.bySSRC[info.SSRC]
	n.mu.Unlock()
	if x == nil {
		return writer
	}
	ssrc := info.SSRC
	return interceptor.RTPWriterFunc(func(h *rtp.Header, payload []byte, a interceptor.Attributes) (int, error) {
		id := x.ridID
		switch {
		case h.SSRC != ssrc:
			id = x.repairedID
		case x.known.Load():
			return writer.Write(h, payload, a)
		}
		out := h.Clone()
		if err := put(&out, x.midID, x.mid); err != nil {
			return 0, err
		}
		if err := put(&out, id, x.rid); err != nil {
			return 0, err
		}
		return writer.Write(&out, payload, a)
	})
}

// unnumber keeps the transport-wide number off sound that may be asked for again: the server has left it out of those m-lines, asks
// nothing of who writes it nevertheless, and pion would, for it agrees on extensions by the kind of media. The slots have it.
func unnumber(info *interceptor.StreamInfo) {
	if strings.HasPrefix(info.MimeType, "audio/") && slices.ContainsFunc(info.RTCPFeedback, isNACK) {
		info.RTPHeaderExtensions = slices.DeleteFunc(slices.Clone(info.RTPHeaderExtensions), func(e interceptor.RTPHeaderExtension) bool {
			return e.URI == sdp.TransportCCURI
		})
	}
}

func isNACK(f interceptor.RTCPFeedback) bool {
	return f.Type == webrtc.TypeRTCPFBNACK && f.Parameter == ""
}

func put(h *rtp.Header, id uint8, value string) error {
	if id == 0 {
		return nil
	}
	return h.SetExtension(id, []byte(value))
}

// taken tells, by mid, which streams of a simulcast an answer takes (RFC 8853 §5.3.2).
func taken(answer string) map[string][]string {
	all := map[string][]string{}
	mid := ""
	for line := range strings.Lines(answer) {
		line = strings.TrimRight(line, "\r\n")
		if v, ok := strings.CutPrefix(line, "a=mid:"); ok {
			mid = v
		}
		if v, ok := strings.CutPrefix(line, "a=simulcast:recv "); ok {
			all[mid] = strings.Split(v, ";")
		}
	}
	return all
}

// admit shuts the encodings that an answer does not take. Without a simulcast in it the first one is all there is.
func (p *publication) admit(simulcasts map[string][]string) {
	if len(p.gates) == 1 {
		return
	}
	rids := simulcasts[p.transceiver.Mid()]
	for i, g := range p.gates {
		g.set(refused, !slices.Contains(rids, g.rid) && (i > 0 || len(rids) > 0))
	}
}

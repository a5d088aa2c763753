package light

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/tolkyn/tolkyn/bench/measure"
	"github.com/tolkyn/tolkyn/bench/scenario"
)

// Header extension ids and payload types of the offer: the web SDK's.
const (
	extLevel     = 1
	extTransport = 3
	extMID       = 4
	extRID       = 10
	extRepaired  = 11

	payloadOpus = 111
	payloadVP8  = 96
	payloadRTX  = 97
)

// credentials are what one side shows the other: ICE's (RFC 8445 §5.3) and DTLS's.
type credentials struct {
	ufrag, password string
	fingerprint     string // of our certificate, SHA-256
}

// offer writes the m-lines that the web SDK offers: what is sent first, then the receive slots.
func offer(p *scenario.Caller, published []*published, own credentials) string {
	var lines, mids []string
	add := func(mid string, kind measure.Kind, direction, source string) {
		mids = append(mids, mid)
		formats, codec := "111", "a=rtpmap:111 opus/48000/2\r\na=fmtp:111 minptime=10;useinbandfec=1\r\n"+
			"a=rtcp-fb:111 transport-cc\r\na=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level\r\n"
		if kind == measure.Video {
			formats = "96 97"
			codec = "a=rtpmap:96 VP8/90000\r\na=rtcp-fb:96 transport-cc\r\na=rtcp-fb:96 ccm fir\r\na=rtcp-fb:96 nack\r\n" +
				"a=rtcp-fb:96 nack pli\r\na=rtpmap:97 rtx/90000\r\na=fmtp:97 apt=96\r\n"
		}
		lines = append(lines, fmt.Sprintf("m=%s 9 UDP/TLS/RTP/SAVPF %s\r\nc=IN IP4 0.0.0.0\r\na=rtcp:9 IN IP4 0.0.0.0\r\n"+
			"a=ice-ufrag:%s\r\na=ice-pwd:%s\r\na=ice-options:trickle\r\na=fingerprint:sha-256 %s\r\na=setup:actpass\r\n"+
			"a=mid:%s\r\na=extmap:3 http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01\r\n"+
			"a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid\r\na=%s\r\na=rtcp-mux\r\na=rtcp-rsize\r\n%s%s",
			kind, formats, own.ufrag, own.password, own.fingerprint, mid, direction, codec, source))
	}
	for i, t := range published {
		if i > 0 && published[i-1].mid == t.mid {
			continue // another encoding of the same picture
		}
		if t.rid != "" {
			add(t.mid, t.kind, "sendonly", simulcast(published[i:], t.mid))
			continue
		}
		source := fmt.Sprintf("a=msid:%[1]s %[1]s\r\na=ssrc:%[2]d cname:light\r\n", t.mid, t.ssrc)
		if t.kind == measure.Video {
			source = fmt.Sprintf("a=msid:%[1]s %[1]s\r\na=ssrc-group:FID %[2]d %[3]d\r\na=ssrc:%[2]d cname:light\r\na=ssrc:%[3]d cname:light\r\n",
				t.mid, t.ssrc, t.rtx)
		}
		add(t.mid, t.kind, "sendonly", source)
	}
	for i := range p.AudioSlots {
		add("ra"+strconv.Itoa(i), measure.Audio, "recvonly", "")
	}
	for i := range p.VideoSlots {
		add("rv"+strconv.Itoa(i), measure.Video, "recvonly", "")
	}
	return "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE " + strings.Join(mids, " ") +
		"\r\na=extmap-allow-mixed\r\na=msid-semantic: WMS\r\n" + strings.Join(lines, "")
}

// simulcast writes that an m-line sends several encodings (RFC 8853); their SSRCs are told by the packets, as browsers have it.
func simulcast(published []*published, mid string) string {
	lines := "a=extmap:10 urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id\r\n" +
		"a=extmap:11 urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id\r\na=msid:" + mid + " " + mid + "\r\n"
	var rids []string
	for _, t := range published {
		if t.mid == mid {
			lines += "a=rid:" + t.rid + " send\r\n"
			rids = append(rids, t.rid)
		}
	}
	return lines + "a=simulcast:send " + strings.Join(rids, ";") + "\r\n"
}

// answer is what the server said to the offer, as far as light callers go by it.
type answer struct {
	ufrag, password string
	server          netip.AddrPort // its first UDP candidate
	slots           []slot
}

// slot is a receive position.
type slot struct {
	mid       string
	kind      measure.Kind
	ssrc, rtx uint32
}

// parseAnswer never fails on what it does not know.
func parseAnswer(sdp string) (answer, error) {
	var a answer
	var current slot
	var sends bool
	flush := func() {
		if sends && current.ssrc != 0 {
			a.slots = append(a.slots, current)
		}
	}
	for line := range strings.SplitSeq(sdp, "\r\n") {
		key, value, _ := strings.Cut(line, ":")
		switch {
		case strings.HasPrefix(line, "m="):
			flush()
			kind, _, _ := strings.Cut(line[2:], " ")
			current, sends = slot{kind: measure.Kind(kind)}, false
		case key == "a=ice-ufrag" && a.ufrag == "":
			a.ufrag = value
		case key == "a=ice-pwd" && a.password == "":
			a.password = value
		case key == "a=mid":
			current.mid = value
		case line == "a=sendonly" || line == "a=sendrecv":
			sends = true
		case key == "a=ssrc-group":
			if f := strings.Fields(value); len(f) == 3 && f[0] == "FID" {
				current.ssrc, current.rtx = number(f[1]), number(f[2])
			}
		case key == "a=ssrc" && current.ssrc == 0:
			first, _, _ := strings.Cut(value, " ")
			current.ssrc = number(first)
		case key == "a=candidate" && !a.server.IsValid():
			if f := strings.Fields(value); len(f) >= 6 && strings.EqualFold(f[2], "udp") {
				// One that is no address (a name, say) is passed over.
				addr, err := netip.ParseAddr(f[4])
				port, bad := strconv.ParseUint(f[5], 10, 16)
				if err == nil && bad == nil {
					a.server = netip.AddrPortFrom(addr.Unmap(), uint16(port))
				}
			}
		}
	}
	flush()
	if a.ufrag == "" || a.password == "" || !a.server.IsValid() {
		return answer{}, fmt.Errorf("read the answer: it needs a=ice-ufrag (%q), a=ice-pwd and a UDP candidate (%v)", a.ufrag, a.server)
	}
	return a, nil
}

func number(s string) uint32 {
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil {
		return 0
	}
	return uint32(n)
}

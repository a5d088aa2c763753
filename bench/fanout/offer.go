//go:build linux

package main

import (
	"crypto"
	"crypto/tls"
	"fmt"
	"net/netip"
	"strings"
)

// Header extension ids and payload types of the offer, the web SDK's.
const (
	extTransport = 3
	extLevel     = 1
	extMID       = 4
	ptOpus       = 111
	ptVP8        = 96
	ptRTX        = 97
)

type tlsCertificate = tls.Certificate

const crypto256 = crypto.SHA256

// offer writes the m-lines the web SDK offers: what is sent first, then the receive slots.
func offer(s shape, ufrag, pwd, print string, ssrcA, ssrcV uint32) string {
	var lines []string
	var mids []string
	add := func(mid, kind, direction, body string) {
		mids = append(mids, mid)
		pts, codec := "111", "a=rtpmap:111 opus/48000/2\r\na=fmtp:111 minptime=10;useinbandfec=1\r\na=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level\r\n"
		if kind == "video" {
			pts = "96 97"
			codec = "a=rtpmap:96 VP8/90000\r\na=rtcp-fb:96 transport-cc\r\na=rtcp-fb:96 ccm fir\r\na=rtcp-fb:96 nack\r\na=rtcp-fb:96 nack pli\r\na=rtpmap:97 rtx/90000\r\na=fmtp:97 apt=96\r\n"
		} else {
			codec += "a=rtcp-fb:111 transport-cc\r\n"
		}
		lines = append(lines, fmt.Sprintf("m=%s 9 UDP/TLS/RTP/SAVPF %s\r\nc=IN IP4 0.0.0.0\r\na=rtcp:9 IN IP4 0.0.0.0\r\na=ice-ufrag:%s\r\na=ice-pwd:%s\r\na=ice-options:trickle\r\na=fingerprint:sha-256 %s\r\na=setup:actpass\r\na=mid:%s\r\na=extmap:3 http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01\r\na=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid\r\na=%s\r\na=rtcp-mux\r\na=rtcp-rsize\r\n%s%s",
			kind, pts, ufrag, pwd, print, mid, direction, codec, body))
	}
	source := func(ssrcs ...uint32) string {
		var b strings.Builder
		b.WriteString("a=msid:s t\r\n")
		if len(ssrcs) == 2 {
			fmt.Fprintf(&b, "a=ssrc-group:FID %d %d\r\n", ssrcs[0], ssrcs[1])
		}
		for _, ssrc := range ssrcs {
			fmt.Fprintf(&b, "a=ssrc:%d cname:fanout\r\n", ssrc)
		}
		return b.String()
	}
	if s.sendAudio {
		add("a", "audio", "sendonly", source(ssrcA))
	}
	if s.sendVideo {
		add("v", "video", "sendonly", source(ssrcV, ssrcV+1))
	}
	for i := range s.audioSlots {
		add(fmt.Sprintf("ra%d", i), "audio", "recvonly", "")
	}
	for i := range s.videoSlots {
		add(fmt.Sprintf("rv%d", i), "video", "recvonly", "")
	}
	return "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE " + strings.Join(mids, " ") +
		"\r\na=extmap-allow-mixed\r\na=msid-semantic: WMS\r\n" + strings.Join(lines, "")
}

// parseAnswer takes the credentials and the first UDP candidate.
func parseAnswer(sdp string) (ufrag, pwd string, server netip.AddrPort, err error) {
	for line := range strings.SplitSeq(sdp, "\r\n") {
		if v, ok := strings.CutPrefix(line, "a=ice-ufrag:"); ok && ufrag == "" {
			ufrag = v
		}
		if v, ok := strings.CutPrefix(line, "a=ice-pwd:"); ok && pwd == "" {
			pwd = v
		}
		if v, ok := strings.CutPrefix(line, "a=candidate:"); ok && !server.IsValid() {
			f := strings.Fields(v)
			if len(f) >= 6 && strings.EqualFold(f[2], "udp") {
				server, err = netip.ParseAddrPort(f[4] + ":" + f[5])
			}
		}
	}
	if err != nil || ufrag == "" || pwd == "" || !server.IsValid() {
		return "", "", netip.AddrPort{}, fmt.Errorf("read answer: ufrag %q, candidate %v: %v", ufrag, server, err)
	}
	return ufrag, pwd, server, nil
}

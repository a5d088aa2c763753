package handshake

import (
	"fmt"
	"strconv"
	"strings"
)

// reduce writes the offer anew with only what pion needs: what has not been checked does not reach it, and 50 kB of a
// browser's codecs are neither parsed nor kept. candidates are the lines of those it may check. slot tells which m-lines are to be answered by a sender of ours.
func (o *offer) reduce(slot func(mid string) bool, candidates []string) string {
	var b strings.Builder
	b.Grow(512 + 512*len(o.sections))
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\r\n", args...) }
	line("v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0")
	group := "a=group:BUNDLE"
	for _, s := range o.sections {
		if !s.refused {
			group += " " + s.mid
		}
	}
	line("%s", group)
	if o.mixed {
		line("a=extmap-allow-mixed")
	}
	line("a=ice-ufrag:%s", o.ufrag)
	line("a=ice-pwd:%s", o.pwd)
	line("a=fingerprint:%s", o.fingerprint)
	for _, s := range o.sections {
		if s.refused {
			continue
		}
		formats := strconv.Itoa(int(s.pt))
		if s.rtx != 0 {
			formats += " " + strconv.Itoa(int(s.rtx))
		}
		line("m=%s 9 UDP/TLS/RTP/SAVPF %s", s.media, formats)
		line("c=IN IP4 0.0.0.0")
		for _, c := range candidates {
			line("%s", c)
		}
		candidates = nil
		line("a=setup:actpass")
		line("a=mid:%s", s.mid)
		// Inactive would make pion stop the sender for good: it never hears of it.
		if slot(s.mid) {
			line("a=recvonly")
		} else {
			line("a=sendonly")
		}
		line("a=rtcp-mux")
		if s.video {
			line("a=rtpmap:%d VP8/90000", s.pt)
		} else {
			line("a=rtpmap:%d opus/48000/2", s.pt)
			line("a=fmtp:%d %s", s.pt, opusFmtp)
		}
		for _, f := range s.feedback {
			line("a=rtcp-fb:%d %s", s.pt, f)
		}
		if s.rtx != 0 {
			line("a=rtpmap:%d rtx/90000", s.rtx)
			line("a=fmtp:%d apt=%d", s.rtx, s.pt)
		}
		for i, uri := range extensionURIs() {
			if s.extensions[i] != 0 {
				line("a=extmap:%d %s", s.extensions[i], uri)
			}
		}
	}
	return b.String()
}

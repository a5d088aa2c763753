package handshake

import (
	"fmt"
	"strings"
)

// reduce writes what pion gets of an offer: one m-line that stands for all of the bundle, with the client's ICE and DTLS.
// Media never reaches pion, so that it need not know of codecs, slots and streams; a peer weighs the same with one slot as
// with fifty, and what a stranger wrote does not come near it. candidates are the lines of those it may check.
func (o *offer) reduce(candidates []string) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\r\n", args...) }
	line("v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0")
	line("a=group:BUNDLE 0")
	line("a=ice-ufrag:%s", o.ufrag)
	line("a=ice-pwd:%s", o.pwd)
	line("a=fingerprint:%s", o.fingerprint)
	line("m=audio 9 UDP/TLS/RTP/SAVPF 111")
	line("c=IN IP4 0.0.0.0")
	for _, c := range candidates {
		line("%s", c)
	}
	line("a=setup:actpass\r\na=mid:0\r\na=sendonly\r\na=rtcp-mux")
	line("a=rtpmap:111 opus/48000/2")
	return b.String()
}

// transport is what pion's answer tells.
type transport struct{ ufrag, pwd, fingerprint string }

func transportOf(answer string) (t transport) {
	for line := range strings.Lines(answer) {
		line = strings.TrimRight(line, "\r\n")
		if v, ok := strings.CutPrefix(line, "a=ice-ufrag:"); ok {
			t.ufrag = v
		}
		if v, ok := strings.CutPrefix(line, "a=ice-pwd:"); ok {
			t.pwd = v
		}
		if v, ok := strings.CutPrefix(line, "a=fingerprint:"); ok {
			t.fingerprint = v
		}
	}
	return t
}

package voice

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// What a client offers, as Chromium does: payload types and ids of header extensions.
const (
	opusType, redType = 111, 63
	levelID           = 1
	transportID       = 3
	midID             = 4

	transportURI = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01"
)

// mline is one m-line of sound in an offer.
type mline struct {
	sends     bool // else it receives
	ssrc      uint32
	red       bool // it offers RED
	nack      bool // it offers to ask again, or to be asked
	transport bool // it offers transport-wide feedback
}

// offer writes a client's offer.
func offer(c *client, print string, lines []mline) string {
	var b strings.Builder
	b.WriteString("v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE")
	for i := range lines {
		fmt.Fprintf(&b, " %d", i)
	}
	b.WriteString("\r\na=extmap-allow-mixed\r\n")
	for i, line := range lines {
		types, direction := fmt.Sprint(opusType), "recvonly"
		if line.red {
			types += fmt.Sprintf(" %d", redType)
		}
		if line.sends {
			direction = "sendonly"
		}
		fmt.Fprintf(&b, "m=audio 9 UDP/TLS/RTP/SAVPF %s\r\nc=IN IP4 0.0.0.0\r\na=ice-ufrag:%s\r\na=ice-pwd:%s\r\na=fingerprint:sha-256 %s\r\n"+
			"a=setup:actpass\r\na=mid:%d\r\na=%s\r\na=rtcp-mux\r\na=rtcp-rsize\r\n"+
			"a=extmap:%d urn:ietf:params:rtp-hdrext:ssrc-audio-level\r\na=extmap:%d urn:ietf:params:rtp-hdrext:sdes:mid\r\n"+
			"a=rtpmap:%d opus/48000/2\r\na=fmtp:%[9]d minptime=10;useinbandfec=1\r\n",
			types, c.ufrag, c.pwd, print, i, direction, levelID, midID, opusType)
		if line.transport {
			fmt.Fprintf(&b, "a=extmap:%d %s\r\na=rtcp-fb:%d transport-cc\r\n", transportID, transportURI, opusType)
		}
		if line.nack {
			fmt.Fprintf(&b, "a=rtcp-fb:%d nack\r\n", opusType)
		}
		if line.red {
			fmt.Fprintf(&b, "a=rtpmap:%d red/48000/2\r\na=fmtp:%[1]d %d/%[2]d\r\n", redType, opusType)
		}
		if line.sends {
			fmt.Fprintf(&b, "a=ssrc:%d cname:%s\r\n", line.ssrc, c.name)
		}
	}
	return b.String()
}

// agreed is what the answer says of one m-line.
type agreed struct {
	ssrc      uint32 // of what the server sends
	red       bool
	nack      bool
	transport bool
	ptime     int    // ms; 0: not told
	fmtp      string // of Opus
}

// take reads the answer: credentials, and what was agreed of each m-line, which its mouth and ears hear of.
func (c *client) take(answer string, lines []mline) error {
	var all []agreed
	for line := range strings.SplitSeq(answer, "\r\n") {
		if v, ok := strings.CutPrefix(line, "a=ice-ufrag:"); ok {
			c.toUfrag = v
		}
		if v, ok := strings.CutPrefix(line, "a=ice-pwd:"); ok {
			c.toPwd = v
		}
		if v, ok := strings.CutPrefix(line, "m=audio "); ok {
			all = append(all, agreed{})
			for _, word := range strings.Fields(v) {
				all[len(all)-1].red = all[len(all)-1].red || word == strconv.Itoa(redType)
			}
		}
		if len(all) > 0 {
			all[len(all)-1].read(line)
		}
	}
	if len(all) != len(lines) || c.toUfrag == "" || c.toPwd == "" {
		return errors.New("it has other m-lines, or no credentials")
	}
	ear := 0
	for i, line := range lines {
		if line.sends {
			c.mouth.agreed = all[i]
			continue
		}
		c.ears[ear].agreed, c.ears[ear].ssrc = all[i], all[i].ssrc
		ear++
	}
	return nil
}

func (a *agreed) read(line string) {
	opus := strconv.Itoa(opusType)
	switch {
	case line == "a=rtcp-fb:"+opus+" nack":
		a.nack = true
	case strings.HasPrefix(line, "a=extmap:") && strings.HasSuffix(line, transportURI):
		a.transport = true // the feedback may be named without it: then there is nothing to tell of
	case strings.HasPrefix(line, "a=fmtp:"+opus+" "):
		a.fmtp = line
	case strings.HasPrefix(line, "a=ptime:"):
		a.ptime, _ = strconv.Atoi(strings.TrimPrefix(line, "a=ptime:"))
	case strings.HasPrefix(line, "a=ssrc:") && a.ssrc == 0:
		word, _, _ := strings.Cut(strings.TrimPrefix(line, "a=ssrc:"), " ")
		n, err := strconv.ParseUint(word, 10, 32)
		if err == nil {
			a.ssrc = uint32(n)
		}
	}
}

package handshake

import (
	"fmt"
	"strings"
)

// How the text of an offer falls into lines, and the alphabets of what stands in them.

type sdpLine struct {
	number int
	key    byte
	value  string
}

// splitOffer returns the session's lines and those of each m-line (which comes first in its block).
func splitOffer(text string) ([][]sdpLine, error) {
	blocks := [][]sdpLine{nil}
	number := 0
	for raw := range strings.Lines(text) {
		number++
		raw = strings.TrimRight(raw, "\r\n")
		if raw == "" {
			continue
		}
		if len(raw) < 2 || raw[1] != '=' {
			return nil, bad(number, quote(raw)+" is no SDP line", "write type=value (RFC 8866)")
		}
		for i := range len(raw) {
			if raw[i] < ' ' && raw[i] != '\t' || raw[i] == 0x7f {
				return nil, bad(number, "it holds a control character", "send the offer as the browser made it")
			}
		}
		if number == 1 && raw != "v=0" {
			return nil, bad(1, quote(raw)+" where v=0 belongs", "send the sdp field of an RTCSessionDescription")
		}
		if raw[0] == 'm' {
			if len(blocks) > MaxMLines {
				return nil, &OfferError{
					ErrTooManyMLines, number, fmt.Sprintf("there are more than %d", MaxMLines),
					"offer fewer transceivers",
				}
			}
			blocks = append(blocks, nil)
		}
		last := len(blocks) - 1
		blocks[last] = append(blocks[last], sdpLine{number, raw[0], raw[2:]})
	}
	if len(blocks) == 1 {
		return nil, bad(0, "it has no m-line", "add a transceiver before createOffer")
	}
	return blocks, nil
}

func attributeOf(l sdpLine) (name, value string) {
	if l.key != 'a' {
		return "", ""
	}
	name, value, _ = strings.Cut(l.value, ":")
	return name, value
}

// isToken follows RFC 8866 §9 without the characters nobody uses in a mid.
func isToken(s string) bool {
	if s == "" {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if !isAlphanumeric(c) && c != '-' && c != '_' && c != '.' && c != '{' && c != '}' && c != '+' {
			return false
		}
	}
	return true
}

func isAlphanumeric(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}

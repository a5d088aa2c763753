package handshake

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/tolkyn/tolkyn/codec"
)

// Which codec of an m-line is taken, under which payload types and with which feedback.

// readCodec finds the m-line's Opus or VP8, its RTX and its feedback.
func (r *offerReader) readCodec(s *section, lines []sdpLine) error {
	var name [128]string // by payload type, as rtpmap says
	var apt [128]string
	for _, l := range lines {
		key, value := attributeOf(l)
		if key != "rtpmap" && key != "fmtp" {
			continue
		}
		number, rest, _ := strings.Cut(value, " ")
		pt, err := strconv.ParseUint(number, 10, 8)
		if err != nil || pt > 127 {
			return bad(l.number, quote(number)+" is no payload type", "use 0 to 127")
		}
		if key == "rtpmap" {
			name[pt] = strings.ToLower(rest)
			continue
		}
		for parameter := range strings.SplitSeq(rest, ";") {
			if a, ok := strings.CutPrefix(strings.TrimSpace(parameter), "apt="); ok {
				apt[pt] = a
			}
		}
	}
	want, codecs, c := "opus/48000/2", "Opus", codec.Opus
	if s.video {
		want, codecs, c = "vp8/90000", "VP8", codec.VP8
	}
	found := false
	for format := range strings.FieldsSeq(s.formats) {
		pt, err := strconv.ParseUint(format, 10, 8)
		if err != nil || pt > 127 {
			return bad(s.line, quote(format)+" is no payload type", "use 0 to 127")
		}
		switch {
		case !found && name[pt] == want:
			found, s.codec, s.pt = true, c, uint8(pt)
		case found && s.video && s.rtx == 0 && name[pt] == "rtx/90000" && apt[pt] == strconv.Itoa(int(s.pt)):
			s.rtx = uint8(pt)
		}
	}
	if !found {
		return &OfferError{
			ErrNoCodec, s.line, fmt.Sprintf("mid %s offers no %s", quote(s.mid), codecs),
			fmt.Sprintf("leave %s among the codecs of each %s transceiver", codecs, s.media),
		}
	}
	if err := r.agree(s); err != nil {
		return err
	}
	for _, l := range lines {
		key, value := attributeOf(l)
		if key != "rtcp-fb" {
			continue
		}
		number, kind, _ := strings.Cut(value, " ")
		if number != "*" && number != strconv.Itoa(int(s.pt)) || len(s.feedback) >= len(feedbackKinds(s.video)) {
			continue
		}
		for _, known := range feedbackKinds(s.video) {
			if kind == known && !contains(s.feedback, kind) {
				s.feedback = append(s.feedback, kind)
			}
		}
	}
	return nil
}

func feedbackKinds(video bool) []string {
	if !video {
		return []string{"transport-cc"}
	}
	return []string{"nack", "nack pli", "ccm fir", "transport-cc"}
}

func contains(list []string, s string) bool {
	for _, x := range list {
		if x == s {
			return true
		}
	}
	return false
}

// agree checks a payload type against the m-lines and offers before it.
func (r *offerReader) agree(s *section) error {
	a := &r.agreed
	set := func(have *uint8, pt uint8, what string) error {
		if pt >= 64 && pt <= 95 {
			return bad(s.line, fmt.Sprintf("payload type %d of %s looks like RTCP on a shared port", pt, what), "use 35 to 63 or 96 to 127 (RFC 5761)")
		}
		if *have != 0 && *have != pt {
			return bad(s.line, fmt.Sprintf("%s is payload type %d here and %d before", what, pt, *have), "use one for all bundled m-lines")
		}
		*have = pt
		return nil
	}
	if !s.video {
		if err := set(&a.opus, s.pt, "Opus"); err != nil {
			return err
		}
	} else {
		if err := set(&a.vp8, s.pt, "VP8"); err != nil {
			return err
		}
		if s.rtx != 0 {
			if err := set(&a.rtx, s.rtx, "RTX of VP8"); err != nil {
				return err
			}
		}
	}
	if a.opus != 0 && (a.opus == a.vp8 || a.opus == a.rtx) || a.vp8 != 0 && a.vp8 == a.rtx {
		return bad(s.line, "one payload type names two codecs", "use one for each codec in the bundle")
	}
	return nil
}

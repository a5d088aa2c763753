package handshake

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/tolkyn/tolkyn/codec"
)

// Which codecs of an m-line are taken, under which payload types, with which parameters and feedback.

// format is one codec of an m-line, as the answer names it.
type format struct {
	Payload
	kind     uint8  // of H.264: its profile; else 0
	red      uint8  // of Opus: payload type of packets that bring copies of earlier ones (RFC 2198); 0 without
	fmtp     string // its parameters in the answer
	feedback feedback
}

// feedback is a set of RTCP messages (RFC 4585 §4.2), a bit for each of feedbackKinds.
type feedback uint8

const (
	feedbackNACK feedback = 1 << iota
	feedbackPLI
	feedbackFIR
	feedbackTransportCC
	feedbackREMB
	feedbackCCFB
	feedbackCount = iota
)

// feedbackKinds are the messages in the order of their bits.
func feedbackKinds() [feedbackCount]string {
	return [feedbackCount]string{"nack", "nack pli", "ccm fir", "transport-cc", "goog-remb", "ack ccfb"}
}

// The profiles of H.264 that are taken, best first: everybody decodes constrained baseline.
const (
	constrainedBaseline uint8 = iota + 1
	baseline
	mainProfile
	highProfile
)

const (
	opusFmtp = "minptime=10;useinbandfec=1"
	vp9Fmtp  = "profile-id=0"

	// Of who counts each byte (RFC 7587 §6.1): nothing in silence and 12 kbit/s, the least at which 60 ms of libopus are wideband.
	saverFmtp  = opusFmtp + ";usedtx=1;maxaveragebitrate=12000"
	saverPtime = 60

	// Of parity for pictures (RFC 8627 §5.1), µs: no group is made of packets further apart, and what comes later mends nothing.
	fecFmtp = "repair-window=200000"
)

// offeredFormat is what an m-line says of one payload type.
type offeredFormat struct {
	name     string // as in rtpmap
	fmtp     string
	feedback feedback
}

// readFormats finds the codecs of the m-line that we know. One on which the client sends keeps the one that is taken; a
// slot keeps all of them, for the server changes the codec in a slot as it likes: only the payload type tells.
func (r *offerReader) readFormats(s *section, lines []sdpLine) error {
	offered, err := readOffered(lines)
	if err != nil {
		return err
	}
	before := r.agreed.lines[s.mid]
	var repairs, redundant []uint8 // payload types of RTX, of RED
	var listed [128]bool
	for word := range strings.FieldsSeq(s.formats) {
		pt, err := strconv.ParseUint(word, 10, 8)
		if err != nil || pt > 127 {
			return bad(s.line, quote(word)+" is no payload type", "use 0 to 127")
		}
		if listed[pt] { // as often as it likes, each time with a long fmtp to look through
			return bad(s.line, fmt.Sprintf("payload type %d is listed twice", pt), "list each once")
		}
		listed[pt] = true
		o := &offered[pt]
		if strings.EqualFold(o.name, "rtx/90000") {
			repairs = append(repairs, uint8(pt))
			continue
		}
		if strings.EqualFold(o.name, "red/48000/2") {
			redundant = append(redundant, uint8(pt))
			continue
		}
		if strings.EqualFold(o.name, "flexfec/90000") {
			if s.video && s.direction == recvonly && s.fec == 0 {
				s.fec = uint8(pt)
			}
			continue
		}
		f, ok := o.read()
		if !ok || f.Codec.Video() != s.video {
			continue
		}
		if before.live(s) && f.Codec == before.taken.Codec && f.kind != before.taken.kind {
			continue // another profile, under another payload type
		}
		f.PayloadType = uint8(pt)
		// Of several profiles of H.264 the best, in the place of the first.
		if i := slices.IndexFunc(s.taken, func(t format) bool { return t.Codec == f.Codec }); i < 0 {
			s.taken = append(s.taken, f)
		} else if f.kind < s.taken[i].kind {
			s.taken[i] = f
		}
	}
	for _, pt := range repairs {
		apt, _ := parameter(offered[pt].fmtp, "apt")
		for i := range s.taken {
			if t := &s.taken[i]; t.Codec.Video() && t.RTXPayloadType == 0 && apt == strconv.Itoa(int(t.PayloadType)) {
				t.RTXPayloadType = pt
			}
		}
	}
	for _, pt := range redundant {
		for i := range s.taken {
			if t := &s.taken[i]; t.Codec == codec.Opus && t.red == 0 && repeats(offered[pt].fmtp, t.PayloadType) {
				t.red = pt
				t.feedback |= feedbackNACK // libwebrtc does not offer it for sound, and does it where the answer has it
			}
		}
	}
	if err := r.choose(s); err != nil {
		return err
	}
	if before.live(s) {
		s.taken[0].keepTo(before.taken)
	}
	for _, f := range s.taken {
		if err := r.agree(s, f); err != nil {
			return err
		}
	}
	if s.fec == 0 {
		return nil
	}
	return r.name(s, s.fec, fecMeaning, "FlexFEC")
}

// keepTo leaves out what was not taken before: the shard was told of that, and is not told again while the m-line lives.
func (f *format) keepTo(before format) {
	f.feedback &= before.feedback
	if before.RTXPayloadType == 0 {
		f.RTXPayloadType = 0
	}
	if before.red == 0 {
		f.red = 0
	}
}

// readOffered gathers what the lines of an m-line say, by payload type.
func readOffered(lines []sdpLine) (offered [128]offeredFormat, err error) {
	var everywhere feedback // rtcp-fb:*
	for _, l := range lines {
		key, value := attributeOf(l)
		if key != "rtpmap" && key != "fmtp" && key != "rtcp-fb" {
			continue
		}
		number, rest, _ := strings.Cut(value, " ")
		if key == "rtcp-fb" {
			i := slices.Index(slice(feedbackKinds()), rest)
			pt, err := strconv.ParseUint(number, 10, 7)
			switch {
			case i < 0:
			case number == "*":
				everywhere |= 1 << i
			case err == nil:
				offered[pt].feedback |= 1 << i
			}
			continue
		}
		pt, err := strconv.ParseUint(number, 10, 7)
		if err != nil {
			return offered, bad(l.number, quote(number)+" is no payload type", "use 0 to 127")
		}
		if key == "rtpmap" {
			offered[pt].name = rest
		} else {
			offered[pt].fmtp = rest
		}
	}
	for i := range offered {
		offered[i].feedback |= everywhere
	}
	return offered, nil
}

func slice(a [feedbackCount]string) []string { return a[:] }

// read says which codec this is; false: none of ours, or not in a form that everybody can be sent.
func (o *offeredFormat) read() (f format, ok bool) {
	f.feedback = o.feedback
	switch strings.ToLower(o.name) {
	case "opus/48000/2":
		f.Codec, f.fmtp = codec.Opus, opusFmtp
		f.feedback &= feedbackNACK | feedbackTransportCC | feedbackREMB | feedbackCCFB
		return f, true
	case "vp8/90000":
		f.Codec = codec.VP8
		return f, true
	case "vp9/90000": // RFC 9628 §6.1
		profile, told := parameter(o.fmtp, "profile-id")
		f.Codec, f.fmtp = codec.VP9, vp9Fmtp
		return f, !told || profile == "0"
	case "h264/90000":
		f.Codec = codec.H264
		f.kind, f.fmtp = readH264(o.fmtp)
		return f, f.kind != 0
	case "av1/90000":
		profile, told := parameter(o.fmtp, "profile")
		f.Codec, f.fmtp = codec.AV1, av1Fmtp(o.fmtp)
		return f, !told || profile == "0"
	default:
		return f, false
	}
}

// repeats says whether the parameters of RED (RFC 2198 §5: payload types with slashes between) name one payload type alone.
func repeats(fmtp string, pt uint8) bool {
	for word := range strings.SplitSeq(fmtp, "/") {
		if strings.TrimSpace(word) != strconv.Itoa(int(pt)) {
			return false
		}
	}
	return true
}

// readH264 reads H.264's parameters (RFC 6184 §8.1): the profile, 0 for one that is not taken, and the answer's line. Only
// packetization mode 1 is: a large frame for it does not pass to who takes single NAL units alone.
func readH264(fmtp string) (profile uint8, answer string) {
	if mode, _ := parameter(fmtp, "packetization-mode"); mode != "1" {
		return 0, ""
	}
	if asymmetric, _ := parameter(fmtp, "level-asymmetry-allowed"); asymmetric == "1" {
		answer = "level-asymmetry-allowed=1;"
	}
	answer += "packetization-mode=1"
	level, told := parameter(fmtp, "profile-level-id")
	if !told {
		return constrainedBaseline, answer // as libwebrtc takes it
	}
	n, err := strconv.ParseUint(level, 16, 24)
	if err != nil || len(level) != 6 {
		return 0, ""
	}
	switch idc, constraints := n>>16, n>>8&0xff; {
	case idc == 0x42 && constraints&0x40 != 0, idc == 0x4d && constraints&0x80 != 0:
		profile = constrainedBaseline
	case idc == 0x42:
		profile = baseline
	case idc == 0x4d:
		profile = mainProfile
	case idc == 0x64:
		profile = highProfile
	default:
		return 0, ""
	}
	return profile, answer + ";profile-level-id=" + level
}

// av1Fmtp answers AV1's parameters as offered (its RTP specification, §7.2): the level of who receives is the client's own
// business, and we have none.
func av1Fmtp(fmtp string) (answer string) {
	for _, known := range [...]struct {
		name string
		bits int
	}{{"level-idx", 5}, {"profile", 3}, {"tier", 1}} {
		value, _ := parameter(fmtp, known.name)
		if n, err := strconv.ParseUint(value, 10, known.bits); err == nil {
			answer += ";" + known.name + "=" + strconv.FormatUint(n, 10)
		}
	}
	return strings.TrimPrefix(answer, ";")
}

// parameter returns one parameter of an fmtp line. Names do not care for case.
func parameter(fmtp, name string) (value string, ok bool) {
	for p := range strings.SplitSeq(fmtp, ";") {
		key, value, _ := strings.Cut(strings.TrimSpace(p), "=")
		if strings.EqualFold(key, name) {
			return value, true
		}
	}
	return "", false
}

// choose leaves of an m-line on which the client sends the one codec that is taken: what it was before, else what the
// policy likes best, else what the client does.
func (r *offerReader) choose(s *section) error {
	before := r.agreed.lines[s.mid]
	live := before.live(s)
	if !s.sends() && !live {
		if len(s.taken) == 0 {
			return noCodec(s, knownCodecs(s.video))
		}
		return nil
	}
	wanted := r.policy.Codecs
	if !s.video {
		wanted = nil
	}
	if live {
		wanted = []codec.Codec{before.taken.Codec}
	}
	if wanted == nil {
		wanted = knownCodecs(s.video)
		s.taken = s.taken[:min(1, len(s.taken))]
	}
	for _, c := range wanted {
		if i := slices.IndexFunc(s.taken, func(f format) bool { return f.Codec == c }); i >= 0 {
			s.taken = s.taken[i : i+1]
			return nil
		}
	}
	if live {
		return bad(s.line, fmt.Sprintf("mid %s sent %v before and does not offer it any more", quote(s.mid), before.taken.what()),
			"stop the transceiver and send on a new one")
	}
	return noCodec(s, wanted)
}

func knownCodecs(video bool) []codec.Codec {
	if video {
		return []codec.Codec{codec.VP8, codec.VP9, codec.H264, codec.AV1}
	}
	return []codec.Codec{codec.Opus}
}

func noCodec(s *section, wanted []codec.Codec) error {
	names := make([]string, len(wanted))
	for i, c := range wanted {
		names[i] = c.String()
	}
	either := strings.Join(names, ", ")
	return &OfferError{
		ErrNoCodec, s.line, fmt.Sprintf("mid %s offers none of %s that we take", quote(s.mid), either),
		fmt.Sprintf("leave one of them among the codecs of each %s transceiver (VP9 and AV1 profile 0, H.264 packetization-mode 1)", s.media),
	}
}

// meaning is what a payload type names: 0 nothing.
type meaning uint16

func (f format) meaning() meaning    { return meaning(f.Codec)<<8 | meaning(f.kind) }
func (f format) what() string        { return strings.TrimSpace(f.Codec.String() + " " + f.fmtp) }
func (f format) rtxMeaning() meaning { return 1<<15 | meaning(f.PayloadType) }
func (f format) redMeaning() meaning { return 1<<14 | meaning(f.PayloadType) }

// fecMeaning is that of parity: it belongs to an m-line, not to a codec.
const fecMeaning meaning = 1 << 13

// agree checks the payload types of a format against the m-lines and offers before it: each has one meaning in a bundle, and
// each meaning one payload type.
func (r *offerReader) agree(s *section, f format) error {
	if err := r.name(s, f.PayloadType, f.meaning(), f.Codec.String()); err != nil {
		return err
	}
	if f.red != 0 {
		if err := r.name(s, f.red, f.redMeaning(), "RED of "+f.Codec.String()); err != nil {
			return err
		}
	}
	if f.RTXPayloadType == 0 {
		return nil
	}
	return r.name(s, f.RTXPayloadType, f.rtxMeaning(), "RTX of "+f.Codec.String())
}

func (r *offerReader) name(s *section, pt uint8, m meaning, what string) error {
	if pt >= 64 && pt <= 95 {
		return bad(s.line, fmt.Sprintf("payload type %d of %s looks like RTCP on a shared port", pt, what), "use 35 to 63 or 96 to 127 (RFC 5761)")
	}
	named := &r.agreed.named
	if named[pt] == m {
		return nil
	}
	if named[pt] != 0 {
		return bad(s.line, fmt.Sprintf("payload type %d names two codecs, %s among them", pt, what), "use one for each codec in the bundle")
	}
	if have := slices.Index(named[:], m); have >= 0 {
		return bad(s.line, fmt.Sprintf("%s is payload type %d here and %d before", what, pt, have), "use one for all bundled m-lines")
	}
	named[pt] = m
	return nil
}

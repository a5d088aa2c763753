package handshake

import (
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/tolkyn/tolkyn/codec"
)

// What an offer can be refused for; an *OfferError wraps one of them.
var (
	ErrBadSDP        = errors.New("bad SDP offer")
	ErrTooLarge      = errors.New("SDP offer too large")
	ErrTooManyMLines = errors.New("too many m-lines")
	ErrTooManySlots  = errors.New("too many receive slots")
	ErrNoCodec       = errors.New("no codec in common")
)

// OfferError says what is wrong with an offer, where, and what to do about it.
type OfferError struct {
	Kind    error  // one of the errors above
	Line    int    // counted from 1; 0 when it is about the whole offer
	Problem string // may quote the offer, shortened
	Fix     string
}

func (e *OfferError) Error() string {
	at := ""
	if e.Line > 0 {
		at = fmt.Sprintf(", line %d", e.Line)
	}
	return fmt.Sprintf("%v%s: %s; %s", e.Kind, at, e.Problem, e.Fix)
}

// Unwrap returns the kind.
func (e *OfferError) Unwrap() error { return e.Kind }

// Limits of an offer.
const (
	MaxOfferSize        = 256 << 10 // bytes: 49 slots of a stock Chromium are 248 kB
	MaxMLines           = 128
	maxRemoteCandidates = 32
	maxMIDSize          = 16 // the one-byte header extension carries no more (RFC 8285 §4.2)
)

type direction uint8

const (
	sendrecv direction = iota + 1
	sendonly
	recvonly
	inactive
)

func directionOf(attribute string) direction {
	switch attribute {
	case "sendrecv":
		return sendrecv
	case "sendonly":
		return sendonly
	case "recvonly":
		return recvonly
	case "inactive":
		return inactive
	default:
		return 0
	}
}

// The header extensions we know, as indices.
const (
	extMID = iota
	extTransportSeq
	extAudioLevel
	extColorSpace
	extCount
)

func extensionURIs() [extCount]string {
	return [extCount]string{uriMID, uriTransportSeq, uriAudioLevel, uriColorSpace}
}

// section is one m-line of an offer, checked.
type section struct {
	line    int
	media   string // as offered: audio, video, application
	proto   string
	formats string
	mid     string

	refused bool // stopped by the client, or nothing for us: answered with port 0 and never shown to pion
	video   bool
	// What the client does on this m-line.
	direction direction

	codec        codec.Codec
	pt           uint8
	rtx          uint8    // 0 without
	feedback     []string // of the codec, those we know
	extensions   [extCount]uint8
	ssrc, repair uint32
}

// offer is a checked offer: nothing in it can surprise pion.
type offer struct {
	sections    []section
	ufrag, pwd  string
	fingerprint string // algorithm and value
	candidates  []string
	mixed       bool // extmap-allow-mixed
}

// agreed is what bundled m-lines must share (RFC 8843 §9.2 and §10.1.2), within an offer and from one to the next.
type agreed struct {
	opus, vp8, rtx uint8
	uri            [15]string // by extension id 1 to 14
	kinds          map[string]bool
	mlines         int
}

type sdpLine struct {
	number int
	key    byte
	value  string
}

// parseOffer checks an offer against all limits but the number of slots and returns what later offers must agree with.
func parseOffer(text string, before agreed) (*offer, agreed, error) {
	if len(text) > MaxOfferSize {
		return nil, before, &OfferError{
			ErrTooLarge, 0, fmt.Sprintf("it has %d bytes", len(text)),
			fmt.Sprintf("at most %d are taken; call setCodecPreferences on each transceiver", MaxOfferSize),
		}
	}
	blocks, err := splitOffer(text)
	if err != nil {
		return nil, before, err
	}
	if before.mlines > len(blocks)-1 {
		return nil, before, bad(0, fmt.Sprintf("it has %d m-lines, the offer before had %d", len(blocks)-1, before.mlines),
			"keep every m-line, stopped ones with port 0")
	}
	r := offerReader{offer: &offer{}, agreed: before, mids: map[string]int{}, ssrcs: map[uint32]int{}}
	r.agreed.kinds = map[string]bool{}
	for mid, video := range before.kinds {
		r.agreed.kinds[mid] = video
	}
	if err := r.session(blocks[0]); err != nil {
		return nil, before, err
	}
	for _, b := range blocks[1:] {
		if err := r.section(b); err != nil {
			return nil, before, err
		}
	}
	if err := r.finish(); err != nil {
		return nil, before, err
	}
	r.agreed.mlines = len(r.offer.sections)
	return r.offer, r.agreed, nil
}

func bad(line int, problem, fix string) error { return &OfferError{ErrBadSDP, line, problem, fix} }

// quote shortens what a stranger wrote.
func quote(s string) string {
	if len(s) > 60 {
		s = s[:60] + "…"
	}
	return strconv.Quote(s)
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

// offerReader carries what sections inherit and share while an offer is read.
type offerReader struct {
	offer  *offer
	agreed agreed

	// Of the session, inherited by sections that do not say otherwise.
	direction   direction
	ufrag, pwd  string
	fingerprint string
	setup       string
	bundled     map[string]bool // nil without a BUNDLE group

	mids  map[string]int
	ssrcs map[uint32]int
	seen  map[netip.AddrPort]bool
}

func attributeOf(l sdpLine) (name, value string) {
	if l.key != 'a' {
		return "", ""
	}
	name, value, _ = strings.Cut(l.value, ":")
	return name, value
}

func (r *offerReader) session(lines []sdpLine) error {
	r.direction = sendrecv
	r.seen = map[netip.AddrPort]bool{}
	for _, l := range lines {
		name, value := attributeOf(l)
		switch name {
		case "ice-ufrag":
			r.ufrag = value
		case "ice-pwd":
			r.pwd = value
		case "fingerprint":
			r.fingerprint = betterFingerprint(r.fingerprint, value)
		case "setup":
			r.setup = value
		case "extmap-allow-mixed":
			r.offer.mixed = true
		case "group":
			if tags, ok := strings.CutPrefix(value, "BUNDLE"); ok && r.bundled == nil {
				r.bundled = map[string]bool{}
				for _, mid := range strings.Fields(tags) {
					r.bundled[mid] = true
				}
			}
		default:
			if d := directionOf(name); d != 0 {
				r.direction = d
			}
		}
	}
	return nil
}

func (r *offerReader) section(lines []sdpLine) error {
	m := lines[0]
	fields := strings.Fields(m.value)
	if len(fields) < 4 {
		return bad(m.number, quote("m="+m.value)+" has too few words", "write m=<media> <port> <proto> <fmt> …")
	}
	port, _, _ := strings.Cut(fields[1], "/")
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return bad(m.number, quote(fields[1])+" is no port", "write 9, or 0 for a stopped m-line")
	}
	s := section{line: m.number, media: fields[0], proto: fields[2], formats: strings.Join(fields[3:], " "), direction: r.direction}
	s.video = s.media == "video"
	bundleOnly := false
	setup, ufrag, pwd, fingerprint := r.setup, r.ufrag, r.pwd, r.fingerprint
	own := "" // a fingerprint of the section's own
	for _, l := range lines[1:] {
		name, value := attributeOf(l)
		switch name {
		case "mid":
			if s.mid != "" {
				return bad(l.number, "a second a=mid in one m-line", "give each m-line one")
			}
			if !isToken(value) || len(value) > maxMIDSize {
				return bad(l.number, quote(value)+" is no mid", fmt.Sprintf("use a token of 1 to %d characters", maxMIDSize))
			}
			if first, ok := r.mids[value]; ok {
				return bad(l.number, fmt.Sprintf("mid %s was given in line %d already", quote(value), first), "give each m-line its own")
			}
			s.mid, r.mids[value] = value, l.number
		case "bundle-only":
			bundleOnly = true
		case "setup":
			setup = value
		case "ice-ufrag":
			ufrag = value
		case "ice-pwd":
			pwd = value
		case "fingerprint":
			own = betterFingerprint(own, value)
		default:
			if d := directionOf(name); d != 0 {
				s.direction = d
			}
		}
	}
	if own != "" {
		fingerprint = own
	}
	if s.mid == "" {
		return bad(m.number, "the m-line has no a=mid", "offer in unified plan")
	}
	s.refused = port == "0" && !bundleOnly || s.media != "audio" && s.media != "video" || !isSRTP(s.proto)
	if s.refused {
		r.offer.sections = append(r.offer.sections, s)
		return nil
	}
	if video, known := r.agreed.kinds[s.mid]; known && video != s.video {
		return bad(m.number, fmt.Sprintf("mid %s was another kind of media before", quote(s.mid)), "give a recycled m-line a new mid")
	}
	r.agreed.kinds[s.mid] = s.video
	if setup != "" && setup != "actpass" && setup != "active" {
		return bad(m.number, fmt.Sprintf("a=setup:%s leaves us no role but DTLS client", quote(setup)), "offer a=setup:actpass")
	}
	if r.bundled != nil && !r.bundled[s.mid] {
		return bad(m.number, fmt.Sprintf("mid %s is not in the BUNDLE group", quote(s.mid)), "bundle all m-lines (bundlePolicy max-bundle)")
	}
	if r.offer.ufrag == "" {
		if err := checkTransport(m.number, ufrag, pwd, fingerprint); err != nil {
			return err
		}
		r.offer.ufrag, r.offer.pwd, r.offer.fingerprint = ufrag, pwd, fingerprint
	}
	if err := r.readCodec(&s, lines[1:]); err != nil {
		return err
	}
	if err := r.readMedia(&s, lines[1:]); err != nil {
		return err
	}
	r.offer.sections = append(r.offer.sections, s)
	return nil
}

// isSRTP takes what browsers and others write for DTLS-SRTP (RFC 8829 §5.1.2).
func isSRTP(proto string) bool {
	switch proto {
	case "UDP/TLS/RTP/SAVPF", "UDP/TLS/RTP/SAVP", "TCP/DTLS/RTP/SAVPF", "TCP/TLS/RTP/SAVPF", "RTP/SAVPF":
		return true
	default:
		return false
	}
}

func checkTransport(line int, ufrag, pwd, fingerprint string) error {
	if !isICE(ufrag) || len(ufrag) < 4 || len(ufrag) > 256 {
		return bad(line, quote(ufrag)+" is no ice-ufrag", "send 4 to 256 ice-chars (RFC 8839 §5.4)")
	}
	if !isICE(pwd) || len(pwd) < 22 || len(pwd) > 256 {
		return bad(line, "the ice-pwd is missing or malformed", "send 22 to 256 ice-chars (RFC 8839 §5.4)")
	}
	if fingerprint == "" {
		return bad(line, "there is no a=fingerprint we can check", "send one of sha-256, sha-384 or sha-512")
	}
	return nil
}

// betterFingerprint keeps the first that is well formed, in canonical form.
func betterFingerprint(have, value string) string {
	if have != "" {
		return have
	}
	algorithm, digest, _ := strings.Cut(value, " ")
	algorithm = strings.ToLower(algorithm)
	size := map[string]int{"sha-256": 32, "sha-384": 48, "sha-512": 64}[algorithm]
	b, err := hex.DecodeString(strings.ReplaceAll(digest, ":", ""))
	if err != nil || size == 0 || len(b) != size {
		return ""
	}
	out := []byte(algorithm + " ")
	for i, c := range b {
		if i > 0 {
			out = append(out, ':')
		}
		out = append(out, strings.ToUpper(hex.EncodeToString([]byte{c}))...)
	}
	return string(out)
}

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

// readMedia reads extension ids, SSRCs and candidates.
func (r *offerReader) readMedia(s *section, lines []sdpLine) error {
	grouped := false
	for _, l := range lines {
		name, value := attributeOf(l)
		switch name {
		case "extmap":
			if err := r.readExtension(s, l.number, value); err != nil {
				return err
			}
		case "extmap-allow-mixed":
			r.offer.mixed = true
		case "ssrc-group":
			fields := strings.Fields(value)
			if len(fields) != 3 || fields[0] != "FID" || grouped {
				continue
			}
			grouped = true
			var err error
			if s.ssrc, err = r.readSSRC(l.number, fields[1]); err != nil {
				return err
			}
			if s.repair, err = r.readSSRC(l.number, fields[2]); err != nil {
				return err
			}
			if s.repair == s.ssrc {
				return bad(l.number, "an SSRC cannot repair itself", "name two SSRCs")
			}
		case "ssrc":
			if grouped || s.ssrc != 0 {
				continue
			}
			number, _, _ := strings.Cut(value, " ")
			var err error
			if s.ssrc, err = r.readSSRC(l.number, number); err != nil {
				return err
			}
		case "candidate":
			r.readCandidate(value)
		}
	}
	if s.direction == recvonly || s.direction == inactive {
		s.ssrc, s.repair = 0, 0
	}
	for _, ssrc := range []uint32{s.ssrc, s.repair} {
		if ssrc == 0 {
			continue
		}
		if line, ok := r.ssrcs[ssrc]; ok {
			return bad(s.line, fmt.Sprintf("SSRC %d belongs to the m-line in line %d already", ssrc, line), "give each its own")
		}
		r.ssrcs[ssrc] = s.line
	}
	return nil
}

func (r *offerReader) readSSRC(line int, s string) (uint32, error) {
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil || n == 0 {
		return 0, bad(line, quote(s)+" is no SSRC", "use 1 to 4294967295")
	}
	return uint32(n), nil
}

// readExtension notes an id (RFC 8285 §5). Ids above 14 need two-byte headers and are not answered.
func (r *offerReader) readExtension(s *section, line int, value string) error {
	fields := strings.Fields(value)
	if len(fields) < 2 {
		return bad(line, quote(value)+" is no extmap", "write a=extmap:<id> <URI>")
	}
	number, _, _ := strings.Cut(fields[0], "/")
	id, err := strconv.ParseUint(number, 10, 16)
	if err != nil || id == 0 {
		return bad(line, quote(number)+" is no extension id", "use 1 to 14")
	}
	if id > 14 {
		return nil
	}
	uri := fields[1]
	if have := r.agreed.uri[id]; have != "" && have != uri {
		return bad(line, fmt.Sprintf("extension id %d is %s here and %s before", id, quote(uri), quote(have)), "use one id for one extension in the bundle")
	}
	r.agreed.uri[id] = uri
	for i, known := range extensionURIs() {
		if known != uri || i == extAudioLevel && s.video || i == extColorSpace && !s.video {
			continue
		}
		for other, have := range r.agreed.uri {
			if have == uri && other != int(id) {
				return bad(line, fmt.Sprintf("extension %s has ids %d and %d", quote(uri), other, id), "use one id for one extension in the bundle")
			}
		}
		s.extensions[i] = uint8(id)
	}
	return nil
}

// readCandidate keeps the first 32 distinct UDP addresses; others (TCP, mDNS names, nonsense) are of no use to us.
func (r *offerReader) readCandidate(value string) {
	f := strings.Fields(value)
	if len(r.offer.candidates) == maxRemoteCandidates || len(f) < 8 || f[1] != "1" || !strings.EqualFold(f[2], "udp") {
		return
	}
	priority, err := strconv.ParseUint(f[3], 10, 31)
	if err != nil {
		return
	}
	ip, err := netip.ParseAddr(f[4])
	if err != nil || ip.Zone() != "" || ip.IsUnspecified() || ip.IsMulticast() {
		return
	}
	port, err := strconv.ParseUint(f[5], 10, 16)
	if err != nil || port == 0 {
		return
	}
	to := netip.AddrPortFrom(ip.Unmap(), uint16(port))
	if r.seen[to] {
		return
	}
	r.seen[to] = true
	n := len(r.offer.candidates) + 1
	r.offer.candidates = append(r.offer.candidates,
		fmt.Sprintf("a=candidate:%d 1 udp %d %s %d typ host", n, priority, to.Addr(), to.Port()))
}

func (r *offerReader) finish() error {
	accepted := 0
	for _, s := range r.offer.sections {
		if !s.refused {
			accepted++
		}
	}
	if accepted == 0 {
		return bad(0, "every m-line is stopped or neither audio nor video", "offer at least one live transceiver")
	}
	if accepted > 1 && r.bundled == nil {
		return bad(0, "there is no BUNDLE group", "bundle all m-lines (bundlePolicy max-bundle)")
	}
	return nil
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

// isICE follows RFC 8839 §5.4.
func isICE(s string) bool {
	for i := range len(s) {
		if c := s[i]; !isAlphanumeric(c) && c != '+' && c != '/' && c != '-' && c != '_' && c != '=' {
			return false
		}
	}
	return s != ""
}

func isAlphanumeric(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}

// reduce writes the offer anew with only what pion needs: what has not been checked does not reach it, and 50 kB of a
// browser's codecs are neither parsed nor kept. slot tells which m-lines are to be answered by a sender of ours.
func (o *offer) reduce(slot func(mid string) bool) string {
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
	candidates := o.candidates
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

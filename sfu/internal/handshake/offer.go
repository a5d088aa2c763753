package handshake

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"strconv"
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
	maxMIDSize          = 16  // the one-byte header extension carries no more (RFC 8285 §4.2)
	maxURISize          = 255 // bytes of an extension's name: those that exist have up to 80, and we keep 255 of them

	// 512 m-lines and slots over a session's life: we forget the mid of none, nor the SSRC.
	maxRecycled = 512
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

// section is one m-line of an offer, checked.
type section struct {
	line    int
	media   string // as offered: audio, video, application
	proto   string
	formats string
	mid     string

	saver   bool // sound for a network that counts each byte
	refused bool // stopped by the client, or nothing for us: answered with port 0 and never shown to pion
	video   bool
	// What the client does on this m-line.
	direction direction

	taken        []format // of a sending m-line one, of a slot all that we know, in the client's order
	rids         []string // the streams of the simulcast that are taken; nil without
	unnamed      bool     // the only one of rids goes on, and the offer does not name it
	mixed        bool     // the two forms of header extensions may be mixed (RFC 8285 §6)
	extensions   [extCount]headerExtension
	ssrc, repair uint32
	fec          uint8 // of a slot for video: payload type of parity (RFC 8627); 0 without
}

// sends says whether the client sends.
func (s *section) sends() bool { return s.direction == sendonly || s.direction == sendrecv }

// offer is a checked offer: nothing in it can surprise pion.
type offer struct {
	sections    []section
	ufrag, pwd  string
	fingerprint string // algorithm and value
	candidates  []candidate
	mixed       bool // extmap-allow-mixed, of the whole session
	bundled     bool // there is a BUNDLE group
}

// agreed is what bundled m-lines must share (RFC 8843 §9.2 and §10.1.2), within an offer and from one to the next.
type agreed struct {
	named  [128]meaning     // by payload type
	uri    map[uint8]string // by extension id
	lines  map[string]mline // by mid, of all that there ever were
	mlines int
	ccfb   bool // feedback of congestion is RFC 8888's, on all that offer it
}

// mline is what later offers may not change of an m-line.
type mline struct {
	video bool
	// While the client sends on it, or has paused, what it was first taken with: the shard was told of that. No codec: it does not.
	taken      format
	extensions [extCount]headerExtension
	rids       []string // of the simulcast it sends
}

// live says whether the client sends on the m-line as before, now or when it goes on.
func (l *mline) live(s *section) bool {
	return l.taken.Codec != 0 && (s.sends() || s.direction == inactive)
}

// parseOffer checks an offer against all limits but the number of slots and returns what later offers must agree with.
func parseOffer(text string, before agreed, policy Policy) (*offer, agreed, error) {
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
	r := offerReader{
		offer: &offer{}, agreed: before, policy: policy,
		mids: map[string]int{}, ssrcs: map[uint32]int{}, seen: map[netip.AddrPort]bool{},
	}
	r.agreed.lines, r.agreed.uri = map[string]mline{}, map[uint8]string{}
	maps.Copy(r.agreed.lines, before.lines)
	maps.Copy(r.agreed.uri, before.uri)
	if err := r.session(blocks[0]); err != nil {
		return nil, before, err
	}
	if before.mlines == 0 {
		r.agreed.ccfb = !policy.Saver && offersCCFB(blocks[1:])
	}
	r.inherit(blocks[1:])
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

// offerReader carries what sections inherit and share while an offer is read.
type offerReader struct {
	offer  *offer
	agreed agreed
	policy Policy

	// Of the session or the tagged m-line, inherited by sections that do not say otherwise.
	direction   direction
	ufrag, pwd  string
	fingerprint string
	setup       string
	bundled     map[string]bool // nil without a BUNDLE group
	tagged      string          // the mid that stands first in it

	mids  map[string]int
	ssrcs map[uint32]int
	seen  map[netip.AddrPort]bool
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
	r.offer.bundled = r.bundled != nil
	return nil
}

func bad(line int, problem, fix string) error { return &OfferError{ErrBadSDP, line, problem, fix} }

// quote shortens what a stranger wrote.
func quote(s string) string {
	if len(s) > 60 {
		s = s[:60] + "…"
	}
	return strconv.Quote(s)
}

package voice

import (
	"math/rand/v2"
	"slices"
	"time"

	"github.com/tolkyn/tolkyn/codec"
	"github.com/tolkyn/tolkyn/internal/packet"
	"github.com/tolkyn/tolkyn/internal/rtcp"
	"github.com/tolkyn/tolkyn/internal/seq"
	"github.com/tolkyn/tolkyn/sfu/jitter"
)

// Ear is what a listener's client can do.
type Ear struct {
	RED       bool // it offers RED
	NACK      bool // it asks again where the answer lets it, as Chromium does though it did not offer it
	Offers    bool // it offers to: what hears packets that are encrypted end to end takes no RED, which would break them
	Transport bool // it offers transport-wide feedback
	NoFEC     bool // it makes nothing of in-band FEC
}

// How ears tell and ask, as in libwebrtc.
const (
	tellEvery = 70 * time.Millisecond  // transport-wide feedback of a voice: 14 a second were counted
	askBehind = 2                      // a number is missing once so many after it have come
	askFor    = 250 * time.Millisecond // then it would come too late
	mostHole  = 200                    // a jump of more numbers is no loss
	listener  = 1                      // SSRC of who reports, where it says nothing itself
)

// origin is how a word came to be heard.
type origin uint8

const (
	firsthand origin = iota
	byRED            // a copy in a later packet
	byFEC            // the coarse coding in a later packet, or in a copy
	byResend         // sent again
	origins
)

// heard is what a packet of the jitter buffer is.
type heard struct {
	frame frame
	by    origin
}

// ear is one slot: what comes in it, and what is made of it.
type ear struct {
	// Fixed after start.
	c      *client
	ear    Ear
	agreed agreed
	ssrc   uint32
	mouths []*mouth // whom it may hear
	rtt    time.Duration
	base   time.Duration // from a mouth to here without a queue
	random *rand.Rand
	began  time.Time
	buffer *jitter.Buffer

	// Guarded by c.mu.
	of      *mouth // whom it hears now ...
	shift   uint32 // ... and by how much the slot's timestamps are ahead of the mouth's
	numbers seq.Unwrapper
	missing []hole
	asked   time.Time // for all that is missing
	latest  uint32    // timestamp played last

	sr   uint32 // middle of the last sender report's NTP time
	srAt time.Time
	told struct {
		expected, received int64
	}
	received int64
	first    seq.Extended

	count counts
}

// hole is a number that has not come.
type hole struct {
	number seq.Extended
	since  time.Time
	told   bool // asked for once
}

// counts are an ear's figures since it began.
type counts struct {
	jitter   jitter.Stats
	by       [origins]int // samples played
	packets  int          // that came
	copies   int          // blocks of RED in them
	bytes    int          // on the wire
	overhead int          // of the newest packet, all that is not its own block
	asked    int          // numbers
	wrong    int          // payloads that nobody said, or that were played out of order
	of       *mouth       // whom it hears
	delays   []time.Duration
}

func newEar(c *client, e Ear, random *rand.Rand) *ear {
	return &ear{c: c, ear: e, random: random}
}

// start begins to play.
func (e *ear) start(began time.Time, mouths []*mouth, rtt, base time.Duration) error {
	var err error
	if e.buffer, err = jitter.New(jitter.Config{}); err != nil {
		return err
	}
	e.began, e.mouths, e.rtt, e.base = began, mouths, rtt, base
	e.c.every(jitter.Period, e.pull)
	return nil
}

// take reads a packet that came.
func (e *ear) take(b []byte, h *packet.Header, size int) {
	payload, ok := h.Payload(b)
	if !ok || len(payload) == 0 || e.buffer == nil {
		return
	}
	now := time.Now()
	e.count.packets++
	e.count.bytes += size + wireOverhead
	by := e.note(now, e.numbers.Unwrap(h.Sequence))
	if h.PayloadType == redType {
		e.takeRED(now, payload, h, size, by)
	} else if blocks, n, ok := e.blind(payload); ok {
		e.count.overhead = size + wireOverhead - len(payload)
		e.takeBlocks(now, blocks[:n], h, by)
	} else {
		e.count.overhead = size + wireOverhead - len(payload)
		e.own(now, payload, h, by)
	}
	e.ask(now)
}

// blind takes RED apart that its mouth sends as if it were Opus.
func (e *ear) blind(payload []byte) (blocks [codec.MaxREDBlocks]codec.REDBlock, n int, ok bool) {
	if len(e.mouths) == 0 || len(e.mouths[0].voice.Blind) == 0 {
		return blocks, 0, false
	}
	return codec.ReadRED(payload)
}

func (e *ear) takeRED(now time.Time, payload []byte, h *packet.Header, size int, by origin) {
	blocks, n, ok := codec.ReadRED(payload)
	if !ok {
		e.count.wrong++
		return
	}
	e.count.overhead = size + wireOverhead - len(payload)
	e.takeBlocks(now, blocks[:n], h, by)
}

func (e *ear) takeBlocks(now time.Time, blocks []codec.REDBlock, h *packet.Header, by origin) {
	last := len(blocks) - 1
	e.count.copies += last
	// The packet's own block tells whom the slot shows, whose words the copies must be.
	e.follow(blocks[last].Data, h.Timestamp)
	for _, block := range blocks[:last] {
		timestamp := h.Timestamp - uint32(block.Offset)
		e.coarse(now, block.Data, timestamp)
		e.copy(now, block.Data, timestamp, byRED)
	}
	e.own(now, blocks[last].Data, h, by)
}

// own takes a packet's own payload.
func (e *ear) own(now time.Time, payload []byte, h *packet.Header, by origin) {
	f, ok := e.follow(payload, h.Timestamp)
	if !ok {
		e.count.wrong++
		return
	}
	e.coarse(now, payload, h.Timestamp)
	e.buffer.Insert(now.Sub(e.began), jitter.Packet{
		Sequence: h.Sequence, Timestamp: h.Timestamp, Samples: e.samples(), Copy: by == byResend, Quiet: !f.talks, Value: heard{f, by},
	})
}

// coarse takes the in-band FEC of a payload, which is of the time before it.
func (e *ear) coarse(now time.Time, payload []byte, timestamp uint32) {
	if e.of == nil || e.of.voice.Opaque || e.ear.NoFEC {
		return
	}
	if p, ok := codec.ReadOpus(payload); ok && p.FEC {
		before := timestamp - uint32(p.Samples)
		if f, ok := e.of.word(before - e.shift); ok && f.talks {
			e.insertCopy(now, f, before, byFEC)
		}
	}
}

// copy takes a block that is a copy of an earlier packet.
func (e *ear) copy(now time.Time, data []byte, timestamp uint32, by origin) {
	if e.of == nil {
		return
	}
	f, ok := e.of.word(timestamp - e.shift)
	if !ok || string(f.data) != string(data) {
		e.count.wrong++
		return
	}
	e.insertCopy(now, f, timestamp, by)
}

func (e *ear) insertCopy(now time.Time, f frame, timestamp uint32, by origin) {
	e.buffer.Insert(now.Sub(e.began), jitter.Packet{
		Timestamp: timestamp, Samples: e.samples(), Copy: true, Quiet: !f.talks, Value: heard{f, by},
	})
}

func (e *ear) samples() int { return int(e.of.period * clockRate / time.Second) }

// follow finds what a payload is: by the slot's timestamps, or, where these have changed, among what all mouths have said.
func (e *ear) follow(payload []byte, timestamp uint32) (frame, bool) {
	if e.of != nil {
		if f, ok := e.of.word(timestamp - e.shift); ok && string(f.data) == string(payload) {
			return f, true
		}
	}
	for _, m := range e.mouths {
		if f, ok := m.find(payload); ok {
			e.of, e.shift = m, timestamp-f.timestamp
			return f, true
		}
	}
	return frame{}, false
}

// note keeps account of numbers; it says whether a packet was asked for.
func (e *ear) note(now time.Time, n seq.Extended) origin {
	highest, ok := e.numbers.Highest()
	e.numbers.Accept(n)
	e.received++
	if !ok {
		e.first = n
		return firsthand
	}
	if n <= highest {
		for i, m := range e.missing {
			if m.number == n {
				e.missing = slices.Delete(e.missing, i, i+1)
				if m.told {
					return byResend
				}
				break
			}
		}
		return firsthand
	}
	if n-highest < mostHole {
		for m := highest + 1; m < n; m++ {
			e.missing = append(e.missing, hole{m, now, false})
		}
	}
	return firsthand
}

// ask asks for what is missing: at once for what is new, for all of it after one and a half round trips.
func (e *ear) ask(now time.Time) {
	if !e.ear.NACK || !e.agreed.nack || e.c.sealer == nil {
		return
	}
	e.missing = slices.DeleteFunc(e.missing, func(h hole) bool { return now.Sub(h.since) > second })
	highest, _ := e.numbers.Highest()
	all := now.Sub(e.asked) >= e.rtt*3/2+5*time.Millisecond
	var numbers []uint16
	for i := range e.missing {
		if h := &e.missing[i]; highest-h.number >= askBehind && (all || !h.told) && now.Sub(h.since) < askFor {
			h.told = true
			numbers = append(numbers, h.number.Uint16())
		}
	}
	if len(numbers) == 0 {
		return
	}
	if all {
		e.asked = now
	}
	e.count.asked += len(numbers)
	e.c.sendRTCP(rtcp.AppendNACK(rtcp.AppendReceiverReport(make([]byte, 0, 1500), e.c.reporter(), nil), e.c.reporter(), e.ssrc, numbers))
}

// pull plays the next 10 ms.
func (e *ear) pull() {
	now := time.Now()
	out := e.buffer.Pull(now.Sub(e.began))
	at := now
	for _, part := range out.Parts {
		if h, ok := part.Packet.Value.(heard); ok && part.Media > 0 {
			e.count.by[h.by] += part.Samples
			if part.Offset == 0 {
				e.play(at, h, part.Packet.Timestamp)
			}
		}
		at = at.Add(time.Duration(part.Samples) * time.Second / clockRate)
	}
}

// play notes when a word is heard, and that none is heard twice or after a later one.
func (e *ear) play(at time.Time, h heard, timestamp uint32) {
	if e.latest != 0 && int32(timestamp-e.latest) <= 0 {
		e.count.wrong++
	}
	e.latest = timestamp
	if !h.frame.talks {
		return // when silence is heard is nothing that anybody hears
	}
	e.count.delays = append(e.count.delays, at.Sub(h.frame.at)-e.base)
}

func (e *ear) counts() counts {
	c := e.count
	c.jitter, c.of = e.buffer.Stats(), e.of
	return c
}

// report reads the server's sender reports.
func (e *ear) report(b []byte) {
	for r := rtcp.Read(b); ; {
		p, ok := r.Next()
		if !ok {
			return
		}
		if sr, ok := p.SenderReport(); ok && sr.SSRC == e.ssrc {
			e.sr, e.srAt = uint32(sr.NTP>>16), time.Now()
		}
	}
}

// block is a reception report of the slot; false before anything came.
func (e *ear) block(now time.Time) (rtcp.ReportBlock, bool) {
	highest, ok := e.numbers.Highest()
	if !ok {
		return rtcp.ReportBlock{}, false
	}
	expected := int64(highest-e.first) + 1
	lost := (expected - e.told.expected) - (e.received - e.told.received)
	b := rtcp.ReportBlock{SSRC: e.ssrc, TotalLost: int32(expected - e.received), HighestSeq: uint32(highest - 1<<16), LastSR: e.sr}
	if expected > e.told.expected && lost > 0 {
		b.FractionLost = uint8(min(lost*256/(expected-e.told.expected), 255))
	}
	if e.sr != 0 {
		b.DelaySinceLastSR = uint32(now.Sub(e.srAt) * 65536 / time.Second)
	}
	e.told.expected, e.told.received = expected, e.received
	return b, true
}

// listen begins to tell the server how its slots fare, for all ears of the client.
func (c *client) listen(random *rand.Rand) {
	c.after(func() time.Duration { return untilReport(random) }, func() {
		now := time.Now()
		var blocks []rtcp.ReportBlock
		for _, e := range c.ears {
			if b, ok := e.block(now); ok {
				blocks = append(blocks, b)
			}
		}
		if len(blocks) > 0 {
			c.sendRTCP(rtcp.AppendReceiverReport(make([]byte, 0, 1500), c.reporter(), blocks))
		}
	})
	if slices.ContainsFunc(c.ears, func(e *ear) bool { return e.agreed.transport }) {
		c.every(tellEvery, func() {
			b := rtcp.AppendReceiverReport(make([]byte, 0, 1500), c.reporter(), nil)
			if told := c.arrivals.Append(b, c.reporter(), c.ears[0].ssrc); len(told) > len(b) {
				c.sendRTCP(told[len(b):]) // reduced size (RFC 5506)
			}
		})
	}
}

// reporter is the SSRC under which a client reports.
func (c *client) reporter() uint32 {
	if c.mouth != nil {
		return c.mouth.ssrc
	}
	return listener
}

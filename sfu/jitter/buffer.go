package jitter

import (
	"fmt"
	"time"

	"github.com/tolkyn/tolkyn/internal/seq"
)

const (
	// Period is how much playout one Pull is.
	Period = 10 * time.Millisecond

	// maxPacket is Opus' longest (RFC 6716 §3.2.5).
	maxPacket = 120 * time.Millisecond
	// maxJump is by how many numbers a packet may be off before the stream has begun anew (RFC 3550 §A.1: MAX_DROPOUT).
	maxJump = 3000
	// maxSkew is by how much a packet's arrival may be off the timestamp line: nothing that is still of use in a call
	// comes that late, and no pause makes clocks part that far.
	maxSkew = 2 * time.Second
	// maxRepair is how late what a server has repaired may come: two packets of a silence later, of 1.2 s each with Opus in 60 ms.
	maxRepair = 5 * time.Second
	// copiesKept is how many copies played are remembered, to tell their originals from late packets.
	copiesKept = 32
	// holesKept is how many holes that were given up are remembered, to tell a copy that came too late for one from those
	// of what was played: more than RFC 2198 reaches back over.
	holesKept = 8
	// seenKept is how many sequence numbers are remembered, to tell duplicates from late packets: RFC 2198 and resends
	// bring nothing older.
	seenKept = 1024
)

// Config of a Buffer. The zero value is good for Opus.
type Config struct {
	// Rate of the RTP clock in Hz; 48,000. 8,000 to 192,000 and a multiple of 800, so that an eighth of a Period is whole.
	Rate int
	// Start is the delay aimed at while the path is unknown, its first second; 60 ms.
	Start time.Duration
	// Min and Max bound the delay aimed at, above the fastest packets; 0 and 1 s. What grows beyond Max is skipped, not
	// hurried through.
	Min, Max time.Duration
	// Repair is how far behind the fastest packets a copy, or a packet that was overtaken, may come and still be waited for, 0 to Max; 250 ms, what 400 ms from
	// mouth to ear (ITU-T G.114) leave beside a path of 150. Copies of what is there are never waited for.
	Repair time.Duration
	// Patience is what Repair becomes while more than a twentieth of what is said comes between the two, Repair to Max; 800 ms. Of
	// two who hear each other late, and two of whom each misses a word in twenty, the first understand each other.
	Patience time.Duration
	// Packets is how many can wait, 8 to 4096; 256: 5 s of 20 ms packets, at 64 bytes each.
	Packets int
}

func (c Config) withDefaults() Config {
	if c.Rate == 0 {
		c.Rate = 48_000
	}
	if c.Start == 0 {
		c.Start = 60 * time.Millisecond
	}
	if c.Max == 0 {
		c.Max = time.Second
	}
	if c.Repair == 0 {
		c.Repair = min(250*time.Millisecond, c.Max)
	}
	if c.Patience == 0 {
		c.Patience = max(min(800*time.Millisecond, c.Max), c.Repair)
	}
	if c.Packets == 0 {
		c.Packets = 256
	}
	return c
}

// Validate names the first field that is out of range.
func (c Config) Validate() error {
	c = c.withDefaults()
	switch {
	case c.Rate < 8_000 || c.Rate > 192_000 || c.Rate%800 != 0:
		return fmt.Errorf("check jitter.Config: Rate %d: use 8000 to 192000 Hz in steps of 800", c.Rate)
	case c.Min < 0 || c.Max > buckets*bucketWidth || c.Min > c.Max:
		return fmt.Errorf("check jitter.Config: Min %v, Max %v: use 0 ≤ Min ≤ Max ≤ 1s", c.Min, c.Max)
	case c.Start < 0 || c.Start > c.Max:
		return fmt.Errorf("check jitter.Config: Start %v: use 0 to Max (%v)", c.Start, c.Max)
	case c.Repair < 0 || c.Repair > c.Max:
		return fmt.Errorf("check jitter.Config: Repair %v: use 0 to Max (%v)", c.Repair, c.Max)
	case c.Patience < c.Repair || c.Patience > c.Max:
		return fmt.Errorf("check jitter.Config: Patience %v: use Repair (%v) to Max (%v)", c.Patience, c.Repair, c.Max)
	case c.Packets < 8 || c.Packets > 4096:
		return fmt.Errorf("check jitter.Config: Packets %d: use 8 to 4096", c.Packets)
	}
	return nil
}

// Buffer is the playout buffer of one stream (one SSRC, or one slot of a server that rewrites). One goroutine.
type Buffer struct {
	config Config
	period int // samples of a Pull

	queue   queue
	delays  delays
	late    latecomers
	numbers seq.Unwrapper
	stats   Stats
	now     time.Duration // the latest told

	heard  bool  // a packet came
	origin int64 // timestamp line: where it begins ...
	newest int64 // ... and where its newest packet is

	seen       [seenKept / 64]uint64 // sequence numbers accepted, one bit each
	copies     [copiesKept]int64     // begins of copies played; a ring
	copiesNext int
	holes      [holesKept]hole // media given up as lost; a ring
	holesNext  int

	strange      Packet // the last one, if it was
	strangeAt    time.Duration
	strangeKnown bool

	// Playout, in pull.go.
	parts     []Part
	playing   bool
	pulled    time.Duration // when the last Pull was
	position  int64         // the sample to be played next
	last      seq.Extended
	lastKnown bool // a packet that is no copy was played: last is its number
	since     int  // packets after last that were played from copies or given up as lost
	frame     int  // samples of the last packet played ...
	quiet     bool // ... and whether it said that nothing follows
	still     standstill
	tempo     Action // Accelerate and Expand go on until the delay is right
	running   Action // what was put out last, stretched or not ...
	run       int    // ... and for how many samples, of Conceal and Silence
}

// New returns an empty buffer; the error names the field of config that is out of range.
func New(config Config) (*Buffer, error) {
	if err := config.Validate(); err != nil {
		return nil, err
	}
	config = config.withDefaults()
	b := &Buffer{config: config, period: config.Rate / 100, tempo: Play}
	b.queue.ring = make([]entry, config.Packets)
	b.parts = make([]Part, 0, 32)
	b.forgetCopies()
	return b, nil
}

// Insert takes a packet that arrived at now, on any clock that only goes forward and that Pull shares.
func (b *Buffer) Insert(now time.Duration, p Packet) Verdict {
	b.now = max(b.now, now)
	verdict := b.insert(b.now, p)
	switch verdict {
	case Accepted:
		b.stats.Accepted++
		if p.Copy {
			b.stats.Copies++
		}
	case Late:
		b.stats.Late++
	case Duplicate:
		b.stats.Duplicate++
	case Strange:
		b.stats.Strange++
	case Invalid:
		b.stats.Invalid++
	}
	return verdict
}

func (b *Buffer) insert(now time.Duration, p Packet) Verdict {
	if p.Samples <= 0 || b.duration(int64(p.Samples)) > maxPacket {
		return Invalid
	}
	if !b.heard {
		b.begin(p)
	}
	begin := b.newest + int64(int32(p.Timestamp-uint32(b.newest)))
	if p.Copy {
		if away := b.duration(begin - b.newest); away > maxSkew || away < -maxSkew {
			return Strange
		}
		verdict := b.place(entry{packet: p, begin: begin, arrived: now})
		if verdict == Accepted || verdict == Late && b.gaveUp(begin) {
			b.repaired(now-b.line(begin), p)
			b.delays.repair(now, now-b.line(begin), b.repair())
		}
		return verdict
	}
	number := b.numbers.Unwrap(p.Sequence)
	transit := now - b.line(begin)
	if b.isStrange(number, transit) {
		return b.suspect(now, p)
	}
	b.strangeKnown, b.strange = false, Packet{}
	if b.wasSeen(number) {
		return Duplicate
	}
	highest, ok := b.numbers.Highest()
	overtaken := ok && number < highest
	if overtaken {
		b.stats.Reordered++
	}
	// What was repaired on its way here, out of a silence even, may be as late as no path makes it; and where in a silence something
	// is heard, nobody knows. The first tells what the base is, whatever it says.
	if overtaken && !p.Quiet && b.delays.opened {
		b.repaired(transit, p)
	} else {
		b.late.heard(b.duration(int64(p.Samples)))
	}
	if !b.delays.opened || !overtaken && !p.Quiet || transit-b.delays.base <= b.repair() {
		b.delays.observe(now, transit)
	}
	b.see(number)
	b.newest = max(b.newest, begin)
	return b.place(entry{packet: p, number: number, begin: begin, arrived: now})
}

// repair is how far behind the fastest packets what was repaired is waited for.
func (b *Buffer) repair() time.Duration {
	if b.late.on {
		return b.config.Patience
	}
	return b.config.Repair
}

// repaired notes what came in place of something lost.
func (b *Buffer) repaired(transit time.Duration, p Packet) {
	if late := transit - b.delays.base; late > b.config.Repair && late <= b.config.Patience {
		b.late.worth(b.duration(int64(p.Samples)))
	}
}

// begin lays the timestamp line through p.
func (b *Buffer) begin(p Packet) {
	// One round of timestamps up, so that what comes before the first packet stays positive.
	b.heard, b.origin = true, int64(p.Timestamp)+1<<32
	b.newest = b.origin
	b.position = b.origin
}

// isStrange: too far off to be of this stream as it was.
func (b *Buffer) isStrange(number seq.Extended, transit time.Duration) bool {
	highest, ok := b.numbers.Highest()
	if !ok {
		return false
	}
	jump := int64(number) - int64(highest)
	skew := transit - b.delays.base
	if jump < 0 && skew > 0 && skew <= maxRepair {
		return jump < -maxJump // repaired on its way: two in a row are no new stream
	}
	return jump > maxJump || jump < -maxJump || skew > maxSkew || skew < -maxSkew
}

// suspect begins the stream anew when a strange packet goes on from the strange one before it: one alone may be a stray.
func (b *Buffer) suspect(now time.Duration, p Packet) Verdict {
	before, at := b.strange, b.strangeAt
	if !b.strangeKnown || p.Sequence != before.Sequence+1 || !b.goesOn(before, p) {
		b.strange, b.strangeAt, b.strangeKnown = p, now, true
		return Strange
	}
	b.restart()
	b.begin(before)
	for _, e := range []struct {
		at time.Duration
		p  Packet
	}{{at, before}, {now, p}} {
		begin := b.newest + int64(int32(e.p.Timestamp-uint32(b.newest)))
		number := b.numbers.Unwrap(e.p.Sequence)
		b.delays.observe(e.at, e.at-b.line(begin))
		b.see(number)
		b.newest = max(b.newest, begin)
		b.place(entry{packet: e.p, number: number, begin: begin, arrived: e.at})
	}
	// The first was counted as strange; it is not any more.
	b.stats.Strange--
	b.stats.Accepted++
	return Accepted
}

// goesOn: p follows before on one timestamp line, a pause between them or not.
func (b *Buffer) goesOn(before, p Packet) bool {
	step := int64(int32(p.Timestamp - before.Timestamp))
	return step > 0 && b.duration(step) <= maxSkew
}

// restart drops all that belongs to the old numbers and times.
func (b *Buffer) restart() {
	b.stats.Restarts++
	for b.queue.held > 0 {
		b.queue.drop()
		b.stats.Flushed++
	}
	b.delays.forget()
	b.numbers = seq.Unwrapper{}
	b.seen = [seenKept / 64]uint64{}
	b.forgetCopies()
	b.holes = [holesKept]hole{}
	b.strange, b.strangeKnown = Packet{}, false
	b.playing, b.lastKnown, b.since, b.quiet = false, false, 0, false
	b.still, b.tempo = standstill{}, Play
}

// place puts a packet of the line where it belongs, unless playout has passed it.
func (b *Buffer) place(e entry) Verdict {
	if b.playing && e.end() <= b.position {
		if b.playedCopy(e.begin) {
			return Duplicate
		}
		if !e.packet.Copy {
			// It was concealed, as it came too late; a copy that did would have been lost anyway.
			b.stats.ConcealedLate += uint64(e.packet.Samples)
		}
		return Late
	}
	i, there := b.queue.find(e.begin)
	if there {
		if held := b.queue.at(i); held.packet.Copy && !e.packet.Copy {
			*held = e // the original is better than its copy
			return Accepted
		}
		return Duplicate
	}
	if b.playing && e.begin <= b.position && b.still.concealed > 0 && !e.packet.Copy {
		b.stats.Waited++
	}
	if b.queue.full() {
		b.stats.Overflowed++
		if i == 0 {
			return Late // older than all that is held: it would be the one to go
		}
		b.queue.drop()
		i--
	}
	b.queue.insert(i, e)
	if !b.playing {
		b.position = b.queue.at(0).begin
	}
	return Accepted
}

func (b *Buffer) wasSeen(number seq.Extended) bool {
	highest, ok := b.numbers.Highest()
	if !ok || number > highest || highest-number >= seenKept {
		return false
	}
	return b.seen[number/64%(seenKept/64)]>>(number%64)&1 == 1
}

func (b *Buffer) see(number seq.Extended) {
	highest, ok := b.numbers.Highest()
	if ok && number > highest {
		// The numbers between are forgotten, which are of a round before.
		for n := highest + 1; n <= number; n++ {
			b.seen[n/64%(seenKept/64)] &^= 1 << (n % 64)
		}
	}
	b.numbers.Accept(number)
	highest, _ = b.numbers.Highest()
	if highest-number < seenKept {
		b.seen[number/64%(seenKept/64)] |= 1 << (number % 64)
	}
}

func (b *Buffer) playedCopy(begin int64) bool {
	for _, c := range b.copies {
		if c == begin {
			return true
		}
	}
	return false
}

// hole is media that was lost, or came after all when playout had gone on.
type hole struct{ begin, end int64 }

// giveUp remembers a hole from position to where playout goes on.
func (b *Buffer) giveUp(end int64) {
	b.holes[b.holesNext] = hole{b.position, end}
	b.holesNext = (b.holesNext + 1) % holesKept
}

// gaveUp says that media at begin is not known to have been played.
func (b *Buffer) gaveUp(begin int64) bool {
	for i := range b.holes {
		if h := &b.holes[i]; h.begin <= begin && begin < h.end {
			h.begin = begin + 1 // a further copy of it says nothing new, and those before it would have come with it
			return true
		}
	}
	return false
}

func (b *Buffer) forgetCopies() {
	for i := range b.copies {
		b.copies[i] = -1
	}
}

// line is when media at position was sent, on a clock whose zero means nothing.
func (b *Buffer) line(position int64) time.Duration { return b.duration(position - b.origin) }

func (b *Buffer) duration(samples int64) time.Duration {
	rate := int64(b.config.Rate)
	return time.Duration(samples/rate)*time.Second + time.Duration(samples%rate)*time.Second/time.Duration(rate)
}

// samples of d, rounded down.
func (b *Buffer) samples(d time.Duration) int {
	return int(int64(d) * int64(b.config.Rate) / int64(time.Second))
}

// target is the delay to aim at.
func (b *Buffer) target() time.Duration {
	target := b.delays.target()
	if !b.delays.known() {
		target = max(target, b.config.Start)
	}
	return min(max(target, b.config.Min), b.config.Max)
}

// delay is how much later than the fastest packets allow media at position would be played at now.
func (b *Buffer) delay(now time.Duration, position int64) time.Duration {
	return now - b.line(position) - b.delays.base
}

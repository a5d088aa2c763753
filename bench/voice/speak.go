package voice

import (
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/tolkyn/tolkyn/codec"
	"github.com/tolkyn/tolkyn/internal/packet"
	"github.com/tolkyn/tolkyn/internal/rtcp"
	"github.com/tolkyn/tolkyn/internal/seq"
	"github.com/tolkyn/tolkyn/internal/srtp"
)

// FEC is when a mouth codes in-band FEC.
type FEC uint8

// The three. As libwebrtc does it: from a report with a loss fraction of 3/256 on, until fecHold after the last one.
const (
	FECAsked FEC = iota
	FECAlways
	FECNever
)

// Voice is how a mouth codes and sends.
type Voice struct {
	FEC    FEC
	Blind  []int // it sends RED under Opus's payload type, of these distances in packets: what is forwarded as it comes
	RED    []int // it sends RED of these distances where the answer takes it, once it is told of loss, as an SDK may
	Opaque bool  // payloads are encrypted end to end
	Deaf   bool  // it sends nothing again
	Saver  bool  // it asks for the profile saver, and does as the answer says
	Silent []Span
}

// Span is from one time of a case to another.
type Span struct{ From, To time.Duration }

func (s Span) holds(at time.Duration) bool { return s.From <= at && at < s.To }

const (
	frameTime  = 20 * time.Millisecond
	saverTime  = 60 * time.Millisecond
	clockRate  = 48000
	fecFrom    = 3 // of 256: the loss fraction from which on libwebrtc codes in-band FEC
	fecHold    = 20 * time.Second
	dtxEvery   = 20              // in silence Opus sends one packet of so many
	sentKept   = 64              // packets that can be sent again: more than a second
	resendGap  = usualRTT        // nothing is sent again within a round trip
	reportMean = 5 * time.Second // between reports of sound in libwebrtc, half as much more or less
)

// frame is what a mouth has said: one packet of Opus, as everybody should hear it.
type frame struct {
	timestamp uint32
	at        time.Time // when it was sent first
	data      []byte
	fec       bool
	talks     bool // it is no silence
}

// mouth is what a client says.
type mouth struct {
	// Fixed after start.
	c      *client
	voice  Voice
	agreed agreed // by the answer
	ssrc   uint32
	clips  *clips
	scene  int
	random *rand.Rand
	began  time.Time
	period time.Duration // of packets

	// Guarded by c.mu.
	place     int // in the clip
	number    seq.Extended
	transport uint16
	timestamp uint32
	paused    bool
	lastSent  time.Time
	lossTill  time.Time // until then it is told of loss
	kept      [sentKept]resendable
	overhead  int // of a packet on the wire, all but its payload
	packets   uint32
	octets    uint32
	resent    int

	// Guarded by said, which is locked last: ears look here.
	said   sync.Mutex
	frames []frame
	words  map[uint32]int // index in frames by timestamp
}

// resendable is a sealed packet.
type resendable struct {
	number seq.Extended
	sealed []byte
	at     time.Time
}

func newMouth(c *client, v Voice, all *clips, scene int, random *rand.Rand) *mouth {
	return &mouth{
		c: c, voice: v, clips: all, scene: scene % len(all.plain), random: random, ssrc: random.Uint32() | 1, words: map[uint32]int{},
		number: 1<<16 | seq.Extended(random.Uint32N(1<<14)), timestamp: random.Uint32(), period: frameTime,
	}
}

// start begins to talk.
func (m *mouth) start(began time.Time) {
	m.began = began
	if m.voice.Saver && m.agreed.ptime == 60 {
		m.period = saverTime
	}
	m.c.every(m.period, m.speak)
	m.c.after(m.untilReport, m.report)
}

func (m *mouth) untilReport() time.Duration { return untilReport(m.random) }

func untilReport(random *rand.Rand) time.Duration {
	return reportMean/2 + time.Duration(random.Int64N(int64(reportMean)))
}

// speak sends the next packet of the clip.
func (m *mouth) speak() {
	now := time.Now()
	w := m.next(now)
	m.place++
	m.timestamp += uint32(m.period * clockRate / time.Second)
	silent := m.silent(now)
	if silent {
		if m.paused && now.Sub(m.lastSent) < dtxEvery*m.period {
			return
		}
		w = m.quietest()
	}
	f := frame{timestamp: m.timestamp, at: now, data: w.data, fec: w.fec, talks: !silent}
	if m.voice.Opaque {
		f.data, f.fec = m.encrypted(w.data), false
	}
	marker := m.paused && !silent
	m.paused, m.lastSent = silent, now
	m.say(f)
	m.send(f, marker)
}

// next is the word at the clip's place, coded as the mouth is told to.
func (m *mouth) next(now time.Time) word {
	all := m.clips.plain[m.scene]
	switch {
	case m.period == saverTime:
		all = m.clips.thin[m.scene]
	case m.voice.FEC == FECAlways || m.voice.FEC == FECAsked && now.Before(m.lossTill):
		all = m.clips.robust[m.scene]
	}
	return all[m.place%len(all)]
}

// quietest is a word of no voice: what libopus says of noise takes as much as it makes of a pause.
func (m *mouth) quietest() word {
	all := m.clips.plain[m.scene]
	if m.period == saverTime {
		all = m.clips.thin[m.scene]
	}
	w := slices.MinFunc(all, func(a, b word) int { return len(a.data) - len(b.data) })
	w.data = slices.Clone(w.data)
	w.data[len(w.data)-1] = byte(m.place) // no two are alike
	return w
}

func (m *mouth) silent(now time.Time) bool {
	for _, s := range m.voice.Silent {
		if s.holds(now.Sub(m.began)) {
			return true
		}
	}
	return false
}

// encrypted is as long as what it hides, and a tag.
func (m *mouth) encrypted(data []byte) []byte {
	b := make([]byte, len(data)+16)
	for i := range b {
		b[i] = byte(m.random.Uint32())
	}
	return b
}

// say remembers a frame for ears.
func (m *mouth) say(f frame) {
	m.said.Lock()
	defer m.said.Unlock()
	m.words[f.timestamp] = len(m.frames)
	m.frames = append(m.frames, f)
}

// word returns the frame of a timestamp.
func (m *mouth) word(timestamp uint32) (frame, bool) {
	m.said.Lock()
	defer m.said.Unlock()
	i, ok := m.words[timestamp]
	if !ok {
		return frame{}, false
	}
	return m.frames[i], true
}

// find returns the newest frame with this payload, of those that can still be under way.
func (m *mouth) find(payload []byte) (frame, bool) {
	m.said.Lock()
	defer m.said.Unlock()
	for i := len(m.frames) - 1; i >= max(0, len(m.frames)-200); i-- {
		if f := &m.frames[i]; string(f.data) == string(payload) {
			return *f, true
		}
	}
	return frame{}, false
}

// between is how many frames were said in a span, and their bytes.
func (m *mouth) between(s Span) (frames, octets int) {
	m.said.Lock()
	defer m.said.Unlock()
	for i := range m.frames {
		if s.holds(m.frames[i].at.Sub(m.began)) {
			frames++
			octets += len(m.frames[i].data)
		}
	}
	return frames, octets
}

// send puts a frame on the wire, with copies of those before it where the mouth is told to.
func (m *mouth) send(f frame, marker bool) {
	payload, pt := f.data, uint8(opusType)
	switch {
	case len(m.voice.Blind) > 0:
		payload = m.redundant(f, m.voice.Blind)
	case len(m.voice.RED) > 0 && m.agreed.red && f.at.Before(m.lossTill):
		payload, pt = m.redundant(f, m.voice.RED), redType
	}
	b := make([]byte, 0, 1500)
	b = b[:packet.PutHeader(b[:cap(b)], packet.Header{
		Sequence: m.number.Uint16(), Timestamp: f.timestamp, SSRC: m.ssrc, PayloadType: pt, Marker: marker,
	})]
	level := byte(0x80 | 30) // RFC 6464: a voice, 30 dB below the loudest
	if !f.talks {
		level = 127
	}
	ext := []packet.Extension{{ID: levelID, Data: []byte{level}}}
	if m.agreed.transport {
		ext = append(ext, packet.Extension{ID: transportID, Data: []byte{byte(m.transport >> 8), byte(m.transport)}})
		m.transport++
	}
	b = b[:packet.PutExtensions(b[:cap(b)], len(b), ext)]
	header := len(b)
	m.overhead = wireOverhead + header + srtp.AEADAES128GCM.RTPOverhead()
	b = append(b, payload...)
	sealed := m.c.sendRTP(b, header, m.number)
	m.kept[m.number%sentKept] = resendable{m.number, sealed, f.at}
	m.number++
	m.packets++
	m.octets += uint32(len(payload))
}

// redundant is a RED payload of a frame and those of so many packets before it.
func (m *mouth) redundant(f frame, distances []int) []byte {
	var blocks []codec.REDBlock
	for i := len(distances) - 1; i >= 0; i-- { // the oldest first
		offset := uint32(distances[i]) * uint32(m.period*clockRate/time.Second)
		if old, ok := m.word(f.timestamp - offset); ok && offset < 1<<14 {
			blocks = append(blocks, codec.REDBlock{PayloadType: opusType, Offset: uint16(offset), Data: old.data})
		}
	}
	b, ok := codec.AppendRED(nil, append(blocks, codec.REDBlock{PayloadType: opusType, Data: f.data}))
	if !ok {
		panic("voice: a frame that RED does not take") // all are of clips, which tests read
	}
	return b
}

// listen reads the server's RTCP: what it asks for again, and what it says of loss.
func (m *mouth) listen(b []byte) {
	now := time.Now()
	for r := rtcp.Read(b); ; {
		p, ok := r.Next()
		if !ok {
			return
		}
		if media, ok := p.MediaSSRC(); ok && media == m.ssrc && !m.voice.Deaf && !m.agreed.transport {
			for n := range p.NACKs() {
				m.again(n, now)
			}
		}
		for i := 0; ; i++ {
			block, ok := p.Block(i)
			if !ok {
				break
			}
			if block.SSRC == m.ssrc && block.FractionLost >= fecFrom {
				m.lossTill = now.Add(fecHold)
			}
		}
	}
}

// again sends a packet once more, byte for byte: under its nonce nothing else may leave.
func (m *mouth) again(n uint16, now time.Time) {
	kept := &m.kept[n%sentKept]
	if kept.sealed == nil || kept.number.Uint16() != n || now.Sub(kept.at) < resendGap {
		return
	}
	kept.at = now
	m.resent++
	m.c.send(kept.sealed)
}

// report sends a sender report.
func (m *mouth) report() {
	now := time.Now()
	m.c.sendRTCP(rtcp.AppendSDES(rtcp.AppendSenderReport(make([]byte, 0, 1500), rtcp.SenderReport{
		SSRC: m.ssrc, NTP: rtcp.NTP(now), RTP: m.timestamp, Packets: m.packets, Octets: m.octets,
	}, nil), m.ssrc, m.c.name))
}

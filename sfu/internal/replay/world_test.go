package replay

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"

	"github.com/tolkyn/tolkyn/codec"
	"github.com/tolkyn/tolkyn/internal/capture"
	"github.com/tolkyn/tolkyn/internal/packet"
	"github.com/tolkyn/tolkyn/internal/seq"
	"github.com/tolkyn/tolkyn/sfu/internal/downlink"
	"github.com/tolkyn/tolkyn/sfu/internal/uplink"
)

const (
	ms = time.Millisecond
	// rounds that every capture is played, each by a publisher of its own, and how long one takes at most.
	rounds = 3
	round  = 3500 * ms
	// hop is how long a packet, or a NACK, is on its way.
	hop = 10 * ms

	mediaSSRC, rtxSSRC = 1000, 2000
	mediaPT, rtxPT     = 100, 101
	descriptorID       = 5
)

// network is what happens to packets on both ways, before the uplinks and behind the slot.
type network struct {
	loss    float64 // of packets, resent ones too
	reorder float64 // of packets: they come up to 15 ms late
}

// world is publishers, a slot and who watches it, in time of their own.
type world struct {
	random     *rand.Rand
	net        network
	codec      codec.Codec
	now        time.Duration
	later      map[time.Duration][]func() // what happens at a millisecond
	publishers []*publisher
	slot       *downlink.Downlink
	tseq       uint16

	changes  []change
	segments []segment
	sent     map[seq.Extended]sent // what the slot yielded

	// The watcher's: what has come, by number, and what has been asked for how often.
	first, highest seq.Extended
	came           map[seq.Extended]*rtp.Packet
	asked          map[seq.Extended]int

	raised int // how often checkLayers saw more temporal layers come without a keyframe
}

// change is a wish of the server's.
type change struct {
	source *feed
	layer  codec.Layer
}

// segment is the part of the slot's stream that comes from one source.
type segment struct {
	from   seq.Extended
	source *feed
}

// sent is a packet that the slot yielded, and which change was the newest then.
type sent struct {
	*rtp.Packet
	change int
}

// publisher is one browser that publishes what a capture holds.
type publisher struct {
	capture *capture.Capture
	start   time.Duration
	next    int // place in its packets
	clock   uplink.Clock
	feeds   []*feed
}

// feed is one encoding of a publisher on its way into its uplink.
type feed struct {
	*source
	publisher  *publisher
	up         *uplink.Uplink
	numbers    seq.Unwrapper
	resendable map[uint16][]byte
}

// codecOf is the codec with a name as in SDP.
func codecOf(name string) codec.Codec {
	for c := codec.Opus; int(c) < codec.Count; c++ {
		if c.String() == name {
			return c
		}
	}
	panic("a capture of no codec: " + name)
}

func newWorld(name string, sources []*source, seed uint64, net network, descriptor, mixed bool) *world {
	w := &world{
		random: rand.New(rand.NewPCG(seed, 1)), net: net, codec: codecOf(name), later: map[time.Duration][]func(){},
		sent: map[seq.Extended]sent{}, came: map[seq.Extended]*rtp.Packet{}, asked: map[seq.Extended]int{},
	}
	cfg := downlink.Config{
		SSRC: mediaSSRC, RTXSSRC: rtxSSRC, Video: w.codec.Video(), NACK: true, TransportSeqID: 3, ColorSpaceID: 4, Mixed: mixed,
		Payloads:      []downlink.Payload{{Codec: w.codec, PayloadType: mediaPT, RTXPayloadType: rtxPT}},
		FirstSequence: uint16(w.random.Uint32()), FirstRTXSequence: uint16(w.random.Uint32()), FirstTimestamp: w.random.Uint32(),
	}
	if descriptor {
		cfg.DescriptorID = descriptorID
	}
	w.slot = downlink.New(cfg)
	w.slot.SetRTT(2 * hop)
	for r := range rounds {
		var p *publisher
		for _, s := range sources {
			if p == nil || p.capture != s.capture {
				p = &publisher{capture: s.capture, start: time.Duration(r)*round + time.Duration(w.random.IntN(500))*ms}
				w.publishers = append(w.publishers, p)
			}
			f := &feed{source: s, publisher: p, resendable: map[uint16][]byte{}}
			f.up = uplink.New(uplink.Config{
				SSRC: s.ssrc, RTXSSRC: s.ssrc + 1, PayloadType: s.capture.PayloadType, RTXPayloadType: 127,
				Codec: w.codec, NACK: true, Clock: &p.clock,
			})
			f.up.SetRTT(2 * hop)
			p.feeds = append(p.feeds, f)
		}
	}
	return w
}

// play runs until all captures have been played and what was still on its way has come.
func (w *world) play() {
	w.slot.Ready(w.now)
	next := time.Duration(0) // change
	for end := rounds*round + time.Second; w.now < end; w.now += ms {
		for _, f := range w.later[w.now] {
			f()
		}
		delete(w.later, w.now)
		if w.now >= next {
			w.change()
			next = w.now + time.Duration(50+w.random.IntN(500))*ms
		}
		for _, p := range w.publishers {
			w.publish(p)
		}
		w.pull()
		if w.now%(5*ms) == 0 {
			w.feedback()
		}
	}
}

// change shows something else, or more or less of it.
func (w *world) change() {
	var c change
	if n := len(w.changes); n > 0 {
		c = w.changes[n-1]
	}
	if c.source == nil || c.source.publisher.over() || w.random.IntN(10) < 3 {
		var playing []*feed
		for _, p := range w.publishers {
			if p.start <= w.now && !p.over() {
				playing = append(playing, p.feeds...)
			}
		}
		if len(playing) == 0 {
			return
		}
		c.source = playing[w.random.IntN(len(playing))]
		w.slot.Assign(w.now, c.source.up, 7)
	}
	c.layer = codec.Everything
	if w.random.IntN(4) > 0 {
		c.layer = codec.Layer{Spatial: uint8(w.random.IntN(c.source.top + 1)), Temporal: uint8(w.random.IntN(c.source.tops + 1))}
	}
	w.slot.SetLayer(w.now, c.layer)
	w.changes = append(w.changes, c)
}

func (p *publisher) over() bool { return p.next == len(p.capture.Packets) }

// publish sends what the capture holds for this moment.
func (w *world) publish(p *publisher) {
	for ; !p.over() && p.capture.Packets[p.next].At <= w.now-p.start; p.next++ {
		b := p.capture.Packets[p.next].Data
		if p.capture.Packets[p.next].RTCP {
			w.report(p, b)
			continue
		}
		h, ok := packet.ParseHeader(b)
		if !ok {
			panic("a capture holds no RTP")
		}
		for _, f := range p.feeds {
			if f.ssrc == h.SSRC {
				f.resendable[h.Sequence] = b
				w.send(func() { f.take(w.now, b, false) })
			}
		}
	}
}

// send does what happens when a packet arrives, if it does.
func (w *world) send(arrive func()) {
	delay := hop
	if w.random.Float64() < w.net.reorder {
		delay += time.Duration(1+w.random.IntN(15)) * ms
	}
	if w.random.Float64() >= w.net.loss {
		w.after(delay, arrive)
	}
}

func (w *world) after(d time.Duration, f func()) { w.later[w.now+d] = append(w.later[w.now+d], f) }

func (w *world) report(p *publisher, b []byte) {
	all, err := rtcp.Unmarshal(b)
	if err != nil {
		panic(err)
	}
	report := all[0].(*rtcp.SenderReport)
	for _, f := range p.feeds {
		if f.ssrc == report.SSRC {
			w.after(hop, func() { f.up.HandleSenderReport(w.now, report.NTPTime, report.RTPTime) })
		}
	}
}

// take hands a packet to the uplink, as the shard does.
func (f *feed) take(now time.Duration, b []byte, again bool) {
	h, _ := packet.ParseHeader(b)
	payload, _ := h.Payload(b)
	var x uplink.Extensions
	var descriptor []byte
	for e := h.Elements(b); e.Next(); {
		switch e.ID {
		case f.capture.Extensions["dependency-descriptor"]:
			descriptor = e.Data()
		case f.capture.Extensions["color-space"]:
			x.SetColorSpace(e.Data())
		}
	}
	if again {
		payload = append([]byte{byte(h.Sequence >> 8), byte(h.Sequence)}, payload...)
		h.SSRC, h.PayloadType, h.Sequence = f.ssrc+1, 127, 0
		f.up.HandleRTX(now, &h, payload, x, descriptor)
		return
	}
	e := f.numbers.Unwrap(h.Sequence)
	f.numbers.Accept(e)
	f.up.Handle(now, &h, e, payload, x, descriptor)
}

// pull takes from the slot all that is due.
func (w *world) pull() {
	if w.slot.WantsKeyframe(w.now) {
		w.changes[len(w.changes)-1].source.up.RequestKeyframe(w.now)
	}
	for {
		b := make([]byte, 1500)
		out, state := w.slot.Next(w.now, b, w.tseq)
		switch state {
		case downlink.Empty:
			return
		case downlink.Dropped:
			continue
		}
		w.tseq++
		p := read(b[:out.Size])
		if out.First {
			w.segments = append(w.segments, segment{out.Seq, w.flowing()})
		}
		if w.first == 0 {
			w.first, w.highest = out.Seq, out.Seq-1
		}
		w.sent[out.Seq] = sent{p, len(w.changes) - 1}
		w.send(func() { w.arrive(out.Seq, p) })
	}
}

// flowing is the source that the slot shows now.
func (w *world) flowing() *feed {
	current, _ := w.slot.Sources()
	for _, p := range w.publishers {
		for _, f := range p.feeds {
			if f.up == current {
				return f
			}
		}
	}
	return nil
}

func read(b []byte) *rtp.Packet {
	p := &rtp.Packet{}
	if err := p.Unmarshal(b); err != nil {
		panic(err)
	}
	return p
}

// arrive is at the watcher's.
func (w *world) arrive(n seq.Extended, p *rtp.Packet) {
	w.came[n] = p
	w.highest = max(w.highest, n)
}

// feedback asks for what is missing, on both ways.
func (w *world) feedback() {
	for _, p := range w.publishers {
		for _, f := range p.feeds {
			for _, n := range f.up.Poll(w.now).NACK {
				w.after(hop, func() {
					if b, ok := f.resendable[n]; ok {
						w.send(func() { f.take(w.now, b, true) })
					}
				})
			}
		}
	}
	if w.now%(30*ms) != 0 || w.first == 0 {
		return
	}
	for n := w.first; n < w.highest; n++ {
		if _, ok := w.came[n]; ok || w.asked[n] == 10 {
			continue
		}
		w.asked[n]++
		w.after(hop, func() { w.resend(n) })
	}
}

// resend answers the watcher's NACK.
func (w *world) resend(n seq.Extended) {
	b := make([]byte, 1500)
	out, ok := w.slot.Resend(w.now, n.Uint16(), b, w.tseq)
	if !ok {
		return
	}
	w.tseq++
	p := read(b[:out.Size])
	if len(p.Payload) >= 2 {
		p.SSRC, p.PayloadType, p.SequenceNumber, p.Payload = mediaSSRC, mediaPT, uint16(p.Payload[0])<<8|uint16(p.Payload[1]), p.Payload[2:]
	}
	w.send(func() { w.arrive(n, p) })
}

// received are the numbers that came, ascending.
func (w *world) received() []seq.Extended {
	var all []seq.Extended
	for n := range w.came {
		all = append(all, n)
	}
	slices.SortFunc(all, func(a, b seq.Extended) int { return cmp.Compare(a, b) })
	return all
}

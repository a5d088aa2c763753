package rival

import (
	"time"

	"github.com/pion/interceptor"
	"github.com/pion/interceptor/pkg/gcc"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"

	"github.com/tolkyn/tolkyn/bench/cc"
	"github.com/tolkyn/tolkyn/sfu/bwe"
)

// PionGCC is pion/interceptor's own pkg/gcc, as its users run it, on a clock of ours. Its pacer is the case's, of the same
// factor. It answers equal inputs not always equally: its delay and its rate are two goroutines.
var PionGCC = cc.Maker{
	Name: "pion-gcc",
	New: func(now time.Duration, cfg bwe.Config) cc.Controller {
		cfg = withDefaults(cfg)
		p := &pionGCC{bubble: newBubble(), cfg: cfg, now: now}
		p.bubble.do(p.open)
		return p
	},
	Close: func(c cc.Controller) { c.(*pionGCC).end() },
}

const (
	transportWideURI = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01"
	transportWideID  = 1
	headerSize       = 20 // bytes of an RTP header with the transport-wide number
)

type pionGCC struct {
	bubble *bubble
	cfg    bwe.Config
	told   once

	// In the bubble.
	controller *gcc.SendSideBWE
	writer     interceptor.RTPWriter
	epoch      time.Time
	now        time.Duration

	sent   []sentPacket // since the last feedback: pion only notes them
	target bwe.Bitrate
}

type sentPacket struct {
	at     time.Duration
	packet bwe.Packet
}

func (p *pionGCC) open() {
	p.epoch = time.Now().Add(-p.now)
	var err error
	p.controller, err = gcc.NewSendSideBWE(
		gcc.SendSideBWEInitialBitrate(int(p.cfg.Start)), gcc.SendSideBWEMinBitrate(int(p.cfg.Min)),
		gcc.SendSideBWEMaxBitrate(int(p.cfg.Max)), gcc.SendSideBWEPacer(gcc.NewNoOpPacer()),
	)
	if err != nil { // never: it has no options that can fail
		panic(err)
	}
	p.writer = p.controller.AddStream(&interceptor.StreamInfo{
		RTPHeaderExtensions: []interceptor.RTPHeaderExtension{{URI: transportWideURI, ID: transportWideID}},
	}, interceptor.RTPWriterFunc(func(*rtp.Header, []byte, interceptor.Attributes) (int, error) { return 0, nil }))
	p.target = p.cfg.Start
}

func (p *pionGCC) end() {
	p.bubble.do(func() { _ = p.controller.Close() }) // it returns no error of its own
	p.bubble.close()
}

func (p *pionGCC) Sent(now time.Duration, packet bwe.Packet) {
	p.sent = append(p.sent, sentPacket{now, packet})
}

func (p *pionGCC) Wants(time.Duration, bwe.Bitrate) {} // it has no ears for it

func (p *pionGCC) Feedback(now time.Duration, results []bwe.Result) {
	fresh := p.told.fresh(results)
	if len(fresh) == 0 {
		return
	}
	p.bubble.do(func() {
		for _, s := range p.sent {
			p.step(s.at)
			p.note(s.packet)
		}
		p.sent = p.sent[:0]
		p.step(now)
		// An error means feedback that does not parse, which ours does.
		if err := p.controller.WriteRTCP(transportWide(fresh), nil); err != nil {
			panic(err)
		}
	})
	p.target = bwe.Bitrate(p.controller.GetTargetBitrate())
}

// step moves the bubble's clock.
func (p *pionGCC) step(now time.Duration) { time.Sleep(time.Until(p.epoch.Add(now))) }

// note gives pion a packet whose size for it is that on the wire, so that its target is in the same unit.
func (p *pionGCC) note(packet bwe.Packet) {
	header := rtp.Header{Version: 2}
	number := rtp.TransportCCExtension{TransportSequence: uint16(packet.Number)}
	data, err := number.Marshal()
	if err == nil {
		err = header.SetExtension(transportWideID, data)
	}
	if err == nil {
		_, err = p.writer.Write(&header, padding[:max(packet.Size-headerSize, 0)], nil)
	}
	if err != nil { // never: the same header each time
		panic(err)
	}
}

// padding is any payload.
var padding [1 << 16]byte

func (p *pionGCC) Poll(time.Duration) bwe.Estimate { return bwe.Estimate{Target: p.target} }

// transportWide writes results as feedback messages, one for each run of numbers, in the resolution that the wire has.
func transportWide(results []bwe.Result) []rtcp.Packet {
	const tick = rtcp.TypeTCCDeltaScaleFactor * time.Microsecond
	const reference = 64 * time.Millisecond
	var out []rtcp.Packet
	for len(results) > 0 {
		n := 1
		for n < len(results) && results[n].Number == results[n-1].Number+1 {
			n++
		}
		message := &rtcp.TransportLayerCC{BaseSequenceNumber: uint16(results[0].Number), PacketStatusCount: uint16(n)}
		clock := time.Duration(-1)
		for _, r := range results[:n] {
			symbol := uint16(rtcp.TypeTCCPacketNotReceived)
			if r.Received {
				if clock < 0 {
					message.ReferenceTime = uint32(r.Arrival / reference)
					clock = r.Arrival / reference * reference
				}
				delta := (r.Arrival - clock).Round(tick)
				clock += delta
				symbol = rtcp.TypeTCCPacketReceivedLargeDelta
				message.RecvDeltas = append(message.RecvDeltas, &rtcp.RecvDelta{Type: symbol, Delta: delta.Microseconds()})
			}
			message.PacketChunks = append(message.PacketChunks, &rtcp.RunLengthChunk{PacketStatusSymbol: symbol, RunLength: 1})
		}
		out = append(out, message)
		results = results[n:]
	}
	return out
}

// once lets each packet's result through once, as transport-wide feedback tells it: not what is told again, nor what comes
// late after it was called lost.
type once struct{ next uint64 }

func (o *once) fresh(results []bwe.Result) []bwe.Result {
	i := 0
	for i < len(results) && results[i].Number < o.next {
		i++
	}
	if i < len(results) {
		o.next = results[len(results)-1].Number + 1
	}
	return results[i:]
}

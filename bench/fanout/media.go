//go:build linux

package main

import (
	"encoding/binary"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tolkyn/tolkyn/internal/packet"
	"github.com/tolkyn/tolkyn/internal/rtcp"
	"github.com/tolkyn/tolkyn/internal/seq"
	"github.com/tolkyn/tolkyn/internal/udp"
)

const (
	pollEvery     = time.Millisecond
	feedbackEvery = 100 * time.Millisecond
	reportEvery   = time.Second
	checkEvery    = 2 * time.Second
)

// tally is what the subscribers got.
type tally struct {
	received atomic.Uint64 // authentic RTP packets, in sequence or filling a gap
	bad      atomic.Uint64 // did not open
	lost     atomic.Int64  // gaps less what filled them
}

// stream is one SSRC at a subscriber.
type stream struct {
	unwrap seq.Unwrapper
}

// ear is the receiving side of one caller.
type ear struct {
	c       *caller
	streams map[uint32]*stream
	arrived rtcp.TransportRecorder
	media   uint32
	scratch []byte

	feedback, report, check time.Time
}

// poller reads every caller's socket each millisecond, so that the server's sends wake nobody up.
type poller struct {
	ears  []*ear
	tally tally
	start time.Time
	stop  chan struct{}
	wg    sync.WaitGroup
}

func newPoller(callers []*caller) *poller {
	p := &poller{start: time.Now(), stop: make(chan struct{})}
	for i, c := range callers {
		// Spread over their intervals: a hundred subscribers do not report in the same millisecond.
		at := p.start.Add(time.Duration(i) * 10 * time.Millisecond)
		p.ears = append(p.ears, &ear{c: c, streams: map[uint32]*stream{}, scratch: make([]byte, 2048), feedback: at, report: at, check: at})
	}
	p.wg.Go(p.run)
	return p
}

func (p *poller) close() {
	close(p.stop)
	p.wg.Wait()
}

func (p *poller) run() {
	b := udp.NewBatch()
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		select {
		case <-p.stop:
			return
		case <-tick.C:
		}
		now := time.Now()
		for _, e := range p.ears {
			for {
				n, err := e.c.sock.Read(b)
				if err != nil || n == 0 {
					break
				}
				for i := range n {
					data, from := b.Datagram(i)
					switch packet.Classify(data) {
					case packet.RTP:
						p.rtp(e, now, data)
					case packet.STUN:
						e.c.stun(data, from)
					}
				}
				if n < 32 {
					break
				}
			}
			e.due(now, now.Sub(p.start))
		}
	}
}

func (p *poller) rtp(e *ear, now time.Time, b []byte) {
	h, ok := packet.ParseHeader(b)
	if !ok {
		p.tally.bad.Add(1)
		return
	}
	size, ext, v := e.c.opener.OpenRTP(b, &h)
	if v != 0 {
		p.tally.bad.Add(1)
		return
	}
	s := e.streams[h.SSRC]
	if s == nil {
		s = &stream{}
		s.unwrap.Accept(ext)
		e.streams[h.SSRC] = s
		e.media = h.SSRC
	} else {
		highest, _ := s.unwrap.Highest()
		switch {
		case ext > highest:
			p.tally.lost.Add(int64(ext-highest) - 1)
			s.unwrap.Accept(ext)
		default:
			p.tally.lost.Add(-1)
		}
	}
	p.tally.received.Add(1)
	if x, ok := h.Extension(b[:size], extTransport); ok && len(x) == 2 {
		e.arrived.Handle(now.Sub(p.start), binary.BigEndian.Uint16(x))
	}
}

// due sends what a browser sends: transport-wide feedback, receiver reports, consent checks.
func (e *ear) due(now time.Time, since time.Duration) {
	if now.After(e.feedback) {
		e.feedback = now.Add(feedbackEvery)
		e.send(e.arrived.Append(rtcp.AppendReceiverReport(e.scratch[:0], 1, nil), 1, e.media))
	}
	if now.After(e.report) {
		e.report = now.Add(reportEvery)
		var blocks []rtcp.ReportBlock
		for ssrc, s := range e.streams {
			highest, _ := s.unwrap.Highest()
			blocks = append(blocks, rtcp.ReportBlock{SSRC: ssrc, HighestSeq: uint32(highest)})
		}
		e.send(rtcp.AppendReceiverReport(e.scratch[:0], 1, blocks))
	}
	if now.After(e.check) {
		e.check = now.Add(checkEvery)
		e.c.check()
	}
}

func (e *ear) send(b []byte) {
	if len(b) <= 8 {
		return
	}
	e.c.sock.WriteTo(e.scratch[:e.c.sealer.SealRTCP(e.scratch, len(b))], e.c.server)
}

// pattern is when a publisher sends how much.
type pattern struct {
	video    bool
	payload  int           // bytes of RTP payload
	burst    int           // packets at once
	every    time.Duration // between bursts
	fraction int           // every so many bursts one packet more, 0 never: 22 kpps is 7.33 packets a frame
}

// voice is what a publisher sends next.
type voice struct {
	c       *caller
	queue   *udp.Queue
	number  seq.Extended
	tseq    uint16
	picture uint16
}

// publish sends for all callers, one after the other at each tick, until stop closes.
func publish(callers []*caller, p pattern, stop <-chan struct{}) {
	voices := make([]voice, len(callers))
	for i, c := range callers {
		voices[i] = voice{c: c, queue: udp.NewQueue(64), number: 1<<16 + 100}
	}
	start := time.Now()
	for frame := 0; ; frame++ {
		next := start.Add(time.Duration(frame) * p.every)
		if wait := time.Until(next); wait > 0 {
			select {
			case <-stop:
				return
			case <-time.After(wait):
			}
		}
		for i := range voices {
			voices[i].send(p, frame)
		}
	}
}

// send sends one burst.
func (v *voice) send(p pattern, frame int) {
	ssrc, pt, clock := v.c.ssrcA, uint8(ptOpus), uint64(48000)
	if p.video {
		ssrc, pt, clock = v.c.ssrcV, ptVP8, 90000
	}
	burst := p.burst
	if p.fraction != 0 && frame%p.fraction == 0 {
		burst++
	}
	timestamp := uint32(uint64(frame) * uint64(p.every) * clock / uint64(time.Second))
	for i := range burst {
		b := v.queue.Next(v.c.server)
		n := packet.PutHeader(b, packet.Header{Sequence: v.number.Uint16(), Timestamp: timestamp, SSRC: ssrc, PayloadType: pt, Marker: i == burst-1})
		n = packet.PutExtensions(b, n, []packet.Extension{{ID: extTransport, Data: []byte{byte(v.tseq >> 8), byte(v.tseq)}}})
		header := n
		payload := b[n : n+p.payload]
		clear(payload)
		if p.video {
			vp8(payload, i == 0, frame%300 == 0, v.picture)
		} else {
			payload[0] = 0x78
		}
		v.queue.Commit(v.c.sealer.SealRTP(b, header, header+p.payload, v.number))
		v.number++
		v.tseq++
	}
	v.c.sock.Flush(v.queue)
	v.picture++
}

// vp8 writes the payload descriptor (RFC 7741) and the head of a frame.
func vp8(b []byte, start, key bool, picture uint16) {
	b[0], b[1] = 0x80, 0x80
	if start {
		b[0] |= 0x10
	}
	binary.BigEndian.PutUint16(b[2:], picture|0x8000)
	if !start {
		return
	}
	b[4] = 1
	if key {
		copy(b[4:], []byte{0x10, 0, 0, 0x9d, 0x01, 0x2a, 0x80, 0x02, 0x68, 0x01})
	}
}

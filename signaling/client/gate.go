package client

import (
	"sync"

	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
)

// gate stands between a track, or one encoding of it, and its m-line: while it is shut nothing that is written goes out. The
// numbers of what was held back are taken out of the sequence, so that silence does not look like loss.
type gate struct {
	webrtc.TrackLocal

	// Fixed.
	id, stream, rid string // of an encoding of a simulcast; rid is empty without
	level           int    // of it, from the smallest

	// Owned by whoever has the turn, until the next answer binds it.
	names       *names
	transceiver *webrtc.RTPTransceiver

	// Guarded by the Room's mu.
	share share
	told  TargetBitrate // its owner was told last

	// Guarded by mu.
	mu      sync.Mutex
	shut    reasons
	held    uint16
	written measured
	stats   PublishedStats
}

// reasons to hold back what is written.
type reasons uint8

const (
	muted    reasons = 1 << iota // by its owner
	ended                        // it is published no more
	refused                      // the server does not take this encoding
	unwanted                     // nobody watches it
	starved                      // our uplink does not carry it
)

// set says whether what was held back goes out from now on.
func (g *gate) set(why reasons, on bool) (opened bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	before := g.shut
	if on {
		g.shut |= why
	} else {
		g.shut &^= why
	}
	return before != 0 && g.shut == 0
}

// ID implements webrtc.TrackLocal.
func (g *gate) ID() string {
	if g.rid != "" {
		return g.id
	}
	return g.TrackLocal.ID()
}

// StreamID implements webrtc.TrackLocal.
func (g *gate) StreamID() string {
	if g.rid != "" {
		return g.stream
	}
	return g.TrackLocal.StreamID()
}

// RID implements webrtc.TrackLocal.
func (g *gate) RID() string { return g.rid }

// Bind implements webrtc.TrackLocal.
func (g *gate) Bind(c webrtc.TrackLocalContext) (webrtc.RTPCodecParameters, error) {
	if g.rid != "" {
		g.names.bind(c, g.transceiver.Mid(), g.rid, g.level)
	}
	return g.TrackLocal.Bind(gatedContext{c, g})
}

type gatedContext struct {
	webrtc.TrackLocalContext

	gate *gate
}

// WriteStream implements webrtc.TrackLocalContext.
func (c gatedContext) WriteStream() webrtc.TrackLocalWriter {
	return gatedWriter{c.TrackLocalContext.WriteStream(), c.gate}
}

type gatedWriter struct {
	webrtc.TrackLocalWriter

	gate *gate
}

// WriteRTP implements webrtc.TrackLocalWriter.
func (w gatedWriter) WriteRTP(h *rtp.Header, payload []byte) (int, error) {
	w.gate.mu.Lock()
	w.gate.written.bytes += h.MarshalSize() + len(payload)
	if w.gate.shut != 0 {
		w.gate.held++
		w.gate.mu.Unlock()
		return h.MarshalSize() + len(payload), nil
	}
	out := h.Clone()
	out.SequenceNumber -= w.gate.held
	w.gate.mu.Unlock()
	n, err := w.TrackLocalWriter.WriteRTP(&out, payload)
	if n > 0 && err == nil { // nothing goes out before the keys are there
		w.gate.mu.Lock()
		w.gate.stats.Packets++
		w.gate.stats.Bytes += uint64(h.MarshalSize() + len(payload))
		w.gate.mu.Unlock()
	}
	return n, err
}

// Write implements io.Writer.
func (w gatedWriter) Write(b []byte) (int, error) {
	var p rtp.Packet
	if err := p.Unmarshal(b); err != nil {
		return 0, err
	}
	return w.WriteRTP(&p.Header, p.Payload)
}

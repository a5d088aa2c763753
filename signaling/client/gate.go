package client

import (
	"sync"

	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
)

// gate stands between a published track and its m-line: while it is shut nothing that is written goes out. The
// numbers of what was held back are taken out of the sequence, so that silence does not look like loss.
type gate struct {
	webrtc.TrackLocal

	// Guarded by mu.
	mu    sync.Mutex
	shut  bool
	held  uint16
	stats PublishedStats
}

func (g *gate) set(shut bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.shut = shut
}

// Bind implements webrtc.TrackLocal.
func (g *gate) Bind(c webrtc.TrackLocalContext) (webrtc.RTPCodecParameters, error) {
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
	if w.gate.shut {
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

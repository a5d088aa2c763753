package signaling

import (
	"sync/atomic"

	"github.com/tolkyn/tolkyn/signaling/wire"
)

// Stats is what a Server has seen since New.
type Stats struct {
	Sessions        int               // now, those without a connection included
	Connections     int               // now
	FramesIn        uint64            // messages read, bad ones included
	FramesOut       uint64            // messages written
	Resumes         uint64            // sessions put on a new connection
	OutboxOverflows uint64            // connections cut because their client read too slowly
	Errors          map[string]uint64 // Error frames by code, such as "BAD_SDP"; codes never said are absent
	Panics          uint64            // connections that ended by a fault of ours
	HellosRefused   uint64            // and failed Resumes: of an address that sent too many
	AddressOverflow uint64            // addresses forgotten while their limit still mattered, since there were too many

	// Transports by name: "websocket", "quic", "webtransport"; each is there from the start.
	Transports map[string]TransportStats
	QUIC       QUICStats
}

// TransportStats is what has come one way.
type TransportStats struct {
	Sessions    int    // that are on a connection now
	Connections int    // now
	Accepted    uint64 // connections since New
}

// QUICStats is of raw QUIC and WebTransport together.
type QUICStats struct {
	HalfOpen          int    // handshakes under way now
	HandshakesRefused uint64 // too many were under way, or the server was closing
	HandshakesFailed  uint64 // begun and never completed
	Retries           uint64 // clients told to prove their address first
	EarlyFrames       uint64 // handled before the handshake was complete (0-RTT)
	Datagrams         uint64 // read
	DatagramDrops     uint64 // of them, without an answer: no Ping, or too many
	UnaskedStreams    uint64 // opened by a client beside its control stream, and stopped
}

type counters struct {
	framesIn, framesOut, resumes, overflows, panics atomic.Uint64

	accepted [ways]atomic.Uint64

	halfOpen                                                                            atomic.Int64
	refused, failedHandshakes, retries, early, datagrams, datagramDrops, unaskedStreams atomic.Uint64

	errors [wire.Error_INTERNAL + 1]atomic.Uint64
}

func (c *counters) failed(code wire.Error_Code) { c.errors[code].Add(1) }

// Stats returns the figures of this moment.
func (s *Server) Stats() Stats {
	s.mu.Lock()
	stats := Stats{Sessions: len(s.sessions), Connections: len(s.conns)}
	var byWay [ways]TransportStats
	for c := range s.conns {
		byWay[c.way].Connections++
		if c.seated.Load() {
			byWay[c.way].Sessions++
		}
	}
	s.mu.Unlock()
	stats.Transports = make(map[string]TransportStats, ways)
	for w, t := range byWay {
		t.Accepted = s.counters.accepted[w].Load()
		stats.Transports[way(w).String()] = t
	}
	stats.QUIC = QUICStats{
		HalfOpen:          int(s.counters.halfOpen.Load()),
		HandshakesRefused: s.counters.refused.Load(),
		HandshakesFailed:  s.counters.failedHandshakes.Load(),
		Retries:           s.counters.retries.Load(),
		EarlyFrames:       s.counters.early.Load(),
		Datagrams:         s.counters.datagrams.Load(),
		DatagramDrops:     s.counters.datagramDrops.Load(),
		UnaskedStreams:    s.counters.unaskedStreams.Load(),
	}
	stats.HellosRefused, stats.AddressOverflow = s.addresses.stats()
	stats.Panics = s.counters.panics.Load()
	stats.FramesIn = s.counters.framesIn.Load()
	stats.FramesOut = s.counters.framesOut.Load()
	stats.Resumes = s.counters.resumes.Load()
	stats.OutboxOverflows = s.counters.overflows.Load()
	stats.Errors = make(map[string]uint64)
	for code := range s.counters.errors {
		if n := s.counters.errors[code].Load(); n > 0 {
			stats.Errors[wire.Error_Code(code).String()] = n
		}
	}
	return stats
}

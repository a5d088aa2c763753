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
}

type counters struct {
	framesIn, framesOut, resumes, overflows atomic.Uint64

	errors [wire.Error_INTERNAL + 1]atomic.Uint64
}

func (c *counters) failed(code wire.Error_Code) { c.errors[code].Add(1) }

// Stats returns the figures of this moment.
func (s *Server) Stats() Stats {
	s.mu.Lock()
	stats := Stats{Sessions: len(s.sessions), Connections: len(s.conns)}
	s.mu.Unlock()
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

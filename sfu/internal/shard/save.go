package shard

import (
	"time"

	"github.com/tolkyn/tolkyn/sfu/bwe"
)

// What is different for those who save bytes. Their sound comes and goes in few packets already, as the answer asked for; what is
// left then are reports and checks, of which a second's worth would be as much as a voice that is silent.

const (
	// saverReports is RFC 3550's minimum (§6.2): a muted listener of one voice gets and sends 0.2 reports a second.
	saverReports = 5 * time.Second
	// saverMeasures is how often the path is checked, with the reports at the latest: RFC 7675 has it every 5 s (§5.1). One that is
	// not answered is followed by the next at once, so that 25 have to be lost in a row until the consent is over.
	saverMeasures = saverReports - 500*time.Millisecond

	// saverMost is what sound with its copies may take of the way to who saves and asks for what is lost, bits a second with all
	// headers. Nothing but reports tells of such a path, and on 24 kbit/s more copies are the queue in which requests wait. A voice
	// of 6 kbit/s in packets of 120 ms has room for two of each packet; one of 12 in packets of 60 has none, and is asked for again.
	saverMost = 23 * bwe.Kbps

	// thinBitrate is less than a voice of 24 kbit/s in packets of 20 ms takes with its headers (45 kbit/s), and twice what one takes
	// that is saved. thinFor is longer than a queue of before takes to drain.
	thinBitrate = 40 * bwe.Kbps
	thinFor     = 5 * time.Second
)

// Save says whether a peer saves bytes.
type Save struct {
	ID PeerID
	On bool
}

func (c Save) apply(s *Shard, now time.Duration) {
	p := s.peers[c.ID]
	if p == nil || p.saves == c.On {
		return
	}
	p.saves = c.On
	if g := p.congestion; g != nil {
		g.thin, g.thinTold = 0, false
		s.poll(now, p) // no probe, or one after all
	}
	if p.sealer != nil && !p.saves {
		p.reports = min(p.reports, now+reportInterval)
		s.wheel.arm(&p.timer, p.reports)
	}
}

// reportEvery is the time between two reports of a peer.
func (p *peer) reportEvery() time.Duration {
	if p.saves {
		return saverReports
	}
	return reportInterval
}

// measureEvery is the time between two checks of a peer's path that are answered.
func (p *peer) measureEvery() time.Duration {
	if p.saves {
		return saverMeasures
	}
	return measureInterval
}

// watchThin notes whether the way to a peer carries a voice, and tells when it has not for long. What is sent must be what the way
// would not carry: the estimate of a peer that is sent little says nothing.
func (s *Shard) watchThin(now time.Duration, p *peer) {
	g := p.congestion
	switch {
	case s.cfg.Thin == nil || p.saves || p.gone || g.estimate.Lasts >= 2*thinBitrate:
		g.thin, g.thinTold = 0, false
	case g.estimate.Lasts >= thinBitrate || g.estimate.AppLimited:
		g.thin = 0
	case g.thin == 0:
		g.thin = max(now, 1)
	case now-g.thin >= thinFor && !g.thinTold:
		g.thinTold = true
		s.cfg.Thin(p.id)
	}
}

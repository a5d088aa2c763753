package shard

import (
	"crypto/rand"
	"net/netip"
	"time"

	"github.com/tolkyn/tolkyn/internal/packet"
	"github.com/tolkyn/tolkyn/internal/srtp"
	"github.com/tolkyn/tolkyn/sfu/internal/handshake"
)

const (
	// maxSources bounds the addresses one peer may be heard from: two families, Wi-Fi and LTE, an old and a new mapping of
	// each.
	maxSources = 8
	// maxEarly bounds the packets held for keys: DTLS ends a flight later on our side than on the client's.
	maxEarly = 8
	// checkRetry is how often a check to a new address is repeated, and checkTries how often in all: 5 × 100 ms survives
	// 30 % loss and ends before the client's own ICE gives up.
	checkRetry = 100 * time.Millisecond
	checkTries = 5
	// measureInterval of the round trip: as often as browsers check their own pairs.
	measureInterval = 2500 * time.Millisecond
)

type transactionID = handshake.TransactionID

type credential struct{ ufrag, pwd string }

// path is one way to a peer: a UDP address or an ICE-TCP connection.
type path struct {
	addr netip.AddrPort
	tcp  *tcpConn // nil for UDP
}

func (p path) valid() bool { return p.addr.IsValid() }

// source is an address a peer proved to be at.
type source struct {
	path    path
	checked time.Duration
}

// pathCheck is our own connectivity check: to an address that sent authentic media but no check yet (a NAT gave the peer
// a new mapping, and its own next check may be seconds away), or to the present one to measure the round trip.
type pathCheck struct {
	tx    transactionID
	to    netip.AddrPort
	move  bool // media goes there once it is answered
	at    time.Duration
	tries int
}

// handle gives one datagram to whom its first byte names.
func (s *Shard) handle(now time.Duration, b []byte, from netip.AddrPort) {
	switch packet.Classify(b) {
	case packet.RTP:
		if p := s.sources[from]; p != nil {
			s.receiveRTP(now, p, b)
		} else {
			s.strayRTP(now, b, from)
		}
	case packet.RTCP:
		if p := s.sources[from]; p != nil {
			s.receiveRTCP(now, p, b)
		} else {
			s.stats.Drops.UnknownSource++
		}
	case packet.STUN:
		s.receiveSTUN(now, b, path{addr: from})
	case packet.DTLS:
		if p := s.sources[from]; p != nil {
			s.admit(now, p, b, path{addr: from})
		} else {
			s.stats.Drops.UnknownSource++
		}
	default:
		s.stats.Drops.Malformed++
	}
}

// handleTCP is handle for a frame of an ICE-TCP connection.
func (s *Shard) handleTCP(now time.Duration, b []byte, from path) {
	kind := packet.Classify(b)
	if kind == packet.STUN {
		s.receiveSTUN(now, b, from)
		return
	}
	p := from.tcp.peer
	switch {
	case p == nil || p.gone:
		s.stats.Drops.UnknownSource++
	case kind == packet.RTP:
		s.receiveRTP(now, p, b)
	case kind == packet.RTCP:
		s.receiveRTCP(now, p, b)
	case kind == packet.DTLS:
		s.admit(now, p, b, from)
	default:
		s.stats.Drops.Malformed++
	}
}

// receiveSTUN checks integrity before anything else happens: only a check that knows the password moves addresses or
// costs pion's time.
func (s *Shard) receiveSTUN(now time.Duration, b []byte, from path) {
	ufrag, request := handshake.LocalUfragOf(b)
	if !request {
		s.receiveResponse(now, b, from)
		return
	}
	p := s.ufrags[ufrag]
	if p == nil {
		s.stats.Drops.UnknownUfrag++
		return
	}
	var binding handshake.Binding
	ok := false
	for _, c := range p.credentials {
		if c.ufrag == ufrag {
			binding, ok = handshake.CheckBinding(b, c.pwd)
		}
	}
	if !ok {
		s.stats.Drops.ForgedSTUN++
		return
	}
	s.suspect = p
	p.lastChecked = now
	s.heard(p, now)
	s.allow(now, p, from)
	if binding.UseCandidate || !p.destination.valid() {
		s.moveTo(p, from)
	}
	s.admit(now, p, b, from)
}

// receiveResponse takes the answer to one of our own checks, or hands a known peer's answer to pion.
func (s *Shard) receiveResponse(now time.Duration, b []byte, from path) {
	if len(b) < 20 {
		s.stats.Drops.Malformed++
		return
	}
	tx := transactionID(b[8:20])
	if p := s.checks[tx]; p != nil {
		if from.tcp != nil || p.check.to != from.addr || !handshake.CheckResponse(b, tx, p.remote.pwd) {
			s.stats.Drops.ForgedSTUN++
			return
		}
		check := p.check
		delete(s.checks, tx)
		p.check = pathCheck{}
		p.lastChecked = now
		s.heard(p, now)
		s.allow(now, p, from)
		if check.tries == 1 { // which of several tries was answered is unknown (Karn)
			s.setRTT(p, now-check.at)
		}
		if check.move {
			s.moveTo(p, from)
		}
		return
	}
	p := s.sources[from.addr]
	if from.tcp != nil {
		p = from.tcp.peer
	}
	if p == nil || p.gone {
		s.stats.Drops.UnknownSource++
		return
	}
	s.admit(now, p, b, from)
}

// allow lets the peer be heard from an address it proved to be at.
func (s *Shard) allow(now time.Duration, p *peer, from path) {
	for i := range p.allowed {
		if p.allowed[i].path == from {
			p.allowed[i].checked = now
			return
		}
	}
	if from.tcp == nil {
		if other := s.sources[from.addr]; other != nil && other != p {
			// The same address now authenticates as somebody else: a client joined again from the same socket.
			s.disallow(other, from)
		}
		s.sources[from.addr] = p
	} else {
		from.tcp.peer = p
	}
	if len(p.allowed) == maxSources {
		oldest := 0
		for i, a := range p.allowed {
			if a.path != p.destination && a.checked < p.allowed[oldest].checked || p.allowed[oldest].path == p.destination {
				oldest = i
			}
		}
		s.forgetSource(p, p.allowed[oldest])
		p.allowed = append(p.allowed[:oldest], p.allowed[oldest+1:]...)
	}
	p.allowed = append(p.allowed, source{from, now})
}

func (s *Shard) disallow(p *peer, from path) {
	for i, a := range p.allowed {
		if a.path == from {
			s.forgetSource(p, a)
			p.allowed = append(p.allowed[:i], p.allowed[i+1:]...)
			break
		}
	}
	if p.destination == from {
		p.destination = path{}
	}
}

func (s *Shard) forgetSource(p *peer, a source) {
	if a.path.tcp != nil {
		if a.path.tcp.peer == p {
			a.path.tcp.peer = nil
		}
	} else if s.sources[a.path.addr] == p {
		delete(s.sources, a.path.addr)
	}
}

// moveTo makes media leave for a proved address from the next packet on.
func (s *Shard) moveTo(p *peer, to path) {
	if p.destination == to {
		return
	}
	if p.destination.valid() {
		s.stats.PathChanges++
	}
	p.destination = to
}

// strayRTP looks at media from an address nobody proved: when it opens under the keys of the publisher of its SSRC, that
// peer has moved, and a check goes there at once. The packet itself is dropped: media moves only after the check.
func (s *Shard) strayRTP(now time.Duration, b []byte, from netip.AddrPort) {
	s.stats.Drops.UnknownSource++
	h, ok := packet.ParseHeader(b)
	if !ok {
		return
	}
	p := s.ssrcs[h.SSRC]
	if p == nil || p.opener == nil || p.remote.pwd == "" {
		return
	}
	if p.check.to.IsValid() && now < p.check.at+checkRetry {
		return // one check at a time: a flood of captured packets makes ten checks a second, not one each
	}
	s.suspect = p
	if _, _, v := p.opener.OpenRTP(b, &h); v != srtp.OK {
		s.stats.Drops.opened(v)
		return
	}
	s.startCheck(now, p, pathCheck{to: from, move: true})
}

// measure checks the present path for its round trip, now and then.
func (s *Shard) measure(now time.Duration, p *peer) {
	if now < p.measureAt || p.check.to.IsValid() || p.destination.tcp != nil || !p.destination.valid() || p.remote.pwd == "" {
		return
	}
	p.measureAt = now + measureInterval
	s.startCheck(now, p, pathCheck{to: p.destination.addr})
}

func (s *Shard) startCheck(now time.Duration, p *peer, c pathCheck) {
	delete(s.checks, p.check.tx)
	p.check = c
	rand.Read(p.check.tx[:])
	s.checks[p.check.tx] = p
	s.sendCheck(now, p)
}

// sendCheck sends or repeats the peer's pending check.
func (s *Shard) sendCheck(now time.Duration, p *peer) {
	if p.check.tries == checkTries || len(p.credentials) == 0 {
		delete(s.checks, p.check.tx)
		p.check = pathCheck{}
		return
	}
	p.check.at = now
	p.check.tries++
	local := p.credentials[len(p.credentials)-1].ufrag
	s.sock.WriteTo(handshake.AppendCheck(nil, p.check.tx, p.remote.ufrag, local, p.remote.pwd, uint64(p.id)), p.check.to)
	s.wheel.arm(&p.timer, now+checkRetry)
}

// admit passes a STUN or DTLS packet to pion: at once for connected peers' STUN, through the gate for all else.
func (s *Shard) admit(now time.Duration, p *peer, b []byte, from path) {
	if p.connected && packet.Classify(b) == packet.STUN {
		s.deliver(p, b, from)
		return
	}
	switch s.gate.Admit(now, p.id, heldPacket{append([]byte(nil), b...), from}) {
	case handshake.GatePass:
		s.deliver(p, b, from)
	case handshake.GateDrop, handshake.GateBusy:
		s.stats.Drops.GateFull++
	}
	s.pollGate(now)
}

func (s *Shard) deliver(p *peer, b []byte, from path) {
	if from.tcp != nil {
		p.hs.DeliverTCP(b, from.addr)
		return
	}
	p.hs.Deliver(b, from.addr)
}

// heldPacket is a handshake packet that waits at the gate.
type heldPacket struct {
	b    []byte
	from path
}

// pollGate delivers what the gate lets through now and notes when it wants to be asked again.
func (s *Shard) pollGate(now time.Duration) {
	s.gateAt = s.gate.Poll(now, func(id PeerID, held heldPacket) {
		if p := s.peers[id]; p != nil {
			s.deliver(p, held.b, held.from)
		}
	})
	retryAfter, _ := s.gate.Busy(now)
	s.backlog.Store(int64(retryAfter))
}

// heard notes an authenticated packet.
func (s *Shard) heard(p *peer, now time.Duration) {
	p.lastHeard = now
	p.silent = false
}

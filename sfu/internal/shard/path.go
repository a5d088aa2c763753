package shard

import (
	"crypto/rand"
	"encoding/binary"
	"net/netip"
	"time"

	"github.com/tolkyn/tolkyn/internal/packet"
	"github.com/tolkyn/tolkyn/sfu/internal/handshake"
)

const (
	// maxSources bounds the addresses one peer may be heard from: two families, Wi-Fi and LTE, an old and a new mapping of
	// each.
	maxSources = 8
	// maxEarly bounds the packets held for keys: DTLS ends a flight later on our side than on the client's.
	maxEarly = 8
	// A check to a new address is sent 14 times in all, first every 50 ms (RFC 8445 §14.2) and from the seventh on every 150: until one
	// is answered nothing is heard there. At 30 % loss each way one in ten thousand goes unanswered, and a round trip of 800 ms still
	// leaves nine of them time to be answered.
	checkRetry = 50 * time.Millisecond
	checkHaste = 6
	checkTries = 14
	// measureInterval of the round trip: as often as browsers check their own pairs. measurePatience is how long the one
	// request is waited for: a repeated one could not tell which of both was answered (Karn).
	measureInterval = 2500 * time.Millisecond
	measurePatience = time.Second
	// The destination is taken for dead when nothing authentic has come from it for so long while media, or a check
	// without nomination, comes from another address of the peer. Media: 25 packets of voice. Checks: longer than the
	// 2.5 s between the checks of a living path, for ICE agents also check the paths they do not use.
	quietForMedia  = 500 * time.Millisecond
	quietForChecks = 3 * time.Second
	// restartTime is how long pion hears the checks of a connected peer again after an ICE restart: enough for 10 tries of
	// the client's.
	restartTime = 5 * time.Second
)

type transactionID = handshake.TransactionID

// credential is one side's ICE name and password.
type credential struct {
	ufrag  string
	secret *handshake.Secret
}

// path is one way to a peer: a UDP address beside our socket, or a transport, which is told apart by itself: its address is what
// the client calls it, and another may have it for real.
type path struct {
	addr netip.AddrPort
	via  *transport // nil: our socket
}

func (p path) valid() bool { return p.addr.IsValid() }

// stream says whether what is sent arrives, or late. Nobody but the client can send there.
func (p path) stream() bool { return p.via != nil && p.via.stream }

// host is where the client itself is, as far as we know.
func (p path) host() netip.Addr {
	if p.via != nil && p.via.link != nil {
		return p.via.link.Client().Addr()
	}
	return p.addr.Addr()
}

// source is an address a peer sends from.
type source struct {
	path    path
	checked time.Duration
}

// Where a peer's media goes. Its first authenticated check sets the destination, which gets media once our own check there
// has been answered; the handshake takes longer. Afterwards media follows to another address in the same way, one round
// trip after what suggested the move: an address in a packet may be false, and nobody shall aim a call's media at a third
// party (RFC 8445 §19.5.1, RFC 7675). Four things suggest a move:
//
//	a check with USE-CANDIDATE           the client nominates: what Chromium sends on the pair it has selected
//	authentic media, address unknown     a NAT gave the peer a new mapping; its own next check may be seconds away
//	authentic media, address known,      the nomination was lost, or the client (pion) never nominates again
//	  nothing from the old one for 500 ms
//	a plain check, old one dead for 3 s  a peer that only receives moved and does not nominate again
//
// A stream proves itself, and a plain check over it suggests nothing: clients keep a connection warm beside UDP with them.

// pathCheck is our own connectivity check: to an address that media may have to follow to, or to the present one to
// measure the round trip and renew the consent to send.
type pathCheck struct {
	tx    transactionID
	to    path
	move  bool // media goes there once it is answered
	at    time.Duration
	first time.Duration // try
	tries int
}

// retryAt is when the check is sent again or given up.
func (c *pathCheck) retryAt() time.Duration {
	if !c.move {
		return c.at + measurePatience
	}
	if c.tries <= checkHaste {
		return c.at + checkRetry
	}
	return c.at + 3*checkRetry
}

func (c *pathCheck) pending() bool { return c.to.valid() }

// handle gives one packet to whom its first byte names.
func (s *Shard) handle(now time.Duration, b []byte, from path) {
	switch packet.Classify(b) {
	case packet.RTP:
		if p := s.owner(from); p == nil {
			s.strayRTP(now, b, from)
		} else if s.receiveRTP(now, p, b) {
			s.cameFrom(now, p, from)
		}
	case packet.RTCP:
		if p := s.owner(from); p == nil {
			s.strayRTCP(now, b, from)
		} else if s.receiveRTCP(now, p, b) {
			s.cameFrom(now, p, from)
		}
	case packet.STUN:
		s.receiveSTUN(now, b, from)
	case packet.DTLS:
		if p := s.owner(from); p != nil {
			s.admit(now, p, b, from)
		} else {
			s.stats.Drops.UnknownSource++
		}
	default:
		s.stats.Drops.Malformed++
	}
}

// owner is the peer that has proved to be there; nil: none.
func (s *Shard) owner(at path) *peer {
	if at.via != nil {
		return at.via.peer
	}
	return s.sources[at.addr]
}

// receiveSTUN checks integrity before anything else happens: only a check that knows the password moves addresses or
// costs pion's time.
func (s *Shard) receiveSTUN(now time.Duration, b []byte, from path) {
	ufrag, request := handshake.LocalUfragOf(b)
	if !request {
		s.receiveResponse(now, b, from)
		return
	}
	p := s.ufrags[string(ufrag)]
	if p == nil {
		s.stats.Drops.UnknownUfrag++
		return
	}
	var local *handshake.Secret
	for _, c := range p.credentials {
		if c.ufrag == string(ufrag) {
			local = c.secret
		}
	}
	binding, ok := local.CheckBinding(b)
	if !ok {
		s.stats.Drops.ForgedSTUN++
		return
	}
	s.suspect = p
	s.heard(p, now)
	s.keep(from.via)
	if other := s.owner(from); !from.stream() && (other != nil && other != p || s.elsewhere(from.via)) {
		// Another peer is there. It may have been closed and joined again from the same socket, or the address is false:
		// the answer to our check tells.
		s.prove(now, p, from)
		s.admit(now, p, b, from)
		return
	}
	s.allow(now, p, from)
	if !p.destination.valid() {
		p.destination = from
	}
	switch {
	case p.destination == from:
		p.arrive(now)
		if now-p.consented >= consentFor {
			s.prove(now, p, from)
		}
	case binding.UseCandidate, !from.stream() && now-p.arrived >= quietForChecks:
		s.prove(now, p, from)
	}
	if p.connected && now >= p.pionUntil {
		s.answerCheck(local, binding.Tx, from)
		return
	}
	s.admit(now, p, b, from)
}

// cameFrom notes where an authentic packet came from.
func (s *Shard) cameFrom(now time.Duration, p *peer, from path) {
	if p.destination == from {
		p.arrive(now)
	} else if now-p.arrived >= quietForMedia {
		s.prove(now, p, from)
	}
}

// arrive notes an authentic packet from the destination. Over a stream it also renews the consent: no check of ours goes there,
// and nobody else can send on it.
func (p *peer) arrive(now time.Duration) {
	p.arrived = now
	if p.destination.stream() {
		p.consented = now
	}
}

// answerCheck answers a check of a connected peer. pion has no more to learn from it, and a hundred peers' checks through
// pion would cost more than their media.
func (s *Shard) answerCheck(local *handshake.Secret, tx transactionID, from path) {
	s.stun = local.AppendResponse(s.stun[:0], tx, from.addr)
	s.urge(s.stun, from)
}

// urge sends a check of ours, or the answer to one, now.
func (s *Shard) urge(b []byte, to path) {
	if to.via != nil {
		to.via.Send(b)
		return
	}
	s.sock.WriteTo(b, to.addr)
}

// receiveResponse takes the answer to one of our own checks, or hands a known peer's answer to pion.
func (s *Shard) receiveResponse(now time.Duration, b []byte, from path) {
	if len(b) < 20 {
		s.stats.Drops.Malformed++
		return
	}
	tx := transactionID(b[8:20])
	if p := s.checks[tx]; p != nil {
		if p.check.to != from || !p.remote.secret.CheckResponse(b, tx) {
			s.stats.Drops.ForgedSTUN++
			return
		}
		check := p.check
		delete(s.checks, tx)
		p.check = pathCheck{}
		s.suspect = p
		s.heard(p, now)
		s.allow(now, p, from)
		if check.tries == 1 || p.rtt == 0 { // which of several tries was answered is unknown (Karn); too long is better than a guess
			s.setRTT(now, p, now-check.first)
		}
		if check.move {
			s.moveTo(now, p, from)
		}
		if p.destination == from {
			p.arrived, p.consented = now, now
		}
		return
	}
	p := s.owner(from)
	if p == nil || p.gone {
		s.stats.Drops.UnknownSource++
		return
	}
	if !p.connected || now < p.pionUntil {
		s.admit(now, p, b, from)
	}
}

// allow lets the peer be heard from an address it authenticated from. Who was there before is there no more.
func (s *Shard) allow(now time.Duration, p *peer, from path) {
	for i := range p.allowed {
		if p.allowed[i].path == from {
			p.allowed[i].checked = now
			return
		}
	}
	if other := s.owner(from); other != nil && other != p {
		other.lose(from)
		if from.via != nil && other.hs != nil {
			other.hs.Detach(from.via)
		}
	}
	if from.via == nil {
		s.sources[from.addr] = p
	} else {
		s.claim(from.via, p)
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

// disallow ends a path of a peer's.
func (s *Shard) disallow(p *peer, from path) {
	s.forgetSource(p, source{path: from})
	p.lose(from)
}

// lose takes a path away from a peer.
func (p *peer) lose(from path) {
	for i, a := range p.allowed {
		if a.path == from {
			p.allowed = append(p.allowed[:i], p.allowed[i+1:]...)
			break
		}
	}
	if p.destination == from {
		p.destination, p.consented = path{}, noConsent
	}
}

// forgetSource makes a path nobody's.
func (s *Shard) forgetSource(p *peer, a source) {
	if v := a.path.via; v != nil {
		if v.peer == p {
			s.endTransport(v)
		}
	} else if s.sources[a.path.addr] == p {
		delete(s.sources, a.path.addr)
	}
}

// prove asks an address whether the peer is really there; media moves to it with the answer.
func (s *Shard) prove(now time.Duration, p *peer, to path) {
	switch {
	case to.stream():
		s.moveTo(now, p, to)
	case p.remote.secret == nil, p.check.move && p.check.to == to:
	default:
		s.startCheck(now, p, pathCheck{to: to, move: true})
	}
}

// moveTo makes media leave for an address from the next packet on.
func (s *Shard) moveTo(now time.Duration, p *peer, to path) {
	p.arrived, p.consented = now, now
	if p.destination == to {
		return
	}
	if p.destination.valid() {
		s.stats.PathChanges++
	}
	before := p.destination
	p.destination = to
	s.newPath(now, p, before)
	if before.stream() != to.stream() {
		s.tendHearing(now, p)
	}
}

// strayRTP looks at media from an address nobody proved: when it opens under the keys of the publisher of its SSRC, that
// peer has moved, and a check goes there at once. It is heard from there, whose keys say whose it is; what is for the peer goes
// there only after the check. A transport begins with a check of the client's.
func (s *Shard) strayRTP(now time.Duration, b []byte, from path) {
	if h, ok := packet.ParseHeader(b); ok && from.via == nil {
		if p := s.ssrcs[h.SSRC]; p.mayStray(from) && s.receiveRTP(now, p, b) {
			s.strayed(now, p, from)
			return
		}
	}
	s.stats.Drops.UnknownSource++
}

// mayStray reports whether a packet from an address nobody proved is looked at: of one address at a time, that of the check under
// way. A flood of packets with false addresses costs a few checks a second, not one each.
func (p *peer) mayStray(from path) bool {
	return p != nil && p.opener != nil && (!p.check.move || p.check.to == from)
}

func (s *Shard) strayed(now time.Duration, p *peer, from path) {
	if !p.check.move {
		s.prove(now, p, from)
	}
}

// strayRTCP is the same for reports, all that a muted publisher sends.
func (s *Shard) strayRTCP(now time.Duration, b []byte, from path) {
	if len(b) >= 8 && from.via == nil {
		if p := s.ssrcs[binary.BigEndian.Uint32(b[4:])]; p.mayStray(from) && s.receiveRTCP(now, p, b) {
			s.strayed(now, p, from)
			return
		}
	}
	s.stats.Drops.UnknownSource++
}

// measure checks the present path for its round trip, now and then, and so renews the consent to send there.
func (s *Shard) measure(now time.Duration, p *peer) {
	if now < p.measureAt || p.check.pending() || p.destination.stream() || !p.destination.valid() || p.remote.secret == nil {
		return
	}
	p.measureAt = now + p.measureEvery()
	s.startCheck(now, p, pathCheck{to: p.destination})
}

func (s *Shard) startCheck(now time.Duration, p *peer, c pathCheck) {
	s.endCheck(p)
	p.check = c
	rand.Read(p.check.tx[:])
	s.checks[p.check.tx] = p
	s.sendCheck(now, p)
}

// endCheck forgets the peer's check that is pending, and with it a Link that is nobody's yet.
func (s *Shard) endCheck(p *peer) {
	delete(s.checks, p.check.tx)
	if v := p.check.to.via; v != nil && v.link != nil && v.peer == nil {
		delete(s.links, v.link)
	}
	p.check = pathCheck{}
}

// sendCheck sends or repeats the peer's pending check.
func (s *Shard) sendCheck(now time.Duration, p *peer) {
	if p.check.tries == checkTries || !p.check.move && p.check.tries == 1 || len(p.credentials) == 0 {
		s.endCheck(p)
		if p.saves {
			p.measureAt = now
		}
		return
	}
	if p.check.at = now; p.check.tries == 0 {
		p.check.first = now
	}
	p.check.tries++
	local := p.credentials[len(p.credentials)-1].ufrag
	s.stun = p.remote.secret.AppendCheck(s.stun[:0], p.check.tx, p.remote.ufrag, local, uint64(p.id))
	s.urge(s.stun, p.check.to)
	s.wheel.arm(&p.timer, p.check.retryAt())
}

// admit passes a STUN or DTLS packet to pion: at once for connected peers' STUN, through the gate for all else.
func (s *Shard) admit(now time.Duration, p *peer, b []byte, from path) {
	if p.connected && packet.Classify(b) == packet.STUN {
		s.deliver(p, b, from)
		return
	}
	s.step(now, p.id, heldPacket{b: append([]byte(nil), b...), from: from})
}

// step takes one step of a peer's handshake through the gate.
func (s *Shard) step(now time.Duration, id PeerID, held heldPacket) {
	switch s.gate.Admit(now, id, held) {
	case handshake.GatePass:
		s.pass(id, held)
	case handshake.GateDrop, handshake.GateBusy:
		s.stats.Drops.GateFull++
		held.refuse()
	}
	s.pollGate(now)
}

// pass carries out a step that the gate lets through.
func (s *Shard) pass(id PeerID, held heldPacket) {
	if held.granted != nil {
		select {
		case <-held.ended:
			s.gate.Wrote(id)
		default:
			held.granted <- true
		}
		return
	}
	if p := s.peers[id]; p != nil {
		s.deliver(p, held.b, held.from)
	}
}

func (s *Shard) deliver(p *peer, b []byte, from path) {
	if from.via != nil {
		p.hs.DeliverBy(from.via, b, from.addr)
		return
	}
	p.hs.Deliver(b, from.addr)
}

// heldPacket is a step that waits at the gate: a handshake packet, or a negotiation when granted is set.
type heldPacket struct {
	b       []byte
	from    path
	granted chan<- bool
	ended   <-chan struct{}
}

// refuse tells a negotiation that there is no place for it.
func (h heldPacket) refuse() {
	if h.granted != nil {
		h.granted <- false
	}
}

// pollGate delivers what the gate lets through now and notes when it wants to be asked again.
func (s *Shard) pollGate(now time.Duration) {
	s.gateAt = s.gate.Poll(now, s.pass)
	retryAfter, _ := s.gate.Busy(now)
	s.backlog.Store(int64(retryAfter))
}

// heard notes an authenticated packet.
func (s *Shard) heard(p *peer, now time.Duration) {
	p.lastHeard = now
	p.silent = false
}

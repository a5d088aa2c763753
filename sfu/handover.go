package sfu

import (
	"net/netip"
	"sync"

	"github.com/tolkyn/tolkyn/internal/handover"
	"github.com/tolkyn/tolkyn/internal/packet"
	"github.com/tolkyn/tolkyn/sfu/internal/handshake"
)

// Front is a number on all of Config.Advertise behind which another has the SFU besides its own sockets: the one port, for networks
// that let nothing else out. What comes there reaches the SFU by Deliver, and by connections that the listeners of Config.TCP accept;
// Home says which of those a connection is for.
type Front struct {
	// UDP and TCP are the ports told to clients as further candidates, behind the shards' own; 0: none.
	UDP, TCP uint16
	// Only tells clients of these alone.
	Only bool
}

// frontShard stands for no shard: at the one port each packet tells.
const frontShard = -1

// Deliver takes a copy of a packet that a client sent through link l to this media address of ours, whose port names the shard. The
// zero to, or the front's, is the one port: checks find their shard by the ICE ufrag that they name, and all else the one whose peer
// has proved to be there. It never blocks; false: dropped, and counted. Safe from any goroutine.
func (s *SFU) Deliver(to netip.AddrPort, l *handover.Link, b []byte) bool {
	home := frontShard
	if to.IsValid() {
		var ours bool
		if home, ours = s.addresses[netip.AddrPortFrom(to.Addr().Unmap(), to.Port())]; !ours {
			s.strayed.Add(1)
			return false
		}
	}
	if home != frontShard {
		return s.cores[home].shard.Deliver(l, b)
	}
	home = int(l.Home.Load()) - 1
	if packet.Classify(b) == packet.STUN {
		ufrag, request := handshake.LocalUfragOf(b)
		if request {
			claimed, ok := s.Home(ufrag)
			switch {
			case !ok:
				home = frontShard
			case home == frontShard:
				home = claimed
			case home != claimed: // it asks the client for a proof, and takes the link from the other with the answer
				l.Guest.Store(int32(claimed + 1))
				home = claimed
			}
		} else if guest := int(l.Guest.Load()) - 1; guest != home && guest >= 0 {
			s.cores[guest].shard.Deliver(l, b) // the answer may be to a check of either
		}
	}
	if home == frontShard {
		s.strayed.Add(1)
		return false
	}
	return s.cores[home].shard.Deliver(l, b)
}

// Closed says that a link carries nothing any more: its client is gone, as one whose connection broke. It does not block. Safe from
// any goroutine.
func (s *SFU) Closed(l *handover.Link) {
	l.End()
	guest, home := l.Guest.Load() != 0, int(l.Home.Load())-1
	for i, c := range s.cores {
		if guest || i == home {
			c.shard.Forget(l)
		}
	}
}

// Home says which shard the peer with that ICE ufrag of ours is on, by index into Config.Sockets and Config.TCP. Safe from any
// goroutine.
func (s *SFU) Home(ufrag []byte) (shard int, ok bool) {
	s.ufrags.mu.RLock()
	defer s.ufrags.mu.RUnlock()
	shard, ok = s.ufrags.homes[string(ufrag)]
	return shard, ok
}

// ufrags say on which shard a peer is: for who comes by no port of a shard's. Only checks are looked up here, one each 2.5 s.
type ufrags struct {
	// Guarded by mu.
	mu    sync.RWMutex
	homes map[string]int
}

// add names a peer's newest ufrag. The one before stays, as at its shard: media goes on across an ICE restart.
func (u *ufrags) add(p *Peer, ufrag string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if p.ufragsClosed {
		return
	}
	u.homes[ufrag] = p.core.index
	p.ufrags = append(p.ufrags, ufrag)
	for len(p.ufrags) > 2 {
		delete(u.homes, p.ufrags[0])
		p.ufrags = p.ufrags[1:]
	}
}

// remove forgets a peer that has left.
func (u *ufrags) remove(p *Peer) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, ufrag := range p.ufrags {
		delete(u.homes, ufrag)
	}
	p.ufrags, p.ufragsClosed = nil, true
}

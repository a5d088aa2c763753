package sfu

import (
	"net/netip"

	"github.com/tolkyn/tolkyn/internal/handover"
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

// Deliver takes a copy of a packet that a client sent through link l to this media address of ours, whose port names the shard. The
// zero to is the one port: checks find their shard by the ICE ufrag that they name, and all else the one whose peer has proved to be
// there. It never blocks; false: dropped, and counted.
func (s *SFU) Deliver(to netip.AddrPort, l *handover.Link, b []byte) bool { return false }

// Closed says that a link carries nothing any more: its client is gone, as one whose connection broke.
func (s *SFU) Closed(l *handover.Link) {}

// Home says which shard a peer of that ICE ufrag of ours is on, by index into Config.Sockets and Config.TCP.
func (s *SFU) Home(ufrag []byte) (shard int, ok bool) { return 0, false }

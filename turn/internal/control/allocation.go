package control

import (
	"net/netip"
	"time"

	"github.com/tolkyn/tolkyn/turn/credential"
	"github.com/tolkyn/tolkyn/turn/internal/peers"
)

// Allocation is what one client has.
type Allocation struct {
	Client  Client
	Subject credential.Subject
	Relayed [2]netip.AddrPort // IPv4, IPv6; not valid where there is none
	Value   any               // the shell's
}

// Peer returns where ChannelData on this channel goes, and whether it may: the channel and its permission stand, and the rules
// still say so.
func (a *Allocation) Peer(now time.Time, channel uint16) (netip.AddrPort, peers.Verdict) {
	return netip.AddrPort{}, peers.Denied
}

// May reports whether packets may go to peer, and come from it: its permission stands, and the rules still say so.
func (a *Allocation) May(now time.Time, peer netip.AddrPort) peers.Verdict { return peers.Denied }

// Channel returns the channel that leads from peer to the client, if one stands; else what it sends goes in Data indications.
func (a *Allocation) Channel(now time.Time, peer netip.AddrPort) (uint16, bool) { return 0, false }

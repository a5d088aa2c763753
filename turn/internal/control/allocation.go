package control

import (
	"math"
	"net/netip"
	"time"

	"github.com/tolkyn/tolkyn/turn/credential"
	"github.com/tolkyn/tolkyn/turn/internal/peers"
)

// Allocation is what one client has. It is small: a client that behaves costs less than a kilobyte.
type Allocation struct {
	Client  Client
	Subject credential.Subject
	Relayed [2]netip.AddrPort // IPv4, IPv6; not valid where there is none
	Value   any               // the shell's

	core     *Core
	tx       [12]byte         // of the request that made it
	until    [2]time.Duration // by family
	lifetime time.Duration    // as first granted
	token    [8]byte          // of the port kept back with it; zero: none
	missing  int              // why a wish for a second family was not met: 440, 508, or 0

	// A handful of each: looking through them is cheaper than a map.
	permissions []permission
	channels    []channel
}

// permission lets packets of one address in and out, whatever their port.
type permission struct {
	ip    netip.Addr
	until time.Duration
}

// channel is bound to one peer.
type channel struct {
	peer   netip.AddrPort
	until  time.Duration
	number uint16
	told   bool // to Config.Bound, that it leads to the client
}

// Peer returns where ChannelData on this channel goes, and whether it may: the channel and its permission stand, and the rules
// still say so.
func (a *Allocation) Peer(now time.Time, number uint16) (netip.AddrPort, peers.Verdict) {
	t := now.Sub(a.core.epoch)
	for i := range a.channels {
		if ch := &a.channels[i]; ch.number == number && ch.until > t {
			return ch.peer, a.judge(t, ch.peer)
		}
	}
	return netip.AddrPort{}, peers.Denied
}

// May reports whether packets may go to peer, and come from it: its permission stands, and the rules still say so.
func (a *Allocation) May(now time.Time, peer netip.AddrPort) peers.Verdict {
	return a.judge(now.Sub(a.core.epoch), peer)
}

func (a *Allocation) judge(t time.Duration, peer netip.AddrPort) peers.Verdict {
	if !a.permits(t, peer.Addr()) {
		return peers.Denied
	}
	return a.core.cfg.Peers.Check(peer)
}

// Channel returns the channel that leads from peer to the client, if one stands and its permission does; else what the peer may
// send goes in Data indications.
func (a *Allocation) Channel(now time.Time, peer netip.AddrPort) (uint16, bool) {
	t := now.Sub(a.core.epoch)
	for i := range a.channels {
		if ch := &a.channels[i]; ch.peer == peer && ch.until > t {
			return ch.number, a.permits(t, peer.Addr())
		}
	}
	return 0, false
}

func (a *Allocation) permits(t time.Duration, ip netip.Addr) bool {
	for i := range a.permissions {
		if p := &a.permissions[i]; p.ip == ip && p.until > t {
			return true
		}
	}
	return false
}

// permit makes or renews a permission.
func (a *Allocation) permit(t time.Duration, ip netip.Addr) {
	until := t + permissionLifetime
	a.core.sooner(until)
	for i := range a.permissions {
		if a.permissions[i].ip == ip {
			a.permissions[i].until = until
			return
		}
	}
	a.permissions = append(a.permissions, permission{ip, until})
}

// bind makes or renews a channel.
func (a *Allocation) bind(t time.Duration, number uint16, peer netip.AddrPort) {
	until := t + channelLifetime
	a.core.sooner(until)
	for i := range a.channels {
		if a.channels[i].number == number {
			a.channels[i].until = until
			return
		}
	}
	a.channels = append(a.channels, channel{peer: peer, until: until, number: number})
}

// prune forgets what ran out, and tells whose channels are closed by it.
func (a *Allocation) prune(t time.Duration) {
	permissions := a.permissions[:0]
	for _, p := range a.permissions {
		if p.until > t {
			permissions = append(permissions, p)
		}
	}
	a.permissions = permissions
	a.tell(t)
	channels := a.channels[:0]
	for _, ch := range a.channels {
		if ch.until > t {
			channels = append(channels, ch)
		}
	}
	a.channels = channels
}

// tell tells Config.Bound what has changed of the channels that lead to the client.
func (a *Allocation) tell(t time.Duration) {
	for i := range a.channels {
		ch := &a.channels[i]
		stands := ch.until > t && a.permits(t, ch.peer.Addr())
		if stands == ch.told {
			continue
		}
		ch.told = stands
		if bound := a.core.cfg.Bound; bound != nil && stands {
			bound(a, ch.peer, ch.number)
		} else if bound != nil {
			bound(a, ch.peer, 0)
		}
	}
}

// leave drops what belongs to a family whose relayed address is given back.
func (a *Allocation) leave(family int) {
	for i := range a.permissions {
		if familyOf(a.permissions[i].ip) == family {
			a.permissions[i].until = math.MinInt64
		}
	}
	for i := range a.channels {
		if familyOf(a.channels[i].peer.Addr()) == family {
			a.channels[i].until = math.MinInt64
		}
	}
	a.prune(math.MinInt64)
}

// soonest is when the first of all this runs out.
func (a *Allocation) soonest() time.Duration {
	t := time.Duration(math.MaxInt64)
	for family := range a.Relayed {
		if a.Relayed[family].IsValid() {
			t = min(t, a.until[family])
		}
	}
	for i := range a.permissions {
		t = min(t, a.permissions[i].until)
	}
	for i := range a.channels {
		t = min(t, a.channels[i].until)
	}
	return t
}

// familyOf is the index of an address's family in Relayed.
func familyOf(ip netip.Addr) int {
	if ip.Is4() {
		return 0
	}
	return 1
}

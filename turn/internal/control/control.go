package control

import (
	"cmp"
	"encoding/binary"
	"maps"
	"math"
	"net/netip"
	"time"

	"github.com/tolkyn/tolkyn/turn/credential"
	"github.com/tolkyn/tolkyn/turn/internal/peers"
)

// Way is how a client reaches us.
type Way uint8

// The ways.
const (
	UDP Way = iota
	TCP
	TLS
)

// Client is a 5-tuple: who is at its other end, and how.
type Client struct {
	Addr, Local netip.AddrPort
	Way         Way
	Conn        uint64 // number of a connection, never given twice; 0 over UDP
}

// Open is a wish for a relay port.
type Open struct {
	Client  Client
	Subject credential.Subject
	IPv6    bool           // family of the relayed address
	Even    bool           // its port must be even (EVEN-PORT)
	Reserve bool           // and the port after it be kept back for a RESERVATION-TOKEN
	Take    netip.AddrPort // the port that was kept back for this client; else not valid
}

// Config of New. All functions are called from within Core's methods and must not call them.
type Config struct {
	Realm    string   // at most 4 bytes keep what strangers are answered within 1.5 times what they sent; "turn" when empty
	NonceKey [32]byte // secret, random; the same in all Cores that serve one address

	// Key returns whom a username is of and the key of its MESSAGE-INTEGRITY, MD5(username:realm:password). It is asked with try 0,
	// 1, 2, … until a key fits or it returns false, since there can be several secrets. Expired and revoked ones have no key.
	Key func(username string, now time.Time, try int) (credential.Subject, [16]byte, bool)

	// Admit reports whether s may have one more allocation from this address; false: 486. Each that it admits, Left gives back.
	// Nil admits all.
	Admit func(s credential.Subject, ip netip.Addr) bool
	Left  func(a *Allocation)

	// Open returns a relayed address; not ok: 508. Close gives it back, and with a nil Allocation a port that was kept back for a
	// reservation and that nobody came for.
	Open  func(Open) (relayed netip.AddrPort, ok bool)
	Close func(relayed netip.AddrPort, a *Allocation)

	// Permit is asked before a permission is made for a peer address that had none and that is none of our own media's; false:
	// 508. Nil permits all.
	Permit func(a *Allocation, peer netip.Addr) bool

	// Bound tells which channel leads from this peer to the client from now on: one that stands and whose permission does. 0: none
	// any more. Not called for what ends with its allocation. May be nil.
	Bound func(a *Allocation, peer netip.AddrPort, channel uint16)

	// Draining refuses new allocations: with 300 and the alternate server where it is valid and of the client's family, else with
	// 486. Nil: never.
	Draining func() (alternate netip.AddrPort, draining bool)

	Peers      *peers.Rules
	IPv4, IPv6 bool // families that relayed addresses can have

	Lifetime    time.Duration // of an allocation that asks for none or less; 10 min when 0
	MaxLifetime time.Duration // 1 h when 0

	// OldChannels also lets clients bind 0x5000 to 0x7FFF, as RFC 5766 §11 had it: coturn's own client and others choose among all.
	OldChannels bool

	MaxPermissions int // of an allocation; 32 when 0; more: 508
	MaxChannels    int // likewise

	// Answers to who has not proved to be at its address: so many a second for each source (an IPv4 address, an IPv6 /64), with a
	// burst of four times as many; 100 when 0.
	StrangerRate int
}

const (
	second = time.Second
	// firstLifetime is that of an allocation (RFC 8656 §7.2), and the rest are the RFC's too (§9, §12, §7.2).
	firstLifetime      = 600 * second
	mostLifetime       = 3600 * second
	permissionLifetime = 300 * second
	channelLifetime    = 600 * second
	reservationLife    = 30 * second
)

// Core is the control plane of some clients. One goroutine at a time may call it; what Allocation offers is for readers, who
// must not run beside Handle, Gone, Drop and Expire.
type Core struct {
	cfg       Config
	sign      signer
	strangers strangers

	epoch time.Time     // of the first call; times inside are durations since
	next  time.Duration // nothing runs out before this
	swept time.Duration // when Expire looked last

	clients      map[Client]*Allocation
	relayed      map[netip.AddrPort]*Allocation
	reservations map[[8]byte]reservation
	reserved     uint64 // tokens ever given
	refused      map[int]uint64

	// Of the request at hand.
	in      message
	out     []byte
	key     [16]byte
	proved  bool
	subject credential.Subject
	fresher []netip.Addr // permissions that it would make
}

// reservation is a relay port kept back for who has its token.
type reservation struct {
	addr    netip.AddrPort
	subject credential.Subject
	until   time.Duration
}

// New returns a Core without allocations.
func New(cfg Config) *Core {
	cfg.Realm = cmp.Or(cfg.Realm, "turn")
	cfg.Lifetime = cmp.Or(cfg.Lifetime, firstLifetime)
	cfg.MaxLifetime = max(cmp.Or(cfg.MaxLifetime, mostLifetime), cfg.Lifetime)
	cfg.MaxPermissions = cmp.Or(cfg.MaxPermissions, 32)
	cfg.MaxChannels = cmp.Or(cfg.MaxChannels, 32)
	cfg.StrangerRate = cmp.Or(cfg.StrangerRate, 100)
	if cfg.Peers == nil {
		cfg.Peers = peers.New(nil, nil)
	}
	c := &Core{
		cfg: cfg, sign: newSigner(), next: math.MaxInt64, clients: map[Client]*Allocation{}, relayed: map[netip.AddrPort]*Allocation{},
		reservations: map[[8]byte]reservation{}, refused: map[int]uint64{},
	}
	seed := c.sign.mac(c.sign.sha256, cfg.NonceKey[:], nil, []byte("sources"))
	c.strangers.key = [2]uint64{binary.BigEndian.Uint64(seed), binary.BigEndian.Uint64(seed[8:])}
	return c
}

// since is the time of now inside. What runs out is not moved by who sets the clock.
func (c *Core) since(now time.Time) time.Duration {
	if c.epoch.IsZero() {
		c.epoch = now
	}
	return now.Sub(c.epoch)
}

// Handle takes a STUN message that came from a client and returns the answer, valid until the next call; empty: none. What is no
// request, or no STUN, has none. b is as it came, of one datagram or frame; it is not kept.
func (c *Core) Handle(now time.Time, from Client, b []byte) (reply []byte) {
	t := c.since(now)
	m := &c.in
	c.out, c.proved = c.out[:0], false
	if !m.parse(b) || m.class != request {
		return nil
	}
	switch m.method {
	case binding:
		c.bindingRequest(t, from)
		return c.finish()
	case allocate, refresh, createPermission, channelBind:
	default:
		return nil // RFC 8489 §6.3
	}
	if !c.authenticate(now, t, from) {
		return c.finish()
	}
	a := c.clients[from]
	switch {
	case c.hasUnknown():
		c.unknown()
	case m.method == allocate:
		c.allocate(t, from, a)
	case a == nil:
		c.fail(437)
	case a.Subject != c.subject:
		c.fail(441)
	case m.method == refresh:
		c.refresh(t, a)
	case m.method == createPermission:
		c.createPermission(t, a)
	default:
		c.channelBind(t, a)
	}
	return c.finish()
}

// Find returns the allocation of a client, or nil.
func (c *Core) Find(from Client) *Allocation { return c.clients[from] }

// Relayed returns the allocation that has this relayed address, or nil.
func (c *Core) Relayed(addr netip.AddrPort) *Allocation { return c.relayed[addr] }

// Gone ends the allocation of a client whose connection has closed.
func (c *Core) Gone(from Client) {
	if a := c.clients[from]; a != nil {
		c.end(a)
	}
}

// Drop ends the allocations that match, of who was revoked or takes too much, and returns how many. Nothing is relayed for them from
// here on: whoever revokes a credential refuses it in Config.Key, and calls this.
func (c *Core) Drop(match func(*Allocation) bool) int {
	n := 0
	for _, a := range c.clients {
		if match(a) {
			c.end(a)
			n++
		}
	}
	return n
}

// Expire ends what ran out, up to a second late, and returns when to call again at the latest. Calling it more often costs nothing.
func (c *Core) Expire(now time.Time) (next time.Time) {
	t := c.since(now)
	if due := max(c.next, c.swept+second); t < due {
		return now.Add(min(due-t, second))
	}
	c.swept, c.next = t, math.MaxInt64
	for _, a := range c.clients {
		for family := range a.Relayed {
			if a.Relayed[family].IsValid() && a.until[family] <= t {
				c.endFamily(a, family)
			}
		}
		if c.clients[a.Client] == a {
			a.prune(t)
			c.sooner(a.soonest())
		}
	}
	for token, r := range c.reservations {
		if r.until <= t {
			delete(c.reservations, token)
			c.cfg.Close(r.addr, nil)
			continue
		}
		c.sooner(r.until)
	}
	return now.Add(second)
}

func (c *Core) sooner(t time.Duration) { c.next = min(c.next, t) }

// end closes an allocation.
func (c *Core) end(a *Allocation) {
	for family := range a.Relayed {
		if a.Relayed[family].IsValid() {
			c.endFamily(a, family)
		}
	}
}

// endFamily gives one relayed address back, and with the last one the allocation ends.
func (c *Core) endFamily(a *Allocation, family int) {
	addr, last := a.Relayed[family], !a.Relayed[1-family].IsValid()
	delete(c.relayed, addr)
	if last {
		delete(c.clients, a.Client)
		a.permissions, a.channels = nil, nil
	} else {
		a.leave(family)
	}
	c.cfg.Close(addr, a)
	a.Relayed[family] = netip.AddrPort{}
	if last && c.cfg.Left != nil {
		c.cfg.Left(a)
	}
}

// Len is the number of allocations.
func (c *Core) Len() int { return len(c.clients) }

// Refused counts errors answered, by code; what strangers were not answered stands under 0.
func (c *Core) Refused() map[int]uint64 { return maps.Clone(c.refused) }

package control

import (
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

	MaxPermissions int // of an allocation; 32 when 0; more: 508
	MaxChannels    int // likewise

	// Answers to who has not proved to be at its address: so many a second for each source (an IPv4 address, an IPv6 /64), with a
	// burst of four times as many; 100 when 0.
	StrangerRate int
}

// Core is the control plane of some clients. One goroutine at a time may call it; what Allocation offers is for readers, who
// must not run beside Handle, Gone, Drop and Expire.
type Core struct{}

// New returns a Core without allocations.
func New(cfg Config) *Core { return &Core{} }

// Handle takes a STUN message that came from a client and returns the answer, valid until the next call; empty: none. What is no
// request, or no STUN, has none.
func (c *Core) Handle(now time.Time, from Client, b []byte) (reply []byte) { return nil }

// Find returns the allocation of a client, or nil.
func (c *Core) Find(from Client) *Allocation { return nil }

// Relayed returns the allocation that has this relayed address, or nil.
func (c *Core) Relayed(addr netip.AddrPort) *Allocation { return nil }

// Gone ends the allocation of a client whose connection has closed.
func (c *Core) Gone(from Client) {}

// Drop ends the allocations that match, of who was revoked or takes too much, and returns how many.
func (c *Core) Drop(match func(*Allocation) bool) int { return 0 }

// Expire ends what ran out and returns when to call again at the latest. Calling it more often, say each second, costs nothing.
func (c *Core) Expire(now time.Time) (next time.Time) { return now.Add(time.Second) }

// Len is the number of allocations.
func (c *Core) Len() int { return 0 }

// Refused counts errors answered, by code; what strangers were not answered stands under 0.
func (c *Core) Refused() map[int]uint64 { return nil }

package turn

import (
	"log/slog"
	"net"
	"net/netip"
	"time"

	"github.com/tolkyn/tolkyn/internal/handover"
	"github.com/tolkyn/tolkyn/internal/udp"
	"github.com/tolkyn/tolkyn/turn/internal/control"
)

// PacketPath takes what clients send to our own media addresses, in memory. The SFU is one. It is safe from any goroutine.
type PacketPath interface {
	// Deliver takes a copy of b, which a client sent to this media address of ours; false: dropped. It never blocks. Answers go
	// through the link, which is one for each allocation and media address.
	Deliver(to netip.AddrPort, l *handover.Link, b []byte) bool
	// Closed tells that the link carries nothing any more.
	Closed(l *handover.Link)
}

// Way is how a client reaches us.
type Way = control.Way

// The ways.
const (
	UDP = control.UDP
	TCP = control.TCP
	TLS = control.TLS
)

// Config of New.
type Config struct {
	UDP []netip.AddrPort // bound by New, several sockets each; port 0 takes a free one
	TCP []net.Listener   // served and closed by the server
	TLS []net.Listener   // likewise; they yield *tls.Conn. Cheapest when they listen on a Listen listener below crypto/tls

	RelayAddresses []netip.Addr // advertised in XOR-RELAYED-ADDRESS, at most one of each family; the first UDP address when empty
	RelayPorts     [2]uint16    // first and last; zero: 49152 to 65535

	Realm   string            // "turn" when empty; a longer one lets answers to strangers grow
	Secrets [][]byte          // of REST credentials (turn/credential); all check
	Users   map[string]string // static users and passwords, for fleets and tests; quotas hold for each

	Path  PacketPath       // nil: no media of our own
	Own   []netip.AddrPort // our media addresses, as clients know them, reached by Path
	Allow []netip.Prefix   // peers beside Own; empty: none, and then no relay socket is ever opened

	// OldChannels lets clients bind the channels 0x5000 to 0x7FFF too, which RFC 5766 had and RFC 8656 has no more: coturn's client
	// and others choose among all. At the one port such a datagram of a client's may then be taken for QUIC's.
	OldChannels bool

	Workers int    // goroutines that move packets; 0: one a processor. One works while the load is low
	Limits  Limits // zero fields: as documented there

	// Stranger is asked first for datagrams of no known allocation that begin like no STUN message of a TURN client would: those
	// of the one port. True: it has taken b, which is valid during the call only. A worker calls it: it must not block. Answers go
	// through on, from any goroutine through udp.NewSender(on). May be nil.
	Stranger func(b []byte, from netip.AddrPort, on udp.Port) bool

	Logger *slog.Logger // nil: nothing is logged. One line a second at most
}

// Limits bound what one user or address can take. A zero field takes the default; below 0: no limit.
type Limits struct {
	AllocationsPerUser int // 16
	AllocationsPerIP   int // 512: a carrier's NAT is one address
	Allocations        int // 16,384 in all

	BitsPerUser int // bits a second each way, those of our own media too, headers not counted; no limit
	BitsPerIP   int // likewise, of all users behind a client address; no limit

	PeersPerUser int // new permissions for peers that are not Own, a second; 5, with a burst of 20
	PeersPerIP   int // likewise; 100, with a burst of 400

	Connections      int // TCP and TLS connections in all; 16,384
	ConnectionsPerIP int // 512
	Unproven         int // of them, connections that no allocation stands behind, from one address; 32

	AuthDeadline time.Duration // for TLS and the first allocation on a connection; 10 s
	Idle         time.Duration // a connection with no allocation and nothing read for this long is closed; 30 s
}

package handover

import (
	"net/netip"
	"sync/atomic"

	"github.com/tolkyn/tolkyn/internal/udp"
)

// HeaderSize is that of ChannelData, in bytes (RFC 8656 §12.4): channel and length. Datagrams need no padding behind it.
const HeaderSize = 4

// MaxSize is the largest packet that a Link carries either way, in bytes: with a header of the carrier's it fits a udp.Queue.
const MaxSize = udp.QueueRoom - HeaderSize

// Carrier is whose loop a client is on. Its methods are called from any goroutine and must not block.
type Carrier interface {
	// Send sends a copy of b to the client, framed as the link needs it; false: dropped. Where always is set, b never grows old:
	// checks and handshakes. Other packets that wait behind a stream are dropped when they are late for any ear.
	Send(l *Link, b []byte, always bool) bool
	// Done says that the SFU has no more use for the link: its peer has left it, or left. Called once at most, and never for a link
	// that SFU.Closed ended. A client that sends again gets a new one. A TURN allocation lives on.
	Done(l *Link)
}

// Config of New.
type Config struct {
	// Addr is what the client's packets come from as the SFU shall see it: the relayed address, or the client's own at the one
	// port. Checks are answered with it.
	Addr netip.AddrPort
	// To is the client's own address, where its packets leave for; with Stream it may be left out. Clients of one host are one path to
	// congestion control, whether they come through our relay or not.
	To netip.AddrPort
	// Stream says that the client is reached over TCP or TLS, by Carrier.Send alone.
	Stream bool
	// Port is the socket that the client is reached through over UDP; none with Stream.
	Port udp.Port
	// Bare says that datagrams to the client have no header: at the one port. Else they need a channel; see Bind.
	Bare bool
	// Pays says whether a datagram of so many bytes may leave, and counts it: by Datagrams the carrier does not see it. What goes by
	// Carrier.Send the carrier counts itself. Called from any goroutine; it must not block. Nil: all may.
	Pays    func(size int) bool
	Carrier Carrier
}

// Link is a client that another loop than a shard's carries. All methods are safe from any goroutine.
type Link struct {
	// Fixed after New.
	cfg Config

	// Atomic.
	channel atomic.Uint32
	closed  atomic.Bool
	proved  atomic.Bool
	done    atomic.Bool

	// Of the SFU.
	Home    atomic.Int32 // 1 + the shard whose peer has proved to be there; 0: none
	Guest   atomic.Int32 // 1 + another one, where somebody claims to be there
	Waiting atomic.Int32 // packets in the ring of a shard
}

// New returns a Link without a channel.
func New(cfg Config) *Link {
	cfg.Addr = netip.AddrPortFrom(cfg.Addr.Addr().Unmap(), cfg.Addr.Port())
	if !cfg.To.IsValid() {
		cfg.To = cfg.Addr
	}
	cfg.To = netip.AddrPortFrom(cfg.To.Addr().Unmap(), cfg.To.Port())
	return &Link{cfg: cfg}
}

// Addr is what the SFU knows the client's packets by; see Config.
func (l *Link) Addr() netip.AddrPort { return l.cfg.Addr }

// Client is the client's own address; see Config.To.
func (l *Link) Client() netip.AddrPort { return l.cfg.To }

// Stream says whether what is sent arrives in order and whole, or late.
func (l *Link) Stream() bool { return l.cfg.Stream }

// Bind says that datagrams to the client go through this channel (0x4000 to 0x4FFF) from now on; 0: through none any more, since it
// ran out. Only the carrier knows: it calls this before what it is told by may go out.
func (l *Link) Bind(channel uint16) { l.channel.Store(uint32(channel)) }

// Datagrams says how media reaches the client over UDP: from which socket (through a Sender of the caller's own, see udp.NewSender),
// to which address, and behind the first n bytes of header, of which bytes 2 and 3 are the packet's length. Not ok: by Send, over a
// stream or as long as there is no channel.
func (l *Link) Datagrams() (via udp.Port, to netip.AddrPort, header [HeaderSize]byte, n int, ok bool) {
	if l.cfg.Stream {
		return nil, netip.AddrPort{}, header, 0, false
	}
	if l.cfg.Bare {
		return l.cfg.Port, l.cfg.To, header, 0, true
	}
	c := l.channel.Load()
	header[0], header[1] = byte(c>>8), byte(c)
	return l.cfg.Port, l.cfg.To, header, HeaderSize, c != 0
}

// Pays says whether a datagram of so many bytes, without the header, may leave by what Datagrams has said; see Config.Pays. False:
// it is dropped.
func (l *Link) Pays(size int) bool { return l.cfg.Pays == nil || l.cfg.Pays(size) }

// Send sends a copy of b, at most MaxSize bytes; see Carrier.
func (l *Link) Send(b []byte, always bool) bool {
	return len(b) <= MaxSize && !l.closed.Load() && l.cfg.Carrier.Send(l, b, always)
}

// Proved says whether a peer of the SFU's has proved to be there. The carrier may end any other link when it has too many.
func (l *Link) Proved() bool { return l.proved.Load() }

// Prove notes that; for the SFU.
func (l *Link) Prove() { l.proved.Store(true) }

// Close says that the SFU has no more use for the link; see Carrier.Done.
func (l *Link) Close() {
	if !l.done.Swap(true) && !l.closed.Load() {
		l.cfg.Carrier.Done(l)
	}
}

// End says that the client is gone: nothing is carried any more. SFU.Closed calls it.
func (l *Link) End() { l.closed.Store(true) }

// Ended says whether it has.
func (l *Link) Ended() bool { return l.closed.Load() }

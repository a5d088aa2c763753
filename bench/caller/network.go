package caller

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/transport/v4/stdnet"
	"github.com/pion/webrtc/v4"

	"github.com/tolkyn/tolkyn/bench/netem"
	"github.com/tolkyn/tolkyn/bench/report"
	"github.com/tolkyn/tolkyn/bench/scenario"
	"github.com/tolkyn/tolkyn/internal/netsim"
)

// network is one full caller's way to the server. Without a model it is the machine's own. UDP takes the modelled line, TCP does
// not: where TCP matters, the whole process is put behind a modelled link instead (Job.Modelled).
type network struct {
	// Fixed after newNetwork.
	name string
	from net.IP      // where sockets are opened
	line *netem.Line // nil: no model
	zero *time.Timer // of the run: the line's times count from there
	own  bool        // the client counts its UDP sockets itself, and takes those of ListenMedia

	volume volume

	// Guarded by mu.
	mu    sync.Mutex
	conn  Connection
	open  map[net.Conn]struct{}
	quiet map[net.PacketConn]struct{}
	muxes []ice.UDPMux // of PeerConnections
	taken bool         // the first of them
}

func newNetwork(c scenario.Caller, job Job) (*network, error) {
	n := &network{name: c.Room + "/" + c.Identity, open: map[net.Conn]struct{}{}, quiet: map[net.PacketConn]struct{}{}}
	n.own = job.Target.Kind == "tolkyn"
	n.from = net.IPv4(127, 0, 0, 1)
	if job.Target.Address.IsValid() {
		n.from = job.Target.Address.AsSlice()
	}
	if len(c.Networks) == 0 || job.Modelled {
		return n, nil
	}
	profile, err := Profile(c.Networks)
	if err != nil {
		return nil, err
	}
	n.line, err = netem.NewLine(netem.LineConfig{
		Seed: c.Seed, Links: profile.Links, Events: profile.Events,
		On: func(e netem.Event, err error) {
			n.mu.Lock()
			conn := n.conn
			n.mu.Unlock()
			if conn != nil && e.Kind == netem.EventMove {
				go conn.NetworkChanged() // it may wait for what the line is doing
			}
		},
	})
	if err != nil {
		return nil, err
	}
	if !n.own {
		if err := n.addMux(); err != nil {
			return nil, err
		}
	}
	n.zero = time.AfterFunc(time.Until(job.Epoch), n.line.Restart)
	return n, nil
}

// serves says which connection is to hear of moves.
func (n *network) serves(c Connection) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.conn = c
}

// of is what a Dialer is told.
func (n *network) of() Network {
	to := Network{Dial: n.dial, ListenPacket: n.listenPacket}
	if n.line != nil && n.own {
		to.ListenMedia = func() (net.PacketConn, error) {
			conn, err := n.line.ListenUDP("udp4", &net.UDPAddr{IP: n.from})
			if err != nil {
				return nil, err
			}
			return conn, nil
		}
		to.Settings = func(s *webrtc.SettingEngine) { s.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP4}) }
		return to
	}
	if n.line != nil {
		to.Settings = func(s *webrtc.SettingEngine) {
			s.SetICEUDPMux(n.nextMux())
			s.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP4})
		}
		return to
	}
	// At the server's end of a link between namespaces the server's address, and ours, stand on the loopback interface.
	nearby := onLoopback(n.from)
	to.Settings = func(s *webrtc.SettingEngine) {
		if nearby {
			s.SetIncludeLoopbackCandidate(true)
		}
		if machine, err := stdnet.NewNet(); err == nil && !n.own { // else pion says what is wrong with it
			s.SetNet(countedNet{machine, &n.volume})
		}
	}
	return to
}

// onLoopback says whether an address outside 127.0.0.0/8 is the loopback interface's. Where interfaces cannot be listed it is not.
func onLoopback(ip net.IP) bool {
	if ip.IsLoopback() {
		return false // a server there is told by its URL
	}
	interfaces, _ := net.Interfaces()
	for _, i := range interfaces {
		if i.Flags&net.FlagLoopback == 0 {
			continue
		}
		addrs, _ := i.Addrs()
		for _, a := range addrs {
			if has, ok := a.(*net.IPNet); ok && has.IP.Equal(ip) {
				return true
			}
		}
	}
	return false
}

func (n *network) addMux() error {
	media, err := n.line.ListenUDP("udp4", &net.UDPAddr{IP: n.from})
	if err == nil {
		n.muxes = append(n.muxes, webrtc.NewICEUDPMux(nil, &countedPackets{media, &n.volume}))
	}
	return err
}

// nextMux gives each PeerConnection a socket of its own, as browsers do: a server with one media port tells clients' connections
// apart by their addresses.
func (n *network) nextMux() ice.UDPMux {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.taken {
		// An error means that the line is closed, and the call over with it: any will do.
		_ = n.addMux()
	}
	n.taken = true
	return n.muxes[len(n.muxes)-1]
}

func (n *network) dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.open[conn] = struct{}{}
	return &tracked{Conn: &countedConn{conn, &n.volume}, forget: func() { n.forget(conn) }}, nil
}

func (n *network) listenPacket(_ context.Context, server *net.UDPAddr) (net.PacketConn, error) {
	var conn net.PacketConn
	var err error
	if n.line != nil {
		conn, err = n.line.ListenUDP("udp4", &net.UDPAddr{IP: n.from})
	} else {
		// Connected for a moment, to learn which address of ours leads there.
		probe, dialErr := net.DialUDP("udp", nil, server)
		if dialErr != nil {
			return nil, dialErr
		}
		local, _ := probe.LocalAddr().(*net.UDPAddr)
		_ = probe.Close() // it said nothing
		conn, err = net.ListenUDP("udp", &net.UDPAddr{IP: local.IP})
	}
	if err != nil {
		return nil, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.quiet[conn] = struct{}{}
	return &countedPackets{conn, &n.volume}, nil
}

func (n *network) forget(conn net.Conn) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.open, conn)
}

// tracked is a connection that can be dropped from outside.
type tracked struct {
	net.Conn
	forget func()
}

// NetConn lets media over TCP see what the kernel holds.
func (t *tracked) NetConn() net.Conn { return t.Conn }

// Close implements net.Conn.
func (t *tracked) Close() error {
	t.forget()
	return t.Conn.Close()
}

// drop ends what carries signaling without a word, and has the NAT forget the media path where there is a model: as when a phone
// loses its network for a moment.
func (n *network) drop() {
	n.mu.Lock()
	streams, packets := n.open, n.quiet
	n.open, n.quiet = map[net.Conn]struct{}{}, map[net.PacketConn]struct{}{}
	n.mu.Unlock()
	for conn := range streams {
		_ = conn.Close() // an error means that it is closed
	}
	for conn := range packets {
		_ = conn.Close()
	}
	if n.line != nil {
		// Where a socket cannot be opened again the call is over, which the caller notices.
		_ = n.line.Rebind()
	}
}

// links are what was asked of the model and what it did.
func (n *network) links() []report.Link {
	if n.line == nil {
		return nil
	}
	return Links(n.name, n.line.Accounts())
}

// Links turns a model's accounts into a report's.
func Links(name string, accounts [][2]netem.Account) []report.Link {
	var out []report.Link
	for _, row := range netem.Rows(name, accounts) {
		if row.Packets > 0 {
			out = append(out, report.Link(row))
		}
	}
	return out
}

func (n *network) close() error {
	if n.line == nil {
		return nil
	}
	n.mu.Lock()
	muxes := n.muxes
	n.mu.Unlock() // the line's end waits for events, which take it
	n.zero.Stop()
	for _, mux := range muxes {
		_ = mux.Close() // its socket is the line's
	}
	return n.line.Close()
}

// Profile is what a caller's networks are to the emulator: the first is the one it begins on, whose events happen; the others are
// those that it moves to.
func Profile(networks []scenario.Network) (netem.Profile, error) {
	var p netem.Profile
	first := map[string]int{} // number of a network's first link
	for i, n := range networks {
		links, events, err := linksOf(n)
		if err != nil {
			return p, fmt.Errorf("network %s: %w", n.Name, err)
		}
		first[n.Name] = len(p.Links)
		p.Links = append(p.Links, links...)
		if i == 0 {
			p.Name, p.Events = n.Name, slices.Clone(events)
		}
	}
	if len(p.Links) == 0 || len(p.Links) > netem.MaxLinks {
		return p, fmt.Errorf("network %s leads to %d links, want 1 to %d", p.Name, len(p.Links), netem.MaxLinks)
	}
	here, path := 0, p.Links[0]
	for _, e := range networks[0].Events {
		event := netem.Event{At: e.At, Link: here, For: e.For}
		switch e.Do {
		case scenario.Rebind:
			event.Kind = netem.EventRebind
		case scenario.CutUDP:
			event.Kind = netem.EventCutUDP
		case scenario.RestoreUDP:
			event.Kind = netem.EventMendUDP
		case scenario.Blackout:
			event.Kind = netem.EventBlackout
		case scenario.Move:
			event.Kind, event.Link = netem.EventMove, first[e.To]
			here, path = event.Link, p.Links[event.Link]
		case scenario.Set:
			if e.Up != nil {
				path.Up = linkOf(*e.Up)
			}
			if e.Down != nil {
				path.Down = linkOf(*e.Down)
			}
			event.Kind, event.Path = netem.EventSet, path
		}
		p.Events = append(p.Events, event)
	}
	return p, nil
}

// linksOf is one network by itself.
func linksOf(n scenario.Network) ([]netem.Path, []netem.Event, error) {
	links := []netem.Path{{}}
	var events []netem.Event
	if n.Preset != "" {
		preset, ok := netem.Preset(n.Preset)
		if !ok {
			return nil, nil, fmt.Errorf("preset %q is not known", n.Preset)
		}
		links, events = slices.Clone(preset.Links), preset.Events
	}
	if n.Up != nil {
		links[0].Up, links[0].UpTrace = linkOf(*n.Up), netsim.Trace{}
	}
	if n.Down != nil {
		links[0].Down, links[0].DownTrace = linkOf(*n.Down), netsim.Trace{}
	}
	if n.TCPLoss != nil {
		for _, l := range []*netsim.LinkConfig{&links[0].Up, &links[0].Down} {
			if l.LossTCP = float64(*n.TCPLoss); l.LossTCP == 0 {
				l.LossTCP = -1 // nothing, rather than the same as UDP
			}
		}
	}
	if n.Trace != "" {
		for _, way := range []struct {
			trace *netsim.Trace
			base  netsim.LinkConfig
		}{{&links[0].UpTrace, links[0].Up}, {&links[0].DownTrace, links[0].Down}} {
			trace, err := netem.ParseTrace(strings.NewReader(n.Trace), way.base)
			if err != nil {
				return nil, nil, err
			}
			if steps := trace.Steps; n.Repeat && trace.Loop == 0 && len(steps) > 0 {
				trace.Loop = steps[len(steps)-1].At
			}
			*way.trace = trace
		}
	}
	return links, events, nil
}

func linkOf(l scenario.Link) netsim.LinkConfig {
	c := netsim.LinkConfig{
		Delay: l.Delay, Jitter: l.Jitter, JitterReorders: l.Reorder, Loss: float64(l.Loss), Rate: int64(l.Rate), QueueTime: l.Queue,
		Duplicate: float64(l.Duplicate),
	}
	if l.Burst != nil {
		c.Burst.Enter, c.Burst.Leave = l.Burst.Transitions()
	}
	return c
}

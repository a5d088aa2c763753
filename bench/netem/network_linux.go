package netem

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/tolkyn/tolkyn/internal/netsim"
)

// Side is one end of the network.
type Side uint8

// The two ends.
const (
	Client Side = iota
	Server
)

// String returns "client" or "server".
func (s Side) String() string { return [...]string{"client", "server"}[s] }

// The server's addresses, the same over every link.
var (
	ServerAddr  = netip.AddrFrom4([4]byte{10, 77, 0, 1})
	ServerAddr6 = netip.MustParseAddr("fd77::1")
)

// ClientAddr is the client's IPv4 address on a link, 10.77.(link+1).2.
func ClientAddr(link int) netip.Addr { return mapped(link, 0) }

// ClientAddr6 is the client's IPv6 address on a link, fd77:(link+1)::2.
func ClientAddr6(link int) netip.Addr { return mapped6(link, 0) }

// mapped is the client's address as the server sees it after so many rebinds.
func mapped(link, rebinds int) netip.Addr {
	return netip.AddrFrom4([4]byte{10, 77, byte(link + 1), byte(2 + rebinds%250)})
}

func mapped6(link, rebinds int) netip.Addr {
	return netip.AddrFrom16([16]byte{0: 0xfd, 1: 0x77, 3: byte(link + 1), 15: byte(2 + rebinds%250)})
}

// Config describes a network.
type Config struct {
	// Seed of all dice. The same seed and the same packets in the same order have the same fates.
	Seed uint64
	// Links between the two ends, 1 to MaxLinks. The client's traffic takes the first that is plugged in, unless it binds
	// the address of another.
	Links []Path
	// Events that happen to the client.
	Events []Event
	// Log is told of each packet that got its fate, in order for each link and direction; nil: nobody is. It is called on
	// the pump's thread and delays all packets by as long as it takes.
	Log func(Passage)
	// On is told of each event once it has happened, with what went wrong; nil: nobody is. It must not block, nor call
	// Restart or Close.
	On func(Event, error)

	// Veth joins the namespaces by a pair of the kernel's own interfaces instead, at its full speed and without any model:
	// for load. Links and Events are then empty, and what would change a link does nothing.
	Veth bool
	// NoSegments has the veth pair cut segmented UDP (GSO) into packets before they cross, as a network card without
	// tx-udp-segmentation would need it.
	NoSegments bool
}

func (c Config) check() error {
	if !c.Veth {
		if c.NoSegments {
			return errors.New("netem: Config.NoSegments is of a veth pair: set Config.Veth, too")
		}
		return check(c.Links, c.Events)
	}
	if len(c.Links) > 0 || len(c.Events) > 0 {
		return errors.New("netem: Config.Veth has no model, so give neither Links nor Events with it")
	}
	return nil
}

// Network is two namespaces and the links between them. All methods are safe from any goroutine.
type Network struct {
	// Fixed after Open.
	sides    [2]*namespace
	index    [2][]int // interfaces of the links
	pump     *pump    // without links when joined by a veth pair
	on       func(Event, error)
	calendar *calendar

	// Guarded by mu, held shared while a namespace works, so that Close cannot take it away.
	mu     sync.RWMutex
	closed bool
}

// Open makes the namespaces and starts the links. It needs root: CAP_SYS_ADMIN and CAP_NET_ADMIN, and /dev/net/tun.
func Open(cfg Config) (*Network, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	n := &Network{pump: newPump(cfg), on: cfg.On}
	n.calendar = newCalendar(cfg.Events, n.happen)
	if err := n.open(cfg); err != nil {
		n.release()
		if errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) {
			err = fmt.Errorf("%w: run as root, with the rights to make namespaces and interfaces", err)
		}
		return nil, fmt.Errorf("netem: %w", err)
	}
	n.calendar.start()
	return n, nil
}

func (n *Network) open(cfg Config) error {
	for side := range n.sides {
		var err error
		if n.sides[side], err = openNamespace(); err != nil {
			n.sides[side] = nil
			return err
		}
		if err := n.sides[side].do(func() error { return n.furnish(Side(side), cfg) }); err != nil {
			return fmt.Errorf("namespace of the %v: %w", Side(side), err)
		}
	}
	if cfg.Veth {
		if err := n.join(cfg.NoSegments); err != nil {
			return fmt.Errorf("join the namespaces: %w", err)
		}
	}
	return n.pump.start()
}

// furnish runs in the new namespace of one side.
func (n *Network) furnish(side Side, cfg Config) error {
	if err := quiet(); err != nil {
		return err
	}
	kernel, err := openNetlink()
	if err != nil {
		return err
	}
	defer kernel.close()
	loopback, err := interfaceIndex("lo")
	if err != nil {
		return err
	}
	if err := kernel.up(loopback, true); err != nil {
		return fmt.Errorf("switch loopback on: %w", err)
	}
	if side == Server && !cfg.Veth {
		if err := kernel.address(loopback, ServerAddr6, true); err != nil {
			return err
		}
	}
	for i := range cfg.Links {
		name := fmt.Sprintf("link%d", i)
		fd, err := openTUN(name)
		if err != nil {
			return err
		}
		n.pump.attach(i, side, fd)
		index, err := interfaceIndex(name)
		if err != nil {
			return err
		}
		n.index[side] = append(n.index[side], index)
		if side == Server {
			err = plugServer(kernel, index, subnets(i)...)
			if err == nil && i == 0 {
				// Not on the loopback interface: some servers pass it over, or take its first address for any other.
				err = kernel.address(index, ServerAddr, true)
			}
		} else {
			for _, addr := range clientAddrs(i) {
				if err := kernel.ruleFrom(addr, table(i)); err != nil {
					return err
				}
			}
			err = plugClient(kernel, i, index, clientAddrs(i)...)
		}
		if err != nil {
			return fmt.Errorf("interface %s: %w", name, err)
		}
	}
	return nil
}

// subnets are where a link's client is, whatever its NAT makes of its address.
func subnets(link int) []netip.Prefix {
	return []netip.Prefix{netip.PrefixFrom(ClientAddr(link), 24).Masked(), netip.PrefixFrom(ClientAddr6(link), 32).Masked()}
}

func clientAddrs(link int) []netip.Addr { return []netip.Addr{ClientAddr(link), ClientAddr6(link)} }

// Close ends the links and leaves the namespaces; they are gone when the last socket and program in them is. Programs
// started with Start are the caller's to end and wait for, before.
func (n *Network) Close() error {
	n.calendar.stop()
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return errClosed
	}
	n.closed = true
	err := n.pump.stop()
	n.release()
	return err
}

func (n *Network) release() {
	n.pump.release()
	for _, side := range n.sides {
		if side != nil {
			side.close()
		}
	}
}

// In runs f on a thread inside a side's namespace, one at a time, and returns its error: sockets that f opens live there
// ever after, whoever uses them. f must not start goroutines that open sockets, and must not call In.
func (n *Network) In(side Side, f func() error) error {
	n.mu.RLock()
	defer n.mu.RUnlock()
	if n.closed {
		return errClosed
	}
	return n.sides[side].do(f)
}

// Start starts a program in a side's namespace. The kernel kills it when the network is closed or this process dies;
// normally the caller ends it and waits for it before Close.
func (n *Network) Start(side Side, cmd *exec.Cmd) error {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	return n.In(side, cmd.Start)
}

// Dial opens a connection from a side; address is numeric ("10.77.0.1:8080"). In blocks meanwhile.
func (n *Network) Dial(ctx context.Context, side Side, network, address string) (net.Conn, error) {
	var conn net.Conn
	err := n.In(side, func() (err error) {
		conn, err = new(net.Dialer).DialContext(ctx, network, address)
		return err
	})
	return conn, err
}

// Listen opens a TCP listener on a side.
func (n *Network) Listen(side Side, addr netip.AddrPort) (*net.TCPListener, error) {
	var listener *net.TCPListener
	err := n.In(side, func() (err error) {
		listener, err = net.ListenTCP("tcp", net.TCPAddrFromAddrPort(addr))
		return err
	})
	return listener, err
}

// ListenUDP opens a UDP socket on a side.
func (n *Network) ListenUDP(side Side, addr netip.AddrPort) (*net.UDPConn, error) {
	var conn *net.UDPConn
	err := n.In(side, func() (err error) {
		conn, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(addr))
		return err
	})
	return conn, err
}

// Set changes one direction of a link under way, and ends its trace. What waits keeps its time of arrival.
func (n *Network) Set(link int, d Direction, cfg netsim.LinkConfig) {
	if n.modelled(link) {
		n.pump.set(link, d, cfg, netsim.Trace{})
	}
}

// Follow has one direction of a link be as the trace says, beginning now.
func (n *Network) Follow(link int, d Direction, trace netsim.Trace) {
	if n.modelled(link) {
		n.pump.set(link, d, netsim.LinkConfig{}, trace)
	}
}

// Rebind has the NAT on a link forget the client: from now on the server sees it at another address, which is returned,
// and what is sent to the old one is lost. Ports stay.
func (n *Network) Rebind(link int) netip.Addr {
	if !n.modelled(link) {
		return ClientAddr(link)
	}
	return n.pump.rebind(link)
}

// CutUDP has a firewall on a link drop all UDP without a word, as some offices do, or no longer.
func (n *Network) CutUDP(link int, on bool) {
	if n.modelled(link) {
		n.pump.cutUDP(link, on)
	}
}

// Blackout has nothing pass on a link, either way, or ends that. What is under way arrives.
func (n *Network) Blackout(link int, on bool) {
	if n.modelled(link) {
		n.pump.blackout(link, on)
	}
}

// modelled says whether there is such a link and a model of it.
func (n *Network) modelled(link int) bool { return link >= 0 && link < len(n.pump.links) }

// Move has the client leave all other links for this one.
func (n *Network) Move(link int) error {
	if err := n.Plug(link); err != nil {
		return err
	}
	for other := range n.index[Client] {
		if other != link {
			if err := n.Unplug(other); err != nil {
				return err
			}
		}
	}
	return nil
}

// Restart begins traces and events anew, with all links plugged in and as they were in the beginning: for clients that
// join now. Counts go on, and so does the NAT.
func (n *Network) Restart() error {
	n.calendar.stop()
	n.pump.restart()
	for link := range n.pump.links {
		if err := n.Plug(link); err != nil {
			return err
		}
	}
	n.calendar.start()
	return nil
}

// happen is one event of the calendar.
func (n *Network) happen(e Event) {
	var err error
	switch e.Kind {
	case EventSet:
		n.pump.set(e.Link, Up, e.Path.Up, e.Path.UpTrace)
		n.pump.set(e.Link, Down, e.Path.Down, e.Path.DownTrace)
	case EventRebind:
		n.Rebind(e.Link)
	case EventCutUDP, EventMendUDP:
		n.CutUDP(e.Link, e.Kind == EventCutUDP)
	case EventBlackout, eventLight:
		n.Blackout(e.Link, e.Kind == EventBlackout)
	case EventMove:
		err = n.Move(e.Link)
	}
	if n.on != nil && e.Kind != eventLight {
		n.on(e, err)
	}
}

// Unplug takes a link from the client, with its addresses and routes, as when Wi-Fi is out of reach. What is under way
// arrives.
func (n *Network) Unplug(link int) error {
	return n.reconfigure(func(kernel *netlink) error {
		return unplugClient(kernel, n.index[Client][link], clientAddrs(link)...)
	})
}

// Plug gives a link back to the client.
func (n *Network) Plug(link int) error {
	return n.reconfigure(func(kernel *netlink) error {
		return plugClient(kernel, link, n.index[Client][link], clientAddrs(link)...)
	})
}

func (n *Network) reconfigure(f func(*netlink) error) error {
	n.mu.RLock()
	defer n.mu.RUnlock()
	if n.closed {
		return errClosed
	}
	if err := n.inside(Client, f); err != nil {
		return fmt.Errorf("netem: %w", err)
	}
	return nil
}

// Stats returns what has happened so far, and is cheap.
func (n *Network) Stats() Stats { return n.pump.stats() }

// Accounts says, by link and direction, what was asked and what was done so far: Accounts()[0][netem.Up]. A veth pair has
// none.
func (n *Network) Accounts() [][2]Account { return n.pump.accounts() }

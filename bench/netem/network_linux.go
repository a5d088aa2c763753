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
	"time"

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

// Direction is the way of a packet over a link.
type Direction uint8

// The two ways.
const (
	Up   Direction = iota // client to server
	Down                  // server to client
)

// String returns "up" or "down".
func (d Direction) String() string { return [...]string{"up", "down"}[d] }

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

// MaxLinks is how many links a network can have.
const MaxLinks = 8

// Path is both directions of one link. Sizes in the model are those of IP packets.
type Path struct {
	Up, Down netsim.LinkConfig
}

// RoundTrip is a path that delays each direction by half of rtt and does nothing else.
func RoundTrip(rtt time.Duration) Path {
	half := netsim.LinkConfig{Delay: rtt / 2}
	return Path{Up: half, Down: half}
}

// Config describes a network.
type Config struct {
	// Seed of all dice. The same seed and the same packets in the same order have the same fates.
	Seed uint64
	// Links between the two ends, 1 to MaxLinks. The client's traffic takes the first that is plugged in, unless it binds
	// the address of another.
	Links []Path
	// Trace is told of each packet that got its fate, in order for each link and direction; nil: nobody is. It is called
	// on the pump's thread and delays all packets by as long as it takes.
	Trace func(Passage)
}

// Network is two namespaces and the links between them. All methods are safe from any goroutine.
type Network struct {
	// Fixed after Open.
	sides [2]*namespace
	index [2][]int // interfaces of the links
	pump  *pump

	// Guarded by mu, held shared while a namespace works, so that Close cannot take it away.
	mu     sync.RWMutex
	closed bool
}

// Open makes the namespaces and starts the links. It needs root: CAP_SYS_ADMIN and CAP_NET_ADMIN, and /dev/net/tun.
func Open(cfg Config) (*Network, error) {
	if len(cfg.Links) < 1 || len(cfg.Links) > MaxLinks {
		return nil, fmt.Errorf("netem: Config.Links has %d links: give 1 to %d", len(cfg.Links), MaxLinks)
	}
	n := &Network{pump: newPump(cfg)}
	if err := n.open(cfg); err != nil {
		n.release()
		if errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) {
			err = fmt.Errorf("%w: run as root, with the rights to make namespaces and interfaces", err)
		}
		return nil, fmt.Errorf("netem: %w", err)
	}
	return n, nil
}

func (n *Network) open(cfg Config) error {
	for side := range n.sides {
		var err error
		if n.sides[side], err = openNamespace(); err != nil {
			n.sides[side] = nil
			return err
		}
		if err := n.sides[side].do(func() error { return n.furnish(Side(side), len(cfg.Links)) }); err != nil {
			return fmt.Errorf("namespace of the %v: %w", Side(side), err)
		}
	}
	return n.pump.start()
}

// furnish runs in the new namespace of one side.
func (n *Network) furnish(side Side, links int) error {
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
	if side == Server {
		for _, addr := range []netip.Addr{ServerAddr, ServerAddr6} {
			if err := kernel.address(loopback, addr, true); err != nil {
				return err
			}
		}
	}
	for i := range links {
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
			err = plugServer(kernel, index, netip.PrefixFrom(ClientAddr(i), 24).Masked(), netip.PrefixFrom(ClientAddr6(i), 32).Masked())
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

func clientAddrs(link int) []netip.Addr { return []netip.Addr{ClientAddr(link), ClientAddr6(link)} }

// Close ends the links and leaves the namespaces; they are gone when the last socket and program in them is. Programs
// started with Start are the caller's to end and wait for, before.
func (n *Network) Close() error {
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

// Set changes one direction of a link under way. What waits keeps its time of arrival.
func (n *Network) Set(link int, d Direction, cfg netsim.LinkConfig) { n.pump.set(link, d, cfg) }

// Rebind has the NAT on a link forget the client: from now on the server sees it at another address, which is returned,
// and what is sent to the old one is lost. Ports stay.
func (n *Network) Rebind(link int) netip.Addr { return n.pump.rebind(link) }

// BlockUDP has a firewall on a link drop all UDP without a word, as some offices do, or no longer.
func (n *Network) BlockUDP(link int, on bool) { n.pump.blockUDP(link, on) }

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
	err := n.In(Client, func() error {
		kernel, err := openNetlink()
		if err != nil {
			return err
		}
		defer kernel.close()
		return f(kernel)
	})
	if err != nil {
		return fmt.Errorf("netem: %w", err)
	}
	return nil
}

// Stats returns what has happened so far, and is cheap.
func (n *Network) Stats() Stats { return n.pump.stats() }

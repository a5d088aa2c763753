package bench

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"slices"
	"time"

	"github.com/tolkyn/tolkyn/bench/caller"
	"github.com/tolkyn/tolkyn/bench/netem"
	"github.com/tolkyn/tolkyn/bench/report"
	"github.com/tolkyn/tolkyn/bench/scenario"
)

// Ground is what lies between the callers' process and a server that the bench starts.
type Ground string

// The grounds.
const (
	// Loopback: both on the machine's own network. Callers with a network have a model of it in their own process, for UDP alone.
	Loopback Ground = "loopback"
	// Veth: each in a namespace of its own, joined at the kernel's speed: for servers that ignore loopback. Needs root.
	Veth Ground = "veth"
	// TUN: each in a namespace of its own, joined by a modelled link that TCP takes as well, for the callers of one network. All
	// others are at the server's end, their networks modelled as on Loopback. Needs root.
	TUN Ground = "tun"
)

// site is a Ground that stands.
type site struct {
	kind    Ground
	host    netip.Addr // of the server
	network *netem.Network
	name    string // of the modelled network
}

func openSite(kind Ground, callers []scenario.Caller, seed uint64) (*site, error) {
	if kind == Loopback {
		return &site{kind: kind, host: netip.AddrFrom4([4]byte{127, 0, 0, 1})}, nil
	}
	config := netem.Config{Seed: seed, Veth: kind == Veth}
	s := &site{kind: kind, host: netem.ServerAddr}
	if kind == TUN {
		networks, err := linkedNetwork(callers)
		if err != nil {
			return nil, err
		}
		if len(networks) > 0 {
			profile, err := caller.Profile(networks)
			if err != nil {
				return nil, err
			}
			s.name, config.Links, config.Events = profile.Name, profile.Links, profile.Events
		}
		if s.name == "" {
			config.Links = []netem.Path{{}}
		}
	}
	var err error
	if s.network, err = netem.Open(config); err != nil {
		return nil, err
	}
	return s, nil
}

// begin has the network's events count from epoch.
func (s *site) begin(epoch time.Time) (stop func()) {
	if s.kind != TUN {
		return func() {}
	}
	// An error means that the network is closed, and the run over.
	timer := time.AfterFunc(time.Until(epoch), func() { _ = s.network.Restart() })
	return func() { timer.Stop() }
}

// startServer runs a program at the server's end.
func (s *site) startServer(cmd *exec.Cmd) error {
	ownGroup(cmd)
	return s.start(netem.Server, cmd)
}

func (s *site) start(side netem.Side, cmd *exec.Cmd) error {
	if s.network == nil {
		return cmd.Start()
	}
	return s.network.Start(side, cmd)
}

// dial reaches what listens at the server's end.
func (s *site) dial(ctx context.Context, network, address string) (net.Conn, error) {
	if s.network == nil {
		return new(net.Dialer).DialContext(ctx, network, address)
	}
	return s.network.Dial(ctx, netem.Server, network, address)
}

// split says whose process runs at which end.
func (s *site) split(callers []scenario.Caller) (behind, beside []scenario.Caller) {
	if s.kind != TUN || s.name == "" {
		return callers, nil
	}
	for _, c := range callers {
		if len(c.Networks) > 0 && c.Networks[0].Name == s.name {
			behind = append(behind, c)
		} else {
			beside = append(beside, c)
		}
	}
	return behind, beside
}

// address is what light callers at an end send from.
func (s *site) address(side netem.Side) netip.Addr {
	switch {
	case s.kind == Loopback:
		return netip.AddrFrom4([4]byte{127, 0, 0, 1})
	case side == netem.Server:
		return s.host
	}
	return netem.ClientAddr(0)
}

func (s *site) links() []report.Link {
	if s.kind != TUN {
		return nil
	}
	return caller.Links(s.name, s.network.Accounts())
}

func (s *site) close() error {
	if s.network == nil {
		return nil
	}
	return s.network.Close()
}

// groundFor chooses where nobody said: loopback, unless some network needs a link between namespaces.
func groundFor(callers []scenario.Caller) (Ground, error) {
	for _, c := range callers {
		if needs, err := needsLink(c.Networks); needs || err != nil {
			return TUN, err
		}
	}
	return Loopback, nil
}

// ComparisonGround is where servers meet that are started here: some ignore loopback.
func ComparisonGround(s scenario.Scenario) (Ground, error) {
	ground, err := groundFor(scenario.Schedule(s))
	if ground == Loopback {
		ground = Veth
	}
	return ground, err
}

// linkedNetwork is the one that the link between namespaces is for: the one that needs it, else the first.
func linkedNetwork(callers []scenario.Caller) ([]scenario.Network, error) {
	var first, needy []scenario.Network
	for _, c := range callers {
		if len(c.Networks) == 0 {
			continue
		}
		if first == nil {
			first = c.Networks
		}
		needs, err := needsLink(c.Networks)
		switch {
		case err != nil:
			return nil, err
		case !needs || needy != nil && needy[0].Name == c.Networks[0].Name:
		case needy != nil:
			return nil, fmt.Errorf("networks %s and %s both cut UDP or lose of TCP: only one in a run can",
				needy[0].Name, c.Networks[0].Name)
		default:
			needy = c.Networks
		}
	}
	if needy == nil {
		return first, nil
	}
	return needy, nil
}

// needsLink: it cuts UDP, or has a loss of TCP's own, so TCP must take it too.
func needsLink(networks []scenario.Network) (bool, error) {
	if len(networks) == 0 {
		return false, nil
	}
	profile, err := caller.Profile(networks)
	if err != nil {
		return false, err
	}
	for _, l := range profile.Links {
		if l.Up.LossTCP != 0 || l.Down.LossTCP != 0 {
			return true, nil
		}
	}
	return slices.ContainsFunc(profile.Events, func(e netem.Event) bool { return e.Kind == netem.EventCutUDP }), nil
}

var errNoServer = errors.New("a server is needed: its address, or how to start one")

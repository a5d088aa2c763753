package netem

import (
	"fmt"
	"time"

	"github.com/tolkyn/tolkyn/internal/netsim"
)

// Direction is the way of a packet over a link.
type Direction uint8

// The two ways.
const (
	Up   Direction = iota // client to server
	Down                  // server to client
)

// String returns "up" or "down".
func (d Direction) String() string { return [...]string{"up", "down"}[d] }

// MaxLinks is how many links a network or a line can have.
const MaxLinks = 8

// mtu of all links: what Ethernet carries, in bytes of an IP packet.
const mtu = 1500

// Path is both directions of one link. Sizes in the model are those of IP packets.
type Path struct {
	Up, Down netsim.LinkConfig
	// UpTrace and DownTrace, where they have steps, are followed instead of Up and Down.
	UpTrace, DownTrace netsim.Trace
}

// RoundTrip is a path that delays each direction by half of rtt and does nothing else.
func RoundTrip(rtt time.Duration) Path {
	half := netsim.LinkConfig{Delay: rtt / 2}
	return Path{Up: half, Down: half}
}

// Event is something that happens to a client's network at a time.
type Event struct {
	At   time.Duration // since the network was opened, or restarted
	Kind EventKind
	Link int           // to which; of EventMove: whither
	For  time.Duration // how long, of EventBlackout
	Path Path          // how the link is from then on, of EventSet
}

// EventKind says what happens.
type EventKind string

// What can happen.
const (
	EventSet      EventKind = "set"      // the link changes
	EventRebind   EventKind = "rebind"   // the NAT forgets the client: it comes from another address or port
	EventCutUDP   EventKind = "cut_udp"  // a firewall drops all UDP from now on
	EventMendUDP  EventKind = "mend_udp" // it no longer does
	EventBlackout EventKind = "blackout" // nothing passes for some time, either way
	EventMove     EventKind = "move"     // the client leaves all other links for this one

	eventLight EventKind = "light" // the end of a blackout
)

// check says what is wrong with the links and events of a configuration.
func check(links []Path, events []Event) error {
	if len(links) < 1 || len(links) > MaxLinks {
		return fmt.Errorf("netem: Config.Links has %d links: give 1 to %d", len(links), MaxLinks)
	}
	for i, path := range links {
		if err := path.check(); err != nil {
			return fmt.Errorf("netem: Config.Links[%d]: %w", i, err)
		}
	}
	for i, e := range events {
		if err := e.check(len(links)); err != nil {
			return fmt.Errorf("netem: Config.Events[%d]: %w", i, err)
		}
	}
	return nil
}

func (p Path) check() error {
	if err := p.UpTrace.Check(); err != nil {
		return fmt.Errorf("trace up: %w", err)
	}
	if err := p.DownTrace.Check(); err != nil {
		return fmt.Errorf("trace down: %w", err)
	}
	return nil
}

func (e Event) check(links int) error {
	switch {
	case e.At < 0:
		return fmt.Errorf("it happens at %v: give a time from 0", e.At)
	case e.Link < 0 || e.Link >= links:
		return fmt.Errorf("it happens to link %d: give 0 to %d", e.Link, links-1)
	}
	switch e.Kind {
	case EventRebind, EventCutUDP, EventMendUDP, EventMove:
		return nil
	case EventBlackout:
		if e.For <= 0 {
			return fmt.Errorf("a blackout of %v: give a time above 0", e.For)
		}
		return nil
	case EventSet:
		return e.Path.check()
	default:
		return fmt.Errorf("unknown kind %q: give set, rebind, cut_udp, mend_udp, blackout or move", e.Kind)
	}
}

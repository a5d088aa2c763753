package server

import (
	"context"
	"net"
	"net/netip"
	"os/exec"

	"github.com/tolkyn/tolkyn/bench/caller"
)

// Server is a server that the bench has started and will stop. Packages below start the kinds there are.
type Server interface {
	// Target is how callers reach it.
	Target() caller.Target
	// Version is the program's own word, for reports.
	Version() string
	// PIDs are the processes that do the work: their CPU and memory are the server's.
	PIDs() []int
	// Figures reads what the server tells of itself; what it does not tell is 0.
	Figures(ctx context.Context) (Figures, error)
	// Stop ends it and waits. Idempotent.
	Stop()
}

// Figures are a server's own.
type Figures struct {
	Goroutines int
	// Drops are datagrams that its sockets had no room for, since its start.
	Drops int64
	// Full is the share in use of what it can use at all, 0 to 1, where it knows: of one core for a server with one thread.
	Full float64
}

// Place is where a server runs and what it may use.
type Place struct {
	Host  netip.Addr              // its address for callers
	Port  uint16                  // 0: any that is free; further ports follow it
	Dir   string                  // its files; removed by whoever made it
	Start func(c *exec.Cmd) error // cmd.Start, or into a namespace
	// Dial reaches Host from this process; nil: as usual.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

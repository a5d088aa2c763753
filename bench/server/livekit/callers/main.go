// Command callers is a worker of tolkyn bench for LiveKit servers: a job on its standard input, what it measured on its standard
// output.
//
//	tolkyn bench ──► job ──► callers ──► signaling (LiveKit's protobuf over WebSocket)  ──► livekit-server
//	             ◄── result ◄──      ◄──► pion, two PeerConnections for each participant ◄──►
//
// It speaks LiveKit's protocol with the client that the bench has for all servers, instead of LiveKit's own Go SDK: that hides its
// sockets, whose network is the caller's here, and what differs between two servers must not be the client.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/tolkyn/tolkyn/bench/caller"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	err := caller.Work(ctx, os.Stdin, os.Stdout, func(t caller.Target) (caller.Dialer, error) { return newDialer(t) })
	if err != nil {
		fmt.Fprintln(os.Stderr, "livekit callers:", err)
		os.Exit(1)
	}
}

package plain

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os/exec"
	"time"

	"github.com/tolkyn/tolkyn/bench/caller"
	"github.com/tolkyn/tolkyn/bench/server"
)

// startWithin bounds the wait for the server's first line.
const startWithin = 10 * time.Second

// running is a server that was started here.
type running struct {
	child  *server.Child
	said   Listening
	client *http.Client
}

// Start runs the server as a process. command is a command line that calls Serve and takes --listen HOST:PORT.
func Start(ctx context.Context, command []string, place server.Place) (server.Server, error) {
	if len(command) == 0 {
		return nil, errors.New("plain: no command to start the server with")
	}
	at := netip.AddrPortFrom(place.Host, place.Port).String()
	cmd := exec.Command(command[0], append(command[1:len(command):len(command)], "--listen", at)...)
	first := make(chan string, 1)
	child, err := server.StartChild(cmd, place.Start, func(line string) {
		select {
		case first <- line:
		default: // it has nothing else to say
		}
	})
	if err != nil {
		return nil, err
	}
	r := &running{child: child, client: &http.Client{Transport: &http.Transport{DialContext: place.Dial}}}
	ctx, cancel := context.WithTimeout(ctx, startWithin)
	defer cancel()
	select {
	case line := <-first:
		err = json.Unmarshal([]byte(line), &r.said)
	case <-child.Ended():
		err = errors.New("it has ended")
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err == nil {
		_, _, err = net.SplitHostPort(r.said.Listening)
	}
	if err != nil {
		child.Stop()
		return nil, fmt.Errorf("wait for the plain server: %w", err)
	}
	return r, nil
}

// Target implements server.Server.
func (r *running) Target() caller.Target {
	return caller.Target{Kind: "plain", URL: "http://" + r.said.Listening}
}

// Version implements server.Server.
func (r *running) Version() string { return r.said.Version }

// PIDs implements server.Server.
func (r *running) PIDs() []int { return []int{r.child.PID()} }

// Figures implements server.Server.
func (r *running) Figures(ctx context.Context) (server.Figures, error) {
	page, err := server.Get(ctx, r.client, r.Target().URL+"/status")
	if err != nil {
		return server.Figures{}, err
	}
	var now status
	if err := json.Unmarshal([]byte(page), &now); err != nil {
		return server.Figures{}, fmt.Errorf("read the server's status: %w", err)
	}
	return server.Figures{Goroutines: now.Goroutines, Drops: server.DropsOf(r.PIDs())}, nil
}

// Stop implements server.Server.
func (r *running) Stop() {
	r.child.Stop()
	r.client.CloseIdleConnections()
}

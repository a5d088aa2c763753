//go:build linux

package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"github.com/tolkyn/tolkyn/signaling/client"
	"github.com/tolkyn/tolkyn/signaling/wire"
)

// dialSDK opens a session as programs do.
func dialSDK(ctx context.Context, to netip.AddrPort, config *tls.Config, memory *client.Memory, name string) (*client.Client, error) {
	return client.Dial(ctx, "https://"+to.String(),
		func(context.Context) (string, error) { return token(name) },
		client.Options{
			Memory: memory, RootCAs: config.RootCAs,
			Transports: []*wire.Transport{{Kind: wire.Transport_QUIC, Port: uint32(to.Port())}},
		})
}

// sdk returns a dial of the Go SDK, by one that has been there before or by a stranger each time.
func (d *dialing) sdk(known bool) func(context.Context, *tls.Config) (time.Duration, error) {
	memory := client.NewMemory()
	met := false
	visit := func(ctx context.Context, config *tls.Config) (time.Duration, error) {
		if !known {
			memory = client.NewMemory()
		}
		began := time.Now()
		c, err := dialSDK(ctx, d.To, config, memory, rand.Text())
		if err != nil {
			return 0, err
		}
		took := time.Since(began)
		time.Sleep(3 * roundTrip) // as hello
		return took, c.Close()
	}
	return func(ctx context.Context, config *tls.Config) (time.Duration, error) {
		if known && !met {
			met = true
			if _, err := visit(ctx, config); err != nil {
				return 0, err
			}
		}
		return visit(ctx, config)
	}
}

// watchJob keeps one session of the SDK and asks the server something all the time.
type watchJob struct {
	To          netip.AddrPort `json:"to"`
	Certificate certificate    `json:"certificate"`
}

// askEvery is below the limit of 50 frames a second.
const askEvery = 25 * time.Millisecond

// answered is one Ping of the watch, by the system's clock.
type answered struct {
	Asked, Answered time.Time
}

// watched is what has happened since the last command.
type watched struct {
	Answers                []answered
	QUIC, WebSocket, Moved uint64 // connections and changes of networks, since the start
}

// run answers true once the session is open, and each command with what was watched since the one before.
func (j *watchJob) run(answers *json.Encoder, commands *bufio.Scanner) error {
	config, err := j.Certificate.trust()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	c, err := dialSDK(ctx, j.To, config, client.NewMemory(), rand.Text())
	if err != nil {
		cancel()
		return err
	}
	var (
		mu     sync.Mutex
		all    []answered
		asking sync.WaitGroup
	)
	asking.Go(func() {
		tick := time.NewTicker(askEvery)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			asking.Go(func() {
				asked := time.Now()
				if _, err := c.Ping(ctx); err != nil {
					return // a session that has begun anew answers nothing older
				}
				mu.Lock()
				defer mu.Unlock()
				all = append(all, answered{asked, time.Now()})
			})
		}
	})
	defer asking.Wait()
	defer cancel()
	if err := answers.Encode(true); err != nil {
		return err
	}
	for commands.Scan() {
		mu.Lock()
		stats := c.SessionStats()
		w := watched{Answers: all, QUIC: stats.QUIC, WebSocket: stats.WebSocket, Moved: stats.Moved}
		all = nil
		mu.Unlock()
		if err := answers.Encode(w); err != nil {
			return err
		}
	}
	cancel()
	if err := c.Close(); err != nil {
		return fmt.Errorf("leave: %w", err)
	}
	return commands.Err()
}

package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/tolkyn/tolkyn/bench"
	"github.com/tolkyn/tolkyn/bench/caller"
	"github.com/tolkyn/tolkyn/bench/server"
	"github.com/tolkyn/tolkyn/bench/server/janus"
	"github.com/tolkyn/tolkyn/bench/server/livekit"
	"github.com/tolkyn/tolkyn/bench/server/plain"
	"github.com/tolkyn/tolkyn/bench/server/tolkyn"
)

// subjectFlags say which server is measured.
type subjectFlags struct {
	server, kind, binary        string
	token, tokenFile            string
	keyID, secret, secretFile   string
	transport                   string
	livekitServer, livekitCalls string
	livekitBatch                bool
}

func (f *subjectFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.server, "server", "", "address of a server that runs already; default: one is started here")
	flags.StringVar(&f.kind, "kind", "tolkyn", "what the server is: tolkyn, plain (a stock SFU on pion), janus, livekit")
	flags.StringVar(&f.token, "token", "", "the token of the one caller that the scenario has, whose room it then is")
	flags.StringVar(&f.tokenFile, "token-file", "", "file with that token")
	flags.StringVar(&f.keyID, "key", "", "name of the server's key that signs the callers' tokens")
	flags.StringVar(&f.secret, "secret", "", "the secret of that key")
	flags.StringVar(&f.secretFile, "secret-file", "", "file with that secret")
	flags.StringVar(&f.transport, "transport", "", "signaling over websocket alone; default: whichever is there first")
	f.addStarting(cmd)
	cmd.MarkFlagsMutuallyExclusive("token", "token-file", "secret", "secret-file")
}

// addStarting adds what servers are started with.
func (f *subjectFlags) addStarting(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.binary, "binary", "", "the tolkyn binary that is started; default: this one")
	flags.StringVar(&f.livekitServer, "livekit-server", "livekit-server", "the LiveKit server that is started")
	flags.BoolVar(&f.livekitBatch, "livekit-batch", false, "have LiveKit gather its sends (rtc.batch_io, off by its default), which costs it less")
	flags.StringVar(&f.livekitCalls, "livekit-callers", "tolkyn-livekit-callers", "the program that calls LiveKit servers (see docs/benchmarking.md)")
}

// apply sets which server a run measures.
func (f *subjectFlags) apply(c *bench.Config) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	c.Worker = []string{self, "bench", "worker"}
	if f.kind == "livekit" {
		if _, err := exec.LookPath(f.livekitCalls); err != nil {
			return fmt.Errorf("--livekit-callers: %w: docs/benchmarking.md says how to build it", err)
		}
		c.Worker = []string{f.livekitCalls}
	}
	if f.server != "" {
		c.Target, err = f.target()
		return err
	}
	if f.token != "" || f.tokenFile != "" || f.secret != "" || f.secretFile != "" || f.keyID != "" {
		return errors.New("--token, --key and --secret are for a server that runs already: name it with --server")
	}
	binary := f.binary
	if binary == "" {
		binary = self
	}
	c.Start, err = f.starter(binary, self)
	return err
}

// starter says how a server of this kind is started.
func (f *subjectFlags) starter(binary, self string) (func(context.Context, server.Place) (server.Server, error), error) {
	switch f.kind {
	case "tolkyn":
		return func(ctx context.Context, place server.Place) (server.Server, error) {
			return tolkyn.Start(ctx, binary, place)
		}, nil
	case "plain":
		command := []string{self, "bench", "plain-server"}
		return func(ctx context.Context, place server.Place) (server.Server, error) {
			return plain.Start(ctx, command, place)
		}, nil
	case "janus":
		return janus.Start, nil
	case "livekit":
		return func(ctx context.Context, place server.Place) (server.Server, error) {
			return livekit.Start(ctx, f.livekitServer, place, livekit.Options{Batch: f.livekitBatch})
		}, nil
	}
	return nil, fmt.Errorf("got the kind of server %q, want tolkyn, plain, janus or livekit", f.kind)
}

// target is the server at --server.
func (f *subjectFlags) target() (*caller.Target, error) {
	u, err := url.Parse(f.server)
	if err != nil || u.Host == "" {
		return nil, fmt.Errorf("--server: got %q, want an address, as https://call.example.kz", f.server)
	}
	if f.transport != "" && f.transport != "websocket" {
		return nil, fmt.Errorf("--transport: got %q, want websocket or nothing", f.transport)
	}
	t := &caller.Target{Kind: f.kind, URL: f.server, Key: f.keyID, Secret: f.secret, Token: f.token, Transport: f.transport}
	for _, file := range []struct {
		flag, path string
		to         *string
	}{{"--token-file", f.tokenFile, &t.Token}, {"--secret-file", f.secretFile, &t.Secret}} {
		if file.path == "" {
			continue
		}
		b, err := os.ReadFile(file.path)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file.flag, err)
		}
		*file.to = strings.TrimSpace(string(b))
	}
	if t.Secret != "" && t.Key == "" {
		return nil, errors.New("--secret needs --key, the name of the key in the server's configuration")
	}
	return t, nil
}

// dialerOf brings full callers into a server's rooms.
func dialerOf(t caller.Target) (caller.Dialer, error) {
	switch t.Kind {
	case "tolkyn":
		return tolkyn.New(t)
	case "plain":
		return plain.New(t.URL), nil
	case "janus":
		return janus.New(t.URL), nil
	}
	return nil, fmt.Errorf("no callers for a server of kind %q", t.Kind)
}

// newPlainServer is the baseline server: it is started by bench, not by people.
func newPlainServer() *cobra.Command {
	var listen string
	cmd := &cobra.Command{
		Use: "plain-server", Short: "Serve the stock SFU on pion that others are compared with (started by bench)",
		Hidden: true, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGINT, syscall.SIGTERM)
			defer stop()
			return plain.Serve(ctx, listen, cmd.OutOrStdout())
		},
	}
	cmd.Flags().StringVar(&listen, "listen", "127.0.0.1:0", "address of its HTTP, and of its media")
	return cmd
}

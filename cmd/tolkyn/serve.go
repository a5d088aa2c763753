package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/tolkyn/tolkyn/cmd/tolkyn/internal/config"
	"github.com/tolkyn/tolkyn/sfu"
)

// drainTimeout bounds how long the Byes and open requests hold the end up.
const drainTimeout = 3 * time.Second

// errNoAnswer: a shard's loop did not take its turn in time.
var errNoAnswer = errors.New("a shard does not answer")

func newServe() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the server",
		Long: "Serve runs the whole server: the page, signaling, media. Without flags or files it is there for this\n" +
			"machine alone; with --lan for the devices of the local network. To be reached from elsewhere it needs keys that\n" +
			"tokens are checked with ('tolkyn token key' makes one) and a certificate, both named in the file of --config.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			settings, origins, err := loadSettings(cmd)
			if err != nil {
				return err
			}
			return serve(cmd.Context(), settings, origins, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	addSettingFlags(cmd)
	return cmd
}

// serve runs until SIGINT or SIGTERM, then says Bye to everybody and returns nil. A second signal ends the process at
// once. out gets the line for people, logs the log.
func serve(ctx context.Context, c config.Config, origins config.Origins, out, logs io.Writer) error {
	who, err := decideMode(c, origins)
	if err != nil {
		return err
	}
	if c.LAN.Enabled {
		openLAN(&c, origins)
	}
	log, err := newLogger(logs, c.Log)
	if err != nil {
		return fmt.Errorf("log.level: %w", err)
	}
	ctx, restoreSignals := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
	defer restoreSignals()

	n, err := openNode(c, who, log)
	if err != nil {
		return err
	}
	n.start(ctx)
	log.Info("started", "mode", who.String(), "version", readBuild().version, "advertise", n.media.advertise, n.listening())
	if err := announce(out, who, n.url()); err != nil {
		return errors.Join(err, n.stop(ctx))
	}

	select {
	case <-ctx.Done():
		log.Info("stopping; a second signal stops at once")
	case err = <-n.failed:
	}
	restoreSignals() // From here on a signal has its default effect: it ends the process.
	return errors.Join(err, n.stop(context.WithoutCancel(ctx)))
}

// node is all that serve runs.
type node struct {
	// Fixed after openNode.
	who    mode
	log    *slog.Logger
	load   *load
	media  *media
	plane  *plane
	fronts []front
	failed chan error         // one place for each front
	asking chan struct{}      // one place: who holds it asks the shards
	cancel context.CancelFunc // ends the sampler; set by start

	running sync.WaitGroup
}

// front is one listening HTTP server.
type front struct {
	key, flag string // what configures its address
	scheme    string
	handler   http.Handler
	tls       *tls.Config // https only
	listener  net.Listener
	server    *http.Server
}

// openNode opens every socket. When one cannot be had it closes the others again.
func openNode(c config.Config, who mode, log *slog.Logger) (_ *node, err error) {
	n := &node{who: who, log: log, load: newLoad(c.Limits), asking: make(chan struct{}, 1)}
	defer func() {
		if err != nil {
			err = errors.Join(err, n.close())
		}
	}()
	if n.media, err = openMedia(c, log); err != nil {
		return nil, err
	}
	if n.plane, err = openPlane(c, who, n.media.sfu, n.load, log); err != nil {
		return nil, err
	}
	open := front{key: "http.listen", flag: "listen", scheme: "http", handler: secured(n.plane.mux, false)}
	if err := n.open(open, c.HTTP.Listen); err != nil {
		return nil, err
	}
	if c.HTTP.TLSListen != "" {
		certificate, err := serverCertificate(c, n.media.advertise, time.Now())
		if err != nil {
			return nil, err
		}
		closed := front{
			key: "http.tls_listen", flag: "tls-listen", scheme: "https",
			handler: secured(n.plane.mux, c.HTTP.CertificateFile != ""),
			tls:     &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12},
		}
		if err := n.open(closed, c.HTTP.TLSListen); err != nil {
			return nil, err
		}
	}
	admin := front{
		key: "admin.listen", flag: "admin", scheme: "http",
		handler: newAdmin(n.load, n.probe, newMetrics(figures{n.load, n.mediaStats, n.plane.sessions.Stats}), c.Admin.Pprof),
	}
	if err := n.open(admin, c.Admin.Listen); err != nil {
		return nil, err
	}
	n.failed = make(chan error, len(n.fronts))
	return n, nil
}

// open binds a front; an empty address switches it off.
func (n *node) open(f front, address string) error {
	if address == "" {
		return nil
	}
	var err error
	if f.listener, err = listenTCP(f.key, f.flag, address); err != nil {
		return err
	}
	f.server = newHTTPServer(f.handler, n.log)
	f.server.TLSConfig = f.tls
	n.fronts = append(n.fronts, f)
	return nil
}

// start runs the fronts and the load's sampler. stop waits for them.
func (n *node) start(ctx context.Context) {
	ctx, n.cancel = context.WithCancel(ctx)
	n.running.Go(func() { n.load.run(ctx, n.media.packets, n.media.sfu.Busy, n.log) })
	for _, f := range n.fronts {
		n.running.Go(func() {
			err := f.serve()
			if !errors.Is(err, http.ErrServerClosed) {
				n.failed <- fmt.Errorf("%s: %w", f.key, err)
			}
		})
	}
}

func (f front) serve() error {
	if f.tls != nil {
		return f.server.ServeTLS(f.listener, "", "")
	}
	return f.server.Serve(f.listener)
}

// stop refuses new work, says Bye, lets open requests end, and closes everything.
func (n *node) stop(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, drainTimeout)
	defer cancel()
	n.load.Drain()
	err := n.plane.sessions.Close(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		// A client's slowness is no failure of ours.
		n.log.Warn("cut off clients that did not take their leave in time", "limit", drainTimeout)
		err = nil
	}
	for _, f := range n.fronts {
		_ = f.server.Shutdown(ctx) // What does not end in time, close ends.
	}
	err = errors.Join(err, n.close())
	n.cancel()
	n.running.Wait()
	n.log.Info("stopped")
	return err
}

// close ends what is open, in the reverse order of opening.
func (n *node) close() error {
	for _, f := range n.fronts {
		_ = f.server.Close()
		_ = f.listener.Close()
	}
	if n.media == nil {
		return nil
	}
	return n.media.sfu.Close()
}

// probe says whether the media path answers: each shard's loop takes its turn.
func (n *node) probe(ctx context.Context) error {
	_, err := n.askMedia(ctx)
	return err
}

// mediaStats are the SFU's figures, false when it does not answer in time.
func (n *node) mediaStats() (sfu.Stats, bool) {
	ctx, cancel := context.WithTimeout(context.Background(), probeTimeout)
	defer cancel()
	stats, err := n.askMedia(ctx)
	return stats, err == nil
}

// askMedia asks the shards for their figures. One asks at a time, so that a shard that is stuck holds one goroutine and
// not one for each probe.
func (n *node) askMedia(ctx context.Context) (sfu.Stats, error) {
	select {
	case n.asking <- struct{}{}:
	case <-ctx.Done():
		return sfu.Stats{}, errNoAnswer
	}
	type answer struct {
		stats sfu.Stats
		ok    bool
	}
	answered := make(chan answer, 1)
	n.running.Go(func() {
		stats, ok := n.media.sfu.Stats()
		<-n.asking
		answered <- answer{stats, ok}
	})
	select {
	case a := <-answered:
		if !a.ok {
			return sfu.Stats{}, errNoAnswer
		}
		return a.stats, nil
	case <-ctx.Done():
		return sfu.Stats{}, errNoAnswer
	}
}

// listening names every bound address by its key, with the numbers that were given for port 0.
func (n *node) listening() slog.Attr {
	bound := []any{slog.String("media.listen", n.media.socket.LocalAddr().String())}
	for _, f := range n.fronts {
		bound = append(bound, slog.String(f.key, f.listener.Addr().String()))
	}
	return slog.Group("listening", bound...)
}

// url is where people open the page: over TLS where there is a certificate.
func (n *node) url() string {
	best := n.fronts[0]
	for _, f := range n.fronts {
		if f.scheme == "https" {
			best = f
		}
	}
	host := "localhost"
	if bound, err := netip.ParseAddrPort(best.listener.Addr().String()); err == nil {
		host = bound.Addr().Unmap().String()
		if bound.Addr().IsUnspecified() && len(n.media.advertise) > 0 {
			host = n.media.advertise[0].String()
		}
	}
	page := pageURL(best.scheme, best.listener.Addr(), host)
	if n.plane.invitation != "" {
		page += "/" + invitationMark + n.plane.invitation
	}
	return page
}

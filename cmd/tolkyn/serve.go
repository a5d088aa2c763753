package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/tolkyn/tolkyn/cmd/tolkyn/internal/config"
	"github.com/tolkyn/tolkyn/cmd/tolkyn/internal/supervisor"
	"github.com/tolkyn/tolkyn/sfu"
)

// drainTimeout bounds how long the Byes and open requests hold the end up.
const drainTimeout = 3 * time.Second

// adminKey is the front that serves the operator, and no page.
const adminKey = "admin.listen"

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
			child, err := supervisor.Join()
			if err != nil {
				return err
			}
			settings, origins, err := loadSettings(cmd)
			switch {
			case err != nil:
				return err
			case child == nil && wantsSupervisor(settings, origins, os.Getenv, os.Getpid(), os.Getppid()):
				return supervise(settings)
			}
			return serve(cmd.Context(), settings, origins, child, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	addSettingFlags(cmd)
	return cmd
}

// serve runs until SIGINT or SIGTERM, then says Bye to everybody and returns nil. A second signal ends the process at
// once. out gets the line for people, logs the log; child is nil without a supervisor.
func serve(ctx context.Context, c config.Config, origins config.Origins, child *supervisor.Child, out, logs io.Writer) error {
	who, err := decideMode(c, origins)
	if err != nil {
		return err
	}
	if c.LAN.Enabled {
		openLAN(&c, origins)
	}
	leaveOut(&c)
	log, err := newLogger(logs, c.Log)
	if err != nil {
		return fmt.Errorf("log.level: %w", err)
	}
	// Not restored at the end: an echo that comes while the process ends must not make a failure of it.
	ctx, hangups, restoreSignals := takeSignals(ctx, isTerminal(logs))

	n, err := openNode(c, origins, who, child, log)
	if err != nil {
		return err
	}
	n.start(ctx, hangups)
	if child != nil {
		err = child.Ready() // before anybody reads that we have started: from then on a crash is one
	}
	log.Info("started", "mode", who.String(), "version", readBuild().version, "pid", os.Getpid(), "supervised", child != nil,
		"advertise", n.advertise(), n.listening())
	if err = errors.Join(err, announce(out, who, n.url())); err != nil {
		return errors.Join(err, n.stop(ctx))
	}

	select {
	case <-ctx.Done():
		log.Info("stopping; a second signal stops at once")
	case err = <-n.failed:
	}
	defer time.AfterFunc(echo, restoreSignals).Stop()
	return errors.Join(err, n.stop(context.WithoutCancel(ctx)))
}

// echo is how long after the first signal another one is taken for the same: who sends it to all processes of a name, a
// terminal or a service sends it to the supervisor too, which passes it on.
const echo = time.Second

// takeSignals returns a context that ends with the first signal to stop, and where SIGHUP arrives. On a terminal that is one
// to stop too: the terminal was closed. After restore signals have their default effect: they end the process.
func takeSignals(parent context.Context, onTerminal bool) (ctx context.Context, hangups chan os.Signal, restore func()) {
	hangups = make(chan os.Signal, 1)
	stopping := []os.Signal{syscall.SIGINT, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) { // nohup
		if onTerminal {
			stopping = append(stopping, syscall.SIGHUP)
		} else {
			signal.Notify(hangups, syscall.SIGHUP)
		}
	}
	ctx, restoreStopping := signal.NotifyContext(parent, stopping...)
	return ctx, hangups, func() {
		restoreStopping()
		signal.Stop(hangups)
	}
}

// node is all that serve runs.
type node struct {
	// Fixed after openNode.
	who    mode
	log    *slog.Logger
	load   *load
	media  *media // nil: the roles are elsewhere, likewise plane
	shown  certificates
	one    *onePort  // nil: off
	quic   *quicPort // nil: off
	relay  *relay    // nil: there is none
	plane  *plane
	fronts []front
	failed chan error         // one place for each front and for QUIC
	asking chan struct{}      // one place: who holds it asks the shards
	cancel context.CancelFunc // ends what start runs beside the fronts; set by start

	running sync.WaitGroup
}

// front is one listening HTTP server.
type front struct {
	key, flag string // what configures its address
	scheme    string
	tls       *tls.Config // https only
	ready     bool        // what the listener yields has its handshake behind it
	listener  net.Listener
	server    *http.Server // nil until there is something to serve
}

// openNode opens every socket. When one cannot be had it closes the others again.
func openNode(c config.Config, origins config.Origins, who mode, child *supervisor.Child, log *slog.Logger) (_ *node, err error) {
	n := &node{who: who, log: log, load: newLoad(c.Limits), asking: make(chan struct{}, 1)}
	defer func() {
		if err != nil {
			err = errors.Join(err, n.close())
		}
	}()
	if n.one, err = openOnePort(c); err != nil {
		return nil, err
	}
	if c.Has(config.RoleSFU) {
		if n.media, err = openMedia(c, n.one, log); err != nil {
			return nil, err
		}
	}
	kept := openState(c.StateDir, log)
	if n.shown, err = openCertificates(c, kept, n.advertise(), log, time.Now()); err != nil {
		return nil, err
	}
	if n.quic, err = openQUIC(c, n.one, kept, n.shown, log); err != nil {
		return nil, err
	}
	if n.one != nil {
		n.openBehindOnePort(log)
		c.HTTP.TLSListen = "" // it is behind the one port
	}
	if n.relay, err = openRelay(c, origins, n.media, n.one, kept, n.shown, log); err != nil {
		return nil, err
	}
	for _, f := range []struct {
		front
		address string
	}{
		{front{key: "http.listen", flag: "listen", scheme: "http"}, c.HTTP.Listen},
		{front{key: "http.tls_listen", flag: "tls-listen", scheme: "https", tls: n.shown.https()}, c.HTTP.TLSListen},
		{front{key: adminKey, flag: "admin", scheme: "http"}, c.Admin.Listen},
	} {
		if err := n.open(f.front, f.address); err != nil {
			return nil, err
		}
	}
	all := figures{load: n.load, one: n.one, child: child}
	if n.media != nil {
		if n.plane, err = openPlane(c, who, n.media.sfu, n.load, n.pagePorts(), n.quic, n.relay, log); err != nil {
			return nil, err
		}
		all.sfu, all.signaling = n.mediaStats, n.plane.sessions.Stats
	}
	if n.relay != nil && n.relay.server != nil {
		all.turn = n.relay.server.Stats
	}
	admin := newAdmin(n.load, n.probe, newMetrics(all), c.Admin.Pprof)
	for i := range n.fronts {
		f := &n.fronts[i]
		handler := admin
		if f.key != adminKey {
			handler = secured(n.plane.mux, f.tls != nil && (c.HTTP.CertificateFile != "" || c.ACME.Host != ""))
		}
		f.server = newHTTPServer(handler, log)
		if !f.ready {
			f.server.TLSConfig = f.tls
		}
	}
	n.failed = make(chan error, len(n.fronts)+1)
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
	n.fronts = append(n.fronts, f)
	return nil
}

// pagePorts are the TCP ports that the page is served on.
func (n *node) pagePorts() []uint16 {
	var ports []uint16
	for _, f := range n.fronts {
		if f.key != adminKey {
			ports = append(ports, uint16(f.listener.Addr().(*net.TCPAddr).Port))
		}
	}
	return ports
}

// start runs the fronts, QUIC, the load's sampler and what looks after the certificates. stop waits for them.
func (n *node) start(ctx context.Context, hangups <-chan os.Signal) {
	ctx, n.cancel = context.WithCancel(ctx)
	packets, busy := func() uint64 { return 0 }, func() []time.Duration { return nil }
	if n.media != nil {
		packets, busy = n.media.packets, n.media.sfu.Busy
	}
	n.running.Go(func() { n.load.run(ctx, packets, busy, n.log) })
	n.running.Go(func() { n.shown.run(ctx, hangups) })
	if n.one != nil {
		n.one.serve(&n.running, ctx.Done())
	}
	if n.quic != nil {
		n.running.Go(func() {
			if err := n.quic.serve(n.plane.sessions); err != nil {
				n.failed <- err
			}
		})
	}
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
	if f.tls != nil && !f.ready {
		return f.server.ServeTLS(f.listener, "", "")
	}
	return f.server.Serve(f.listener)
}

// stop refuses new work, says Bye, lets the relay's clients and open requests end, and closes everything.
func (n *node) stop(ctx context.Context) error {
	n.load.Drain()
	err := n.sayBye(ctx)
	n.relay.stop(ctx, n.log)
	ctx, cancel := context.WithTimeout(ctx, drainTimeout)
	defer cancel()
	for _, f := range n.fronts {
		_ = f.server.Shutdown(ctx) // What does not end in time, close ends.
	}
	err = errors.Join(err, n.close())
	n.cancel()
	n.running.Wait()
	n.log.Info("stopped")
	return err
}

// sayBye ends the sessions.
func (n *node) sayBye(ctx context.Context) error {
	if n.plane == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, drainTimeout)
	defer cancel()
	err := n.plane.sessions.Close(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		// A client's slowness is no failure of ours.
		n.log.Warn("cut off clients that did not take their leave in time", "limit", drainTimeout)
		err = nil
	}
	return err
}

// close ends what is open, in the reverse order of opening.
func (n *node) close() error {
	for _, f := range n.fronts {
		if f.server != nil {
			_ = f.server.Close()
		}
		_ = f.listener.Close()
	}
	if n.quic != nil {
		_ = n.quic.socket.Close()
	}
	err := n.relay.close()
	if n.one != nil {
		n.one.close()
	}
	if n.media == nil {
		return err
	}
	return errors.Join(err, n.media.sfu.Close())
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
	if n.media == nil {
		return sfu.Stats{}, nil
	}
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
	var bound []any
	if n.media != nil {
		var ports []string
		for _, s := range n.media.sockets {
			ports = append(ports, s.LocalAddr().String())
		}
		bound = append(bound, slog.String("media.listen", strings.Join(ports, ",")))
	}
	if n.relay != nil {
		for _, key := range slices.Sorted(maps.Keys(n.relay.bound)) {
			bound = append(bound, slog.String(key, n.relay.bound[key]))
		}
	}
	if n.quic != nil {
		bound = append(bound, slog.String("quic.listen", n.quic.socket.LocalAddr().String()))
	}
	for _, f := range n.fronts {
		bound = append(bound, slog.String(f.key, f.listener.Addr().String()))
	}
	return slog.Group("listening", bound...)
}

// advertise are the addresses that clients are told.
func (n *node) advertise() []netip.Addr {
	if n.media == nil {
		return nil
	}
	return n.media.advertise
}

// url is where people open the page, over TLS where there is a certificate; or where the relay is, alone.
func (n *node) url() string {
	if n.plane == nil {
		return n.relay.urlsFor("")[0]
	}
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

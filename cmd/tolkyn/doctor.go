package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/pion/logging"
	"github.com/pion/stun/v4"
	"github.com/pion/webrtc/v4"
	"github.com/spf13/cobra"

	"github.com/tolkyn/tolkyn/cmd/tolkyn/internal/config"
	"github.com/tolkyn/tolkyn/cmd/tolkyn/internal/doctor"
	"github.com/tolkyn/tolkyn/signaling/client"
	"github.com/tolkyn/tolkyn/turn/credential"
)

// doctorCall bounds a call of the doctor's: who waits longer for media hangs up.
const doctorCall = 10 * time.Second

// doctorFlags are those of doctor turn.
type doctorFlags struct {
	callFlags

	user, password, secretFile, ca, peer string
	within                               time.Duration

	sessions []*client.Client // whose credentials are tested: with the session they end
}

func newDoctor() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Test a deployment as a client does, and say what to fix",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newDoctorTURN())
	return cmd
}

func newDoctorTURN() *cobra.Command {
	var f doctorFlags
	cmd := &cobra.Command{
		Use:   "turn [URL...]",
		Short: "Test relays: every way to them, credentials, the relay itself, what it must refuse",
		Long: "Turn tests relays as a client does. What it tests:\n\n" +
			"  https://call.example.kz      the relays that this server tells its clients of, each by a call through it alone\n" +
			"  turn:HOST:PORT?transport=udp one way to any relay, coturn too, with --user and --password or --secret-file;\n" +
			"                               without ?transport= UDP and TCP both\n" +
			"  no URL, --config FILE        the relay of this configuration, on this machine\n" +
			"  no URL                       http://127.0.0.1:8080\n\n" +
			"It tries each way (UDP, TCP, TLS with its certificate), no, wrong and right credentials, a round trip through the relay, the\n" +
			"relay's own addresses as peers, and an address of each reserved network, which a relay must refuse. Exit code 1 when something\n" +
			"is bad; what is only doubtful leaves it 0.",
		Example: "  tolkyn doctor turn https://call.example.kz --token-file token\n" +
			"  tolkyn doctor turn turns:turn.example.kz:5349 --secret-file turn.secret\n" +
			"  tolkyn doctor turn --config tolkyn.yaml",
		RunE: func(cmd *cobra.Command, args []string) error {
			file, err := cmd.Flags().GetString("config")
			if err != nil {
				return err
			}
			return f.run(cmd.Context(), cmp.Or(file, os.Getenv("TOLKYN_CONFIG")), args, cmd.OutOrStdout())
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.user, "user", "", "user of a turn: URL")
	flags.StringVar(&f.password, "password", "", "and the password")
	flags.StringVar(&f.secretFile, "secret-file", "", "file with the secret that credentials of a turn: URL are made of (turn.secret_file; coturn's static-auth-secret)")
	flags.StringVar(&f.token, "token", "", "token to open a session with; on this machine the server gives one")
	flags.StringVar(&f.tokenFile, "token-file", "", "file with the token, read anew for each session")
	flags.StringVar(&f.room, "room", "doctor", "room for its calls, where the server gives the token")
	flags.StringVar(&f.ca, "ca", "", "file with certificates in PEM that are trusted beside the system's")
	flags.StringVar(&f.peer, "peer", "", "IP:PORT of a STUN server or an echo that clients may reach through the relay; default: this machine")
	flags.DurationVar(&f.within, "within", 3*time.Second, "how long each answer may take")
	cmd.MarkFlagsMutuallyExclusive("token", "token-file")
	cmd.MarkFlagsMutuallyExclusive("password", "secret-file")
	return cmd
}

// patient is one way to a relay, and how to test it.
type patient struct {
	url string
	doctor.Config
}

func (f *doctorFlags) run(ctx context.Context, file string, urls []string, out io.Writer) (err error) {
	defer func() {
		for _, s := range f.sessions {
			err = errors.Join(err, s.Close())
		}
	}()
	patients, err := f.patients(ctx, file, urls)
	if err != nil {
		return err
	}
	worst := doctor.Good
	for _, p := range patients {
		if _, err := fmt.Fprintln(out, p.url); err != nil {
			return err
		}
		for _, found := range doctor.Examine(ctx, p.Config) {
			worst = max(worst, found.Verdict)
			text := fmt.Sprintf("  %-4s  %-12s %s\n", found.Verdict, found.About, found.Found)
			if found.Fix != "" {
				text += fmt.Sprintf("        %-12s fix: %s\n", "", found.Fix)
			}
			if _, err := io.WriteString(out, text); err != nil {
				return err
			}
		}
	}
	if worst == doctor.Bad {
		return exitCode(1)
	}
	return nil
}

// patients are all ways that were asked for.
func (f *doctorFlags) patients(ctx context.Context, file string, urls []string) ([]patient, error) {
	general, err := f.general()
	if err != nil {
		return nil, err
	}
	if len(urls) == 0 && file != "" {
		return f.ofConfig(general, file)
	}
	if len(urls) == 0 {
		urls = []string{"http://127.0.0.1:8080"}
	}
	var all []patient
	for _, text := range urls {
		some, err := f.of(ctx, general, text)
		if err != nil {
			return nil, err
		}
		all = append(all, some...)
	}
	return all, nil
}

// general is what holds for every way.
func (f *doctorFlags) general() (doctor.Config, error) {
	cfg := doctor.Config{Within: f.within}
	var err error
	if f.peer != "" {
		if cfg.Peer, err = netip.ParseAddrPort(f.peer); err != nil {
			return cfg, fmt.Errorf("--peer: got %q, want an IP address and a port, as 203.0.113.9:3478", f.peer)
		}
	}
	if f.ca == "" {
		return cfg, nil
	}
	text, err := os.ReadFile(f.ca)
	if err != nil {
		return cfg, fmt.Errorf("--ca: %w", err)
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		return cfg, fmt.Errorf("read the system's authorities: %w", err)
	}
	if !pool.AppendCertsFromPEM(text) {
		return cfg, fmt.Errorf("--ca: %s holds no certificate in PEM", f.ca)
	}
	cfg.Trust = &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: pool}
	return cfg, nil
}

// of is what one argument names.
func (f *doctorFlags) of(ctx context.Context, general doctor.Config, text string) ([]patient, error) {
	if scheme, _, _ := strings.Cut(text, ":"); scheme != "turn" && scheme != "turns" {
		return f.ofServer(ctx, general, text)
	}
	var err error
	switch {
	case f.secretFile != "":
		secrets, err := config.TURN{SecretFile: f.secretFile}.Secrets()
		if err != nil {
			return nil, fmt.Errorf("--secret-file: %w", err)
		}
		general.Credentials = mintedBy(secrets[0])
	case f.user == "":
		return nil, fmt.Errorf("%s: name --user and --password, or --secret-file", text)
	default:
		general.Credentials = doctor.Credentials{User: f.user, Password: f.password}
	}
	var all []patient
	for _, one := range waysOf(text) {
		p := patient{url: one, Config: general}
		if p.URL, err = stun.ParseURI(one); err != nil {
			return nil, fmt.Errorf("%s: %w; want for example turn:turn.example.kz:3478?transport=udp", one, err)
		}
		all = append(all, p)
	}
	return all, nil
}

// waysOf a URL that leaves the transport open are UDP and TCP.
func waysOf(text string) []string {
	if strings.HasPrefix(text, "turns:") || strings.Contains(text, "?") {
		return []string{text}
	}
	return []string{text + "?transport=udp", text + "?transport=tcp"}
}

// mintedBy makes credentials of a secret: good ones, and such as were.
func mintedBy(secret []byte) doctor.Credentials {
	who := credential.Subject{Tenant: "doctor", User: "doctor", Call: "doctor"}
	now, before := credential.Mint(secret, who, time.Now(), 10*time.Minute), credential.Mint(secret, who, time.Now().Add(-2*time.Hour), time.Minute)
	all := doctor.Credentials{User: now.Username, Password: now.Password}
	all.Expired.User, all.Expired.Password = before.Username, before.Password
	return all
}

// ofConfig are the ways to the relay of a configuration, on this machine.
func (f *doctorFlags) ofConfig(general doctor.Config, file string) ([]patient, error) {
	c, origins, err := config.Load(config.Sources{File: file, Environment: os.Environ()})
	if err != nil {
		return nil, err
	}
	t := c.TURN
	secrets, err := t.Secrets()
	if err != nil {
		return nil, fmt.Errorf("turn.secret_file: %w", err)
	}
	users, err := t.Passwords()
	if err != nil {
		return nil, fmt.Errorf("turn.users: %w", err)
	}
	switch {
	case len(secrets) > 0:
		general.Credentials = mintedBy(secrets[0])
	case len(users) > 0:
		for name, password := range users {
			general.Credentials = doctor.Credentials{User: name, Password: password}
		}
	default:
		return nil, errors.New("turn.secret_file and turn.users are empty: credentials are made of the secret in state_dir, which is the server's alone; " +
			"name the page's address instead, as 'tolkyn doctor turn http://127.0.0.1:8080'")
	}
	if general.Allowed, err = t.Allowed(); err != nil {
		return nil, fmt.Errorf("turn.allow: %w", err)
	}
	urls := t.URLs
	if len(urls) == 0 {
		if urls, err = ownURLs(c, origins); err != nil {
			return nil, err
		}
	}
	var all []patient
	for _, one := range urls {
		p := patient{url: one, Config: general}
		if p.URL, err = stun.ParseURI(one); err != nil {
			return nil, fmt.Errorf("%s: %w", one, err)
		}
		all = append(all, p)
	}
	return all, nil
}

// ownURLs are those at which this machine reaches the relay of its configuration.
func ownURLs(c config.Config, origins config.Origins) ([]string, error) {
	if c.LAN.Enabled {
		openLAN(&c, origins)
	}
	r := &relay{host: c.TURN.Host, told: true, address: netip.AddrFrom4([4]byte{127, 0, 0, 1})}
	plain, secure := c.TURN.Listen, c.TURN.TLSListen
	if c.OnePort.Listen != "" {
		plain, secure = c.OnePort.Listen, c.OnePort.Listen
	} else if secure == "" && origins.Of("turn.tls_listen") == "" && (c.HTTP.CertificateFile != "" || c.ACME.Host != "") {
		secure = ":5349"
	}
	for text, port := range map[string]*uint16{plain: &r.plain, secure: &r.tls} {
		if text == "" {
			continue
		}
		at, err := addrPort(text)
		if err != nil {
			return nil, fmt.Errorf("turn.listen, turn.tls_listen: %w", err)
		}
		*port = at.Port()
		if !at.Addr().IsUnspecified() {
			r.address = at.Addr()
		}
	}
	return r.ownURLs(""), nil
}

// ofServer are the relays that a server tells its clients of.
func (f *doctorFlags) ofServer(ctx context.Context, general doctor.Config, text string) ([]patient, error) {
	page, err := url.Parse(text)
	if err != nil || page.Host == "" {
		return nil, fmt.Errorf("%s: want the address of a page, as https://call.example.kz, or a relay, as turn:turn.example.kz:3478", text)
	}
	f.server = text
	token, err := callToken(f.callFlags)
	if err != nil {
		return nil, err
	}
	options := client.Options{GiveUpAfter: doctorCall, Settings: func(s *webrtc.SettingEngine) {
		s.LoggerFactory = &logging.DefaultLoggerFactory{Writer: io.Discard} // it would write to standard error
	}}
	if general.Trust != nil {
		options.RootCAs = general.Trust.RootCAs
	}
	session, err := client.Dial(ctx, text, token, options)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", text, err)
	}
	f.sessions = append(f.sessions, session)
	servers := session.Welcome().GetIceServers()
	if len(servers) == 0 {
		return nil, fmt.Errorf("%s tells its clients of no relay: turn.listen must be open to them, or turn.urls name others", text)
	}
	var all []patient
	for _, server := range servers {
		for _, one := range server.GetUrls() {
			p := patient{url: one, Config: general}
			if p.URL, err = stun.ParseURI(one); err != nil {
				return nil, fmt.Errorf("%s: %w", one, err)
			}
			p.Credentials = doctor.Credentials{User: server.GetUsername(), Password: server.GetCredential()}
			if f.ca != "" && p.URL.IsSecure() {
				all = append(all, p) // pion trusts the system's authorities alone
				continue
			}
			p.Call = func(ctx context.Context, url string) (time.Duration, error) {
				alone := options
				alone.RelayOnly, alone.Relays = true, func(u string) bool { return u == url }
				return callThrough(ctx, text, token, alone)
			}
			all = append(all, p)
		}
	}
	return all, nil
}

// callThrough joins a room with these options and says how long its media took to come, from the join on.
func callThrough(ctx context.Context, server string, token client.TokenSource, options client.Options) (_ time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, doctorCall)
	defer cancel()
	keyed := make(chan struct{})
	options.Trace.DTLS = sync.OnceFunc(func() { close(keyed) })
	session, err := client.Dial(ctx, server, token, options)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, session.Close()) }()
	start := time.Now()
	if _, err = session.Join(ctx, client.JoinOptions{Name: "doctor", AudioSlots: 1, VideoSlots: -1}); err != nil {
		return 0, err
	}
	select {
	case <-keyed:
		return time.Since(start), nil
	case <-ctx.Done():
		return 0, fmt.Errorf("no path within %v", doctorCall)
	}
}

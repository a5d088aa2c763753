package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/pion/logging"
	"github.com/pion/webrtc/v4"
	"github.com/spf13/cobra"

	"github.com/tolkyn/tolkyn/cmd/tolkyn/internal/caller"
	"github.com/tolkyn/tolkyn/signaling/client"
)

// linesEvery is how often the table is written where it cannot be drawn over the one before.
const linesEvery = 5

// callFlags are those of call.
type callFlags struct {
	server, room, name, identity string
	token, tokenFile             string
	play                         []string
	record                       string
	loop, quiet, asJSON, relay   bool
	duration                     time.Duration
}

func newCall() *cobra.Command {
	var f callFlags
	cmd := &cobra.Command{
		Use:   "call",
		Short: "Join a room, play clips into it, record what comes",
		Long: "Call joins a room as one participant. It plays clips in real time, each as a track of its own: VP8 in IVF as a camera,\n" +
			"Opus in Ogg as a microphone. It records each track it receives to IDENTITY-TRACK.ivf or .ogg in the directory of\n" +
			"--record, never over a file that is there (-2, -3, … follow the name), and shows how all of them go.\n\n" +
			"When somebody needs a keyframe, a picture jumps to the clip's next one; its sound does not. So give clips a keyframe\n" +
			"every second or two: ffmpeg -i FILE -c:v libvpx -g 30 -auto-alt-ref 0 clip.ivf -c:a libopus clip.ogg\n\n" +
			"Recordings hold whole frames only: after a loss nothing up to the next keyframe. Sound that never came is left to\n" +
			"the decoder to conceal, so that all else stays in its place.\n\n" +
			"The call ends when every clip has been played (not with --loop), after --for, or with Ctrl-C; a second Ctrl-C ends\n" +
			"it at once and leaves files without their ends. Exit code: 0 when it ended so; 1 when a clip cannot be played, a file\n" +
			"not be written, the server refused or was lost; 130 (of a shell) after the second Ctrl-C.",
		Example: "  tolkyn call --room demo --play clip.ivf --play clip.ogg\n" +
			"  tolkyn call --room demo --record out --for 30s --json",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runCall(cmd.Context(), f, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.server, "server", "http://127.0.0.1:8080", "address of the server's page")
	flags.StringVar(&f.room, "room", "", "room to join; with a token it may be left out")
	flags.StringArrayVar(&f.play, "play", nil, "clip to play, .ivf or .ogg; may be given several times")
	flags.StringVar(&f.record, "record", "", "directory to record to")
	flags.BoolVar(&f.loop, "loop", false, "begin each clip again when it is over")
	flags.DurationVar(&f.duration, "for", 0, "end the call after this long")
	flags.DurationVar(&f.duration, "duration", 0, "the same as --for")
	flags.StringVar(&f.token, "token", "", "token to join with; on this machine the server gives one")
	flags.StringVar(&f.tokenFile, "token-file", "", "file with the token, read anew for each session")
	flags.StringVar(&f.identity, "identity", "", "who joins, where the server gives the token; default: a guest")
	flags.StringVar(&f.name, "name", "", "name to show; default: the identity")
	flags.BoolVar(&f.relay, "relay", false, "media through the server's relay (TURN) alone")
	flags.BoolVar(&f.quiet, "quiet", false, "no table, the summary alone")
	flags.BoolVar(&f.asJSON, "json", false, "write the summary as JSON to stdout, and the table to stderr")
	cmd.MarkFlagsMutuallyExclusive("for", "duration")
	cmd.MarkFlagsMutuallyExclusive("token", "token-file")
	return cmd
}

// runCall makes the call until it is over or a signal comes. A second signal ends the process at once.
func runCall(ctx context.Context, f callFlags, out, errs io.Writer) error {
	if f.duration < 0 {
		return fmt.Errorf("--for: got %v, want more than 0", f.duration)
	}
	if f.loop && len(f.play) == 0 {
		return errors.New("--loop: there is nothing to loop; name a clip with --play")
	}
	token, err := callToken(f)
	if err != nil {
		return err
	}
	ctx, restoreSignals := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
	defer restoreSignals()
	defer context.AfterFunc(ctx, restoreSignals)()
	c := caller.Config{
		Server: f.server, Token: token, Room: f.room, Name: f.name,
		Play: f.play, Loop: f.loop, Record: f.record, For: f.duration,
		Client: client.Options{RelayOnly: f.relay, Settings: func(s *webrtc.SettingEngine) {
			// pion would write to stderr whatever happens to a connection that is being closed.
			s.LoggerFactory = &logging.DefaultLoggerFactory{Writer: io.Discard}
		}},
	}
	if !f.quiet {
		live := out
		if f.asJSON {
			live = errs
		}
		c.Watch = showCall(live, isTerminal(live))
	}
	report, err := caller.Run(ctx, c)
	if report.Room == "" {
		return err // it never began
	}
	if f.asJSON {
		encoder := json.NewEncoder(out)
		encoder.SetIndent("", "  ")
		return errors.Join(err, encoder.Encode(report))
	}
	return errors.Join(err, report.Summary(out))
}

// showCall draws the table every second over the one before, or writes it now and then.
func showCall(out io.Writer, inPlace bool) func(caller.Report) {
	var before caller.Report
	drawn, seconds := 0, 0
	return func(now caller.Report) {
		if seconds++; !inPlace && seconds%linesEvery != 0 {
			return
		}
		lines := caller.Table(before, now)
		before = now
		var b strings.Builder
		if inPlace && drawn > 0 {
			fmt.Fprintf(&b, "\x1b[%dA\x1b[J", drawn) // up, and clear from there
		}
		if inPlace {
			b.WriteString("\x1b[?7l") // lines too long are cut, not wrapped: wrapped ones could not be counted
		}
		for _, line := range lines {
			b.WriteString(line + "\n")
		}
		if inPlace {
			b.WriteString("\x1b[?7h")
		}
		drawn = len(lines)
		_, _ = io.WriteString(out, b.String()) // nobody to tell
	}
}

// callToken says where tokens come from.
func callToken(f callFlags) (client.TokenSource, error) {
	server, err := url.Parse(f.server)
	if err != nil || server.Host == "" {
		return nil, fmt.Errorf("--server: got %q, want the address of a page, as http://127.0.0.1:8080", f.server)
	}
	switch {
	case f.token == "" && f.tokenFile == "":
		if !isThisMachine(server.Hostname()) {
			return nil, fmt.Errorf("--token or --token-file is needed: %s is not this machine ('tolkyn token' makes one)", server.Host)
		}
		if f.room == "" {
			return nil, errors.New("--room is needed")
		}
		return devToken(server, f.room, f.identity), nil
	case f.identity != "":
		return nil, errors.New("--identity: the token says who joins; leave one of the two out")
	case f.token != "":
		return client.Token(f.token), nil
	}
	return func(context.Context) (string, error) {
		text, err := os.ReadFile(f.tokenFile)
		if err != nil {
			return "", fmt.Errorf("--token-file: %w", err)
		}
		return strings.TrimSpace(string(text)), nil
	}, nil
}

func isThisMachine(host string) bool {
	address, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && address.IsLoopback()
}

// devToken asks the server for a token, which it gives to its own machine while it has no keys of its own.
func devToken(server *url.URL, room, identity string) client.TokenSource {
	door := *server
	door.Scheme = map[string]string{"ws": "http", "wss": "https"}[server.Scheme]
	if door.Scheme == "" {
		door.Scheme = server.Scheme
	}
	door.Path = "/v1/dev-token"
	door.RawQuery = url.Values{"room": {room}, "identity": {identity}}.Encode()
	return func(ctx context.Context) (string, error) {
		ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, door.String(), http.NoBody)
		if err != nil {
			return "", err
		}
		transport := &http.Transport{DialContext: (&net.Dialer{}).DialContext}
		defer transport.CloseIdleConnections()
		response, err := transport.RoundTrip(request)
		if err != nil {
			return "", fmt.Errorf("ask the server for a token: %w; is 'tolkyn serve' running?", err)
		}
		defer func() { _ = response.Body.Close() }() // read to its end or given up
		var pass struct{ Token, Error string }
		err = json.NewDecoder(io.LimitReader(response.Body, 64<<10)).Decode(&pass)
		switch {
		case response.StatusCode == http.StatusNotFound:
			return "", errors.New("the server gives no tokens away: name one with --token or --token-file ('tolkyn token' makes one)")
		case err != nil:
			return "", fmt.Errorf("ask the server for a token: status %d, and no JSON: %w", response.StatusCode, err)
		case pass.Token == "":
			return "", fmt.Errorf("the server gives no token: %s", pass.Error)
		}
		return pass.Token, nil
	}
}

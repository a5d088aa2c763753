package tolkyn

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/pion/logging"
	"github.com/pion/webrtc/v4"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/tolkyn/tolkyn/bench/caller"
	"github.com/tolkyn/tolkyn/bench/measure"
	"github.com/tolkyn/tolkyn/bench/scenario"
	"github.com/tolkyn/tolkyn/signaling/client"
	"github.com/tolkyn/tolkyn/signaling/wire"
)

// Dialer dials into one server.
type Dialer struct {
	target caller.Target
	roots  *x509.CertPool    // nil: the system's
	ways   []*wire.Transport // how else the server can be reached; nil: the SDK guesses
}

// New returns a Dialer whose participants share nothing of earlier connections: each is as new to the server as a phone that
// calls for the first time. It asks the server how else it can be reached, over this process's own network, for 5 s at most: that
// is nobody's time to connect.
func New(t caller.Target) (*Dialer, error) {
	d := &Dialer{target: t}
	if t.CA != "" {
		d.roots = x509.NewCertPool()
		if !d.roots.AppendCertsFromPEM([]byte(t.CA)) {
			return nil, errors.New("the target's CA holds no certificate in PEM")
		}
	}
	if t.Transport != "websocket" {
		d.ways = d.askTransports()
	}
	return d, nil
}

// Dial implements caller.Dialer.
func (d *Dialer) Dial(ctx context.Context, p caller.Participant) (caller.Connection, error) {
	c := &connection{on: p.On, called: p.Room, looks: make(chan [2]int, 1), steps: map[measure.Step]bool{}}
	options := client.Options{
		Memory: client.NewMemory(), RootCAs: d.roots, Dial: p.Network.Dial, ListenPacket: p.Network.ListenPacket,
		ListenMedia: p.Network.ListenMedia,
		Settings: func(s *webrtc.SettingEngine) {
			// pion would write to stderr whatever happens to a connection that is being closed.
			s.LoggerFactory = &logging.DefaultLoggerFactory{Writer: io.Discard}
			if p.Network.Settings != nil {
				p.Network.Settings(s)
			}
		},
		Trace: client.Trace{
			Opened:   func(client.Transport) { c.step(measure.Connect) },
			Welcomed: func() { c.step(measure.Auth) },
			ICE:      func() { c.step(measure.ICE) },
			DTLS:     func() { c.step(measure.DTLS) },
		},
	}
	if d.target.Transport == "websocket" {
		options.ListenPacket = nil
		if options.Dial == nil {
			options.Dial = (&net.Dialer{}).DialContext
		}
	} else {
		options.Transports = d.ways
	}
	token := func(ctx context.Context) (string, error) {
		person := scenario.Person(p.Room, p.Identity)
		if token, err := d.target.Sign(p.Room, person); token != "" || err != nil {
			return token, err
		}
		return d.devToken(ctx, p.Network.Dial, p.Room, person)
	}
	var err error
	if c.client, err = client.Dial(ctx, d.target.URL, token, options); err != nil {
		return nil, err
	}
	join := client.JoinOptions{Name: p.Identity, AudioSlots: slots(p.AudioSlots), VideoSlots: slots(p.VideoSlots), Saver: p.Saver}
	for _, t := range p.Tracks {
		join.Tracks = append(join.Tracks, publish(t, p.On))
	}
	if c.room, err = c.client.Join(ctx, join); err != nil {
		return nil, errors.Join(err, c.client.Close())
	}
	c.step(measure.Join)
	for i, s := range c.room.Slots() {
		c.running.Go(func() { c.read(i, s) })
	}
	c.running.Go(c.follow)
	c.running.Go(c.wish)
	return c, nil
}

// slots: 0 is none for the bench, and the default for the SDK.
func slots(n int) int {
	if n == 0 {
		return -1
	}
	return n
}

func sourceOf(t caller.Track) client.Source {
	switch {
	case strings.HasPrefix(t.ID, "screen"):
		return client.Screen
	case t.Kind == measure.Video:
		return client.Camera
	}
	return client.Microphone
}

// publish makes the SDK's track of a participant's.
func publish(t caller.Track, on caller.Events) client.LocalTrack {
	l := client.LocalTrack{ID: t.ID, Source: sourceOf(t), OnKeyframeRequest: func() { on.KeyframeRequest(t.ID) }}
	if len(t.Encodings) == 0 {
		l.Track = t.Local
		return l
	}
	for _, e := range t.Encodings {
		l.Encodings = append(l.Encodings, client.Encoding{RID: e.RID, Track: e.Local, OnKeyframeRequest: e.KeyframeRequest})
	}
	l.OnLayersWanted = func(all []client.EncodingWanted) {
		for _, e := range t.Encodings {
			for _, w := range all {
				if w.RID == e.RID {
					e.Wanted(w.Wanted)
				}
			}
		}
	}
	return l
}

// connection is a participant's place.
type connection struct {
	// Fixed after Dial.
	on     caller.Events
	called string // the room
	client *client.Client
	room   *client.Room
	looks  chan [2]int // one place: how large pictures are from now on

	running sync.WaitGroup

	// Guarded by mu.
	mu         sync.Mutex
	steps      map[measure.Step]bool
	reconnects int64
}

// step tells the first time of each: reconnects are no part of setting up.
func (c *connection) step(s measure.Step) {
	c.mu.Lock()
	known := c.steps[s]
	c.steps[s] = true
	c.mu.Unlock()
	if !known {
		c.on.Step(s, time.Now())
	}
}

func (c *connection) read(i int, s *client.Slot) {
	kind := measure.Audio
	if s.Kind() == client.Video {
		kind = measure.Video
	}
	for {
		p, err := s.ReadPacket(context.Background())
		if err != nil {
			return // io.EOF
		}
		from := caller.Source{Slot: i, Kind: kind, Codec: strings.TrimPrefix(strings.TrimPrefix(s.Codec(), "audio/"), "video/")}
		if who, track, ok := s.Shows(); ok {
			from.Sender, from.Track = scenario.IdentityOf(c.called, who.Identity), track.ID
		}
		came := measure.FirstTry
		switch {
		case p.Copied:
			came = measure.Copied
		case p.Repaired, p.Recovered:
			came = measure.Resent
		}
		c.on.Packet(p.At, from, p.Packet, came)
	}
}

func (c *connection) follow() {
	for e := range c.room.Events() {
		if changed, ok := e.(client.StateChanged); ok {
			if changed.State == client.Reconnecting {
				c.mu.Lock()
				c.reconnects++
				c.mu.Unlock()
			}
			c.on.Up(time.Now(), changed.State == client.Connected)
		}
	}
}

// Look implements caller.Connection.
func (c *connection) Look(width, height int) {
	for {
		select {
		case c.looks <- [2]int{width, height}:
			return
		case <-c.looks: // nobody has heard of it yet, and now it is another
		}
	}
}

const (
	// lookEvery is how soon pictures that came later are asked for in the right size.
	lookEvery = time.Second
	// maxWishes is how many a server takes (docs/protocol.md, Subscribe).
	maxWishes = 512
)

// wish asks for the pictures of all who are there in the size that they are shown in.
func (c *connection) wish() {
	var size [2]int
	var said []client.Wish
	again := time.NewTicker(lookEvery)
	defer again.Stop()
	for {
		select {
		case size = <-c.looks:
		case <-again.C:
		case <-c.room.Done():
			return
		}
		if size[0] == 0 {
			continue
		}
		var wishes []client.Wish
		for _, p := range c.room.Participants() {
			if slices.ContainsFunc(p.Tracks, func(t client.Track) bool { return t.Kind == client.Video }) && len(wishes) < maxWishes {
				wishes = append(wishes, client.Wish{ParticipantID: p.ID, Width: uint32(size[0]), Height: uint32(size[1])})
			}
		}
		if slices.Equal(wishes, said) {
			continue
		}
		// The room keeps it through reconnects; a room that has ended says so by Done.
		if c.room.Subscribe(context.Background(), client.Subscription{Wishes: wishes}) == nil {
			said = wishes
		}
	}
}

// RequestKeyframe implements caller.Connection.
func (c *connection) RequestKeyframe(slot int) error { return c.room.Slots()[slot].RequestKeyframe() }

// NetworkChanged implements caller.Connection.
func (c *connection) NetworkChanged() { c.client.NetworkChanged() }

// Stats implements caller.Connection.
func (c *connection) Stats() caller.Stats {
	stats := c.room.Stats()
	s := caller.Stats{
		Signaling: c.client.Transport().String(), Path: stats.Path.Protocol, RTT: stats.Path.RTT,
		Up: int64(stats.UDP.Sent), Down: int64(stats.UDP.Received),
	}
	for _, slot := range c.room.Slots() {
		s.Dropped += int64(slot.Dropped())
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	s.Reconnects = c.reconnects
	return s
}

// Close implements caller.Connection.
func (c *connection) Close() error {
	err := c.client.Close()
	c.running.Wait()
	return err
}

// askTransports reads GET /v1/transports, as an application that ships with its server's name knows them: ports that are not the
// usual ones cannot be guessed. Without an answer the SDK guesses.
func (d *Dialer) askTransports() []*wire.Transport {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(d.target.URL, "/")+"/v1/transports", http.NoBody)
	if err != nil {
		return nil
	}
	transport := d.web(nil)
	defer transport.CloseIdleConnections()
	response, err := transport.RoundTrip(request)
	if err != nil {
		return nil
	}
	defer response.Body.Close()
	b, err := io.ReadAll(io.LimitReader(response.Body, 64<<10))
	if err != nil || response.StatusCode != http.StatusOK {
		return nil
	}
	var all wire.Transports
	if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(b, &all); err != nil {
		return nil
	}
	return all.GetTransports()
}

// dialFunc opens TCP connections; nil: as usual.
type dialFunc = func(ctx context.Context, network, address string) (net.Conn, error)

// web is HTTP to the server.
func (d *Dialer) web(dial dialFunc) *http.Transport {
	return &http.Transport{DialContext: dial, TLSClientConfig: &tls.Config{RootCAs: d.roots}}
}

// devToken asks a server in development mode.
func (d *Dialer) devToken(ctx context.Context, dial dialFunc, room, identity string) (string, error) {
	door := strings.TrimSuffix(d.target.URL, "/") + "/v1/dev-token?" + url.Values{"room": {room}, "identity": {identity}}.Encode()
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, door, http.NoBody)
	if err != nil {
		return "", err
	}
	transport := d.web(dial)
	defer transport.CloseIdleConnections()
	response, err := transport.RoundTrip(request)
	if err != nil {
		return "", fmt.Errorf("ask the server for a token: %w", err)
	}
	defer response.Body.Close()
	var pass struct{ Token, Error string }
	if err := json.NewDecoder(io.LimitReader(response.Body, 64<<10)).Decode(&pass); err != nil || pass.Token == "" {
		return "", fmt.Errorf("the server gives no token (status %s%s): start it in development mode, or name a key with --key", response.Status, pass.Error)
	}
	return pass.Token, nil
}

package caller

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/pion/webrtc/v4"

	"github.com/tolkyn/tolkyn/signaling/client"
	"github.com/tolkyn/tolkyn/signaling/wire"
)

const (
	// recordSlots of each kind are offered when everything is to be recorded, if the server allows so many.
	recordSlots = 16
	// settle is how long playing waits after the keys are agreed: the server installs its own in that time, and what came
	// earlier would be lost.
	settle = 200 * time.Millisecond
	// linger is how long a caller stays after the last frame, to send again what was lost of the end.
	linger = time.Second
	// pollEvery is how often gaps that have waited long enough are given up.
	pollEvery = 50 * time.Millisecond
)

// Config of Run.
type Config struct {
	// Server is the address of the page or of the WebSocket, as client.Dial takes it. Required.
	Server string
	// Token opens the session. Required.
	Token client.TokenSource
	// Room is the room that the token must be for; empty: any.
	Room string
	// Name is shown to the others; default the identity.
	Name string
	// Play names clips: IVF with VP8, Ogg with Opus.
	Play []string
	// Loop begins each clip again when it is over; clips of different length drift apart.
	Loop bool
	// Record is the directory that gets a file for each track received; empty: none.
	Record string
	// For ends the call; 0: when all clips have been played, or else when the context ends.
	For time.Duration
	// Watch, if set, gets a report every second, from a goroutine of Run.
	Watch func(Report)
	// Client is passed on to client.Dial.
	Client client.Options
}

// Run makes a call and returns when it is over and every file is closed. The end of ctx is a good end. The report is whole
// with an error too. Errors: a clip that cannot be played, a recording that cannot be written, those of client.Dial and
// Join, and of a session that the server ended.
func Run(ctx context.Context, c Config) (Report, error) {
	players, err := openPlayers(c.Play, c.Loop)
	if err != nil {
		return Report{}, err
	}
	defer closePlayers(players)
	files, err := openStore(c.Record)
	if err != nil {
		return Report{}, err
	}
	defer files.close()
	session, err := client.Dial(ctx, c.Server, c.Token, c.Client)
	if err != nil {
		return Report{}, goodEnd(ctx, err)
	}
	// Close tells nothing new: the call has ended by then, one way or the other.
	defer func() { _ = session.Close() }()
	if err := mayDo(session.Welcome(), c); err != nil {
		return Report{}, err
	}
	call := &call{config: c, session: session, players: players, began: time.Now(), welcome: session.Welcome()}
	options := client.JoinOptions{Name: c.Name, Tracks: tracksOf(players)}
	if options.Name == "" {
		options.Name = call.welcome.GetIdentity()
	}
	if c.Record != "" {
		options.AudioSlots, options.VideoSlots = recordSlots, recordSlots
	}
	if call.room, err = session.Join(ctx, options); err != nil {
		return Report{}, goodEnd(ctx, err)
	}
	call.receiver = newReceiver(call.room, files, call.began)
	return call.run(ctx)
}

// goodEnd forgets an error that the end of ctx has led to.
func goodEnd(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// mayDo compares what the token grants with what is asked for.
func mayDo(w *wire.Welcome, c Config) error {
	switch {
	case c.Room != "" && w.GetRoom() != c.Room:
		return fmt.Errorf("the token is for room %q, --room says %q", w.GetRoom(), c.Room)
	case len(c.Play) > 0 && !w.GetPublish():
		return errors.New("the token does not grant publish, and --play needs it")
	case c.Record != "" && !w.GetSubscribe():
		return errors.New("the token does not grant subscribe, and --record needs it")
	}
	return nil
}

// call is one call that runs.
type call struct {
	// Fixed after Run has joined.
	config   Config
	session  *client.Client
	room     *client.Room
	players  []*player
	receiver *receiver
	began    time.Time
	welcome  *wire.Welcome

	running sync.WaitGroup

	// Guarded by mu.
	mu         sync.Mutex
	reconnects int
	rebuilds   int
	ended      *client.EndError
}

func (c *call) run(ctx context.Context) (Report, error) {
	working, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	failed := make(chan error, len(c.players)+2) // one place for each who may fail, once
	played := make(chan struct{})
	c.running.Go(c.followEvents)
	for _, s := range c.room.Slots() {
		c.running.Go(func() { c.receiver.read(s) })
	}
	c.running.Go(func() { c.poll(working, failed) })
	c.running.Go(func() { c.watch(working) })
	c.running.Go(func() { c.play(working, failed, played) })

	var over <-chan time.Time
	if c.config.For > 0 {
		timer := time.NewTimer(c.config.For)
		defer timer.Stop()
		over = timer.C
	}
	var err error
	select {
	case <-ctx.Done():
	case <-over:
	case <-played:
		select {
		case <-ctx.Done():
		case <-time.After(linger):
		}
	case err = <-failed:
	case <-c.room.Done():
	}
	report := c.report() // while the connection is there to be asked
	cancel()
	_ = c.room.Leave() // whatever it says, the call is over
	c.running.Wait()
	err = errors.Join(err, c.receiver.close(), c.badEnd())
	report.Received = c.receiver.report()
	report.Unknown = c.receiver.unknown()
	return report, err
}

// badEnd is why the session ended, unless we left.
func (c *call) badEnd() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended == nil || c.ended.Reason == wire.Bye_LEFT {
		return nil
	}
	return c.ended
}

func (c *call) followEvents() {
	for e := range c.room.Events() {
		c.mu.Lock()
		switch e := e.(type) {
		case client.StateChanged:
			if e.State == client.Reconnecting {
				c.reconnects++
			}
		case client.Rebuilt:
			c.rebuilds++
		case client.Ended:
			c.ended = e.Err
		}
		c.mu.Unlock()
	}
}

func (c *call) poll(ctx context.Context, failed chan<- error) {
	ticker := time.NewTicker(pollEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if err := c.receiver.poll(); err != nil {
			failed <- err
			return
		}
	}
}

func (c *call) watch(ctx context.Context) {
	if c.config.Watch == nil {
		return
	}
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			c.config.Watch(c.report())
		}
	}
}

// play starts all players together once media can flow, and closes played when all are through.
func (c *call) play(ctx context.Context, failed chan<- error, played chan<- struct{}) {
	if len(c.players) == 0 || !c.awaitMedia(ctx) {
		return
	}
	start := time.Now()
	var playing sync.WaitGroup
	for _, p := range c.players {
		playing.Go(func() {
			if err := p.run(ctx, start); err != nil {
				failed <- err
			}
		})
	}
	playing.Wait()
	if ctx.Err() == nil {
		close(played)
	}
}

// awaitMedia waits until keys are agreed on; false when ctx ends before.
func (c *call) awaitMedia(ctx context.Context) bool {
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for {
		pc := c.room.Connection()
		if pc != nil && pc.ConnectionState() == webrtc.PeerConnectionStateConnected {
			break
		}
		select {
		case <-ctx.Done():
			return false
		case <-ticker.C:
		}
	}
	select {
	case <-ctx.Done():
		return false
	case <-time.After(settle):
		return true
	}
}

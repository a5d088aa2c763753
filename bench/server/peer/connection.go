package peer

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/tolkyn/tolkyn/bench/caller"
	"github.com/tolkyn/tolkyn/bench/measure"
)

const (
	// openWithin is how long another session may take to open before it is tried anew.
	openWithin = 10 * time.Second
	// The first attempt follows the end of a session at once, later ones wait twice as long as the one before.
	firstWait, longestWait = 250 * time.Millisecond, 4 * time.Second
)

// Session is a participant's stay on a server. Its Media is closed by whoever had it opened.
type Session interface {
	// Ended is closed once it cannot go on: the server is gone, or has sent the participant away.
	Ended() <-chan struct{}
	// Dismissed tells, once Ended is closed, that coming again would be against the server's will.
	Dismissed() bool
	// Mend brings media back after a change of networks, or when a path is lost, and returns once it flows; false: another session
	// is needed. ctx ends when the participant leaves.
	Mend(ctx context.Context) bool
	// Close leaves, and returns when its goroutines have ended. Idempotent.
	Close()
}

// Open enters a room, and returns once the server has let the participant in. ctx bounds that alone.
type Open func(ctx context.Context, m *Media) (Session, error)

// Dial opens a session and, whenever it ends by itself or its media path is lost and cannot be mended, another. signaling names what carries signaling, as in caller.Stats.
func Dial(ctx context.Context, p caller.Participant, signaling string, open Open) (caller.Connection, error) {
	c := &connection{
		participant: p, signaling: signaling, open: open, changed: make(chan struct{}, 1),
		steps: map[measure.Step]bool{}, tracks: map[int]remote{},
	}
	session, media, err := c.begin(ctx)
	if err != nil {
		return nil, err
	}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.running.Go(func() { c.run(session, media) })
	return c, nil
}

// connection is a participant's place.
type connection struct {
	// Fixed after Dial.
	participant caller.Participant
	signaling   string
	open        Open
	ctx         context.Context
	cancel      context.CancelFunc
	changed     chan struct{} // one place: another network

	running sync.WaitGroup
	telling sync.Mutex // holds the order of Events.Up

	// Guarded by mu.
	mu         sync.Mutex
	media      *Media // of the newest session
	steps      map[measure.Step]bool
	up         bool
	slots      map[measure.Kind]int // given so far
	tracks     map[int]remote       // by video slot
	reconnects int64
}

func (c *connection) begin(ctx context.Context) (Session, *Media, error) {
	m := &Media{connection: c, lost: make(chan struct{}, 1)}
	session, err := c.open(ctx, m)
	if err != nil {
		m.close()
		return nil, nil, err
	}
	c.mu.Lock()
	c.media = m
	c.mu.Unlock()
	m.tell() // it may have come up before it was the newest
	return session, m, nil
}

// run keeps a session open until Close.
func (c *connection) run(session Session, media *Media) {
	for {
		again := true
		select {
		case <-c.ctx.Done():
			again = false
		case <-session.Ended():
			again = !session.Dismissed()
			c.isUp(false)
		case <-media.lost:
			if c.mend(session, media) {
				continue
			}
		case <-c.changed:
			if c.mend(session, media) {
				continue
			}
		}
		session.Close()
		media.close()
		if !again {
			return
		}
		if session, media = c.reopen(); session == nil {
			return
		}
	}
}

// mend has the session bring media back; false: it cannot.
func (c *connection) mend(s Session, m *Media) bool {
	c.isUp(false)
	if !s.Mend(c.ctx) {
		return false
	}
	m.Reconnected()
	m.tell()
	return true
}

// reopen tries until there is a session; nil: Close was called.
func (c *connection) reopen() (Session, *Media) {
	for wait := firstWait; ; wait = min(2*wait, longestWait) {
		c.mu.Lock()
		c.reconnects++
		c.mu.Unlock()
		ctx, cancel := context.WithTimeout(c.ctx, openWithin)
		session, media, err := c.begin(ctx)
		cancel()
		if err == nil {
			return session, media
		}
		select {
		case <-c.ctx.Done():
			return nil, nil
		case <-c.changed:
		case <-time.After(wait):
		}
	}
}

// step tells the first time of each: later sessions are no part of setting up.
func (c *connection) step(s measure.Step) {
	c.mu.Lock()
	known := c.steps[s]
	c.steps[s] = true
	c.mu.Unlock()
	if !known {
		c.participant.On.Step(s, time.Now())
	}
}

func (c *connection) isUp(up bool) {
	c.telling.Lock()
	defer c.telling.Unlock()
	c.mu.Lock()
	news := c.up != up
	c.up = up
	c.mu.Unlock()
	if news {
		c.participant.On.Up(time.Now(), up)
	}
}

// slot gives a track its place: numbers are not used again, since another track is another sequence.
func (c *connection) slot(kind measure.Kind, r remote) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.slots == nil {
		c.slots = map[measure.Kind]int{}
	}
	slot := c.slots[kind]
	c.slots[kind]++
	if kind == measure.Video {
		c.tracks[slot] = r
	}
	return slot
}

func (c *connection) forget(kind measure.Kind, slot int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if kind == measure.Video {
		delete(c.tracks, slot)
	}
}

// Look implements caller.Connection: these servers are not asked for layers.
func (*connection) Look(int, int) {}

// RequestKeyframe implements caller.Connection.
func (c *connection) RequestKeyframe(slot int) error {
	c.mu.Lock()
	r, ok := c.tracks[slot]
	c.mu.Unlock()
	if !ok {
		return nil // its track has ended meanwhile
	}
	if err := r.requestKeyframe(); err != nil {
		return fmt.Errorf("request a keyframe in slot %d: %w", slot, err)
	}
	return nil
}

// NetworkChanged implements caller.Connection.
func (c *connection) NetworkChanged() {
	select {
	case c.changed <- struct{}{}:
	default: // told already
	}
}

// Stats implements caller.Connection.
func (c *connection) Stats() caller.Stats {
	c.mu.Lock()
	m := c.media
	s := caller.Stats{Signaling: c.signaling, Reconnects: c.reconnects}
	c.mu.Unlock()
	s.Path, s.RTT = m.path()
	return s
}

// Close implements caller.Connection.
func (c *connection) Close() error {
	c.cancel()
	c.running.Wait()
	return nil
}

// ErrRefused is wrapped by what a server answered instead of letting a participant in.
var ErrRefused = errors.New("the server refused")

package client

import (
	"time"

	"github.com/tolkyn/tolkyn/signaling/wire"
)

const (
	iceDeadline  = 12 * time.Second // with 30 % loss a join takes one second; after twelve it is not loss
	restartPause = 3 * time.Second  // a restart needs a round trip, and some checks, to show
	rejoinPause  = time.Second      // before joining again after a refusal that may pass
)

// repair is what tend remembers from one look to the next.
type repair struct {
	down      time.Time // since when media is not up; zero while it is
	restarted time.Time
}

// tend is the Room's goroutine: it mends what breaks, and at the end closes everything.
func (r *Room) tend() {
	defer r.finish()
	var state repair
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-r.ctx.Done():
			return
		case <-r.kick:
		case <-timer.C:
		}
		timer.Stop()
		if wait := r.mend(&state); wait > 0 {
			timer.Reset(wait)
		}
	}
}

// mend does what is due and returns when to look again; 0: when something happens.
func (r *Room) mend(state *repair) time.Duration {
	r.mu.Lock()
	m, joined, open := r.media, r.joined, r.open
	moved := r.moved && joined && open
	r.moved = r.moved && !moved
	up := m != nil && isUp(m.ice)
	broken := m != nil && isBroken(m.ice)
	worked := m != nil && m.wasUp
	r.mu.Unlock()
	switch {
	case !open:
		return 0 // nothing can be mended without the server; attach kicks
	case !joined:
		*state = repair{}
		return r.rejoin()
	case moved:
		// pion keeps to the addresses it has, whether they still lead anywhere or not.
		state.restarted = time.Now()
		return r.restart()
	case up:
		state.down = time.Time{}
		return 0
	}
	if state.down.IsZero() {
		state.down = time.Now()
	}
	late := time.Since(state.down) >= iceDeadline
	switch {
	case late && worked:
		r.lose() // a path that once worked: start over
		return time.Nanosecond
	case !late && !broken:
		return iceDeadline - time.Since(state.down)
	}
	if pause := restartPause - time.Since(state.restarted); pause > 0 {
		return pause
	}
	state.restarted = time.Now()
	if late {
		state.down = time.Time{}
	}
	return r.restart()
}

// restart restarts ICE and returns when to look whether that has helped.
func (r *Room) restart() time.Duration {
	if err := r.RestartICE(r.ctx); err != nil && r.ctx.Err() == nil {
		r.fail(err)
		if hasCode(err, wire.Error_NOT_FOUND, wire.Error_PROTOCOL) {
			r.lose()
		}
	}
	return restartPause
}

// rejoin enters the room with a new PeerConnection in place of the old.
func (r *Room) rejoin() time.Duration {
	select {
	case <-r.turn:
	case <-r.ctx.Done():
		return 0
	}
	defer func() { r.turn <- struct{}{} }()
	r.mu.Lock()
	old := r.media
	r.mu.Unlock()
	if old != nil {
		r.discard(old)
	}
	err := r.enter(r.ctx)
	switch {
	case r.ctx.Err() != nil:
		return 0
	case err != nil && !isTemporary(err):
		r.session.giveUp(err)
		return 0
	case err != nil:
		r.fail(err)
		return max(rejoinPause, retryAfter(err))
	}
	r.mu.Lock()
	r.mailbox.put(Rebuilt{})
	subscription := r.subscription
	r.updateState()
	r.mu.Unlock()
	if len(subscription.Wishes) > 0 || subscription.VideoPaused || subscription.LastN != 0 {
		if err := r.subscribe(r.ctx, subscription); err != nil && r.ctx.Err() == nil {
			r.fail(err)
		}
	}
	return iceDeadline
}

func (r *Room) fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mailbox.put(Failed{err})
}

// finish closes the media and tells the end.
func (r *Room) finish() {
	// Whoever negotiates is refused by now and gives the turn back; nobody gets it again.
	<-r.turn
	r.mu.Lock()
	m := r.media
	r.mu.Unlock()
	if m != nil {
		r.discard(m)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.state, r.joined = Closed, false
	if r.over == nil {
		r.over = &EndError{Reason: wire.Bye_LEFT}
	}
	r.mailbox.end(Ended{r.over})
	close(r.done)
}

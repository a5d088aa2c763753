package client

import (
	"context"
	"errors"
	"net/netip"
	"sync"
	"time"
)

// errMoved: the network has changed, what was tried on the one before is over.
var errMoved = errors.New("the network has changed")

// networkChanged tells the session that its addresses may be others by now. It does not wait.
func (s *session) networkChanged() { s.changedTo(netip.Addr{}) }

// changedTo is networkChanged by somebody who knows which address leads to the server now; the zero Addr: by one who does not.
func (s *session) changedTo(now netip.Addr) {
	s.mu.Lock()
	s.hurry = true
	abandon, room := s.abandon, s.room
	select {
	case before := <-s.changed:
		if !before.IsValid() {
			now = before
		}
	default:
	}
	s.changed <- now // only here, and under mu: there is room
	s.mu.Unlock()
	abandon()
	if room != nil {
		room.networkChanged()
	}
}

// addressChanged is networkChanged unless the connection has found out before.
func (s *session) addressChanged(now netip.Addr) {
	s.mu.Lock()
	conn := s.conn
	s.mu.Unlock()
	if concerns(conn, now) {
		s.changedTo(now)
	}
}

// concerns says whether a change of networks to this address is news to the connection. It is asked again when the word is
// taken: who is told of one change twice at the same moment moves once.
func concerns(conn connection, now netip.Addr) bool {
	c, ok := conn.(*quicConn)
	return !ok || !now.IsValid() || !c.leavesFrom(now)
}

// calm ends the hurry: it is not the change of networks that keeps us away.
func (s *session) calm() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hurry = false
}

// untilMoved returns a context that ends with the present network. One at a time.
func (s *session) untilMoved(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancel(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.abandon = cancel
	select {
	case <-s.changed: // whoever begins now begins on the new one
	default:
	}
	return ctx, func() {
		s.mu.Lock()
		s.abandon = func() {}
		s.mu.Unlock()
		cancel()
	}
}

// keep measures the round trip, moves the connection when the network changes, and closes one that is dead.
func (s *session) keep(ctx context.Context, conn connection) {
	var pings sync.WaitGroup
	defer pings.Wait()
	defer conn.close()
	for {
		alive := make(chan bool, 1)
		checking, cancel := context.WithCancel(ctx)
		pings.Go(func() { alive <- s.check(checking, conn) })
		ok, changed := true, false
		select {
		case ok = <-alive:
		case now := <-s.changed:
			changed = concerns(conn, now)
		}
		if ok && !changed {
			changed = s.rest(ctx, conn)
		}
		cancel()
		switch {
		case !ok || ctx.Err() != nil:
			return
		case changed && !s.move(ctx, conn):
			return
		}
	}
}

// rest waits for the next check and returns whether the network changed meanwhile.
func (s *session) rest(ctx context.Context, conn connection) bool {
	pause := pingEvery
	if conn.transport() == QUIC && s.currentRoom() != nil {
		pause = callPingEvery
	}
	wait := time.NewTimer(pause)
	defer wait.Stop()
	select {
	case <-wait.C:
	case now := <-s.changed:
		return concerns(conn, now)
	case <-ctx.Done():
	}
	return false
}

func (s *session) move(ctx context.Context, conn connection) bool {
	if !conn.move(ctx) {
		return false
	}
	s.mu.Lock()
	s.hurry = false
	s.moved++
	s.mu.Unlock()
	return true
}

// check says whether the connection is alive, and keeps the round trip.
func (s *session) check(ctx context.Context, conn connection) bool {
	s.mu.Lock()
	rtt := s.rtt
	s.mu.Unlock()
	heard := s.heard.Load()
	within, cancel := context.WithTimeout(ctx, max(silenceLimit, silenceRTTs*rtt))
	rtt, ok, silent := conn.measure(within, max(pongAgain, rtt+rtt/2))
	cancel()
	switch {
	case ok:
		s.mu.Lock()
		s.rtt = rtt
		s.mu.Unlock()
		return true
	case silent:
		return s.heard.Load() != heard || ctx.Err() != nil
	}
	within, cancel = context.WithTimeout(ctx, pongWithin)
	defer cancel()
	_, err := s.ping(within)
	return err == nil || ctx.Err() != nil
}

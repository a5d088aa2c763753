//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/tolkyn/tolkyn/bench/netem"
	"github.com/tolkyn/tolkyn/bench/server"
)

// change is something that happens to the network or to the server while a session is open.
type change struct {
	// prepare brings the network into the state before.
	prepare func(w *world) error
	// happen does it and returns from when on the session can be expected to answer.
	happen func(w *world) (time.Time, error)
	// cuts says that nothing could be answered until then.
	cuts bool
	// after is how long to watch then.
	after time.Duration
}

// world is what a change happens to: link 0 is Wi-Fi, link 1 mobile.
type world struct {
	b       *bench
	network *netem.Network
	tolkyn  *server.Tolkyn
}

// dark is how long there is no network at all between the two of breakBeforeMake.
const dark = 2 * time.Second

var (
	// bothUp: Wi-Fi comes into reach and takes the place of mobile, which goes on working.
	bothUp = change{
		prepare: func(w *world) error { return w.network.Unplug(0) },
		happen: func(w *world) (time.Time, error) {
			began := time.Now()
			return began, w.network.Plug(0)
		},
		after: 2 * time.Second,
	}
	// breakBeforeMake: Wi-Fi is lost, then for a while there is nothing, then mobile.
	breakBeforeMake = change{
		prepare: func(w *world) error { return w.network.Unplug(1) },
		happen: func(w *world) (time.Time, error) {
			if err := w.network.Unplug(0); err != nil {
				return time.Time{}, err
			}
			time.Sleep(dark)
			err := w.network.Plug(1)
			return time.Now(), err
		},
		cuts:  true,
		after: 4 * time.Second,
	}
	// natRebind: the NAT gives the client another address, and nobody is told.
	natRebind = change{
		happen: func(w *world) (time.Time, error) {
			w.network.Rebind(0)
			return time.Now(), nil
		},
		after: 3 * time.Second,
	}
	// serverKilled: the server dies without a word and is started again at once, with the same secret. Its start counts.
	serverKilled = change{
		happen: func(w *world) (time.Time, error) {
			w.tolkyn.Kill()
			died := time.Now()
			var err error
			w.tolkyn, err = w.b.serve(w.network, netem.ServerAddr)
			return died, err
		},
		cuts:  true,
		after: 4 * time.Second,
	}
)

// changeRow measures the stall: the longest time without an answer since the change, less the interval at which answers
// come otherwise. Where the change cuts everything, the time before answers could come again does not count. The floor is what
// an answer took on the same session before the change: the link's round trip, and both ends at work on this machine.
func changeRow(c change) func(ctx context.Context, b *bench, name string) error {
	return func(_ context.Context, b *bench, name string) error {
		var stalls, own, moved, dialled []float64
		for range (b.runs + 1) / 2 {
			stall, trip, w, err := b.stall(c)
			if err != nil {
				return err
			}
			stalls = append(stalls, float64(stall)/1e6)
			own = append(own, float64(trip)/1e6)
			moved = append(moved, float64(w.Moved))
			dialled = append(dialled, float64(w.QUIC+w.WebSocket-1))
		}
		var trips []float64
		for _, ms := range stalls {
			trips = append(trips, ms/float64(roundTrip.Milliseconds()))
		}
		b.add(name, "ms", stalls, own)
		b.add(name+"_round_trips", "1", trips, nil)
		fmt.Printf("  of each run: moved %v, dialled anew %v\n", moved, dialled)
		return nil
	}
}

// stall runs one change in a world of its own. It returns the stall and how long an answer took before.
func (b *bench) stall(c change) (_, _ time.Duration, _ watched, err error) {
	path := netem.RoundTrip(roundTrip)
	w := &world{b: b}
	if w.network, err = netem.Open(netem.Config{Seed: 1, Links: []netem.Path{path, path}}); err != nil {
		return 0, 0, watched{}, err
	}
	defer closeNetwork(w.network)
	if w.tolkyn, err = b.serve(w.network, netem.ServerAddr); err != nil {
		return 0, 0, watched{}, err
	}
	defer func() { w.tolkyn.Kill() }()
	if c.prepare != nil {
		if err := c.prepare(w); err != nil {
			return 0, 0, watched{}, err
		}
	}
	client, err := start(w.network, netem.Client, job{Watch: &watchJob{
		To: netip.AddrPortFrom(netem.ServerAddr, tlsPort), Certificate: b.certificate,
	}})
	if err != nil {
		return 0, 0, watched{}, err
	}
	defer client.end()
	var ready bool
	if err := client.answer(&ready); err != nil {
		return 0, 0, watched{}, err
	}
	time.Sleep(time.Second)
	var before, after watched
	if err := client.ask("before", &before); err != nil {
		return 0, 0, watched{}, err
	}
	began := time.Now()
	able, err := c.happen(w)
	if err != nil {
		return 0, 0, watched{}, err
	}
	time.Sleep(c.after)
	if err := client.ask("after", &after); err != nil {
		return 0, 0, watched{}, err
	}
	stall, err := silence(append(before.Answers, after.Answers...), began, able, c.cuts)
	return stall, usual(before.Answers), after, err
}

// usual is the median time an answer took.
func usual(all []answered) time.Duration {
	if len(all) == 0 {
		return 0
	}
	var took []time.Duration
	for _, a := range all {
		took = append(took, a.Answered.Sub(a.Asked))
	}
	slices.Sort(took)
	return took[len(took)/2]
}

// silence finds the stall that changeRow defines, between the answers to a change that began and from when on it was able.
func silence(all []answered, began, able time.Time, cuts bool) (time.Duration, error) {
	slices.SortFunc(all, func(a, b answered) int { return a.Answered.Compare(b.Answered) })
	since := began
	if cuts {
		since = able
	}
	first := slices.IndexFunc(all, func(a answered) bool { return !a.Answered.Before(since) })
	switch {
	case first < 0:
		return 0, errors.New("no answer came after the change")
	case first == 0 && !cuts:
		return 0, errors.New("no answer came before the change")
	}
	var longest time.Duration
	for i := first; i < len(all); i++ {
		from := since // answers under way at the cut still arrive: it is the longest silence, not the first
		if i > 0 && (!cuts || all[i-1].Answered.After(since)) {
			from = all[i-1].Answered
		}
		longest = max(longest, all[i].Answered.Sub(from))
	}
	if cuts {
		return longest, nil
	}
	return max(longest-askEvery, 0), nil
}

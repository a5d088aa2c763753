package caller

import (
	"context"

	"github.com/tolkyn/tolkyn/bench/scenario"
	"github.com/tolkyn/tolkyn/bench/source"
)

// Tapes are what a caller publishes: a clip for each encoding, played over and over. For programs that place callers of their own.
type Tapes struct{ all []*tape }

// NewTapes has nothing played yet.
func NewTapes(clips *source.Clips, c scenario.Caller) (*Tapes, error) {
	all, err := newTapes(clips, c)
	return &Tapes{all}, err
}

// Tracks are for Participant.Tracks.
func (t *Tapes) Tracks() []Track { return tracksOf(t.all) }

// KeyframeRequest is for Participant.On: it says which track a picture is needed of that can be decoded alone.
func (t *Tapes) KeyframeRequest(trackID string) { request(t.all, trackID) }

// Play sends everything in real time and returns when ctx has ended, or with the first thing that failed.
func (t *Tapes) Play(ctx context.Context) error {
	ready := make(chan struct{})
	close(ready)
	failed := make(chan error, len(t.all))
	p := startPlaying(ctx, t.all, ready, func(err error) { failed <- err })
	defer p.stop()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
		return nil
	}
}

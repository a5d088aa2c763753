package replay

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// checkLayers: less is shown from the next picture on, or from the next keyframe on where lower spatial layers are not sent
// with the higher ones; and from a keyframe on all that is wanted. It counts how often more temporal layers were let in without
// a keyframe.
func (w *world) checkLayers(t *testing.T, shown []picture) {
	t.Helper()
	settled := -1 // the change since whose keyframe all is as wanted; -1: none
	for i, p := range shown {
		x := p.packets[0]
		at := w.sent[x.number].change
		c := w.changes[at]
		if c.source != x.source || !x.source.told() { // the next source is waited for: nothing is wanted of this one
			settled = -1
			continue
		}
		why := func() string { return w.describe(shown[max(0, i-4) : i+1]) }
		for _, x := range p.packets {
			f := x.source.frames[x.source.packets[x.origin].frame]
			if x.source.keyed() && i > 0 && !p.key && settled != at && shown[i-1].packets[0].segment == x.segment {
				require.LessOrEqual(t, f.Spatial, max(w.spatial(shown[i-1]), int(c.layer.Spatial)), "more without a keyframe\n%s", why())
			} else {
				require.LessOrEqual(t, f.Spatial, int(c.layer.Spatial), "less is shown from the next picture on\n%s", why())
			}
			require.LessOrEqual(t, f.Temporal, int(c.layer.Temporal), "less is shown from the next picture on\n%s", why())
		}
		if i > 0 && !p.key && shown[i-1].packets[0].segment == x.segment && w.temporal(p) > w.temporal(shown[i-1]) && settled != at {
			w.countRaised(shown[:i], p)
		}
		if settled == at && shown[i-1].packets[0].segment == x.segment {
			for left := shown[i-1].picture() + 1; left < p.picture(); left++ {
				shows := slices.ContainsFunc(x.source.layersOf(left), func(l [2]int) bool {
					return l[0] <= int(c.layer.Spatial) && l[1] <= int(c.layer.Temporal)
				})
				require.False(t, shows, "picture %d is left out\n%s", left, why())
			}
		}
		if p.key {
			settled = at
		}
		if settled == at && p.whole {
			top := 0
			for _, l := range x.source.layersOf(p.picture()) {
				if l[0] <= int(c.layer.Spatial) {
					top = max(top, l[0])
				}
			}
			last := x.source.frames[x.source.packets[p.packets[len(p.packets)-1].origin].frame]
			require.Equal(t, top, last.Spatial, "all spatial layers that are wanted\n%s", why())
		}
	}
}

// countRaised counts p when it is of a higher temporal layer than all pictures since less was wanted of its source.
func (w *world) countRaised(before []picture, p picture) {
	x := p.packets[0]
	at := w.sent[x.number].change
	if at == 0 || w.changes[at-1].source != x.source || w.temporal(p) <= int(w.changes[at-1].layer.Temporal) {
		return
	}
	for i := len(before) - 1; i >= 0 && w.sent[before[i].packets[0].number].change == at; i-- {
		if w.temporal(before[i]) >= w.temporal(p) {
			return
		}
	}
	w.raised++
}

func (w *world) temporal(p picture) int {
	x := p.packets[0]
	return x.source.frames[x.source.packets[x.origin].frame].Temporal
}

// spatial is the layer that a picture ends with.
func (w *world) spatial(p picture) int {
	x := p.packets[len(p.packets)-1]
	return x.source.frames[x.source.packets[x.origin].frame].Spatial
}

// picture is the number of the source's picture.
func (p *picture) picture() int { return p.packets[0].source.packets[p.packets[0].origin].picture }

// told says whether the browser says which layer each frame is of.
func (s *source) told() bool {
	for _, f := range s.frames {
		if !f.Layered {
			return false
		}
	}
	return true
}

// keyed says whether descriptors tell that spatial layers build on each other in keyframes at most.
func (s *source) keyed() bool {
	_, described := s.capture.Extensions["dependency-descriptor"]
	return described && (s.alone || strings.Contains(s.capture.Asked, `_KEY"`))
}

// layersOf are the spatial and temporal layers of a picture's frames.
func (s *source) layersOf(picture int) (layers [][2]int) {
	for _, p := range s.packets {
		if p.picture == picture && p.first {
			f := s.frames[p.frame]
			layers = append(layers, [2]int{f.Spatial, f.Temporal})
		}
	}
	return layers
}

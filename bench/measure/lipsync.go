package measure

import "time"

const (
	// soundPoints is how many pieces of sound are remembered: 2.5 s of 10 ms each. A picture later than that is no longer
	// out of step but gone.
	soundPoints = 256
	// picturePoints is how many pictures wait for their sound: 4 s of 30 a second.
	picturePoints = 128
	// bridge is the longest hole in the sound that is interpolated over.
	bridge = 200 * time.Millisecond
)

type point struct{ sent, shown time.Duration }

// LipSync compares when sound and picture of one sender, sent at the same time, were played. Its two meters feed it, so
// one goroutine owns all three. A picture without sound around it is not compared. Bounded: it forgets the oldest.
type LipSync struct {
	skew     Skew
	sounds   []point // ring
	pictures []point // waiting for their sound, oldest first
	next     int     // of sounds: the place of the next one, when full
}

// NewLipSync returns one for a sender's sound and picture.
func NewLipSync() *LipSync {
	return &LipSync{sounds: make([]point, 0, soundPoints), pictures: make([]point, 0, picturePoints)}
}

// Distribution is by how many ms sound was played later than its picture.
func (l *LipSync) Distribution() Distribution { return l.skew.Distribution() }

// sound: what was sent then was heard at played.
func (l *LipSync) sound(sent, played time.Duration) {
	if l == nil {
		return
	}
	now := point{sent, played}
	if before, ok := l.newest(); ok {
		if sent <= before.sent {
			return // the same piece again, or stretched: it says nothing new
		}
		kept := l.pictures[:0]
		for _, p := range l.pictures {
			switch {
			case p.sent > sent:
				kept = append(kept, p)
			case p.sent >= before.sent && sent-before.sent <= bridge:
				l.skew.Add(interpolate(before, now, p.sent) - p.shown)
			}
		}
		l.pictures = kept
	}
	if len(l.sounds) < soundPoints {
		l.sounds = append(l.sounds, now)
		return
	}
	l.sounds[l.next] = now
	l.next = (l.next + 1) % soundPoints
}

// picture: what was sent then was seen at shown.
func (l *LipSync) picture(sent, shown time.Duration) {
	if l == nil {
		return
	}
	if newest, ok := l.newest(); !ok || sent > newest.sent {
		if len(l.pictures) == picturePoints {
			copy(l.pictures, l.pictures[1:])
			l.pictures = l.pictures[:picturePoints-1]
		}
		l.pictures = append(l.pictures, point{sent, shown})
		return
	}
	for i := len(l.sounds) - 1; i > 0; i-- {
		a, b := l.old(i-1), l.old(i)
		if a.sent <= sent && sent <= b.sent {
			if b.sent-a.sent <= bridge {
				l.skew.Add(interpolate(a, b, sent) - shown)
			}
			return
		}
	}
}

// old is the i-th oldest sound.
func (l *LipSync) old(i int) point { return l.sounds[(l.next+i)%len(l.sounds)] }

func (l *LipSync) newest() (point, bool) {
	if len(l.sounds) == 0 {
		return point{}, false
	}
	return l.old(len(l.sounds) - 1), true
}

// interpolate is when what was sent at t, between a and b, was played.
func interpolate(a, b point, t time.Duration) time.Duration {
	part := float64(t-a.sent) / float64(b.sent-a.sent)
	return a.shown + time.Duration(part*float64(b.shown-a.shown))
}

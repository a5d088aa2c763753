package speaker

import (
	"math"
	"slices"
	"time"
)

// Most is how many speakers Poll reports at most.
const Most = 5

const (
	// MaxIDs bounds who is listened to in one room. Packets of further ids are ignored until somebody leaves.
	MaxIDs = 4096

	maxSpeaking = 16 // candidates in order: enough behind the five that one who leaves has a successor

	interval = 100 * time.Millisecond // between two looks at the order: a tenth of a second is not seen

	quiet      = 67  // volume of -60 dBov: below it speech is not understood
	margin     = 9   // dB above the noise floor: fans vary by less, syllables by more
	floorRise  = 3.0 // dB a second: a fan at -45 dBov that starts anew is noise after 3 s; dips of speech come each second
	floorStart = 87  // volume of -40 dBov: louder than that at the first packet is speech that has begun

	hang       = 100 * time.Millisecond // dips between syllables and lost packets
	longPacket = 60 * time.Millisecond  // of one packet's audio (RFC 7587's usual longest): what is missing beyond was silence

	rise = 500 * time.Millisecond  // of activity
	fade = 1000 * time.Millisecond // of activity
	hear = 400 * time.Millisecond  // of loudness, both ways

	begins = 0.5 // activity that makes a speaker
	ends   = 0.1 // and that unmakes him
	louder = 1.25
)

// Speaker is somebody who speaks.
type Speaker struct {
	ID    uint64
	Level uint8 // 0 silent to 127 loudest: 127 less RFC 6464's level
}

// Room ranks the speakers of one room. One goroutine.
type Room struct {
	ids      map[uint64]*voice
	active   []*voice // whose activity or loudness is above nothing
	speaking []*voice // in order, loudest first
	due      time.Duration
	told     [Most]Speaker // what the last Poll said
	tellings int           // how many of them
	ignored  uint64
}

// voice is one id.
type voice struct {
	id       uint64
	last     time.Duration // up to which activity and loudness are counted
	until    time.Duration // activity lasts until then, without a further packet
	floor    float32       // volume of its noise
	activity float32       // 0 to 1
	loudness float32       // dB above quiet
	listed   bool          // in active
	speaks   bool          // in speaking
	flags    bool          // sets the voice bit at times
}

// step is the unit in which short times are looked up: about a millisecond.
const step = 1 << 20 * time.Nanosecond

// decays holds e^(-t/τ) for t of 0 to 63 steps.
type decays [64]float32

func decaysOf(tau time.Duration) (d decays) {
	for i := range d {
		d[i] = float32(math.Exp(-float64(step) * float64(i) / float64(tau)))
	}
	return d
}

// Constants that Go cannot write as such.
var rising, fading, hearing = decaysOf(rise), decaysOf(fade), decaysOf(hear)

// New returns a room in which nobody speaks.
func New() *Room { return &Room{ids: map[uint64]*voice{}} }

// Handle takes the audio level of one packet as it stands on the wire (RFC 6464 §3: 0 loudest to 127 silent, in −dBov) and
// its voice activity bit. No time passes when now falls. It allocates only for an id it has not met.
func (r *Room) Handle(now time.Duration, id uint64, level uint8, voiced bool) {
	volume := 127 - float32(level&0x7f)
	v := r.ids[id]
	if v == nil {
		if len(r.ids) >= MaxIDs {
			r.ignored++
			return
		}
		v = &voice{id: id, last: now, floor: min(volume, floorStart)}
		r.ids[id] = v
	}
	now = max(now, v.last)
	v.flags = v.flags || voiced
	since := min(now-v.last, longPacket)
	v.floor = max(min(v.floor+floorRise*float32(since)/float32(time.Second), volume), quiet-margin)
	active := volume >= v.floor+margin && volume > quiet && (voiced || !v.flags)
	if !v.listed {
		v.last = now
		if !active {
			return
		}
		v.listed = true
		v.last -= min(since, 20*time.Millisecond) // the packet's own audio, when there was one before it
		r.active = append(r.active, v)
		r.due = min(r.due, now+interval)
	}
	loudness := float32(0)
	if active {
		loudness = volume - quiet
		if now-v.last > longPacket {
			v.pass(now - longPacket)
		}
		v.until = now + hang
	}
	v.count(now, loudness)
}

// count lets the time up to now pass with one loudness, 0 while not active.
func (v *voice) count(now time.Duration, loudness float32) {
	n := (now - v.last) / step
	if n >= time.Duration(len(rising)) {
		v.pass(now)
		return
	}
	v.last += n * step
	if v.last <= v.until {
		v.activity = 1 - (1-v.activity)*rising[n]
	} else {
		v.activity *= fading[n]
	}
	v.loudness = loudness + (v.loudness-loudness)*hearing[n]
}

// pass lets a long time pass in which no packet came.
func (v *voice) pass(now time.Duration) {
	if on := min(now, v.until) - v.last; on > 0 {
		v.activity = 1 - (1-v.activity)*decay(on, rise)
		v.loudness *= decay(on, hear)
		v.last += on
	}
	if off := now - v.last; off > 0 {
		v.activity *= decay(off, fade)
		v.loudness *= decay(off, hear)
		v.last = now
	}
}

func decay(t, tau time.Duration) float32 { return float32(math.Exp(-float64(t) / float64(tau))) }

// Leave forgets somebody. The next Poll no longer names him.
func (r *Room) Leave(id uint64) {
	v := r.ids[id]
	if v == nil {
		return
	}
	delete(r.ids, id)
	is := func(o *voice) bool { return o == v }
	if v.listed {
		r.active = slices.DeleteFunc(r.active, is)
	}
	if v.speaks {
		r.speaking = slices.DeleteFunc(r.speaking, is)
		r.due = 0
	}
}

// Ignored counts the packets of ids beyond MaxIDs.
func (r *Room) Ignored() uint64 { return r.ignored }

// Poll returns who speaks, loudest first and at most five, and whether others or another order than the last Poll said;
// levels alone make no change. next is the time to poll again, 0 for no need before the next Handle. It looks at the order
// every 100 ms, and is a comparison before; the slice is valid until the next Poll.
func (r *Room) Poll(now time.Duration) (speakers []Speaker, changed bool, next time.Duration) {
	if now < r.due {
		return r.told[:r.tellings], false, r.due
	}
	r.weigh(now)
	r.sort()
	n := min(len(r.speaking), Most)
	changed = n != r.tellings
	for i, v := range r.speaking[:n] {
		changed = changed || r.told[i].ID != v.id
		r.told[i] = Speaker{ID: v.id, Level: quiet + uint8(min(v.loudness, 127-quiet))}
	}
	r.tellings = n
	if len(r.active) == 0 {
		r.due = 0
		return r.told[:n], changed, 0
	}
	r.due = now + interval
	return r.told[:n], changed, r.due
}

// weigh brings everybody active up to now, and sees who begins and ends to speak.
func (r *Room) weigh(now time.Duration) {
	kept := r.active[:0]
	for _, v := range r.active {
		// A packet may be on its way that says what the newest moment was like.
		if now-v.last > longPacket {
			v.pass(now - longPacket)
		}
		switch {
		case v.speaks && v.activity < ends:
			v.speaks = false
			r.speaking = slices.DeleteFunc(r.speaking, func(o *voice) bool { return o == v })
		case !v.speaks && v.activity >= begins:
			r.begin(v)
		}
		if v.activity >= 0.01 {
			kept = append(kept, v)
			continue
		}
		v.listed, v.activity, v.loudness = false, 0, 0
	}
	clear(r.active[len(kept):])
	r.active = kept
}

// begin puts a new speaker last. Where there are too many, he takes the place of the last if he is louder than him.
func (r *Room) begin(v *voice) {
	if len(r.speaking) == maxSpeaking {
		last := r.speaking[maxSpeaking-1]
		if v.loudness <= last.loudness*louder {
			return
		}
		last.speaks = false
		r.speaking = r.speaking[:maxSpeaking-1]
	}
	v.speaks = true
	r.speaking = append(r.speaking, v)
}

// sort lets everybody pass whom he is clearly louder than.
func (r *Room) sort() {
	for i := range r.speaking {
		for j := i; j > 0 && r.speaking[j].loudness > r.speaking[j-1].loudness*louder; j-- {
			r.speaking[j], r.speaking[j-1] = r.speaking[j-1], r.speaking[j]
		}
	}
}

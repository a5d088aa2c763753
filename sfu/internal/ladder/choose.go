package ladder

import (
	"cmp"
	"time"

	"github.com/tolkyn/tolkyn/codec"
)

const (
	// A picture fills its place when it has nine tenths of its lines or columns: scaled up by a ninth it cannot be told from
	// one that fits, and the next larger one costs two to four times the bits.
	fillsOf, fillsBy = 9, 10

	// A slot shrinks when its view has been a quarter smaller than the one it was chosen for, for a second: who drags a
	// window's edge, or turns a page of tiles and back, asks for no keyframe. It grows at once: a blurred picture is seen, one
	// that is too sharp for a second is not.
	bandOf, bandBy = 4, 3
	dwell          = time.Second

	// Views of at most 120 lines are thumbnails: they take every picture rate from smooth on. 12 pictures a second is where
	// motion begins to be seen as motion; below, temporal layers are not cut while a smaller picture is to be had instead.
	thumbnailHeight = 120
	thumbnailWidth  = thumbnailHeight * 16 / 9
	smooth          = 12
)

// View says how large a slot's video should be.
type View struct {
	Width, Height uint32 // pixels on screen; 0 when unknown: as large as there is
	Detail        bool   // a screen: sharpness before motion
	Limited       bool   // the device and not the client's wish keeps it so small
}

func (v View) known() bool { return v.Width > 0 || v.Height > 0 }

func (v View) thumbnail() bool {
	return v.known() && !v.Detail && v.Height <= thumbnailHeight && v.Width <= thumbnailWidth
}

// smaller says whether a view is at least a quarter smaller than another.
func (v View) smaller(than View) bool {
	return quarter(v.Width, than.Width) && quarter(v.Height, than.Height)
}

// quarter says whether a side is a quarter shorter than another; 0 is without an end, and longer than any.
func quarter(n, than uint32) bool {
	if n == 0 {
		return than == 0
	}
	return than == 0 || uint64(n)*bandOf <= uint64(than)*bandBy
}

// exceeds says whether a view has a side that is longer than another's.
func (v View) exceeds(o View) bool {
	return o.Width != 0 && (v.Width == 0 || v.Width > o.Width) || o.Height != 0 && (v.Height == 0 || v.Height > o.Height)
}

// filledBy says whether a rung's picture fills the view: shown whole, a picture is as large as its place as soon as one of
// its sides is.
func (v View) filledBy(r *Rung) bool {
	return v.known() && (side(r.Width, v.Width) || side(r.Height, v.Height))
}

func side(have uint16, want uint32) bool {
	return want > 0 && uint64(have)*fillsBy >= uint64(want)*fillsOf
}

// Limit says what keeps a video from being larger.
type Limit uint8

// The limits. The values are those of sfu.Limit.
const (
	NoLimit        Limit = iota + 1
	WishLimit            // the view is no larger
	PublisherLimit       // the publisher sends no more
	BandwidthLimit       // there are no more bits
	DeviceLimit          // the view is no larger, because the device takes no more
)

// Choice is what a slot should show.
type Choice struct {
	Want  Rung // with all that is known of the track
	Show  Rung // with what flows now
	Shows bool // false: nothing flows
	Open  bool // it would take more than is known
	Limit Limit
}

// Chooser chooses for one slot. The zero value has chosen nothing yet. One goroutine.
type Chooser struct {
	want    Rung
	view    View // it was taken for
	chosen  bool
	waiting bool          // for the end of a dwell
	more    bool          // that is for more than there is
	since   time.Duration // it began
}

// Choose picks a rung for a view: the smallest that fills it, the highest when none does or the view is unknown. bits bounds
// it, 0 for no bound; when nothing is as small as that it is the smallest there is. It returns false when nothing is known of
// the track yet.
//
// A change of choice to more takes effect at once, one to less when it has been so for a second (but at once where the bound
// makes it): call it again at Next.
func (c *Chooser) Choose(now time.Duration, rungs []Rung, v View, bits uint32) (Choice, bool) {
	if len(rungs) == 0 {
		*c = Chooser{}
		return Choice{}, false
	}
	goal := pick(rungs, v, bits)
	current := find(rungs, &c.want)
	switch {
	case !c.chosen || current == nil:
		c.take(goal, v)
	case goal.same(current):
		c.waiting = false
		if v.exceeds(c.view) {
			c.view = v
		}
	case bits > 0 && current.Bits > bits:
		c.take(goal, v)
	case compare(goal, current, v.Detail) > 0:
		if more(goal, current) {
			c.take(goal, v)
		} else {
			c.wait(now, goal, v, true)
		}
	default:
		if v.exceeds(c.view) {
			c.view = v
		}
		held := v
		if !v.smaller(c.view) { // what it was taken for still counts, of the rungs as they are now
			held = c.view
			held.Detail = v.Detail
		}
		if less := pick(rungs, held, bits); compare(less, current, v.Detail) < 0 && more(current, less) {
			c.wait(now, less, held, false)
		} else {
			c.waiting = false
		}
	}
	want := find(rungs, &c.want)
	out := Choice{Want: *want, Open: !v.filledBy(want)}
	out.Show, out.Shows = flowing(rungs, want, v.Detail)
	out.Limit = limit(rungs, &out, v, bits)
	return out, true
}

// Next is when Choose should be called again if nothing changes; 0: no need.
func (c *Chooser) Next() time.Duration {
	if !c.waiting {
		return 0
	}
	return c.since + dwell
}

// Forget makes the next choice a first one.
func (c *Chooser) Forget() { *c = Chooser{} }

func (c *Chooser) take(r *Rung, v View) { *c = Chooser{want: *r, view: v, chosen: true} }

// wait takes a rung when it has been the better one for a while.
func (c *Chooser) wait(now time.Duration, r *Rung, v View, more bool) {
	switch {
	case !c.waiting || c.more != more:
		c.waiting, c.more, c.since = true, more, now
	case now-c.since >= dwell:
		c.take(r, v)
	}
}

// more says whether what a has over b is worth a keyframe at once: a larger picture, more pictures, or a third more bits.
// Rates waver, and two encodings that are nearly alike change their order all the time.
func more(a, b *Rung) bool {
	if a.Encoding == b.Encoding {
		return true // another layer of the same stream
	}
	if a.Area() > 0 && b.Area() > 0 && a.Area() != b.Area() {
		return a.Area() > b.Area()
	}
	return uint64(a.whole)*bandBy >= uint64(b.whole)*bandOf
}

// compare orders rungs by what is seen: first how large the picture is, then how many there are. The rate stands for the
// size: an encoder spends more on more. A screen that stands still brings next to nothing in any size, so there the size of
// the picture comes first.
func compare(a, b *Rung, detail bool) int {
	if detail {
		if n := cmp.Compare(a.Area(), b.Area()); n != 0 {
			return n
		}
	}
	return cmp.Or(cmp.Compare(a.whole, b.whole), cmp.Compare(a.Encoding, b.Encoding), compareLayers(a.Layer, b.Layer))
}

// sameSize says whether two rungs differ in the pictures' number only.
func sameSize(a, b *Rung) bool {
	return a.Encoding == b.Encoding && a.Layer.Spatial == b.Layer.Spatial
}

// pick is the choice without a past.
func pick(rungs []Rung, v View, bits uint32) *Rung {
	top := ceiling(rungs, v)
	var best, least *Rung
	for i := range rungs { // least bits first
		r := &rungs[i]
		if !sameSize(r, top) && compare(r, top, v.Detail) > 0 || !needed(rungs, r, v) {
			continue
		}
		if least == nil {
			least = r
		}
		if bits > 0 && r.Bits > bits {
			break
		}
		if best == nil || better(rungs, r, best, v) {
			best = r
		}
	}
	if best == nil {
		best = least
	}
	return best
}

// Steps appends the indices of the rungs that Choose takes for a view as its bound rises, from the least bits to the most: what
// there is to share bits by.
func Steps(rungs []Rung, v View, dst []int) []int {
	if len(rungs) == 0 {
		return dst
	}
	top := ceiling(rungs, v)
	best := -1
	for i := range rungs { // least bits first
		r := &rungs[i]
		if !sameSize(r, top) && compare(r, top, v.Detail) > 0 || !needed(rungs, r, v) {
			continue
		}
		switch {
		case best < 0:
			dst = append(dst, i)
		case !better(rungs, r, &rungs[best], v):
			continue
		case max(r.Bits, 1) == max(rungs[best].Bits, 1): // a bound of 0 is none
			dst[len(dst)-1] = i
		default:
			dst = append(dst, i)
		}
		best = i
	}
	return dst
}

// ceiling is the smallest rung that fills the view, the highest when none does.
func ceiling(rungs []Rung, v View) *Rung {
	var fills, highest *Rung
	for i := range rungs {
		r := &rungs[i]
		if highest == nil || compare(r, highest, v.Detail) > 0 {
			highest = r
		}
		if v.filledBy(r) && (fills == nil || compare(r, fills, v.Detail) < 0) {
			fills = r
		}
	}
	if fills != nil {
		return fills
	}
	return highest
}

// needed says whether a view takes a rung's picture rate: a thumbnail takes the lowest that is smooth.
func needed(rungs []Rung, r *Rung, v View) bool {
	if !v.thumbnail() {
		return true
	}
	for i := range rungs {
		if o := &rungs[i]; sameSize(o, r) && o.Layer.Temporal < r.Layer.Temporal && o.Rate >= smooth {
			return false
		}
	}
	return true
}

// better orders what fits the bound: of a screen the larger, of all else what moves before the larger.
func better(rungs []Rung, a, b *Rung, v View) bool {
	if !v.Detail {
		if x, y := moves(rungs, a), moves(rungs, b); x != y {
			return x
		}
	}
	return compare(a, b, v.Detail) > 0
}

// moves says whether a rung is smooth, or as smooth as its encoding gets.
func moves(rungs []Rung, r *Rung) bool {
	if r.Rate >= smooth || r.Layer == codec.Everything {
		return true
	}
	for i := range rungs {
		if o := &rungs[i]; sameSize(o, r) && o.Layer.Temporal > r.Layer.Temporal {
			return false
		}
	}
	return true
}

// flowing is the best that flows while want does not: the highest below it, else the lowest above. Of an encoding that begins
// the lower temporal layers come first: that is no reason to leave out the others when they come a picture later.
func flowing(rungs []Rung, want *Rung, detail bool) (Rung, bool) {
	if want.Flows {
		return *want, true
	}
	var below, above *Rung
	for i := range rungs {
		r := &rungs[i]
		switch {
		case !r.Flows:
		case sameSize(r, want) && r.Layer.Temporal < want.Layer.Temporal:
			whole := *want
			whole.Flows = true
			return whole, true
		case compare(r, want, detail) <= 0:
			if below == nil || compare(r, below, detail) > 0 {
				below = r
			}
		case above == nil || compare(r, above, detail) < 0:
			above = r
		}
	}
	switch {
	case below != nil:
		return *below, true
	case above != nil:
		return *above, true
	}
	return Rung{}, false
}

// limit says what keeps a choice from being larger.
func limit(rungs []Rung, c *Choice, v View, bits uint32) Limit {
	if bits > 0 && compare(pick(rungs, v, 0), &c.Want, v.Detail) > 0 {
		return BandwidthLimit
	}
	if !c.Shows || !c.Show.same(&c.Want) && compare(&c.Show, &c.Want, v.Detail) < 0 {
		return PublisherLimit
	}
	highest := ceiling(rungs, View{Detail: v.Detail})
	switch {
	case v.known() && !v.filledBy(&c.Show):
		return PublisherLimit
	case sameSize(highest, &c.Show):
		return NoLimit
	case v.Limited:
		return DeviceLimit
	default:
		return WishLimit
	}
}

func find(rungs []Rung, r *Rung) *Rung {
	for i := range rungs {
		if rungs[i].same(r) {
			return &rungs[i]
		}
	}
	return nil
}

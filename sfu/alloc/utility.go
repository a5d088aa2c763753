package alloc

import (
	"cmp"
	"math"
	"slices"
	"time"

	"github.com/tolkyn/tolkyn/sfu/bwe"
)

const (
	// A screen or a speaker is what people look at: all that four cameras show of the same size weighs as much.
	cameraWeight, lookedAtWeight = 1, 4

	// one is a weight of 1 and of no particular size or priority.
	one = 16

	// whole is 1 for a curve.
	whole = 1000

	// usualArea of a view has a size weight of 1: it is the middle one of the usual three encodings.
	usualArea = 640 * 360

	// alike: of two layers with the same pictures and picture rates, give or take that many a second, the one with the most
	// bits is the measure, and one of next to none is worth leastAlike of it.
	alike      = 2
	leastAlike = 700
)

// The two curves, in thousandths: their value changes with measured rates, and must be the same on every machine.
var (
	// sharpness by the share of the lines that are shown, in 1/64: see doc.go.
	sharpness = [...][65]int64{
		motion: {
			0, 9, 24, 43, 65, 89, 116, 143, 171, 201, 230, 260, 291, 321, 351, 380,
			409, 438, 466, 494, 520, 546, 572, 596, 619, 642, 664, 685, 705, 724, 742, 759,
			776, 792, 806, 821, 834, 846, 858, 870, 880, 890, 899, 908, 916, 924, 931, 938,
			944, 950, 955, 960, 965, 969, 973, 977, 980, 984, 987, 989, 992, 994, 996, 998,
			1000,
		},
		detail: {
			0, 4, 11, 21, 31, 44, 57, 71, 86, 102, 118, 135, 152, 170, 188, 207,
			226, 245, 264, 283, 303, 322, 342, 362, 381, 401, 420, 440, 459, 479, 498, 517,
			535, 554, 572, 591, 609, 626, 644, 661, 678, 695, 711, 727, 743, 759, 774, 789,
			804, 819, 833, 847, 860, 873, 886, 899, 911, 923, 935, 947, 958, 969, 980, 990,
			1000,
		},
	}
	// smoothness by pictures a second.
	smoothness = [...][31]int64{
		motion: {
			0, 16, 44, 80, 120, 164, 209, 257, 307, 357, 409, 461, 514, 567, 622, 676,
			730, 785, 840, 894, 949, 957, 963, 969, 975, 980, 985, 989, 993, 997, 1000,
		},
		detail: {
			0, 609, 766, 847, 895, 925, 945, 959, 969, 977, 982, 986, 989, 991, 993, 995,
			996, 997, 997, 998, 998, 999, 999, 999, 999, 1000, 1000, 1000, 1000, 1000, 1000,
		},
	}
)

// What the curves are of.
const (
	motion = iota // cameras
	detail        // screens
)

// source is one of the caller's, weighed.
type source struct {
	first, layers int // in Allocator.options
	base, best    int // its least layer, and the one it would take if there were no bound; Paused: there is none
	current       int
	since         time.Duration
	weight        int64 // at least 1; one: a camera of usual size

	floor, cap int // what share may give it: neither less nor more
}

// option is one layer, weighed.
type option struct {
	bits    bwe.Bitrate
	utility int64
	cheap   bool
}

// weigh fills sources and options.
func (a *Allocator) weigh(sources []Source) {
	a.sources, a.options = a.sources[:0], a.options[:0]
	for i := range sources {
		s := &sources[i]
		w := source{
			first: len(a.options), layers: len(s.Layers), base: Paused, best: Paused,
			current: min(max(s.Current, Paused), len(s.Layers)-1), since: s.Since,
			weight: weight(s, sources),
		}
		a.appraise(s, w.weight)
		options := a.options[w.first:]
		for l := range options {
			if w.best == Paused || options[l].utility > options[w.best].utility {
				w.best = l
			}
		}
		if len(options) > 0 {
			w.base = 0
		}
		a.sources = append(a.sources, w)
	}
}

// Utility is what a layer is worth for one of the sources, as Allocate reckons it; the layer need not be one that the source
// offers. Only ratios mean anything.
func Utility(sources []Source, i int, l Layer) int64 {
	s := &sources[i]
	w, h := shown(s)
	return weight(s, sources) * curves(s.Kind, lines(&l, w, h), l.Rate)
}

// weight is what one source counts against another.
func weight(s *Source, among []Source) int64 {
	w := int64(one * cameraWeight)
	if s.Kind != Camera {
		w = one * lookedAtWeight
	}
	return max(w*(whole+2*rank(s, among))/whole*size(s)/one, 1)
}

// rank is where the priority of a source's wish stands within its kind, from 0 to whole.
func rank(s *Source, among []Source) int64 {
	lowest, highest := s.Priority, s.Priority
	for i := range among {
		if among[i].Kind == s.Kind {
			lowest, highest = min(lowest, among[i].Priority), max(highest, among[i].Priority)
		}
	}
	if lowest == highest {
		return 0
	}
	return whole * int64(s.Priority-lowest) / int64(highest-lowest)
}

// size weighs how large a source is shown: by the length of its sides, between half and twice the usual.
func size(s *Source) int64 {
	w, h := shown(s)
	if w == 0 || h == 0 {
		return one
	}
	return min(max(int64(one*math.Sqrt(float64(w*h)/usualArea)), one/2), one*2)
}

// shown is how many pixels a source may fill: its view's, else its largest layer's; 0 unknown.
func shown(s *Source) (w, h uint64) {
	w, h = uint64(s.Width), uint64(s.Height)
	for i := range s.Layers {
		if l := &s.Layers[i]; s.Width == 0 && s.Height == 0 {
			w, h = max(w, uint64(l.Width)), max(h, uint64(l.Height))
		}
	}
	if w == 0 {
		w = h * 16 / 9
	}
	if h == 0 {
		h = w * 9 / 16
	}
	return w, h
}

// appraise appends the options of one source.
func (a *Allocator) appraise(s *Source, weight int64) {
	w, h := shown(s)
	known := w > 0 && h > 0
	for i := range s.Layers {
		known = known && s.Layers[i].Width > 0 && s.Layers[i].Height > 0
	}
	least := bwe.Bitrate(1)
	for i := range s.Layers {
		l := &s.Layers[i]
		least = max(least, l.Bits) // what a layer is said to take less than the one below is a rate that wavers
		var utility int64
		if known {
			utility = weight * curves(s.Kind, lines(l, w, h), l.Rate) / whole * among(s.Layers, i)
		} else {
			utility = weight * curves(s.Kind, byBits(s.Layers, i), l.Rate)
		}
		a.options = append(a.options, option{bits: least, utility: utility, cheap: l.Cheap && i > 0})
	}
}

// curves is sharpness times smoothness, in millionths.
func curves(k Kind, lines uint64, rate uint8) int64 {
	of := motion
	if k == Screen {
		of = detail
	}
	rate = min(rate, 30)
	if rate == 0 {
		rate = 30
	}
	return sharpness[of][lines] * smoothness[of][rate]
}

// lines is the share of the lines that a layer shows of those that a source may fill, in 1/64. Shown whole, a picture is as
// large as its place when one of its sides is.
func lines(l *Layer, w, h uint64) uint64 {
	if w == 0 || h == 0 {
		return 64
	}
	return min(max(64*uint64(l.Width)/w, 64*uint64(l.Height)/h), 64)
}

// byBits is the share of the lines that a layer shows, in 1/64, when no sizes are known: an encoder spends its bits on pixels.
// The layers above that can be entered without a keyframe show the same pixels more often.
func byBits(layers []Layer, i int) uint64 {
	for i+1 < len(layers) && layers[i+1].Cheap {
		i++
	}
	most := layers[len(layers)-1].Bits
	if most <= 0 {
		return 64
	}
	return min(uint64(64*math.Sqrt(float64(max(layers[i].Bits, 0))/float64(most))), 64)
}

// among weighs a layer among those that differ from it in nothing but bits.
func among(layers []Layer, i int) int64 {
	l, most := &layers[i], layers[i].Bits
	for k := range layers {
		o := &layers[k]
		if o.Width == l.Width && o.Height == l.Height && o.Rate <= l.Rate+alike && l.Rate <= o.Rate+alike {
			most = max(most, o.Bits)
		}
	}
	if most <= 0 {
		return whole
	}
	return leastAlike + int64(bwe.Bitrate(whole-leastAlike)*max(l.Bits, 0)/most)
}

// byWeight orders sources for their first layer: the heaviest first, of equals whoever is shown already, then as they came.
func (a *Allocator) byWeight(x, y int) int {
	s, o := &a.sources[x], &a.sources[y]
	return cmp.Or(cmp.Compare(o.weight, s.weight), cmp.Compare(min(o.current, 0), min(s.current, 0)), cmp.Compare(x, y))
}

// sent is the sum of what the sources were given last.
func (a *Allocator) sent() (sum bwe.Bitrate) {
	for i := range a.sources {
		sum += a.bitsOf(i, a.sources[i].current)
	}
	return sum
}

// bitsOf is what a layer of a source takes.
func (a *Allocator) bitsOf(i, layer int) bwe.Bitrate {
	if layer == Paused {
		return 0
	}
	return a.options[a.sources[i].first+layer].bits
}

// utilityOf is what a layer of a source brings beyond its least one.
func (a *Allocator) utilityOf(i, layer int) int64 {
	s := &a.sources[i]
	if layer == Paused {
		return 0
	}
	return a.options[s.first+layer].utility - a.options[s.first+s.base].utility
}

// optionsOf are a source's.
func (a *Allocator) optionsOf(i int) []option {
	s := &a.sources[i]
	return a.options[s.first : s.first+s.layers]
}

func (a *Allocator) orderByWeight() []int {
	a.order = a.order[:0]
	for i := range a.sources {
		a.order = append(a.order, i)
	}
	slices.SortFunc(a.order, a.byWeight)
	return a.order
}

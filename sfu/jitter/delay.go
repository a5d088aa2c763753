package jitter

import (
	"slices"
	"time"
)

const (
	// cellLength: delays are judged by the worst of each 100 ms. A packet is late together with its neighbours, so that
	// single packets would make a spike look as rare as it is short; NetEQ takes 500 ms and is slower for it.
	cellLength = 100 * time.Millisecond
	// window is how many cells with packets say what the fastest packets are: about a second. Long enough to hold a fast
	// one on a jittery path, short enough that after a change of path playout knows where it stands well within two.
	window = 10
	// bucketWidth of the histogram: a fifth of a pull, below it nothing can be won.
	bucketWidth = 2 * time.Millisecond
	buckets     = 500 // up to a second
	// weight is what one cell adds to its bucket, fading by 1/2^fade with each further cell: it is forgotten in about
	// 128 cells, 13 s of talk. Integers, so that every machine decides alike.
	weight = 1 << 20
	fade   = 7
	// tail is how much of the cells' weight may lie above the target, in 1/1024: 2 % of cells of five packets are 0.4 %
	// of packets.
	tail = 20
	// memory in cells: the target is at most the worst of the last 14 s. The histogram alone would take 50 s to forget
	// that a path was bad.
	memory = 128
	// growing is what a queue that fills by 40 ms/s grows by within a cell.
	growing = 2 * bucketWidth

	// peakHeight: a cell that lies this much above the quantile is a peak.
	peakHeight = 20 * time.Millisecond
	// peakMerge: peaks closer than that are one.
	peakMerge = 5
	// peakPeriod: peaks that are further apart are accidents, not a habit of the path.
	peakPeriod = 100
	peaksKept  = 4
)

// cell sums up the transits of 100 ms: arrival minus place on the timestamp line, of which only differences mean
// anything.
type cell struct {
	index           int64 // now / cellLength
	lowest, highest time.Duration
	before          time.Duration // lowest of it and the window before it
}

// peak is a short outburst of delay.
type peak struct {
	index  int64
	height time.Duration
}

// delays learns how much later than the fastest packets the others come.
type delays struct {
	cells  [window]cell // closed ones that may yet turn out to be a change of path; a ring
	oldest int
	closed int
	open   cell
	opened bool
	base   time.Duration // transit of the fastest packet of cells and open

	histogram [buckets]uint32 // of older cells
	lately    [memory]uint16  // buckets of the newest of them; a ring
	latelyAt  int
	worst     int             // bucket: the highest of lately
	peaks     [peaksKept]peak // newest first
	quantile  time.Duration   // of histogram, cells and open
	repairs   bool            // there was one ...
	repaired  int64           // ... and in which cell the newest
	cellsSeen int             // saturates at window: below it too little is known
}

// observe takes the transit of a packet that came at now.
func (d *delays) observe(now, transit time.Duration) {
	index := int64(now / cellLength)
	if d.opened && index == d.open.index {
		grown := transit > d.open.highest
		d.open.highest = max(d.open.highest, transit)
		d.open.lowest = min(d.open.lowest, transit)
		if transit < d.base || grown {
			d.judge()
		}
		return
	}
	if d.opened {
		d.close()
	}
	d.open, d.opened = cell{index: index, lowest: transit, highest: transit}, true
	d.judge()
}

// repair takes the transit of a copy that came in place of a lost packet, or would have: media come as late as that on this
// path. What comes later than most is not worth a wait.
func (d *delays) repair(now, transit, most time.Duration) {
	if d.opened && transit-d.base <= most {
		d.repairs, d.repaired = true, int64(now/cellLength)
		d.observe(now, transit)
	}
}

// close moves the open cell to the closed ones. The oldest of these has seen a window before and after itself now, and
// goes into the histogram.
func (d *delays) close() {
	if d.closed < window {
		d.cells[(d.oldest+d.closed)%window] = d.open
		d.closed++
	} else {
		d.commit(d.cells[d.oldest])
		d.cells[d.oldest] = d.open
		d.oldest = (d.oldest + 1) % window
	}
	d.cellsSeen = min(d.cellsSeen+1, window)
}

// late is how much later than the fastest packets the slowest of c came: the fastest of the second before it, or of the
// last second where that is slower. So a step of the path's length counts against nobody once it has lasted a second.
func (d *delays) late(c cell) time.Duration { return c.highest - max(c.before, d.base) }

func (d *delays) commit(c cell) {
	late := d.late(c)
	d.notice(c.index, late)
	for i, w := range d.histogram {
		d.histogram[i] = w - w>>fade
	}
	d.histogram[bucket(late)] += weight
	d.lately[d.latelyAt] = uint16(bucket(late))
	d.latelyAt = (d.latelyAt + 1) % memory
	d.worst = int(slices.Max(d.lately[:]))
}

// notice keeps late if it is a peak.
func (d *delays) notice(index int64, late time.Duration) {
	if late < d.quantile+peakHeight {
		return
	}
	newest := &d.peaks[0]
	if newest.height > 0 && index-newest.index < peakMerge {
		newest.height = max(newest.height, late)
		return
	}
	copy(d.peaks[1:], d.peaks[:peaksKept-1])
	*newest = peak{index, late}
}

// judge brings base and quantile up to date.
func (d *delays) judge() {
	d.base = d.open.lowest
	for i := range d.closed {
		d.base = min(d.base, d.cells[(d.oldest+i)%window].lowest)
	}
	d.open.before = d.base

	var young [buckets]uint8
	top := d.count(&young, d.open)
	for i := range d.closed {
		top = max(top, d.count(&young, d.cells[(d.oldest+i)%window]))
	}
	worst := max(top, d.worst)
	var total uint64
	for i, w := range d.histogram {
		total += uint64(w)
		if w > 0 {
			top = max(top, i)
		}
	}
	total += uint64(d.closed+1) * weight
	allowed := max(total*tail/1024, weight) // one cell alone never decides
	if d.repairs && d.open.index-d.repaired < memory {
		allowed = weight / 2 // of repair the rare is what counts: it leaves a thousandth to be heard
	}
	var above uint64
	for i := top; ; i-- {
		above += uint64(d.histogram[i]) + uint64(young[i])*weight
		if above > allowed || i == 0 {
			d.quantile = time.Duration(min(i, worst)+1) * bucketWidth
			break
		}
	}
	// The second worst of the last second counts whatever the histogram says: that is a queue filling up, or a path
	// that has just become worse. It will have grown further until it is acted upon.
	recent := uint8(0)
	for i := top; i >= 0; i-- {
		if recent += young[i]; recent >= 2 {
			if second := time.Duration(i+1) * bucketWidth; second > d.quantile {
				d.quantile = second + growing
			}
			return
		}
	}
}

func (d *delays) count(young *[buckets]uint8, c cell) int {
	i := bucket(d.late(c))
	young[i]++
	return i
}

func bucket(late time.Duration) int {
	return int(min(max(late/bucketWidth, 0), buckets-1))
}

// target is the delay that all but a few packets keep.
func (d *delays) target() time.Duration { return max(d.quantile, d.peak()) }

// peak is the height of outbursts that come again and again, 0 when none are due: at least two within peakPeriod of each
// other, the last not longer ago than twice what lay between them.
func (d *delays) peak() time.Duration {
	height, longest := d.peaks[0].height, int64(0)
	for i := 1; i < peaksKept && d.peaks[i].height > 0; i++ {
		between := d.peaks[i-1].index - d.peaks[i].index
		if between > peakPeriod {
			break
		}
		longest = max(longest, between)
		height = max(height, d.peaks[i].height)
	}
	if longest == 0 || d.open.index-d.peaks[0].index > 2*longest+2*window {
		return 0
	}
	return height
}

// known tells whether enough was seen to trust the target.
func (d *delays) known() bool { return d.cellsSeen == window }

// forget drops what refers to the old timestamp line; what was learnt of the path stays.
func (d *delays) forget() {
	d.closed, d.oldest, d.opened = 0, 0, false
}

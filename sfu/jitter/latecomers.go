package jitter

import "time"

const (
	// lateOver is how long what came is looked back on, and lateLeast how much of it has to be there.
	lateOver, lateLeast = 10 * time.Second, time.Second
	// lateFrom and lateTo: the share of what is said for which it is worth to hear everything later. By ITU-T G.107 half a
	// second more of delay costs a voice about as much as one word in twenty.
	lateFrom, lateTo = 0.05, 0.02
)

// latecomers decides whether repair is waited for that comes very late: where round trips are long, half of what is said can come by
// no other way.
type latecomers struct {
	all, late time.Duration // fading: what came, and what of it so late
	on        bool
}

// heard takes what came by itself.
func (p *latecomers) heard(long time.Duration) {
	p.all += long - time.Duration(float64(p.all)*float64(long)/float64(lateOver))
	p.late -= time.Duration(float64(p.late) * float64(long) / float64(lateOver))
	p.judge()
}

// worth takes what came so late.
func (p *latecomers) worth(long time.Duration) {
	p.all += long
	p.late += long
	p.judge()
}

func (p *latecomers) judge() {
	from := lateFrom
	if p.on {
		from = lateTo
	}
	p.on = p.all >= lateLeast && float64(p.late) > from*float64(p.all)
}

package cc

// pool keeps what is under way by index, so that events are small.
type pool[T any] struct {
	all  []T
	free []int32
}

// take returns the index of a slot: as it was left when it was dropped.
func (p *pool[T]) take() int32 {
	if n := len(p.free); n > 0 {
		index := p.free[n-1]
		p.free = p.free[:n-1]
		return index
	}
	var zero T
	p.all = append(p.all, zero)
	return int32(len(p.all) - 1)
}

func (p *pool[T]) put(v T) int32 {
	index := p.take()
	p.all[index] = v
	return index
}

// at is valid until the next take or put.
func (p *pool[T]) at(index int32) *T { return &p.all[index] }

func (p *pool[T]) drop(index int32) { p.free = append(p.free, index) }

package bwe

// lasts is the rate that will hold when the queue of now has drained: Estimate.Lasts.
func (c *control) lasts() float64 {
	if c.draining {
		return 0.96 * c.capacity
	}
	return c.rate
}

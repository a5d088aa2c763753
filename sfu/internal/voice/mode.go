package voice

// MostCopies is how many copies a packet takes along at most.
const MostCopies = 3

// Mode is how much protection a voice gets. The zero value is none.
type Mode uint8

// The modes, from the least protection to the most.
const (
	Plain  Mode = iota
	Light       // random loss from 2.5 % on
	Medium      // from 7 % on
	Full        // from 14 % on
	Most        // from 27 % on
	Bursts      // losses of three or so together
	Long        // of four and more
	Modes  = int(iota)
)

// Distances says which earlier packets a packet brings copies of, in packets before it, ascending; 0: no more.
type Distances [MostCopies]uint8

// Count is how many copies there are.
func (d Distances) Count() (n int) {
	for _, each := range d {
		if each > 0 {
			n++
		}
	}
	return n
}

// Has reports whether a copy of the packet so far before is among them.
func (d Distances) Has(back uint8) bool {
	return back > 0 && (d[0] == back || d[1] == back || d[2] == back)
}

// Farthest is the largest of the distances, 0 for none.
func (d Distances) Farthest() uint8 { return max(d[0], d[1], d[2]) }

// protection is what a mode means where packets carry in-band FEC, and where they do not.
type protection struct {
	name       string
	fec, plain Distances
	lower      Mode    // with fewer bytes, where these are short
	from       float64 // what must be lost for sure
}

var table = [Modes]protection{
	Plain:  {name: "plain"},
	Light:  {name: "light", fec: Distances{2}, plain: Distances{1}, lower: Plain, from: 0.01},
	Medium: {name: "medium", fec: Distances{2}, plain: Distances{1, 2}, lower: Light, from: 0.05},
	Full:   {name: "full", fec: Distances{2, 4}, plain: Distances{1, 2}, lower: Medium, from: 0.12},
	Most:   {name: "most", fec: Distances{2, 4}, plain: Distances{1, 2, 3}, lower: Medium, from: 0.25},
	Bursts: {name: "bursts", fec: Distances{2, 5}, plain: Distances{1, 3, 5}, lower: Medium, from: 0.02},
	Long:   {name: "long", fec: Distances{3, 6}, plain: Distances{2, 5, 8}, lower: Medium, from: 0.02},
}

// String names the mode for metrics.
func (m Mode) String() string { return table[m].name }

// Distances of the copies; fec: packets carry the ones before them.
func (m Mode) Distances(fec bool) Distances {
	if fec {
		return table[m].fec
	}
	return table[m].plain
}

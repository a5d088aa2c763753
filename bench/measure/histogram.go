package measure

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

const (
	// longest is the largest time a Histogram tells apart: whoever waited for a minute has hung up.
	longest = 60 * time.Second
	// digits of a value that are kept: p99 of 80 ms is right to 0.1 ms.
	digits = 3
)

// Histogram collects times from 1 µs to 60 s with three digits. Count, mean and maximum are exact; percentiles are at
// most 0.1 % too high. The zero value is ready and takes a few hundred bytes; full, one of a stream takes some kB. Owned
// by one goroutine.
//
// Its JSON is {"v2": base64 of HdrHistogram's compressed format 2, "sum_us", "max_us", "min_us", "negative", "over"}.
type Histogram struct {
	buckets *hdrhistogram.PackedHistogram // sparse: a dense one of this range has 140 kB, and a meeting has thousands
	sum     float64                       // µs
	min     int64                         // µs
	max     int64                         // µs

	negative, over int64
}

// Add takes one value. Those below zero count as 0 and those above a minute as one minute, and both are counted:
// negative delays come of clocks that do not agree.
func (h *Histogram) Add(d time.Duration) {
	us := d.Microseconds()
	switch {
	case us < 0:
		h.negative++
		us = 0
	case d > longest:
		h.over++
		us = longest.Microseconds()
	}
	h.ready()
	if h.buckets.RecordValue(us) != nil {
		return // only beyond the range, and it was clamped to it
	}
	if n := h.buckets.TotalCount(); n == 1 {
		h.min, h.max = us, us
	}
	h.sum += float64(us)
	h.min, h.max = min(h.min, us), max(h.max, us)
}

func (h *Histogram) ready() {
	if h.buckets == nil {
		h.buckets = hdrhistogram.NewPacked(1, longest.Microseconds(), digits)
	}
}

// Merge adds what other holds; nil or empty adds nothing.
func (h *Histogram) Merge(other *Histogram) {
	if other == nil || other.Count() == 0 {
		return
	}
	h.ready()
	if h.Count() == 0 {
		h.min, h.max = other.min, other.max
	}
	h.buckets.Merge(other.buckets)
	h.sum += other.sum
	h.min, h.max = min(h.min, other.min), max(h.max, other.max)
	h.negative += other.negative
	h.over += other.over
}

// Count is how many values it took.
func (h *Histogram) Count() int64 {
	if h.buckets == nil {
		return 0
	}
	return h.buckets.TotalCount()
}

// Clamped is how many values were below zero, and how many above a minute.
func (h *Histogram) Clamped() (negative, over int64) { return h.negative, h.over }

// Mean is exact, in ms; 0 of none.
func (h *Histogram) Mean() float64 {
	if h.Count() == 0 {
		return 0
	}
	return h.sum / float64(h.Count()) / 1000
}

// Percentile returns the value, in ms, that p of 100 values do not exceed; 0 of none. 0 is the least, 100 the largest.
func (h *Histogram) Percentile(p float64) float64 {
	if h.Count() == 0 {
		return 0
	}
	us := h.buckets.ValueAtPercentile(p)
	if p <= 0 {
		us = h.min
	}
	return float64(min(max(us, h.min), h.max)) / 1000
}

// Distribution sums it up in ms.
func (h *Histogram) Distribution() Distribution {
	if h.Count() == 0 {
		return Distribution{}
	}
	return Distribution{
		Count: h.Count(), Mean: h.Mean(), P50: h.Percentile(50), P90: h.Percentile(90), P95: h.Percentile(95),
		P99: h.Percentile(99), Max: float64(h.max) / 1000,
	}
}

type histogramJSON struct {
	V2       string  `json:"v2,omitempty"`
	Sum      float64 `json:"sum_us,omitempty"`
	Min      int64   `json:"min_us,omitempty"`
	Max      int64   `json:"max_us,omitempty"`
	Negative int64   `json:"negative,omitempty"`
	Over     int64   `json:"over,omitempty"`
}

// MarshalJSON writes it for another process to merge.
func (h Histogram) MarshalJSON() ([]byte, error) {
	if h.Count() == 0 {
		return []byte("{}"), nil
	}
	v2, err := h.buckets.Encode()
	if err != nil {
		return nil, fmt.Errorf("encode the histogram: %w", err)
	}
	return json.Marshal(histogramJSON{string(v2), h.sum, h.min, h.max, h.negative, h.over})
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (h *Histogram) UnmarshalJSON(b []byte) error {
	var j histogramJSON
	if err := json.Unmarshal(b, &j); err != nil {
		return fmt.Errorf("read the histogram: %w", err)
	}
	*h = Histogram{}
	if j.V2 == "" {
		return nil
	}
	wire, err := hdrhistogram.DecodePacked([]byte(j.V2))
	if err != nil {
		return fmt.Errorf("read the histogram's field v2: %w", err)
	}
	// Into buckets of our own range: whoever wrote it may have chosen another.
	h.ready()
	if dropped := h.buckets.Merge(wire); dropped > 0 {
		return fmt.Errorf("read the histogram's field v2: %d values lie above %v: it is not one of the bench's", dropped, longest)
	}
	if h.Count() == 0 {
		*h = Histogram{}
		return nil
	}
	h.min = min(max(j.Min, 0), h.buckets.Min())
	h.max = min(max(j.Max, h.buckets.Min()), longest.Microseconds())
	h.sum, h.negative, h.over = j.Sum, j.Negative, j.Over
	return nil
}

// Summarize returns the distribution of single values: shares, scores. Percentile p is the least value that p of 100 do
// not exceed. It sorts values.
func Summarize(values []float64) Distribution {
	if len(values) == 0 {
		return Distribution{}
	}
	slices.Sort(values)
	var sum float64
	for _, v := range values {
		sum += v
	}
	return Distribution{
		Count: int64(len(values)), Mean: sum / float64(len(values)),
		P50: rank(values, 50), P90: rank(values, 90), P95: rank(values, 95), P99: rank(values, 99), Max: values[len(values)-1],
	}
}

// rank is the nearest-rank percentile of sorted values: the least value that p of 100 do not exceed; 0 of none.
func rank(sorted []float64, p float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	i := int(math.Ceil(p/100*float64(len(sorted)))) - 1
	return sorted[min(max(i, 0), len(sorted)-1)]
}

// Skew collects differences that may be negative, the size of each as exact as a Histogram's. The zero value is ready.
type Skew struct {
	Later   Histogram `json:"later"`   // zero and above
	Earlier Histogram `json:"earlier"` // below zero, without the sign
}

// Add takes one value.
func (s *Skew) Add(d time.Duration) {
	if d < 0 {
		s.Earlier.Add(-d)
		return
	}
	s.Later.Add(d)
}

// Merge adds what other holds; nil adds nothing.
func (s *Skew) Merge(other *Skew) {
	if other == nil {
		return
	}
	s.Later.Merge(&other.Later)
	s.Earlier.Merge(&other.Earlier)
}

// Count is how many values it took.
func (s *Skew) Count() int64 { return s.Later.Count() + s.Earlier.Count() }

// Mean is exact, in ms; 0 of none.
func (s *Skew) Mean() float64 {
	if s.Count() == 0 {
		return 0
	}
	return (s.Later.sum - s.Earlier.sum) / float64(s.Count()) / 1000
}

// Percentile returns the value, in ms, that p of 100 values do not exceed; 0 of none.
func (s *Skew) Percentile(p float64) float64 {
	early, late := s.Earlier.Count(), s.Later.Count()
	if early+late == 0 {
		return 0
	}
	k := max(1, int64(math.Ceil(p/100*float64(early+late)))) // which value of the sorted ones
	if k <= early {
		return -s.Earlier.Percentile(100 * float64(early-k+1) / float64(early))
	}
	return s.Later.Percentile(100 * float64(k-early) / float64(late))
}

// Distribution sums it up in ms.
func (s *Skew) Distribution() Distribution {
	if s.Count() == 0 {
		return Distribution{}
	}
	return Distribution{
		Count: s.Count(), Mean: s.Mean(), P50: s.Percentile(50), P90: s.Percentile(90), P95: s.Percentile(95),
		P99: s.Percentile(99), Max: s.Percentile(100),
	}
}

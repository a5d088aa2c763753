package turn

import (
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// One worker serves all lanes while the load is low, a busy one gives half of them away, and an idle one gives its own back.
func TestBalance(t *testing.T) {
	s, err := open(Config{UDP: []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:0")}, Workers: 4})
	require.NoError(t, err)
	defer func() { require.NoError(t, s.unbind()) }()
	owned := func() (n []int) {
		for _, w := range s.workers {
			w.receive()
			n = append(n, len(w.lanes))
			require.Equal(t, len(w.lanes), w.owns)
		}
		return n
	}
	report := func(worker int, load float64) {
		w := s.workers[worker]
		w.measured, w.slept = time.Now().Add(-time.Second), time.Duration((1-load)*float64(time.Second))
		w.measure(time.Now(), 0)
	}
	require.Equal(t, []int{4, 0, 0, 0}, owned())
	report(0, 0.5)
	require.Equal(t, []int{4, 0, 0, 0}, owned())
	report(0, 0.9)
	require.Equal(t, []int{2, 2, 0, 0}, owned())
	report(1, 0.9)
	require.Equal(t, []int{2, 1, 1, 0}, owned())
	report(1, 0.9)
	require.Equal(t, []int{2, 1, 1, 0}, owned(), "one lane is one worker's")
	report(0, 0.9)
	require.Equal(t, []int{1, 1, 1, 1}, owned())
	report(1, 0.9)
	report(2, 0.9)
	report(3, 0.1)
	require.Equal(t, []int{1, 1, 1, 1}, owned(), "nobody has room for its work")
	report(2, 0.1)
	report(3, 0.1)
	require.Equal(t, []int{1, 1, 2, 0}, owned())
	require.Equal(t, 3, s.Stats().Busy)
}

package udp

import (
	"bytes"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/tolkyn/tolkyn/internal/packet"
)

var (
	alice = netip.MustParseAddrPort("192.0.2.1:1000")
	bob   = netip.MustParseAddrPort("[2001:db8::1]:1000")
)

func TestQueueRuns(t *testing.T) {
	type put struct {
		to    netip.AddrPort
		sizes []int
	}
	same := func(size, count int) []int {
		sizes := make([]int, count)
		for i := range sizes {
			sizes[i] = size
		}
		return sizes
	}
	tests := map[string]struct {
		puts []put
		runs []int // datagrams of each
	}{
		"nothing":                          {nil, nil},
		"equal sizes join":                 {[]put{{alice, []int{100, 100, 100}}}, []int{3}},
		"a smaller one ends its run":       {[]put{{alice, []int{100, 100, 40, 40, 100}}}, []int{3, 1, 1}},
		"a larger one begins another":      {[]put{{alice, []int{100, 101, 101}}}, []int{1, 2}},
		"another destination begins one":   {[]put{{alice, []int{100, 100}}, {bob, []int{100}}, {alice, []int{100}}}, []int{2, 1, 1}},
		"another port is another":          {[]put{{alice, []int{100}}, {netip.AddrPortFrom(alice.Addr(), 1), []int{100}}}, []int{1, 1}},
		"MaxRun":                           {[]put{{alice, same(100, 2*MaxRun+1)}}, []int{MaxRun, MaxRun, 1}},
		"the largest datagrams of one run": {[]put{{alice, same(QueueRoom, MaxRun)}}, []int{MaxRun}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			q := NewQueue(100)
			for _, p := range test.puts {
				for _, size := range p.sizes {
					require.Len(t, q.Next(p.to), QueueRoom)
					q.Commit(size)
				}
			}
			var runs []int
			for _, r := range q.runs {
				runs = append(runs, r.count)
			}
			require.Equal(t, test.runs, runs)
			require.Equal(t, len(test.runs), q.Runs())
		})
	}
}

func TestQueueWithoutCommit(t *testing.T) {
	q := NewQueue(0) // at least one
	q.Commit(10)
	first := q.Next(alice)
	for _, size := range []int{0, -1, QueueRoom + 1} {
		q.Commit(size)
		require.Zero(t, q.Len())
	}
	second := q.Next(bob)
	require.Same(t, &first[0], &second[0], "what was not committed is written over")
	q.Commit(QueueRoom)
	q.Commit(QueueRoom)
	require.Equal(t, 1, q.Len(), "one datagram for one Next")
	require.True(t, q.Full())
	require.Nil(t, q.Next(bob))
	for head := range q.Datagrams() {
		require.Equal(t, Head{To: bob}, head)
	}
	q.Reset()
	require.False(t, q.Full())
	require.Len(t, q.Next(bob), QueueRoom)
}

// Whatever is queued comes out in order, and each run obeys the kernel's rule for segments.
func TestQueueKeepsDatagramsAndOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		type sent struct {
			head Head
			data []byte
		}
		var want []sent
		q := NewQueue(rapid.IntRange(1, 60).Draw(t, "limit"))
		for !q.Full() {
			to := rapid.SampledFrom([]netip.AddrPort{alice, bob}).Draw(t, "to")
			size := rapid.SampledFrom([]int{1, 100, 101, QueueRoom}).Draw(t, "size")
			ecn := rapid.SampledFrom([]packet.ECN{packet.NotECT, packet.NotECT, packet.ECT1}).Draw(t, "ecn")
			data := bytes.Repeat([]byte{byte(len(want))}, size)
			copy(q.Next(to), data)
			if ecn != packet.NotECT {
				q.Mark(ecn)
			}
			q.Commit(size)
			want = append(want, sent{Head{to, ecn}, data})
		}
		var got []sent
		for head, data := range q.Datagrams() {
			got = append(got, sent{head, data})
		}
		require.Equal(t, want, got)
		for i := range q.runs {
			r := &q.runs[i]
			require.LessOrEqual(t, r.count, MaxRun)
			require.LessOrEqual(t, r.size, maxRunBytes)
			require.Greater(t, r.size, r.segment*(r.count-1))
			require.LessOrEqual(t, r.size, r.segment*r.count)
		}
	})
}

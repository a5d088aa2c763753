package turn

import (
	"encoding/binary"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// However a connection's bytes come in pieces, records are whole when their last byte has come.
func TestRecordsAreCounted(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var stream []byte
		var ends []int
		for range rapid.IntRange(0, 9).Draw(t, "records") {
			size := rapid.SampledFrom([]int{0, 1, 200, 255, 256, 16640}).Draw(t, "size")
			stream = binary.BigEndian.AppendUint16(append(stream, 23, 3, 3), uint16(size))
			stream = append(stream, make([]byte, size)...)
			ends = append(ends, len(stream))
		}
		var r records
		for passed := 0; passed < len(stream); {
			n := rapid.IntRange(1, min(len(stream)-passed, 20000)).Draw(t, "piece")
			r.pass(stream[passed : passed+n])
			passed += n
			whole := 0
			for whole < len(ends) && ends[whole] <= passed {
				whole++
			}
			require.Equal(t, whole, r.whole)
		}
	})
}

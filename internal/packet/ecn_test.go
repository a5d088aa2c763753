package packet

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestECN(t *testing.T) {
	for class, want := range map[uint8]ECN{0: NotECT, 1: ECT1, 2: ECT0, 3: CE, 0xb8: NotECT, 0xb9: ECT1, 0xff: CE} {
		require.Equal(t, want, ECNOf(class))
	}
	require.Equal(t, []string{"Not-ECT", "ECT(1)", "ECT(0)", "CE"}, []string{NotECT.String(), ECT1.String(), ECT0.String(), CE.String()})
}

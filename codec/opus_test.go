package codec

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestInspectOpus(t *testing.T) {
	m, ok := Opus.Inspect([]byte{0xfc}, false)
	require.True(t, ok)
	require.Equal(t, Meta{Start: true, End: true}, m)
}

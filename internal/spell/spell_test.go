package spell

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestNearest(t *testing.T) {
	known := []string{"microphone", "camera", "screen", "at"}
	for word, want := range map[string]string{
		"micorphone":               "microphone",
		"Camera":                   "camera",
		"cam":                      "",
		"screens":                  "screen",
		"it":                       "at",
		"":                         "",
		"telephone":                "",
		strings.Repeat("a", 1<<20): "",
	} {
		require.Equal(t, want, Nearest(word, known), "%.20s", word)
	}
	require.Empty(t, Nearest("camera", nil))
}

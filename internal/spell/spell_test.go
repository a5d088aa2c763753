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
		"scerens":                  "screen",
		"ta":                       "at",
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

func TestDistance(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{
		{"", "", 0},
		{"", "abc", 3},
		{"count", "cuont", 1},
		{"count", "conut", 1},
		{"count", "cont", 1},
		{"count", "xount", 1},
		{"abcd", "badc", 2},
		{"abc", "cab", 2},
		{"kitten", "sitting", 3},
	} {
		require.Equal(t, c.want, Distance(c.a, c.b), "%s %s", c.a, c.b)
		require.Equal(t, c.want, Distance(c.b, c.a), "%s %s", c.b, c.a)
	}
}

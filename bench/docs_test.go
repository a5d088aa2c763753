package bench

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/bench/measure"
	"github.com/tolkyn/tolkyn/bench/netem"
	"github.com/tolkyn/tolkyn/bench/scenario"
)

// guide is read before TestMain leaves the package's folder.
var guide, errGuide = os.ReadFile("../docs/benchmarking.md")

func readGuide(t *testing.T) string {
	t.Helper()
	require.NoError(t, errGuide)
	return string(guide)
}

// The guide's table has every metric that conditions know, in their order and with what they mean, and no other.
func TestGuideHasAllMetrics(t *testing.T) {
	t.Parallel()
	_, table, found := strings.Cut(readGuide(t), "\n### All metrics\n")
	require.True(t, found)
	table, _, _ = strings.Cut(table, "\n### ")
	var rows [][]string
	for _, line := range strings.Split(table, "\n") {
		if strings.HasPrefix(line, "| `") {
			cells := strings.Split(strings.Trim(line, "|"), "|")
			for i := range cells {
				cells[i] = strings.TrimSpace(cells[i])
			}
			require.Len(t, cells, 6, line)
			require.NotEmpty(t, cells[4], "%s: what is it?", cells[0])
			rows = append(rows, cells[:4])
		}
	}
	var want [][]string
	for _, m := range measure.Metrics() {
		want = append(want, []string{"`" + m.Name + "`", m.Unit, m.Of, m.Default})
	}
	require.Equal(t, want, rows)
}

var (
	conditions = regexp.MustCompile(`--(?:pass|until) '([^']+)'`)
	// Files of one's own end in .yaml.
	scenarios = regexp.MustCompile(`--scenario (?:'([^']+)'|([a-z0-9-]+)(?:\s|$))`)
	networks  = regexp.MustCompile(`network=([a-z0-9.-]+)`)
)

// Whoever copies a command from the guide is not told of a wrong name.
func TestGuideCommands(t *testing.T) {
	t.Parallel()
	text := readGuide(t)
	found := conditions.FindAllStringSubmatch(text, -1)
	require.NotEmpty(t, found)
	for _, m := range found {
		_, err := measure.ParseCondition(m[1])
		require.NoError(t, err, m[0])
	}
	found = scenarios.FindAllStringSubmatch(text, -1)
	require.NotEmpty(t, found)
	for _, m := range found {
		_, err := scenario.Builtin(m[1] + m[2])
		require.NoError(t, err, m[0])
	}
	found = networks.FindAllStringSubmatch(text, -1)
	require.NotEmpty(t, found)
	for _, m := range found {
		_, ok := netem.Preset(m[1])
		require.True(t, ok, m[0])
	}
}

// The guide's scenario is one: whoever copies it can play it.
func TestGuideScenario(t *testing.T) {
	t.Parallel()
	_, text, found := strings.Cut(readGuide(t), "```yaml\n")
	require.True(t, found)
	text, _, _ = strings.Cut(text, "```")
	_, err := scenario.Parse("benchmarking.md", []byte(text), scenario.Known{
		Condition: func(text string) error {
			_, err := measure.ParseCondition(text)
			return err
		},
		Preset: func(string) error { return nil }, // it names none
		Trace:  func(string) error { return nil },
	})
	require.NoError(t, err)
}

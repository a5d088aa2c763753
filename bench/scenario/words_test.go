package scenario_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/bench/measure"
	"github.com/tolkyn/tolkyn/bench/netem"
	"github.com/tolkyn/tolkyn/bench/scenario"
	"github.com/tolkyn/tolkyn/internal/netsim"
)

// known is what the bench understands.
var known = scenario.Known{
	Condition: func(text string) error {
		_, err := measure.ParseCondition(text)
		return err
	},
	Preset: func(name string) error {
		if _, ok := netem.Preset(name); !ok {
			return fmt.Errorf("no preset %q", name)
		}
		return nil
	},
	Trace: func(text string) error {
		_, err := netem.ParseTrace(strings.NewReader(text), netsim.LinkConfig{})
		return err
	},
}

// TestBuiltinsSpeakTheBenchsWords: conditions, presets and traces of every built-in are understood where they are used.
func TestBuiltinsSpeakTheBenchsWords(t *testing.T) {
	for _, b := range scenario.Builtins() {
		for _, kind := range []string{"", " kind=full", " kind=light", " kind=browser"} {
			s, err := scenario.Builtin(b.Default + kind)
			require.NoError(t, err)
			require.NoError(t, scenario.Check(s, known), b.Default)
		}
	}
}

// TestDocs: the example in docs/scenarios.md is the one that is tested, every YAML block there is understood, and no built-in is
// missing.
func TestDocs(t *testing.T) {
	text, err := os.ReadFile("../../docs/scenarios.md")
	require.NoError(t, err)
	docs := string(text)
	example, err := os.ReadFile("testdata/example.yaml")
	require.NoError(t, err)
	require.Contains(t, docs, "```yaml\n"+string(example)+"```\n")
	for _, b := range scenario.Builtins() {
		require.Contains(t, docs, "| `"+b.Usage+"` |")
		require.Contains(t, docs, b.Default)
		require.Contains(t, docs, b.About)
	}
	blocks := strings.Split(docs, "```yaml\n")[1:]
	require.NotEmpty(t, blocks)
	for _, block := range blocks {
		file, _, _ := strings.Cut(block, "```")
		_, err := scenario.Parse("docs.yaml", []byte(file), known)
		require.NoError(t, err, "%s", file)
	}
	rows := strings.Split(docs, "\n")
	for _, name := range keys(string(scenario.Schema)) {
		found := false
		for _, row := range rows {
			found = found || strings.HasPrefix(row, "|") && strings.Contains(row, "`"+name+"`")
		}
		require.True(t, found, "docs/scenarios.md has no row that tells of %s", name)
	}
}

// keys lists the names of properties that stand in a schema: lines that open an object right below "properties".
func keys(schema string) []string {
	var all []string
	lines := strings.Split(schema, "\n")
	for i, line := range lines {
		name, isObject := strings.CutSuffix(strings.TrimSpace(line), ": {")
		name = strings.Trim(name, `"`)
		indent := len(line) - len(strings.TrimLeft(line, " "))
		for j := i - 1; isObject && j >= 0; j-- {
			above := len(lines[j]) - len(strings.TrimLeft(lines[j], " "))
			if above < indent {
				if strings.TrimSpace(lines[j]) == `"properties": {` {
					all = append(all, name)
				}
				break
			}
		}
	}
	return all
}

package voice

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// What repair has to reach, said a second time: a goal that is weakened in a case falls out of this table.
func TestGoalsOfEachCase(t *testing.T) {
	for name, goals := range map[string][]Goal{
		"clean":         {{Concealed, 0}, {Copies, 0}, {DownBytes, 1.001}, {UpBytes, 1.001}},
		"down-20":       {{Concealed, 0.002}, {DownBytes, 2.2}},
		"down-30":       {{Concealed, 0.01}, {DownBytes, 2.2}},
		"down-50":       {{Concealed, 0.06}, {DownBytes, 2.2}},
		"up-20":         {{Concealed, 0.002}, {UpBytes, 2.2}},
		"up-30":         {{Concealed, 0.01}, {UpBytes, 2.2}},
		"up-50":         {{Concealed, 0.06}, {UpBytes, 2.2}},
		"both-20":       {{Concealed, 0.005}},
		"both-30":       {{Concealed, 0.02}},
		"down-burst-20": {{Concealed, 0.04}},
		"saver":         {{UpTalk, 22}, {UpSilent, 4}, {DownTalk, 22}, {DownSilent, 4}},
	} {
		c, ok := Find(name)
		require.True(t, ok, name)
		require.Subset(t, c.Goals, goals, name)
	}
}

func TestEveryCaseIsSound(t *testing.T) {
	names := map[string]bool{}
	for _, c := range Cases() {
		require.False(t, names[c.Name], "%s is there twice", c.Name)
		names[c.Name] = true
		require.NotEmpty(t, c.About, c.Name)
		require.Contains(t, c.Goals, Goal{Wrong, 0}, c.Name)
		require.Less(t, c.From, c.Duration-lastly, c.Name)
		require.Zero(t, (c.From+c.Duration)%second, "%s: figures are taken at whole seconds", c.Name)
		require.Positive(t, c.Up.RTT, c.Name)
		for i, g := range c.Goals {
			require.NotEmpty(t, columnOf(g.Metric).title)
			for _, other := range c.Goals[:i] {
				require.NotEqual(t, other.Metric, g.Metric, "%s has two goals for %s", c.Name, g.Metric)
			}
		}
		for _, way := range c.Only {
			wayOf(t, way)
		}
	}
	_, ok := Find("none")
	require.False(t, ok)
}

// Figures are means of few runs, of which two are never alike: a goal counts as missed here when it is missed by a fifth.
const goalSlack = 1.2

// Every case meets its goals, all of them: what a change of the server, of jitter or of codec does to a voice shows here first.
func TestVoicesMeetTheirGoals(t *testing.T) {
	cases, seeds := Cases(), 3
	if raced { // goroutines share nothing but what any case has them share
		cases, seeds = nil, 1
		for _, name := range []string{"both-30", "saver-20", "two"} {
			c, _ := Find(name)
			cases = append(cases, c)
		}
	}
	rows, err := Play(t.Context(), startOurs, cases, Ways()[:1], seeds, quiet)
	require.NoError(t, err)
	for _, r := range rows {
		require.Equal(t, seeds, r.Seeds, r.Case.Name)
		require.Positive(t, r.Mean[DownBytes], r.Case.Name)
		for _, g := range r.Goals() {
			if g.Got > g.Value*goalSlack {
				t.Errorf("%s: %s is %.4g, goal at most %.4g", r.Case.Name, g.Metric, g.Got, g.Value)
			}
		}
	}
}

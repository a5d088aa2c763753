package measure

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestConditionsThatAreWrong(t *testing.T) {
	for text, want := range map[string]string{
		"":                              "nothing instead of a metric",
		"loss_p99":                      "nothing after loss_p99",
		"loss_p99>":                     "want a number",
		"loss_p99>x":                    "want a number",
		"loss_p99>-":                    "want a number",
		"loss_p99 => 1%":                "want one of < <= > >= ==",
		"los_p99>1%":                    "near are loss",
		"delais>1ms":                    "near are delay",
		"latency>1ms":                   "there are loss_before, loss, delay",
		"loss_p97>1%":                   `no statistic "p97"`,
		"audio_join>1s":                 "no metric is called",
		"delay_sum>1s":                  "no statistic \"sum\"",
		"delay>50":                      "write it in ms or s",
		"delay>50%":                     "write it in ms or s",
		"mos<4ms":                       "has no unit",
		"loss>5":                        "write 5%, or a number from 0 to 1",
		"bitrate<1ms":                   "kbit/s",
		"(loss>1%":                      "closing parenthesis",
		"loss>1% mos<4":                 "stands after the end: join",
		"loss>1%)":                      "stands after the end",
		"loss>1% or":                    "nothing instead of a metric",
		"loss>1% or or mos<4":           "no metric is called",
		"5<loss":                        "instead of a metric",
		"loss>1e400%":                   "write it in %",
		strings.Repeat("(", 40) + "1":   "more than 32 parentheses",
		strings.Repeat("loss>1% ", 600): "at most 4096",
	} {
		_, err := ParseCondition(text)
		require.ErrorContains(t, err, want, "%q", text)
	}
}

func TestMetricsAreAllReadable(t *testing.T) {
	for _, m := range Metrics() {
		for _, statistic := range []string{"", "_p5", "_p50", "_p90", "_p95", "_p99", "_min", "_max", "_mean"} {
			unit := m.Unit
			c, err := ParseCondition(m.Name + statistic + ">0" + unit)
			require.NoError(t, err)
			require.Len(t, c.Evaluate(new(Totals)).Parts, 1)
		}
		require.NotEmpty(t, m.About)
	}
}

func FuzzParseCondition(f *testing.F) {
	for _, text := range []string{
		"loss_p99>0.5% or delay_p99>50ms or mos_p5<4.0", "(wrong==0 and (missing==0)) or audio_bitrate_mean<=1.5Mbit/s",
		"join_p95<2s && gap_max<1500ms || lip_sync_p5>-45ms", "loss>", "((((", "delay_p99>50", "los<1%",
	} {
		f.Add(text)
	}
	run := new(Totals)
	m := NewAudio(AudioConfig{})
	m.Packet(0, 0, 100, 0, false)
	run.AddStream(m.Stream(1e9), m.Histograms())
	f.Fuzz(func(t *testing.T, text string) {
		c, err := ParseCondition(text)
		if err != nil {
			require.NotContains(t, err.Error(), "\n", "one clear line")
			return
		}
		require.Equal(t, text, c.String())
		out := c.Evaluate(run)
		require.NotEmpty(t, out.Parts)
		// A condition in parentheses is the same condition.
		again, err := ParseCondition("(" + text + ")")
		if len(text) < maxCondition-2 && strings.Count(text, "(") < maxNesting {
			require.NoError(t, err)
			require.Equal(t, out.Holds, again.Evaluate(run).Holds)
		}
	})
}

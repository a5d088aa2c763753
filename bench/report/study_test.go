package report_test

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
)

// A page has each plot thinned out to what can be seen, with its peaks in it, and says what met its goal.
func TestStudy(t *testing.T) {
	var b bytes.Buffer
	require.NoError(t, study().WriteHTML(&b))
	var data struct {
		Study []struct {
			Rows []struct {
				Name  string
				Plots []struct {
					Step  float64
					Lines []struct {
						Colour string
						Y      []*float64
					}
				}
			}
		}
	}
	classes := map[string]string{}
	for _, n := range page(t, b.Bytes()) {
		if attribute(n, "id") == "data" {
			require.NoError(t, json.Unmarshal([]byte(n.FirstChild.Data), &data))
		}
		if n.Data == "td" && n.FirstChild != nil {
			classes[n.FirstChild.Data] = attribute(n, "class")
		}
	}
	require.Len(t, data.Study, 2)
	require.Empty(t, data.Study[1].Rows)
	plot := data.Study[0].Rows[0].Plots[0]
	require.InDelta(t, 0.5, plot.Step, 1e-9, "3,000 steps of 100 ms in 600")
	require.Len(t, plot.Lines[1].Y, 600)
	require.InDelta(t, 800, *plot.Lines[1].Y[1], 1e-9)
	require.Nil(t, plot.Lines[0].Y[0], "infinity is not drawn")
	require.Equal(t, "c2", plot.Lines[1].Colour)
	require.Equal(t, "num met", classes["97.0"])
	require.Equal(t, "num bad", classes["80.0"])
	require.Equal(t, "num", classes["0.00"])
	require.Contains(t, b.String(), "1 <small>of 2 goals</small>")
}

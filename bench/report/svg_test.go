package report_test

import (
	"bytes"
	"encoding/xml"
	"io"
	"math"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/bench/report"
)

// element is one of a drawing, with its attributes and its text.
type element struct {
	name, text string
	attributes map[string]string
}

// drawn draws plots and reads what came of it.
func drawn(t *testing.T, title string, plots ...report.Plot) []element {
	var b bytes.Buffer
	require.NoError(t, report.WriteSVG(&b, title, "a link that changes", plots))
	var all []element
	for d := xml.NewDecoder(&b); ; {
		token, err := d.Token()
		if err == io.EOF {
			return all
		}
		require.NoError(t, err)
		switch token := token.(type) {
		case xml.StartElement:
			e := element{name: token.Name.Local, attributes: map[string]string{}}
			for _, a := range token.Attr {
				e.attributes[a.Name.Local] = a.Value
			}
			all = append(all, e)
		case xml.CharData:
			if len(all) > 0 {
				all[len(all)-1].text += strings.TrimSpace(string(token))
			}
		}
	}
}

// A drawing has a line for each of a plot's, between its axes, with gaps where there is no value; and what is told by names
// stays text.
func TestWriteSVG(t *testing.T) {
	hostile := `<script>alert("1")</script>`
	all := drawn(t, hostile, report.Plot{Title: "Rate", Unit: "kbit/s", Step: time.Second, Lines: []report.PlotLine{
		{Name: "capacity", Dash: "dash", Values: []float64{1000, math.Inf(1), math.NaN(), 1000, 1200}},
		{Name: hostile, Values: []float64{0, 300, 600, 900, 1450}},
	}})
	var texts, courses []string
	for _, e := range all {
		require.NotEqual(t, "script", e.name)
		switch {
		case e.name == "text":
			texts = append(texts, e.text)
		case e.attributes["stroke-linejoin"] != "":
			courses = append(courses, e.attributes["d"])
		}
	}
	require.Subset(t, texts, []string{hostile, "Rate, kbit/s", "capacity", "0", "500", "1,000", "1,500", "5 s"})
	require.Len(t, courses, 2)
	require.Equal(t, 2, strings.Count(courses[0], "M"), "a gap begins a line anew")
	require.Equal(t, 1, strings.Count(courses[1], "M"))
	heights := strings.FieldsFunc(courses[1], func(r rune) bool { return r == 'M' || r == 'L' || r == ' ' })
	bottom, err := strconv.ParseFloat(heights[1], 64)
	require.NoError(t, err)
	top, err := strconv.ParseFloat(heights[len(heights)-1], 64)
	require.NoError(t, err)
	require.InDelta(t, 230*1450.0/1500, bottom-top, 0.2, "1,450 of an axis to 1,500")
}

// What is never more than nothing has an axis all the same, and large numbers are written out.
func TestWriteSVGOfExtremes(t *testing.T) {
	flat := drawn(t, "flat", report.Plot{Title: "Queue", Unit: "ms", Step: time.Second, Lines: []report.PlotLine{{Name: "own", Values: []float64{0, 0}}}})
	large := drawn(t, "large", report.Plot{Title: "Rate", Unit: "kbit/s", Step: time.Second, Lines: []report.PlotLine{{Name: "all", Values: []float64{29e6, 1}}}})
	empty := drawn(t, "empty", report.Plot{Title: "Rate", Unit: "kbit/s", Step: time.Second})
	texts := func(all []element) (s []string) {
		for _, e := range all {
			s = append(s, e.text)
		}
		return s
	}
	require.Contains(t, texts(flat), "1")
	require.Contains(t, texts(large), "30,000,000")
	for _, all := range [][]element{flat, large, empty} {
		for _, e := range all {
			for _, v := range e.attributes {
				require.NotContains(t, v, "NaN")
				require.NotContains(t, v, "Inf")
			}
		}
	}
}

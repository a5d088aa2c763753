package report

import "strings"

// Results are a comparison's rows for bench/results: of each metric one of A and one of B, whose Ratio is B ÷ A, the median of the
// pairs. Metrics that neither has are left out.
func (c Comparison) Results(command string) []Result {
	var out []Result
	for _, m := range c.Metrics {
		if len(m.A.Values) == 0 && len(m.B.Values) == 0 {
			continue
		}
		name := "compare_" + slug(c.A.Last.Scenario.Name) + "_" + slug(m.Name)
		a, b := slug(c.A.Last.Server.Kind), slug(c.B.Last.Server.Kind)
		for _, side := range []struct {
			name, peer string
			spread     Spread
			ratio      float64
		}{{name + "_" + a + "_beside_" + b, "", m.A, 0}, {name + "_" + b, c.B.Name, m.B, m.Ratio.Median}} {
			if len(side.spread.Values) == 0 {
				continue
			}
			r := New(command, side.name, m.Unit, side.spread.Values, nil)
			r.Value, r.Ratio, r.Peer = side.spread.Median, side.ratio, side.peer
			out = append(out, r)
		}
	}
	return out
}

// slug makes a name's words one: letters and digits, joined by underscores.
func slug(text string) string {
	words := strings.FieldsFunc(strings.ToLower(text), func(c rune) bool { return (c < 'a' || c > 'z') && (c < '0' || c > '9') })
	return strings.Join(words, "_")
}

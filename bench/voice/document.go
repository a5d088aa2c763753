package voice

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/tolkyn/tolkyn/bench/report"
)

// WriteMarkdown writes rows as tables for a document: concealed, delay and bytes of each way, then what the first way's figures
// are beside its goals. ✗ stands behind what misses one.
func (t Table) WriteMarkdown(w io.Writer) error {
	out := bufio.NewWriter(w)
	seeds := 0
	if len(t.Rows) > 0 {
		seeds = t.Rows[0].Seeds
	}
	fmt.Fprintf(out, "Made by `%s` at commit `%.12s`, %s; means of %d seeds. ✗: the goal is missed.\n", t.Command, t.Commit, t.Date, seeds)
	ways := waysOf(t.Rows)
	fmt.Fprintf(out, "\n**Concealed, %%** / heard later, ms / bytes on the wire of the hop that loses, ×\n\n| | goal | %s |\n|%s\n",
		strings.Join(ways, " | "), strings.Repeat("---|", len(ways)+2))
	for _, rows := range byCase(t.Rows) {
		c := rows[0].Case
		fmt.Fprintf(out, "| `%s`: %s | %s |", c.Name, c.About, cells(func(m Metric) string { return columnOf(m).goal(c) }, c.hop()))
		for _, way := range ways {
			i := slices.IndexFunc(rows, func(r Row) bool { return r.Way == way })
			if i < 0 {
				fmt.Fprint(out, " – |")
				continue
			}
			fmt.Fprintf(out, " %s |", cells(func(m Metric) string { return marked(rows[i], m) }, c.hop()))
		}
		fmt.Fprintln(out)
	}
	t.rates(out)
	for _, way := range ways[:min(len(ways), 1)] {
		missed, of := MissedBy(way, t.Rows)
		fmt.Fprintf(out, "\n%s meets %d of %d goals.\n", way, of-len(missed), of)
		for _, m := range missed {
			col := columnOf(m.Goal.Metric)
			fmt.Fprintf(out, "- `%s`: %s %.*f, goal %s\n", m.Row.Case.Name, col.title, col.digits+1, m.Goal.Got*col.scale, col.goal(m.Row.Case))
		}
	}
	return out.Flush()
}

// hop is the bytes that a case is about: of the mouths' way where that alone loses.
func (c Case) hop() Metric {
	loses := func(h Hop) bool { return h.Loss > 0 || h.Burst.Enter > 0 }
	if loses(c.Up) && !loses(c.Down) && len(c.Ears) > 0 {
		return UpBytes
	}
	return DownBytes
}

func cells(of func(Metric) string, bytes Metric) string {
	var all []string
	for _, m := range []Metric{Concealed, DelayMean, bytes} {
		text := of(m)
		if text == "" {
			text = "·"
		}
		all = append(all, text)
	}
	if strings.Join(all, "") == "···" {
		return ""
	}
	return strings.Join(all, " / ")
}

func marked(r Row, m Metric) string {
	col := columnOf(m)
	text := col.figure(r)
	if col.state(r) == report.Missed && r.Way == Ways()[0].Name {
		text += " ✗"
	}
	return text
}

// rates are those of clients that count each byte.
func (t Table) rates(out *bufio.Writer) {
	began := false
	for _, r := range t.Rows {
		if _, ok := r.Mean[UpTalk]; !ok {
			continue
		}
		if !began {
			fmt.Fprint(out, "\n**All that is on the wire of a client, kbit/s**\n\n| | way | up, talks | up, silent | down, other talks | down, other silent |\n|---|---|---|---|---|---|\n")
			began = true
		}
		fmt.Fprintf(out, "| `%s` | %s |", r.Case.Name, r.Way)
		for _, m := range []Metric{UpTalk, UpSilent, DownTalk, DownSilent} {
			fmt.Fprintf(out, " %s |", marked(r, m))
		}
		fmt.Fprintln(out)
	}
}

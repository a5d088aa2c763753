package cc

import (
	"bufio"
	"fmt"
	"io"
	"path"
	"strconv"
	"strings"

	"github.com/tolkyn/tolkyn/bench/report"
)

// sheet is one table of a document: what is asked of cases that are alike, with the controllers beside each other.
type sheet struct {
	title   string
	cases   []string // patterns of names
	metrics []Metric
}

var sheets = []sheet{
	{"One flow", []string{"const-*", "5.1*", "5.3", "loss-*", "queue-*", "6.2-5.1", "8869-wired", "silence"}, []Metric{Util, QueueP95, Loss}},
	{"The same: the end, and both queues", []string{"const-*", "5.1"}, []Metric{UtilSteady, QueueMean, SenderQueueP95}},
	{"How soon", []string{"const-1M", "const-3M", "const-10M", "5.1*"}, []Metric{Conv, Rise, Settle}},
	{"Several flows", []string{"5.2", "5.4", "5.5", "5.8", "6.1", "6.2-5.4", "6.3", "8869-wifi-*"}, []Metric{Jain, QueueP95, FairLoss}},
	{"After a pause of one of three", []string{"5.8"}, []Metric{Refill, Rejoin}},
	{"Beside TCP", []string{"5.6-reno-*", "5.6-cubic-*", "5.7"}, []Metric{Share, TCPShare}},
	{"L4S", []string{"l4s-*"}, []Metric{UtilSteady, QueueP95, QueueP99}},
	{"Networks that move", []string{"train", "lift", "lte-*"}, []Metric{Util, QueueP95, Loss}},
	{"Belief", []string{"app-limited", "lie-*"}, []Metric{Over, ProbeShare}},
	{"An SFU's downlink", []string{"sfu-*"}, []Metric{Utility, WrongLayers, Flaps, QueueP95}},
	{"An SFU's downlink at steps", []string{"sfu-5.1", "sfu-drop"}, []Metric{Down, UpMax}},
}

// WriteMarkdown writes rows as tables for a document. ✗ stands behind what misses its goal.
func (t Table) WriteMarkdown(w io.Writer) error {
	d := document{bufio.NewWriter(w), t.Rows, controllers(t.Rows)}
	fmt.Fprintf(d.out, "Made by `%s` at commit `%.12s`, %s; means of %s seeds. ✗: the goal is missed.\n", t.Command, t.Commit, t.Date, seedsOf(t.Rows))
	for _, s := range sheets {
		d.sheet(s)
	}
	d.grid()
	d.met()
	d.missed()
	return d.out.Flush()
}

// seedsOf says how many seeds rows are of: those of the first controller, and of the others where these are fewer.
func seedsOf(rows []Row) string {
	if len(rows) == 0 {
		return "0"
	}
	most, least := rows[0].Seeds, rows[0].Seeds
	for _, r := range rows {
		least = min(least, r.Seeds)
	}
	if least == most {
		return strconv.Itoa(most)
	}
	return fmt.Sprintf("%d (peers: %d)", most, least)
}

type document struct {
	out         *bufio.Writer
	rows        []Row
	controllers []string
}

// head begins a table.
func (d document) head(title string, first ...string) {
	fmt.Fprintf(d.out, "\n%s\n\n| %s |\n|%s\n", title, strings.Join(append(first, d.controllers...), " | "), strings.Repeat("---|", len(first)+len(d.controllers)))
}

func (d document) sheet(s sheet) {
	var titles []string
	for _, m := range s.metrics {
		titles = append(titles, columnOf(m).title)
	}
	began := false
	for i := 0; i < len(d.rows); i += len(d.controllers) {
		rows := d.rows[i : i+len(d.controllers)]
		c := rows[0].Case
		if c.Grid || !s.shows(c.Name) {
			continue
		}
		if !began {
			d.head(fmt.Sprintf("**%s**: %s", s.title, strings.Join(titles, " / ")), "", "goal")
			began = true
		}
		fmt.Fprintf(d.out, "| `%s` | %s |", c.Name, s.goal(c))
		for _, r := range rows {
			fmt.Fprintf(d.out, " %s |", s.cell(r))
		}
		fmt.Fprintln(d.out)
	}
}

func (s sheet) shows(name string) bool {
	for _, pattern := range s.cases {
		if ok, _ := path.Match(pattern, name); ok {
			return true
		}
	}
	return false
}

func (s sheet) goal(c Case) string {
	var all []string
	any := false
	for _, m := range s.metrics {
		g := columnOf(m).goal(c)
		any = any || g != ""
		if g == "" {
			g = "·"
		}
		all = append(all, g)
	}
	if !any {
		return ""
	}
	return strings.Join(all, " / ")
}

func (s sheet) cell(r Row) string {
	var all []string
	for _, m := range s.metrics {
		col := columnOf(m)
		text := col.figure(r)
		if col.state(r) == report.Missed {
			text += " ✗"
		}
		all = append(all, text)
	}
	return strings.Join(all, " / ")
}

// grid is RFC 8868's many cases.
func (d document) grid() {
	kinds := gridKinds(d.rows)
	if len(kinds) == 0 {
		return
	}
	d.head("**"+gridName+"**: "+gridAbout, "each way, loss")
	for _, kind := range kinds {
		fmt.Fprintf(d.out, "| %s |", kind)
		for _, name := range d.controllers {
			fmt.Fprintf(d.out, " %s |", gridCell(d.rows, name, kind))
		}
		fmt.Fprintln(d.out)
	}
}

// met is how many goals each reached.
func (d document) met() {
	d.head("**Goals**", "")
	fmt.Fprint(d.out, "| met |")
	for _, name := range d.controllers {
		missed, of := MissedBy(name, d.rows)
		fmt.Fprintf(d.out, " %d of %d |", of-len(missed), of)
	}
	fmt.Fprintln(d.out)
}

// missed is what the first controller did not reach.
func (d document) missed() {
	if len(d.controllers) == 0 {
		return
	}
	missed, _ := MissedBy(d.controllers[0], d.rows)
	if len(missed) == 0 {
		return
	}
	fmt.Fprintf(d.out, "\n**Missed by %s**\n\n| | figure | goal | it has | who does better |\n|---|---|---|---|---|\n", d.controllers[0])
	for _, m := range missed {
		col := columnOf(m.Goal.Metric)
		better := ""
		if m.Behind() {
			better = fmt.Sprintf("%s, %.*f", m.Peer, col.digits, m.Best*col.scale)
		}
		fmt.Fprintf(d.out, "| `%s` | %s | %s | %s | %s |\n", m.Row.Case.Name, col.title, col.goal(m.Row.Case), col.figure(m.Row), better)
	}
}

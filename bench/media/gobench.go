//go:build linux

package main

import (
	"context"
	"regexp"
	"strings"

	"github.com/tolkyn/tolkyn/bench/report"
)

// codecs is what a packet costs in user space: read, and made ready for a subscriber.
func codecs(ctx context.Context, b *bench, name string) ([]report.Result, error) {
	read, err := b.goBench(ctx, name, "Inspect|Descriptor|ReadOpus|ReadRED", "./codec")
	if err != nil {
		return nil, err
	}
	next, err := b.goBench(ctx, name, "Next|Resend|Switch", "./sfu/internal/downlink")
	if err != nil {
		return nil, err
	}
	var out []report.Result
	for _, m := range append(read, next...) {
		if values := m.time(); len(values) > 0 && !strings.Contains(m.Name, "memcpy") { // of the machine, for comparison
			out = append(out, report.New(b.command(name), name+"_"+m.row(), "ns", values, nil))
		}
	}
	return out, nil
}

// rings is what the history of an encoding holds.
func rings(ctx context.Context, b *bench, name string) ([]report.Result, error) {
	all, err := b.goBench(ctx, name, "Ring", "./sfu/internal/uplink")
	if err != nil {
		return nil, err
	}
	var out []report.Result
	for _, m := range all {
		out = append(out, report.New(b.command(name), name+"_"+strings.TrimPrefix(m.row(), "ring_"), "B", m.Values["ring-B"], nil))
	}
	return out, nil
}

// measured is one Go benchmark: of each unit a value a run.
type measured struct{ report.GoBenchmark }

// time prefers the process's own time, in which a busy machine does not show, and what is of one packet where one turn has several.
func (m measured) time() []float64 {
	for _, unit := range []string{"cpu-ns/op", "ns/packet", "ns/op"} {
		if values := m.Values[unit]; len(values) > 0 {
			return values
		}
	}
	return nil
}

// row names what was measured as codec and decision: Inspect/vp8-key is vp8_key_inspect, Next/vp9/thinned is vp9_thinned.
func (m measured) row() string {
	what, of, parted := strings.Cut(m.Name, "/")
	codec, decision, decided := strings.Cut(of, "/")
	switch {
	case strings.HasPrefix(what, "Inspect"):
		return slug(strings.TrimPrefix(what, "Inspect")+" "+of) + "_inspect"
	case !parted:
		return slug(apart(what))
	case decided:
		return slug(codec) + "_" + slug(decision)
	}
	return slug(apart(what)) + "_" + slug(of)
}

var capitals = regexp.MustCompile(`([a-z])([A-Z])`)

// apart puts a space before each word of a Go name.
func apart(name string) string { return capitals.ReplaceAllString(name, "$1 $2") }

// slug makes a name's words one: letters and digits, joined by underscores.
func slug(text string) string {
	words := strings.FieldsFunc(strings.ToLower(text), func(c rune) bool { return (c < 'a' || c > 'z') && (c < '0' || c > '9') })
	return strings.Join(words, "_")
}

// goBench runs the benchmarks of a package that match, as often as rows are measured.
func (b *bench) goBench(ctx context.Context, name, match, of string) ([]measured, error) {
	b.progress("%s: the benchmarks of %s", name, of)
	found, err := report.GoBench(ctx, of, match, "0.2s", b.runs)
	if err != nil {
		return nil, err
	}
	return measuredOf(found), nil
}

func measuredOf(found []report.GoBenchmark) []measured {
	all := make([]measured, len(found))
	for i, m := range found {
		all[i] = measured{m}
	}
	return all
}

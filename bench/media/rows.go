//go:build linux

package main

import (
	"context"
	"fmt"

	"github.com/tolkyn/tolkyn/bench/report"
)

// row is one measurement, of which several results may come. Their names begin with its own.
type row struct {
	name    string
	grounds bool // it is measured on other grounds too
	measure func(ctx context.Context, b *bench, name string) ([]report.Result, error)
}

// rows in order: those that another server is needed for come last.
var rows = []row{
	{"media_codec", false, codecs},
	{"media_ring_bytes", false, rings},
	// Each subscriber shows the picture in another size every 2 s, and gets the encoding that fits.
	load("media_fanout_switching", perOut, "webinar 1x100 kind=light layers=3 view=1280x720,320x180,640x360,2s"),
	load("media_meeting_6x6", perInAndOut, "meeting 6x6 kind=light layers=3"),
	load("media_meetings_10_of_6x6", perInAndOut, "meeting 6x6 kind=light layers=3 rooms=10"),
	load("media_pairs_50", perInAndOut, "pairs 50 kind=light"),
	load("media_pairs_500", perInAndOut, "pairs 500 kind=light"),
	load("media_pairs_1000", perInAndOut, "pairs 1000 kind=light"),
	{"media_subscribers", true, subscribers},
	load("media_room_1000", perInAndOut, "room 20x1000"),
	// As many people in as many packets, ten to a room.
	load("media_room_10", perInAndOut, "room 9x10 rooms=100"),
	beside("media_livekit_fanout", "webinar 1x60", "webinar 1x40", "webinar 1x20"),
	beside("media_livekit_meeting", "meeting 8", "meeting 6", "meeting 4"),
	beside("media_livekit_pairs", "pairs 60", "pairs 40", "pairs 20"),
}

// cost is CPU time a packet in a report, in ns.
type cost func(report.Cost) float64

func perOut(c report.Cost) float64      { return c.PerReceivedNS }
func perInAndOut(c report.Cost) float64 { return c.PerInAndOutNS }

// load is a row of one scenario.
func load(name string, of cost, scenario string) row {
	return row{name, true, func(ctx context.Context, b *bench, name string) ([]report.Result, error) {
		f := figures{of: of}
		if err := b.repeat(ctx, name, scenario, b.runs, &f); err != nil {
			return nil, err
		}
		return f.rows(name, b.command(name)), nil
	}}
}

// subscribers is what a packet costs with more and more of them, in turn, so that the machine is as slow to all.
func subscribers(ctx context.Context, b *bench, name string) ([]report.Result, error) {
	counts := []int{10, 100, 1000}
	all := make([]figures, len(counts))
	for range b.runs {
		for i, n := range counts {
			all[i].of = perOut
			if err := b.repeat(ctx, fmt.Sprintf("%s_%d", name, n), fmt.Sprintf("webinar 1x%d kind=light profile=360p", n), 1, &all[i]); err != nil {
				return nil, err
			}
		}
	}
	var out []report.Result
	var rises []float64
	for i, n := range counts {
		out = append(out, all[i].rows(fmt.Sprintf("%s_%d", name, n), b.command(name))...)
	}
	first, last := all[0].server, all[len(all)-1].server
	for i := range first {
		rises = append(rises, last[i]/first[i])
	}
	// How much dearer a packet is with most than with fewest, run by run.
	return append(out, report.New(b.command(name), name+"_rise", "ratio", rises, nil)), nil
}

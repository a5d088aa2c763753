package alloc_test

import (
	"fmt"
	"time"

	"github.com/tolkyn/tolkyn/sfu/alloc"
	"github.com/tolkyn/tolkyn/sfu/bwe"
)

// A speaker and two others behind a path that falls from 2.5 to 0.6 Mbit/s.
func ExampleAllocator() {
	layers := []alloc.Layer{
		{Bits: 150 * bwe.Kbps, Width: 320, Height: 180, Rate: 30},
		{Bits: 500 * bwe.Kbps, Width: 640, Height: 360, Rate: 30},
		{Bits: 1500 * bwe.Kbps, Width: 1280, Height: 720, Rate: 30},
	}
	sources := []alloc.Source{
		{Kind: alloc.Speaker, Layers: layers, Current: alloc.Paused},
		{Layers: layers[:2], Current: alloc.Paused},
		{Layers: layers[:1], Current: alloc.Paused},
	}
	var a alloc.Allocator
	for now, bits := range []bwe.Bitrate{2500 * bwe.Kbps, 600 * bwe.Kbps, 250 * bwe.Kbps} {
		at := time.Duration(now) * time.Minute
		choices, wants, _ := a.Allocate(at, bits, sources, nil)
		fmt.Println("of", bits, "with", wants, "wanted")
		for i, c := range choices {
			fmt.Println("  source", i, "layer", c.Layer, "limited", c.Limited)
			if c.Layer != sources[i].Current {
				sources[i].Current, sources[i].Since = c.Layer, at
			}
		}
	}
	// Output:
	// of 2.50 Mbit/s with 2.15 Mbit/s wanted
	//   source 0 layer 2 limited false
	//   source 1 layer 1 limited false
	//   source 2 layer 0 limited false
	// of 600 kbit/s with 2.15 Mbit/s wanted
	//   source 0 layer 0 limited true
	//   source 1 layer 0 limited true
	//   source 2 layer 0 limited false
	// of 250 kbit/s with 2.15 Mbit/s wanted
	//   source 0 layer 0 limited true
	//   source 1 layer -1 limited true
	//   source 2 layer -1 limited true
}

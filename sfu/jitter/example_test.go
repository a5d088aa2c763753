package jitter_test

import (
	"fmt"
	"time"

	"github.com/tolkyn/tolkyn/sfu/jitter"
)

// Ten packets of 20 ms, of which the fifth never comes, played out.
func ExampleBuffer() {
	buffer, err := jitter.New(jitter.Config{Start: 20 * time.Millisecond})
	if err != nil {
		fmt.Println(err)
		return
	}
	for now, sent := time.Duration(0), 0; now < 220*time.Millisecond; now += jitter.Period {
		if at := time.Duration(sent) * 20 * time.Millisecond; at == now && sent < 10 {
			if sent != 4 {
				buffer.Insert(now, jitter.Packet{
					Sequence: uint16(sent), Timestamp: uint32(960 * sent), Samples: 960, Value: fmt.Sprint("packet ", sent),
				})
			}
			sent++
		}
		for _, part := range buffer.Pull(now).Parts {
			switch part.Action {
			case jitter.Play, jitter.Accelerate, jitter.Expand:
				if part.Offset == 0 {
					fmt.Println(now, part.Action, part.Packet.Value, "after", now-part.Arrived)
				}
			default:
				fmt.Println(now, part.Action)
			}
		}
	}
	s := buffer.Stats()
	fmt.Println("played", s.Played, "concealed", s.Concealed, "silent", s.Silent, "of", s.Pulled)
	// Output:
	// 0s silence
	// 10ms silence
	// 20ms play packet 0 after 20ms
	// 40ms play packet 1 after 20ms
	// 60ms play packet 2 after 20ms
	// 80ms play packet 3 after 20ms
	// 100ms conceal
	// 110ms conceal
	// 120ms play packet 5 after 20ms
	// 140ms play packet 6 after 20ms
	// 160ms play packet 7 after 20ms
	// 180ms play packet 8 after 20ms
	// 200ms play packet 9 after 20ms
	// played 8640 concealed 960 silent 960 of 10560
}

//go:build linux

package main

import (
	"fmt"
	"strings"

	"github.com/tolkyn/tolkyn/bench/report"
)

// handover keeps what a packet costs that a relay hands to the SFU in memory ÷ one on the SFU's own socket: the shard's
// benchmark, in this tree.
func (b *bench) handover() error {
	all, err := report.GoBench(b.ctx, "./sfu/internal/shard", "BenchmarkCarriedOnSockets", "300ms", b.pairs)
	if err != nil {
		return err
	}
	for _, m := range all {
		// CarriedOnSockets/1_to_10,_1064_bytes is turn_handed_over_1to10_1064.
		_, what, _ := strings.Cut(m.Name, "/")
		name := "turn_handed_over_" + strings.NewReplacer("_to_", "to", ",", "", "_bytes", "").Replace(what)
		r := report.New(command, name, "of the direct way", m.Values["times"], nil)
		b.results = append(b.results, r)
		fmt.Printf("%-32s %9.4g of the direct way, of %.2f\n", name, r.Value, m.Values["times"])
	}
	return nil
}

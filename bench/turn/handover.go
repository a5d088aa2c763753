//go:build linux

package main

import (
	"bufio"
	"bytes"
	"fmt"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/tolkyn/tolkyn/bench/report"
)

var handedOver = regexp.MustCompile(`^BenchmarkCarriedOnSockets/(\d+)_to_(\d+),_(\d+)_bytes\S*\s.*\s([0-9.]+) times`)

// handover keeps what a packet costs that a relay hands to the SFU in memory ÷ one on the SFU's own socket: the shard's
// benchmark, in this tree.
func (b *bench) handover() error {
	cmd := exec.CommandContext(b.ctx, "go", "test", "./sfu/internal/shard", "-run", "^$", "-bench", "BenchmarkCarriedOnSockets",
		"-benchtime", "300ms", "-count", strconv.Itoa(b.pairs))
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w: %s", err, tail(out))
	}
	ratios := map[string][]float64{}
	for lines := bufio.NewScanner(bytes.NewReader(out)); lines.Scan(); {
		if found := handedOver.FindStringSubmatch(lines.Text()); found != nil {
			name := fmt.Sprintf("turn_handed_over_%sto%s_%s", found[1], found[2], found[3])
			ratio, err := strconv.ParseFloat(found[4], 64)
			if err != nil {
				return err
			}
			ratios[name] = append(ratios[name], ratio)
		}
	}
	if len(ratios) == 0 {
		return fmt.Errorf("the benchmark told nothing: %s", strings.TrimSpace(string(tail(out))))
	}
	names := make([]string, 0, len(ratios))
	for name := range ratios {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		r := report.New(command, name, "of the direct way", ratios[name], nil)
		b.results = append(b.results, r)
		fmt.Printf("%-32s %9.4g of the direct way, of %.2f\n", name, r.Value, ratios[name])
	}
	return nil
}

package report

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// GoBenchmark is one Go benchmark: of each unit a value a run.
type GoBenchmark struct {
	Name   string // without Benchmark and the number of processors
	Values map[string][]float64
}

// GoBench runs the benchmarks of a package of this tree that match, count times for as long as benchtime says, as go test takes it.
func GoBench(ctx context.Context, of, match, benchtime string, count int) ([]GoBenchmark, error) {
	arguments := []string{"test", "-run", "^$", "-bench", match, "-benchtime", benchtime, "-count", strconv.Itoa(count), of}
	said, err := exec.CommandContext(ctx, "go", arguments...).CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("go %s: %w\n%s", strings.Join(arguments, " "), err, said)
	}
	all := ParseGoBench(said)
	if len(all) == 0 {
		return nil, fmt.Errorf("go %s: there is no such benchmark", strings.Join(arguments, " "))
	}
	return all, nil
}

var processorsOf = regexp.MustCompile(`-[0-9]+$`)

// ParseGoBench reads Go's benchmark format: a name, how often it ran, then values with their units.
func ParseGoBench(text []byte) []GoBenchmark {
	var all []GoBenchmark
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		name, ok := strings.CutPrefix(lines.Text(), "Benchmark")
		if !ok || len(fields) < 4 {
			continue
		}
		name = processorsOf.ReplaceAllString(strings.Fields(name)[0], "")
		i := slices.IndexFunc(all, func(m GoBenchmark) bool { return m.Name == name })
		if i < 0 {
			i = len(all)
			all = append(all, GoBenchmark{name, map[string][]float64{}})
		}
		for j := 2; j+1 < len(fields); j += 2 {
			if v, err := strconv.ParseFloat(fields[j], 64); err == nil {
				all[i].Values[fields[j+1]] = append(all[i].Values[fields[j+1]], v)
			}
		}
	}
	return all
}

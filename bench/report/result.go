package report

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"time"
)

// Result is one row of a file under bench/results.
type Result struct {
	Name    string  `json:"name"`
	Value   float64 `json:"value"` // the median of Runs
	Unit    string  `json:"unit"`
	Floor   float64 `json:"floor"` // 0: none
	Ratio   float64 `json:"ratio"` // value ÷ floor; of a peer: its value ÷ ours, the median of pairs
	Peer    string  `json:"peer"`  // the server measured, where it is not ours
	Runs    int     `json:"runs"`
	Command string  `json:"command"`
	Commit  string  `json:"commit"`
	CPU     string  `json:"cpu"`
	Go      string  `json:"go"`
	Date    string  `json:"date"` // UTC
}

// New makes a row from what was measured with a command on this machine now. No floors: there is none.
func New(command, name, unit string, values, floors []float64) Result {
	r := Result{
		Name: name, Value: Median(values), Unit: unit, Runs: len(values), Command: command,
		Commit: commit(), CPU: cpuModel(), Go: runtime.Version(), Date: time.Now().UTC().Format(time.DateOnly),
	}
	if len(floors) > 0 {
		r.Floor = Median(floors)
		r.Ratio = r.Value / r.Floor
	}
	return r
}

// Median returns the middle value, the upper one of two; 0 of none.
func Median(v []float64) float64 {
	if len(v) == 0 {
		return 0
	}
	return slices.Sorted(slices.Values(v))[len(v)/2]
}

// Keep replaces the measured rows in a file; rows that were not measured now stay as they are.
func Keep(path string, measured []Result) error {
	var kept []Result
	if old, err := os.ReadFile(path); err == nil {
		if err := json.Unmarshal(old, &kept); err != nil {
			return fmt.Errorf("%s is not a file of results: %w", path, err)
		}
	}
	for _, r := range measured {
		if i := slices.IndexFunc(kept, func(k Result) bool { return k.Name == r.Name }); i >= 0 {
			kept[i] = r
		} else {
			kept = append(kept, r)
		}
	}
	out, err := json.MarshalIndent(kept, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(out, '\n'), 0o644)
}

func commit() string {
	out, err := exec.Command("git", "describe", "--always", "--dirty").Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(out))
}

func cpuModel() string {
	b, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return runtime.GOARCH
	}
	for line := range strings.SplitSeq(string(b), "\n") {
		if v, ok := strings.CutPrefix(line, "model name"); ok {
			return fmt.Sprintf("%d × %s", runtime.NumCPU(), strings.TrimLeft(v, "\t :"))
		}
	}
	return runtime.GOARCH
}

package report

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
)

// Figure writes a value with so many digits behind the point; – for what was not measured.
func Figure(v float64, measured bool, digits int) string {
	if !measured {
		return "–"
	}
	return fmt.Sprintf("%.*f", digits, v)
}

// Bound writes a goal, "≤ 2.5": with at most so many digits behind the point, and no zeros at their end.
func Bound(sign string, v float64, digits int) string {
	s := fmt.Sprintf("%.*f", digits, v)
	if strings.Contains(s, ".") {
		s = strings.TrimRight(strings.TrimRight(s, "0"), ".")
	}
	return sign + " " + s
}

// StateOf is how a cell stands to a goal.
func StateOf(met bool) CellState {
	if met {
		return Met
	}
	return Missed
}

// Pad fills s with spaces to a width, in characters, one at least; a negative width puts them before it.
func Pad(s string, width int) string {
	space := strings.Repeat(" ", max(max(width, -width)-len([]rune(s)), 1))
	if width < 0 {
		return space + s
	}
	return s + space
}

// Origin says where rows come from.
type Origin struct {
	Command string `json:"command"`
	Commit  string `json:"commit"`
	Date    string `json:"date"`
}

// WriteIndented writes v as JSON that people read.
func WriteIndented(w io.Writer, v any) error {
	b, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		return fmt.Errorf("make JSON: %w", err)
	}
	if _, err := w.Write(append(b, '\n')); err != nil {
		return fmt.Errorf("write JSON: %w", err)
	}
	return nil
}

package config

import (
	"fmt"
	"strings"
)

// Problem is one thing that is wrong: where, which key, and what to do about it.
type Problem struct {
	Origin string // "tolkyn.yaml:4", "TOLKYN_HTTP__LISTEN", "--listen"; empty when a default is at fault
	Key    string // "http.listen"; empty when no single key is at fault
	Text   string // what was expected and how to mend it
}

// String is one line: origin, key, text.
func (p Problem) String() string {
	var parts []string
	for _, part := range []string{p.Origin, p.Key, p.Text} {
		if part != "" {
			parts = append(parts, part)
		}
	}
	return strings.Join(parts, ": ")
}

// Problems is everything that is wrong with a configuration.
type Problems []Problem

// Error lists the problems, a line each.
func (ps Problems) Error() string {
	var text strings.Builder
	if len(ps) == 1 {
		text.WriteString("the configuration has a problem:")
	} else {
		fmt.Fprintf(&text, "the configuration has %d problems:", len(ps))
	}
	for _, p := range ps {
		text.WriteString("\n  " + p.String())
	}
	return text.String()
}

package scenario

import (
	"fmt"
	"strings"
	"unicode"
)

// Problem is one thing that is wrong: where, which key, and what to do about it.
type Problem struct {
	Origin string // "school.yaml:4"; empty when the scenario was not read from a file
	Key    string // "rooms[0].callers[1].kind"; empty when no single key is at fault
	Text   string // what was expected and how to mend it
}

// String is one line: origin, key, text.
func (p Problem) String() string {
	var parts []string
	for _, part := range []string{p.Origin, p.Key, p.Text} {
		if part != "" {
			parts = append(parts, printable(part))
		}
	}
	return strings.Join(parts, ": ")
}

// printable keeps what a file holds from filling, or steering, a terminal.
func printable(text string) string {
	const most = 400 // A sentence and a few names.
	if len(text) > most {
		text = text[:most] + "…"
	}
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) || r == '\n' {
			return r
		}
		return unicode.ReplacementChar
	}, text)
}

// maxProblems are told at most: a file that is no scenario has one a line.
const maxProblems = 20

// Problems is everything that is wrong with a scenario.
type Problems []Problem

// Error lists the problems, a line each.
func (ps Problems) Error() string {
	var text strings.Builder
	if len(ps) == 1 {
		text.WriteString("the scenario has a problem:")
	} else {
		fmt.Fprintf(&text, "the scenario has %d problems:", len(ps))
	}
	for i, p := range ps {
		if i == maxProblems {
			fmt.Fprintf(&text, "\n  and %d more", len(ps)-i)
			break
		}
		text.WriteString("\n  " + p.String())
	}
	return text.String()
}

// origins says where each key stands: "school.yaml:4".
type origins map[string]string

// of returns where key stands, or the nearest key around it that does.
func (o origins) of(key string) string {
	for {
		if origin, ok := o[key]; ok || key == "" {
			return origin
		}
		key = key[:max(0, strings.LastIndexAny(key, ".["))]
	}
}

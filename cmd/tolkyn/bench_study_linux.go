package main

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/spf13/pflag"
)

// studyFlags are those of every verb that plays cases in virtual time and writes tables of them.
type studyFlags struct {
	cases           []string
	seeds           int
	json, html      string
	markdown, plots string
	quiet, list     bool
}

// add names the flags; pattern is an example of one for cases, players are whom the cases are played with.
func (f *studyFlags) add(flags *pflag.FlagSet, pattern, players string) {
	flags.StringSliceVar(&f.cases, "case", nil, fmt.Sprintf("cases by name or pattern ('%s'), joined by commas; default: all", pattern))
	flags.IntVar(&f.seeds, "seeds", 3, "runs of each case, with seeds 1, 2, …")
	flags.StringVar(&f.json, "json", "", "file for the rows as JSON")
	flags.StringVar(&f.html, "html", "", "file for the tables and plots as one page")
	flags.StringVar(&f.markdown, "markdown", "", "file for the tables as a document's")
	flags.StringVar(&f.plots, "plots", "", "folder for drawings (SVG)")
	flags.BoolVarP(&f.quiet, "quiet", "q", false, "no progress, the result alone")
	flags.BoolVar(&f.list, "list", false, "list cases and "+players)
}

func (f *studyFlags) check() error {
	if f.seeds < 1 {
		return fmt.Errorf("--seeds: got %d, want at least 1", f.seeds)
	}
	return nil
}

// casesOf are the cases of a bench verb that patterns name, in their order; all without any.
func casesOf[T any](verb string, patterns []string, all []T, name func(T) string) ([]T, error) {
	if len(patterns) == 0 {
		return all, nil
	}
	var chosen []T
	for _, pattern := range patterns {
		before := len(chosen)
		for _, c := range all {
			match, err := path.Match(pattern, name(c))
			if err != nil {
				return nil, fmt.Errorf("--case %q: %w", pattern, err)
			}
			if match {
				chosen = append(chosen, c)
			}
		}
		if len(chosen) == before {
			return nil, fmt.Errorf("--case: no case is called %q; 'tolkyn bench %s --list' names them", pattern, verb)
		}
	}
	return chosen, nil
}

// named are those whose names a flag lists, in its order; all without any.
func named[T any](flag string, wanted []string, all []T, name func(T) string) ([]T, error) {
	if len(wanted) == 0 {
		return all, nil
	}
	var chosen []T
	for _, want := range wanted {
		i := slices.IndexFunc(all, func(one T) bool { return name(one) == want })
		if i < 0 {
			var names []string
			for _, one := range all {
				names = append(names, name(one))
			}
			return nil, fmt.Errorf("--%s: got %q, want one of %s", flag, want, strings.Join(names, ", "))
		}
		chosen = append(chosen, all[i])
	}
	return chosen, nil
}

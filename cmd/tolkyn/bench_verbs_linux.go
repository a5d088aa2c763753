package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tolkyn/tolkyn/bench"
	"github.com/tolkyn/tolkyn/bench/report"
	"github.com/tolkyn/tolkyn/bench/scenario"
)

func newCapacity() *cobra.Command {
	var f benchFlags
	var search bench.Search
	cmd := &cobra.Command{
		Use:   "capacity",
		Short: "Find the largest load at which quality holds",
		Long: "Capacity plays a scenario at rising loads, each in a run of its own: it doubles the load until the condition of --until\n" +
			"holds, then goes by halves. It says which load was the largest that held, what a packet cost there, and what gave way\n" +
			"above it: the server, the client machine or the network. When the bench itself gives way, the figure is a lower bound\n" +
			"and says so.",
		Example: "  tolkyn bench capacity --scenario 'webinar 1x100 kind=light'\n" +
			"  tolkyn bench capacity --scenario 'pairs 50 kind=light' --until 'loss_p99>0.5% or delay_p99>50ms' --json capacity.json",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if f.scenario == "" {
				return errors.New("--scenario is needed: 'tolkyn bench scenario' lists those that are built in")
			}
			ctx, stop := untilSignal(cmd)
			defer stop()
			c, view, err := f.config(cmd)
			if err != nil {
				return err
			}
			r, events, err := bench.Capacity(ctx, c, search)
			view.Close()
			if err != nil {
				return err
			}
			return f.finish(cmd, r, events)
		},
	}
	f.add(cmd)
	f.subject.add(cmd)
	flags := cmd.Flags()
	flags.StringVar(&search.Until, "until", "loss_p99>0.5% or delay_p99>50ms", "condition at which quality no longer holds")
	flags.IntVar(&search.From, "from", 0, "first load (default: the scenario's own)")
	flags.IntVar(&search.To, "to", 0, "largest load that is tried (default: no bound)")
	flags.IntVar(&search.Tries, "tries", 16, "most runs")
	return cmd
}

func newCompare() *cobra.Command {
	var f benchFlags
	var keep string
	rounds := 3
	cmd := &cobra.Command{
		Use:   "compare A B",
		Short: "Measure two servers in turn, A B A B, and compare them pair by pair",
		Long: "Compare plays one scenario against two servers in turn. A and B are kinds of servers, which are started here (tolkyn,\n" +
			"plain, janus, livekit), a tolkyn binary (a path), or addresses of servers that run already (http…). Between them and the\n" +
			"callers is a veth pair, since some servers ignore loopback, or the scenario's network; --ground says otherwise.",
		Example: "  tolkyn bench compare tolkyn livekit --scenario 'pairs 20' --html compare.html\n" +
			"  tolkyn bench compare ./tolkyn-before ./tolkyn-after --scenario 'webinar 1x200 kind=light' --rounds 7",
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error { return runCompare(cmd, f, args, rounds, keep) },
	}
	f.add(cmd)
	f.subject.addStarting(cmd)
	cmd.Flags().IntVar(&rounds, "rounds", 3, "runs of each")
	cmd.Flags().StringVar(&keep, "keep", "", "file of results (bench/results) whose rows of this comparison are replaced")
	return cmd
}

func runCompare(cmd *cobra.Command, f benchFlags, args []string, rounds int, keep string) error {
	if f.scenario == "" {
		return errors.New("--scenario is needed: 'tolkyn bench scenario' lists those that are built in")
	}
	if rounds < 1 {
		return fmt.Errorf("--rounds: got %d, want at least 1", rounds)
	}
	if f.csv != "" || f.timeline != "" || f.prometheus != "" || f.bundle != "" {
		return errors.New("compare writes --json and --html alone")
	}
	ctx, stop := untilSignal(cmd)
	defer stop()
	var configs [2]bench.Config
	var view *report.Live
	for i, what := range args {
		side := f
		switch {
		case strings.HasPrefix(what, "http://") || strings.HasPrefix(what, "https://"):
			side.subject.server, side.subject.kind = what, "tolkyn"
		case strings.ContainsRune(what, os.PathSeparator):
			side.subject.binary, side.subject.kind = what, "tolkyn"
		default:
			side.subject.kind = what
		}
		var err error
		var own *report.Live
		if configs[i], own, err = side.config(cmd); err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		if view == nil {
			view = own
		}
		configs[i].Watch = view.Show // one view for both
		if configs[i].Ground == "" && configs[i].Start != nil {
			if configs[i].Ground, err = bench.ComparisonGround(configs[i].Scenario); err != nil {
				return err
			}
		}
	}
	of, err := bench.Compare(ctx, configs[0], configs[1], rounds)
	view.Close()
	if len(of[0]) == 0 || len(of[1]) == 0 {
		if err == nil {
			err = errors.New("ended before both servers had been measured once: there is nothing to compare")
		}
		return err
	}
	result := report.Compare(of[0], of[1])
	if keep != "" {
		if keepErr := report.Keep(keep, result.Results(commandLine(os.Args[1:]))); keepErr != nil {
			return fmt.Errorf("--keep: %w", keepErr)
		}
	}
	if writeErr := writeComparison(cmd, result, f.json, f.html); writeErr != nil {
		return writeErr
	}
	return err
}

func writeComparison(cmd *cobra.Command, c report.Comparison, asJSON, asHTML string) error {
	if err := writeFile(asJSON, c.WriteJSON); err != nil {
		return fmt.Errorf("--json: %w", err)
	}
	if err := writeFile(asHTML, c.WriteHTML); err != nil {
		return fmt.Errorf("--html: %w", err)
	}
	return c.WriteText(cmd.OutOrStdout(), isTerminal(cmd.OutOrStdout()))
}

func newBenchReport() *cobra.Command {
	var asHTML, asJSON string
	cmd := &cobra.Command{
		Use:   "report FILE [FILE]",
		Short: "Show a report again, or compare two",
		Long: "Report reads reports that bench has written with --json. One is shown; of two, the second is compared with the first:\n" +
			"did a change make it worse?",
		Example: "  tolkyn bench report before.json after.json --html compare.html",
		Args:    cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			var all []report.Report
			for _, path := range args {
				r, err := readReport(path)
				if err != nil {
					return err
				}
				all = append(all, r)
			}
			if len(all) == 2 {
				return writeComparison(cmd, report.Compare(all[:1], all[1:]), asJSON, asHTML)
			}
			f := benchFlags{html: asHTML, json: asJSON}
			if err := f.write(all[0], nil); err != nil {
				return err
			}
			return report.WriteText(cmd.OutOrStdout(), all[0], isTerminal(cmd.OutOrStdout()))
		},
	}
	cmd.Flags().StringVar(&asHTML, "html", "", "file for the page")
	cmd.Flags().StringVar(&asJSON, "json", "", "file for the JSON")
	return cmd
}

func readReport(path string) (report.Report, error) {
	file, err := os.Open(path)
	if err != nil {
		return report.Report{}, err
	}
	defer file.Close()
	r, err := report.ReadJSON(file)
	if err != nil {
		return r, fmt.Errorf("%s: %w", path, err)
	}
	return r, nil
}

func newScenarios() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "scenario [NAME]",
		Short: "List the built-in scenarios, or print one as a file to start from",
		Example: "  tolkyn bench scenario\n" +
			"  tolkyn bench scenario 'webinar 1x500' > mine.yaml\n" +
			"  tolkyn bench scenario check mine.yaml",
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return listScenarios(cmd.OutOrStdout())
			}
			s, err := scenario.Builtin(args[0])
			if err != nil {
				return err
			}
			text, err := s.YAML()
			if err != nil {
				return err
			}
			_, err = cmd.OutOrStdout().Write(text)
			return err
		},
	}
	cmd.AddCommand(
		&cobra.Command{
			Use: "check FILE", Short: "Say whether a scenario file is right", Args: cobra.ExactArgs(1),
			RunE: func(cmd *cobra.Command, args []string) error {
				b, err := os.ReadFile(args[0])
				if err != nil {
					return err
				}
				s, err := scenario.Parse(args[0], b, known())
				if err != nil {
					return err
				}
				rooms, people := s.Size()
				_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s is good: %v; rooms: %d, people: %d\n", s.Name, s.Duration, rooms, people)
				return err
			},
		},
		&cobra.Command{
			Use: "schema", Short: "Print the JSON Schema of scenario files", Args: cobra.NoArgs,
			RunE: func(cmd *cobra.Command, _ []string) error {
				_, err := cmd.OutOrStdout().Write(scenario.Schema)
				return err
			},
		},
	)
	return cmd
}

func listScenarios(out io.Writer) error {
	for _, u := range scenario.Builtins() {
		if _, err := fmt.Fprintf(out, "%-22s %s\n", u.Usage, u.About); err != nil {
			return err
		}
	}
	return nil
}

// finish writes files and table, and says by the exit code whether all conditions held.
func (f *benchFlags) finish(cmd *cobra.Command, r report.Report, events []report.Event) error {
	err := f.write(r, events)
	if err := errors.Join(err, report.WriteText(cmd.OutOrStdout(), r, isTerminal(cmd.OutOrStdout()))); err != nil {
		return err
	}
	if !r.Passed {
		return failedConditions
	}
	return nil
}

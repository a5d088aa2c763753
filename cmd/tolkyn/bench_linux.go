package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/tolkyn/tolkyn/bench"
	"github.com/tolkyn/tolkyn/bench/caller"
	"github.com/tolkyn/tolkyn/bench/measure"
	"github.com/tolkyn/tolkyn/bench/netem"
	"github.com/tolkyn/tolkyn/bench/report"
	"github.com/tolkyn/tolkyn/bench/scenario"
	"github.com/tolkyn/tolkyn/bench/server"
	"github.com/tolkyn/tolkyn/internal/netsim"
)

// failedConditions is the exit code of a run that did not meet what it had to.
const failedConditions exitCode = 2

// benchFlags are those that bench and its verbs share.
type benchFlags struct {
	scenario string
	pass     []string
	seed     uint64
	ground   string
	oneIn    int
	record   int
	quiet    bool
	subject  subjectFlags

	json, html, csv, timeline, prometheus, bundle string
}

func newBench() *cobra.Command {
	var f benchFlags
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Measure what a call feels like: synthetic callers, any server, one report",
		Long: "Bench places calls with synthetic callers and measures what people would have heard and seen. Without a server's\n" +
			"address it starts one of this binary, on its defaults, and measures what it costs as well.\n\n" +
			"The media is real: a voice and a moving picture that decode anywhere, with the time of sending in each frame.\n" +
			"Scenarios say who calls whom over which network: 'tolkyn bench scenario' lists those that are built in.\n\n" +
			"Ctrl-C ends a run early; its report holds all until then. Exit code: 0 when every condition held, 2 when one did\n" +
			"not, 1 when the run could not be made.",
		Example: "  tolkyn bench\n" +
			"  tolkyn bench --scenario 'webinar 1x500' --html report.html\n" +
			"  tolkyn bench --scenario 'one-to-one network=lossy-10' --pass 'audio_concealed_p95 <= 2%'\n" +
			"  tolkyn bench --server https://call.example.kz --token-file token --scenario one-to-one",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runBench(cmd, f) },
	}
	f.add(cmd)
	f.subject.add(cmd)
	cmd.AddCommand(newCapacity(), newCompare(), newBenchReport(), newScenarios(), newCongestion(), newVoice(), newWorker(), newPlainServer())
	return cmd
}

func (f *benchFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVarP(&f.scenario, "scenario", "s", "", "a built-in scenario with its numbers ('webinar 1x500'), or a file (.yaml); default: two calls to look at first")
	flags.StringArrayVar(&f.pass, "pass", nil, "condition that must hold, instead of the scenario's own; may be given several times")
	flags.Uint64Var(&f.seed, "seed", 0, "seed of all dice, instead of the scenario's own")
	flags.StringVar(&f.ground, "ground", "", "what lies between callers and a server started here: loopback, veth or tun (the last two need root); default: what the scenario needs")
	flags.IntVar(&f.oneIn, "open-one-in", 0, "packets of which light callers open one (default 16)")
	flags.IntVar(&f.record, "record", -1, "receivers of the first group of full callers whose sound and picture go into the report (default: as the scenario says, with --html at least one)")
	flags.BoolVarP(&f.quiet, "quiet", "q", false, "no live view, the result alone")
	flags.StringVar(&f.json, "json", "", "file for the report as JSON")
	flags.StringVar(&f.html, "html", "", "file for the report as one page, with plots and recordings")
	flags.StringVar(&f.csv, "csv", "", "file for the streams as CSV")
	flags.StringVar(&f.timeline, "timeline-csv", "", "file for the seconds as CSV")
	flags.StringVar(&f.prometheus, "prometheus", "", "file for the figures as Prometheus text")
	flags.StringVar(&f.bundle, "debug", "", "file (.zip) for the report with every decision of every caller")
}

// untilSignal is a context that Ctrl-C ends, or the end of the terminal: a report is written all the same.
func untilSignal(cmd *cobra.Command) (context.Context, context.CancelFunc) {
	return signal.NotifyContext(cmd.Context(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
}

// runBench plays one scenario.
func runBench(cmd *cobra.Command, f benchFlags) error {
	ctx, stop := untilSignal(cmd)
	defer stop()
	c, view, err := f.config(cmd)
	if err != nil {
		return err
	}
	r, events, err := bench.Run(ctx, c)
	view.Close()
	if err != nil {
		return err
	}
	return f.finish(cmd, r, events)
}

// config reads the flags; the view is the live one.
func (f *benchFlags) config(cmd *cobra.Command) (bench.Config, *report.Live, error) {
	s, err := readScenario(f.scenario)
	if err != nil {
		return bench.Config{}, nil, err
	}
	if f.seed > 0 {
		s.Seed = f.seed
	}
	if len(f.pass) > 0 {
		s.Pass = f.pass
	}
	for _, text := range f.pass {
		if _, err := measure.ParseCondition(text); err != nil {
			return bench.Config{}, nil, fmt.Errorf("--pass: %w", err)
		}
	}
	if err := scenario.Check(s, known()); err != nil {
		return bench.Config{}, nil, err
	}
	f.keep(&s)
	b := readBuild()
	c := bench.Config{
		Scenario: s, Command: commandLine(os.Args[1:]), Version: b.version, Commit: b.commit,
		Floor: server.Floor, Ground: bench.Ground(f.ground), OpenOneIn: f.oneIn, Debug: f.bundle != "",
	}
	if !slices.Contains([]bench.Ground{"", bench.Loopback, bench.Veth, bench.TUN}, c.Ground) {
		return c, nil, fmt.Errorf("--ground: got %q, want loopback, veth or tun", f.ground)
	}
	if err := f.writable(); err != nil {
		return c, nil, err
	}
	if err := f.subject.apply(&c); err != nil {
		return c, nil, err
	}
	if _, people := s.Size(); c.Target != nil && c.Target.Token != "" && people > 1 {
		return c, nil, fmt.Errorf("--token is one person's, and each of the scenario's %d callers would replace the one before: "+
			"take --key and --secret-file", people)
	}
	out := cmd.ErrOrStderr()
	if f.quiet {
		out = io.Discard
	}
	view := report.NewLive(out, report.LiveConfig{TTY: isTerminal(out), Colour: isTerminal(out)})
	c.Watch = view.Show
	return c, view, nil
}

// keep sets who is recorded: what --record says, or one receiver where a page will be there to play it.
func (f *benchFlags) keep(s *scenario.Scenario) {
	recorded := false
	for _, room := range s.Rooms {
		for i := range room.Callers {
			if f.record >= 0 {
				room.Callers[i].Record = 0
			}
			recorded = recorded || room.Callers[i].Record > 0
		}
	}
	want := f.record
	if want < 0 && f.html != "" && !recorded {
		want = 1
	}
	for _, room := range s.Rooms {
		for i, g := range room.Callers {
			if want > 0 && (g.Kind == "" || g.Kind == scenario.Full) {
				room.Callers[i].Record = min(want, max(1, g.Count))
				return
			}
		}
	}
}

// readScenario takes a file's name or that of a built-in one.
func readScenario(text string) (scenario.Scenario, error) {
	switch {
	case text == "":
		return bench.FirstLook(), nil
	case strings.HasSuffix(text, ".yaml") || strings.HasSuffix(text, ".yml") || strings.HasSuffix(text, ".json"):
		b, err := os.ReadFile(text)
		if err != nil {
			return scenario.Scenario{}, fmt.Errorf("--scenario: %w", err)
		}
		return scenario.Parse(text, b, known())
	}
	return scenario.Builtin(text)
}

// known is what a scenario may refer to.
func known() scenario.Known {
	return scenario.Known{
		Condition: func(text string) error {
			_, err := measure.ParseCondition(text)
			return err
		},
		Preset: func(name string) error {
			if _, ok := netem.Preset(name); !ok {
				var names []string
				for _, p := range netem.Presets() {
					names = append(names, p.Name)
				}
				return fmt.Errorf("got %q, want one of networks or a preset: %s", name, strings.Join(names, ", "))
			}
			return nil
		},
		Trace: func(text string) error {
			_, err := netem.ParseTrace(strings.NewReader(text), netsim.LinkConfig{})
			return err
		},
	}
}

// output is a file that was asked for; without a path it was not.
type output struct {
	flag, path string
	write      func(io.Writer, report.Report, []report.Event) error
}

func (f *benchFlags) outputs() []output {
	alone := func(write func(io.Writer, report.Report) error) func(io.Writer, report.Report, []report.Event) error {
		return func(w io.Writer, r report.Report, _ []report.Event) error { return write(w, r) }
	}
	return []output{
		{"--json", f.json, alone(report.WriteJSON)},
		{"--html", f.html, alone(report.WriteHTML)},
		{"--csv", f.csv, alone(report.WriteCSV)},
		{"--timeline-csv", f.timeline, alone(report.WriteTimelineCSV)},
		{"--prometheus", f.prometheus, alone(report.WritePrometheus)},
		{"--debug", f.bundle, report.WriteBundle},
	}
}

// writable looks for the files' folders before anything is measured: a run is not to be lost to a slip of the pen.
func (f *benchFlags) writable() error {
	for _, out := range f.outputs() {
		if out.path == "" {
			continue
		}
		if _, err := os.Stat(filepath.Dir(out.path)); err != nil {
			return fmt.Errorf("%s: %w", out.flag, err)
		}
	}
	return nil
}

// write makes the files: each that can be made, whatever becomes of the others.
func (f *benchFlags) write(r report.Report, events []report.Event) error {
	var failed []error
	for _, out := range f.outputs() {
		err := writeFile(out.path, func(w io.Writer) error { return out.write(w, r, events) })
		if err != nil {
			failed = append(failed, fmt.Errorf("%s: %w", out.flag, err))
		}
	}
	return errors.Join(failed...)
}

// writeFile does nothing without a path.
func writeFile(path string, write func(io.Writer) error) error {
	if path == "" {
		return nil
	}
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(write(file), file.Close())
}

// commandLine is what makes the report again, as a person would type it. Reports are handed on: what opens a server stays out of
// them.
func commandLine(arguments []string) string {
	words := []string{"tolkyn"}
	hide := false
	for _, word := range arguments {
		name, _, joined := strings.Cut(word, "=")
		secret := name == "--secret" || name == "--token"
		switch {
		case hide:
			word = "…"
		case secret && joined:
			word = name + "=…"
		case word == "" || strings.ContainsAny(word, " \t\n\"'`$&|<>()[]{}*?!#~;\\"):
			word = "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
		}
		hide = secret && !joined && !hide
		words = append(words, word)
	}
	return strings.Join(words, " ")
}

// newWorker is the process that plays the callers: it is started by bench, not by people.
func newWorker() *cobra.Command {
	return &cobra.Command{
		Use:    "worker",
		Short:  "Play the callers of one job (started by bench)",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return caller.Work(context.WithoutCancel(cmd.Context()), cmd.InOrStdin(), cmd.OutOrStdout(), dialerOf)
		},
	}
}

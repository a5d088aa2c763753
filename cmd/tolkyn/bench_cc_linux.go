package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/tolkyn/tolkyn/bench/cc"
	"github.com/tolkyn/tolkyn/bench/cc/rival"
	"github.com/tolkyn/tolkyn/bench/report"
)

// ccFlags are those of bench cc.
type ccFlags struct {
	studyFlags

	controllers []string
	peerSeeds   int
}

func newCongestion() *cobra.Command {
	var f ccFlags
	cmd := &cobra.Command{
		Use:   "cc",
		Short: "Play congestion control cases in virtual time, ours beside others",
		Long: "Bench cc plays the test cases of RFC 8867, 8868 and 8869 and more of our own: a source, a pacer, links, competing\n" +
			"flows and TCP, all in virtual time, so that minutes take milliseconds and equal seeds give equal figures. It prints\n" +
			"each case with every controller beside each other and the goal, and at the end what was missed.\n\n" +
			"util is what arrived of media ÷ what could have arrived; Q is the wait in the bottleneck's queue, own that in the\n" +
			"sender's; conv is when the first second with 90 % of what could be had ended.",
		Example: "  tolkyn bench cc\n" +
			"  tolkyn bench cc --case '5.*' --seeds 20 --html cc.html\n" +
			"  tolkyn bench cc --case const-1M,loss-10 --controller tolkyn,pion-gcc",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runCongestion(cmd, f) },
	}
	flags := cmd.Flags()
	f.add(flags, "5.*", "controllers")
	flags.StringSliceVar(&f.controllers, "controller", nil, "controllers, joined by commas; default: all")
	flags.IntVar(&f.peerSeeds, "peer-seeds", 0, "fewer runs of controllers that are not ours, to save time; 0: as many")
	cmd.AddCommand(newHunt())
	return cmd
}

// congestionControllers are who can be measured, ours first.
func congestionControllers() []cc.Maker {
	return []cc.Maker{cc.Tolkyn, rival.PionGCC, rival.GoogCC, rival.SCReAM, rival.NADA}
}

func runCongestion(cmd *cobra.Command, f ccFlags) error {
	out := cmd.OutOrStdout()
	makers := congestionControllers()
	if f.list {
		for _, c := range cc.Cases() {
			fmt.Fprintf(out, "%-18s %s\n", c.Name, c.About)
		}
		for _, m := range makers {
			fmt.Fprintf(out, "--controller %s\n", m.Name)
		}
		return nil
	}
	cases, makers, err := f.chosen(makers)
	if err != nil {
		return err
	}
	ctx, stop := untilSignal(cmd)
	defer stop()
	progress := &countdown{out: cmd.ErrOrStderr(), live: isTerminal(cmd.ErrOrStderr()), began: time.Now()}
	if f.quiet {
		progress.out = io.Discard
	}
	rows := cc.Play(ctx, cases, makers, f.seeds, progress.show)
	progress.end()
	b := readBuild()
	t := cc.Table{Origin: report.Origin{Command: commandLine(os.Args[1:]), Commit: b.commit, Date: time.Now().UTC().Format(time.DateOnly)}, Rows: rows}
	return errors.Join(
		cc.WriteText(out, rows, isTerminal(out)),
		writeFile(f.json, t.WriteJSON),
		writeFile(f.html, t.Study().WriteHTML),
		writeFile(f.markdown, t.WriteMarkdown),
		writePlots(f.plots, rows),
		ctx.Err(),
	)
}

func writePlots(dir string, rows []cc.Row) error {
	if dir == "" {
		return nil
	}
	return cc.WritePlots(dir, rows)
}

// chosen are the cases and controllers that the flags name.
func (f ccFlags) chosen(makers []cc.Maker) ([]cc.Case, []cc.Maker, error) {
	if err := f.check(); err != nil {
		return nil, nil, err
	}
	if f.peerSeeds < 0 {
		return nil, nil, fmt.Errorf("--peer-seeds: got %d, want 0 (all) or more", f.peerSeeds)
	}
	for i := range makers {
		if makers[i].Name != cc.Tolkyn.Name {
			makers[i].Seeds = f.peerSeeds
		}
	}
	cases, err := casesOf("cc", f.cases, cc.Cases(), func(c cc.Case) string { return c.Name })
	if err != nil {
		return nil, nil, err
	}
	makers, err = named("controller", f.controllers, makers, func(m cc.Maker) string { return m.Name })
	return cases, makers, err
}

// countdown says how far a long computation is: on one line of a terminal, else a line for each tenth.
type countdown struct {
	out   io.Writer
	live  bool
	began time.Time
	last  time.Time
	tenth int
}

func (c *countdown) show(done, of int) {
	now := time.Now()
	left := time.Duration(float64(now.Sub(c.began)) / float64(done) * float64(of-done)).Round(time.Second)
	if !c.live {
		if tenth := done * 10 / of; tenth > c.tenth {
			c.tenth = tenth
			fmt.Fprintf(c.out, "%d of %d runs, %v left\n", done, of, left)
		}
		return
	}
	if now.Sub(c.last) > 100*time.Millisecond || done == of {
		c.last = now
		fmt.Fprintf(c.out, "\r\x1b[K%d of %d runs, %v left", done, of, left)
	}
}

func (c *countdown) end() {
	if c.live {
		fmt.Fprint(c.out, "\r\x1b[K")
	}
}

func newHunt() *cobra.Command {
	var f huntFlags
	cmd := &cobra.Command{
		Use:   "hunt",
		Short: "Draw random cases and keep those that go worst",
		Long: "Hunt draws cases, from a seed: capacities that change, delays, queues, loss, jitter, competing calls and TCP, and goes on\n" +
			"with neighbours of the worst. A case's score is the utility that was missed, half a point for each second of queue,\n" +
			"and three times the loss that was not chance's. With --draws it plays so many draws, without neighbours, and says how\n" +
			"scores spread: for comparing controllers on networks that nobody chose.",
		Example: "  tolkyn bench cc hunt --time 60s --seed 7 --keep bench/cc/testdata/worst\n" +
			"  tolkyn bench cc hunt --draws 200 --controller tolkyn,pion-gcc",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runHunt(cmd, f) },
	}
	flags := cmd.Flags()
	flags.DurationVar(&f.time, "time", time.Minute, "how long to look")
	flags.IntVar(&f.draws, "draws", 0, "so many draws, instead of --time")
	flags.Uint64Var(&f.seed, "seed", 1, "seed of all dice")
	flags.IntVar(&f.worst, "worst", 10, "how many to keep")
	flags.StringSliceVar(&f.controllers, "controller", []string{"tolkyn"}, "controllers, joined by commas")
	flags.StringVar(&f.keep, "keep", "", "folder for the worst cases, a JSON file each, with bounds a tenth above what came of them")
	return cmd
}

type huntFlags struct {
	time         time.Duration
	draws, worst int
	seed         uint64
	controllers  []string
	keep         string
}

func runHunt(cmd *cobra.Command, f huntFlags) error {
	makers, err := named("controller", f.controllers, congestionControllers(), func(m cc.Maker) string { return m.Name })
	if err != nil {
		return err
	}
	if f.worst < 1 {
		return fmt.Errorf("--worst: got %d, want at least 1", f.worst)
	}
	ctx, stop := untilSignal(cmd)
	defer stop()
	out, errs := cmd.OutOrStdout(), cmd.ErrOrStderr()
	live := isTerminal(errs)
	for _, m := range makers {
		limited, cancel := ctx, context.CancelFunc(func() {})
		if f.draws == 0 {
			limited, cancel = context.WithTimeout(ctx, f.time)
		}
		all, worst := cc.Hunt(limited, m, f.seed, f.draws, f.worst, f.draws == 0, func(played int, worst cc.Score) {
			if live {
				fmt.Fprintf(errs, "\r\x1b[K%s: %d played, the worst scores %.3f", m.Name, played, worst.Total)
			}
		})
		cancel()
		if live {
			fmt.Fprint(errs, "\r\x1b[K")
		}
		if err := cc.WriteFound(out, m.Name, all, worst); err != nil {
			return err
		}
		if f.keep == "" {
			continue
		}
		if err := cc.KeepFound(f.keep, worst); err != nil {
			return fmt.Errorf("--keep: %w", err)
		}
	}
	return nil
}

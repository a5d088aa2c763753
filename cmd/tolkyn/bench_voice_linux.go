package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/tolkyn/tolkyn/bench/report"
	"github.com/tolkyn/tolkyn/bench/voice"
	"github.com/tolkyn/tolkyn/internal/udp"
	"github.com/tolkyn/tolkyn/sfu"
)

// voiceFlags are those of bench voice.
type voiceFlags struct {
	studyFlags

	ways []string
}

func newVoice() *cobra.Command {
	var f voiceFlags
	cmd := &cobra.Command{
		Use:   "voice",
		Short: "Play voice calls over bad networks in virtual time",
		Long: "Bench voice plays whole calls through this server in virtual time, a minute in some hundred milliseconds: speech of libopus,\n" +
			"links that lose, clients that do what browsers were seen to do. It prints each case with what we do beside what each part of\n" +
			"it would do alone, and the goals.\n\n" +
			"concealed is what was made up of what was played, before: the same until figures count (5 s). delay is how much later words\n" +
			"are heard than the paths alone would have it. bytes are those of RTP on the wire ÷ those without any repair.",
		Example: "  tolkyn bench voice\n" +
			"  tolkyn bench voice --case 'down-*' --seeds 20 --html voice.html\n" +
			"  tolkyn bench voice --case both-30 --way tolkyn,red-2",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runVoice(cmd, f) },
	}
	flags := cmd.Flags()
	f.add(flags, "up-*", "ways")
	flags.StringSliceVar(&f.ways, "way", nil, "ways, joined by commas; default: all")
	return cmd
}

func runVoice(cmd *cobra.Command, f voiceFlags) error {
	out := cmd.OutOrStdout()
	if f.list {
		for _, c := range voice.Cases() {
			fmt.Fprintf(out, "%-18s %s\n", c.Name, c.About)
		}
		for _, w := range voice.Ways() {
			fmt.Fprintf(out, "--way %-12s %s\n", w.Name, w.About)
		}
		return nil
	}
	cases, ways, err := f.chosen()
	if err != nil {
		return err
	}
	ctx, stop := untilSignal(cmd)
	defer stop()
	progress := &countdown{out: cmd.ErrOrStderr(), live: isTerminal(cmd.ErrOrStderr()), began: time.Now()}
	if f.quiet {
		progress.out = io.Discard
	}
	rows, failed := voice.Play(ctx, startVoiceServer, cases, ways, f.seeds, progress.show)
	progress.end()
	b := readBuild()
	t := voice.Table{Origin: report.Origin{Command: commandLine(os.Args[1:]), Commit: b.commit, Date: time.Now().UTC().Format(time.DateOnly)}, Rows: rows}
	plots := func() error {
		if f.plots == "" {
			return nil
		}
		return voice.WritePlots(f.plots, rows)
	}
	return errors.Join(
		failed,
		voice.WriteText(out, rows, isTerminal(out)),
		writeFile(f.json, t.WriteJSON),
		writeFile(f.html, t.Study().WriteHTML),
		writeFile(f.markdown, t.WriteMarkdown),
		plots(),
		ctx.Err(),
	)
}

// chosen are the cases and ways that the flags name.
func (f voiceFlags) chosen() (cases []voice.Case, ways []voice.Way, err error) {
	if err := f.check(); err != nil {
		return nil, nil, err
	}
	if cases, err = casesOf("voice", f.cases, voice.Cases(), func(c voice.Case) string { return c.Name }); err != nil {
		return nil, nil, err
	}
	ways, err = named("way", f.ways, voice.Ways(), func(w voice.Way) string { return w.Name })
	return cases, ways, err
}

// voiceServer is our own media plane as bench voice measures it: with default settings, and without signaling.
type voiceServer struct{ sfu *sfu.SFU }

func startVoiceServer(socket udp.Socket, addr netip.Addr) (voice.Server, error) {
	s, err := sfu.New(sfu.Config{Sockets: []udp.Socket{socket}, Advertise: []netip.Addr{addr}})
	if err != nil {
		return nil, err
	}
	return voiceServer{s}, nil
}

func (s voiceServer) Join(ctx context.Context, j voice.Join) (answer string, err error) {
	request := sfu.JoinRequest{
		Room: "voice", Identity: j.Name, Name: j.Name, Publish: true, Subscribe: true, Offer: j.Offer, Events: func(sfu.Event) {},
	}
	if j.Microphone != "" {
		request.Tracks = []sfu.Track{{ID: "mic", Kind: sfu.Audio, Source: sfu.Microphone, MID: j.Microphone}}
	}
	if j.Saver {
		request.Profile = sfu.SaverProfile
	}
	_, joined, err := s.sfu.Join(ctx, request)
	return joined.Answer, err
}

func (s voiceServer) Close() error { return s.sfu.Close() }

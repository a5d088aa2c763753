package bench

import (
	"bytes"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tolkyn/tolkyn/bench/measure"
	"github.com/tolkyn/tolkyn/bench/report"
	"github.com/tolkyn/tolkyn/bench/scenario"
	"github.com/tolkyn/tolkyn/internal/udp"
)

// report puts together what the run has gathered.
func (r *run) report() report.Report {
	s := r.config.Scenario
	out := report.Report{
		Schema: report.Schema, Command: r.config.Command, Version: r.config.Version, Commit: r.config.Commit,
		Started: r.started.UTC().Truncate(time.Millisecond), Seconds: r.length().Seconds(), Partial: r.partial,
		Machine: machine(), Server: report.Server{Kind: r.target.Kind, Address: r.target.URL, Local: r.server != nil},
		Setup: r.totals.Setup(), Callers: r.totals.Callers, Streams: r.totals.Streams, Timeline: r.totals.Timeline(),
		Audio: report.Total(r.totals.Summary(measure.Audio)), Video: report.Total(r.totals.Summary(measure.Video)),
		Usage: r.usage, Links: r.links, Recordings: r.films,
	}
	out.Machine.FloorNS = r.floor
	out.Scenario = describe(s)
	if r.server != nil {
		out.Server.Version = r.server.Version()
	}
	bottleneck, why := measure.FindBottleneck(withLinks(r.loads, r.links))
	out.Bottleneck = string(bottleneck)
	if why != "" {
		out.Warnings = append(out.Warnings, strings.ToUpper(why[:1])+why[1:]+".")
	}
	out.Conditions, out.Passed = judge(s.Pass, &r.totals)
	r.costs(&out)
	r.warn(&out)
	return out
}

// length is how long it ran.
func (r *run) length() time.Duration {
	if r.partial || r.shut {
		return max(0, r.end.at)
	}
	return r.config.Scenario.Duration
}

const (
	// linkFull is the share of packets that a link's queue had no room for from which it is what gives way: with that the sound
	// of a call is no longer good.
	linkFull = 0.01
	// linkUsed is how many packets a link must have carried for a share to say something.
	linkUsed = 100
)

// withLinks puts what modelled links did into every second: only their sums are known. By how much they were late is a mean over
// packets, so that a link with few of them does not speak for all.
func withLinks(loads []measure.Load, links []report.Link) []measure.Load {
	var late, packets float64
	full := false
	for _, l := range links {
		late += l.LateP99 * float64(l.Packets)
		packets += float64(l.Packets)
		full = full || l.Packets >= linkUsed && float64(l.Overflow) >= linkFull*float64(l.Packets)
	}
	out := slices.Clone(loads)
	for i := range out {
		out[i].LinkFull = full
		if packets > 0 {
			out[i].EmulatorLate = time.Duration(late / packets * float64(time.Millisecond))
		}
	}
	return out
}

// judge looks at every condition. A run in which nobody was measured has not passed, whatever it was asked.
func judge(conditions []string, t *measure.Totals) ([]report.Condition, bool) {
	passed := len(t.Streams) > 0
	var out []report.Condition
	for _, text := range conditions {
		condition, err := measure.ParseCondition(text)
		if err != nil {
			// The scenario was checked, so this is one that a later bench would know.
			out = append(out, report.Condition{Text: text})
			passed = false
			continue
		}
		o := condition.Evaluate(t)
		out = append(out, report.Condition{Text: o.Text, Value: o.Value, Unit: o.Unit, Passed: o.Holds, Worst: o.Worst})
		passed = passed && o.Holds
	}
	return out, passed
}

func describe(s scenario.Scenario) report.Scenario {
	rooms, people := s.Size()
	text, err := s.YAML()
	if err != nil {
		text = []byte("# " + err.Error())
	}
	return report.Scenario{Name: s.Name, About: s.About, Seed: s.Seed, YAML: string(text), Rooms: rooms, People: people}
}

// costs are those between the moment when everybody was there and the end.
func (r *run) costs(out *report.Report) {
	if r.end.at <= r.at.at || r.at.at == 0 {
		return
	}
	received := r.end.received - r.at.received
	moved := received + r.end.sent - r.at.sent
	kernel := r.end.kernel - r.at.kernel
	cost := func(cpu time.Duration) report.Cost {
		c := report.Cost{CPUSeconds: cpu.Seconds()}
		if received > 0 {
			c.PerReceivedNS = float64(cpu) / float64(received)
		}
		if moved > 0 {
			c.PerInAndOutNS = float64(cpu) / float64(moved)
		}
		return c
	}
	out.ClientCost = cost(r.end.client.CPU - r.at.client.CPU)
	out.ClientCost.Drops, out.ClientCost.Slips = r.drops, r.slips
	if r.server == nil {
		return
	}
	out.ServerCost = cost(r.end.server.CPU - r.at.server.CPU + kernel)
	out.ServerCost.Drops = r.figures.Drops
	if there := r.usage[len(r.usage)-1].Callers; there > 0 {
		out.ServerCost.MemoryPerCaller = max(0, float64(r.end.server.Memory-r.empty.Memory)/float64(there))
	}
}

// warn says what a reader must know.
func (r *run) warn(out *report.Report) {
	add := func(text string, args ...any) { out.Warnings = append(out.Warnings, fmt.Sprintf(text, args...)) }
	failed := 0
	for _, c := range out.Callers {
		if c.Error != "" {
			failed++
		}
	}
	if failed > 0 {
		add("%d of %d callers could not come in, or failed; the first: %s", failed, len(out.Callers), firstError(out.Callers))
	}
	if missing := out.Audio.Missing + out.Video.Missing; missing > 0 {
		add("%d of %d streams that were due never came: they count as all lost.", missing, out.Audio.Streams+out.Video.Streams)
	}
	if r.oneIn > 1 {
		add("Light callers counted every packet and opened one in %d: their delays are of those.", r.oneIn)
	}
	if r.slips > 0 {
		add("Light callers were held up %d times so long that they put off their media: this machine has too little room.", r.slips)
	}
	if out.ServerCost.Drops > 0 {
		add("The server's sockets had no room for %d datagrams: that loss is the server's, or its machine's.", out.ServerCost.Drops)
	}
	if r.gone {
		add("The server ended, or one of its processes did, while it was measured.")
	}
	if r.server == nil {
		add("The server runs elsewhere: what it costs is not known; a delay is the way to it and back.")
	}
}

func firstError(callers []measure.Caller) string {
	for _, c := range callers {
		if c.Error != "" {
			why, _, _ := strings.Cut(c.Error, "\n") // who tried again has several
			return c.Room + "/" + c.Identity + ": " + why
		}
	}
	return ""
}

// machine is this one.
func machine() report.Machine {
	m := report.Machine{CPU: runtime.GOARCH, Cores: runtime.NumCPU(), Go: runtime.Version()}
	if b, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.SplitSeq(string(b), "\n") {
			if v, ok := strings.CutPrefix(line, "model name"); ok {
				m.CPU = strings.TrimLeft(v, "\t :")
				break
			}
		}
	}
	if b, err := os.ReadFile("/proc/meminfo"); err == nil {
		if fields := strings.Fields(string(b)); len(fields) > 1 {
			if kb, err := strconv.ParseInt(fields[1], 10, 64); err == nil {
				m.Memory = kb << 10
			}
		}
	}
	if socket, err := udp.Listen(netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), 0), udp.Config{}); err == nil {
		m.GSO = socket.Stats().GSO
		_ = socket.Close() // it sent nothing
	}
	var name unix.Utsname
	if unix.Uname(&name) == nil {
		m.Kernel = string(bytes.TrimRight(name.Release[:], "\x00"))
	}
	return m
}

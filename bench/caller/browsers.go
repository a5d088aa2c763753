package caller

import (
	"errors"

	"github.com/tolkyn/tolkyn/bench/caller/browser"
	"github.com/tolkyn/tolkyn/bench/scenario"
)

// newBrowsers starts the browser callers. They run a Tolkyn server's own SDK, on this process's network.
func newBrowsers(list []scenario.Caller, job Job) (*browser.Group, error) {
	if job.Target.Kind != "tolkyn" {
		return nil, errors.New("browser callers can call a Tolkyn server alone, whose web SDK they run: take full ones (kind: full)")
	}
	number := map[int]bool{}
	for _, c := range list {
		if len(c.Networks) > 0 && !job.Modelled {
			return nil, errors.New("browser callers have no modelled network of their own: take --ground tun, or full ones (kind: full), for group " + c.Group)
		}
		number[c.Number] = true
	}
	config := browser.Config{
		Server: job.Target.URL, Callers: list, Transport: job.Target.Transport, Sign: job.Target.Sign,
		Epoch: job.Epoch, Duration: job.Duration, Warmup: job.Warmup,
	}
	for _, all := range [][]scenario.Caller{job.Callers, job.Others} {
		for _, c := range all {
			if !number[c.Number] {
				config.Others = append(config.Others, c)
			}
		}
	}
	return browser.New(config)
}

// addBrowsers adds how the browser callers stand.
func addBrowsers(g *browser.Group, to *Snapshot) {
	s := g.Snapshot()
	to.Callers += s.Present
	to.Failed += s.Failing
	to.Sent += s.SentPackets
	to.Received += s.ReceivedPackets
	to.Expected += s.Expected
	to.Lost += s.Lost
	if s.DelayP95 > to.DelayP95 {
		to.DelayP95, to.Worst = s.DelayP95, s.Worst
	}
}

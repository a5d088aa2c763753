package netem

import (
	"fmt"
	"time"

	"github.com/tolkyn/tolkyn/internal/netsim"
)

// Profile is a network as data: what Config, LineConfig and RelayConfig take.
type Profile struct {
	Name, About string
	Links       []Path
	Events      []Event
}

// Preset returns a profile by its name; false: there is none of that name.
func Preset(name string) (Profile, bool) {
	for _, p := range Presets() {
		if p.Name == name {
			return p, true
		}
	}
	return Profile{}, false
}

const (
	ms   = time.Millisecond
	kbit = 1000
	mbit = 1000 * kbit
)

// Presets returns all profiles: everyday networks first, then those of RFC 8867, 8868 and 8869. They are models that
// stress what the real ones stress, not measurements of any operator's.
func Presets() []Profile {
	all := []Profile{
		{Name: "perfect", About: "nothing is lost, nothing takes time", Links: []Path{{}}},
		{
			Name: "lan", About: "1 Gbit/s, RTT 1 ms",
			Links: []Path{both(netsim.LinkConfig{Delay: ms / 2, Rate: 1000 * mbit, QueueTime: 10 * ms})},
		},
		{Name: "wifi", About: "a good home Wi-Fi and cable: 20 and 50 Mbit/s, RTT 20 ms, rare jitter", Links: []Path{wifi()}},
		{
			Name:  "wifi-busy",
			About: "a Wi-Fi that neighbours share: 2 and 4 Mbit/s, RTT 30 ms, jitter to 120 ms in clumps, 2 % loss in bursts of 4",
			Links: []Path{paths(
				netsim.LinkConfig{Rate: 2 * mbit}, netsim.LinkConfig{Rate: 4 * mbit},
				netsim.LinkConfig{
					Delay: 15 * ms, Jitter: 120 * ms, Spread: netsim.Pareto, QueueTime: 300 * ms,
					Burst: netsim.Burst{Enter: 0.005, Leave: 0.25},
				},
			)},
		},
		{Name: "lte", About: "a good mobile network: 8 and 25 Mbit/s, RTT 50 ms, jitter to 20 ms, 0.1 % loss", Links: []Path{lte()}},
		{
			Name: "3g", About: "768 kbit/s and 1.6 Mbit/s, RTT 200 ms, jitter to 50 ms, 1 % loss, a queue of 700 ms",
			Links: []Path{paths(
				netsim.LinkConfig{Rate: 768 * kbit}, netsim.LinkConfig{Rate: 1600 * kbit},
				netsim.LinkConfig{Delay: 100 * ms, Jitter: 50 * ms, Spread: netsim.HalfNormal, Loss: 0.01, QueueTime: 700 * ms},
			)},
		},
		{
			Name: "2g", About: "EDGE: 60 and 120 kbit/s, RTT 500 ms, jitter to 150 ms, 2 % loss, a queue of 1.5 s",
			Links: []Path{paths(
				netsim.LinkConfig{Rate: 60 * kbit}, netsim.LinkConfig{Rate: 120 * kbit},
				netsim.LinkConfig{Delay: 250 * ms, Jitter: 150 * ms, Spread: netsim.HalfNormal, Loss: 0.02, QueueTime: 1500 * ms},
			)},
		},
		{
			Name: "satellite", About: "geostationary: 3 and 20 Mbit/s, RTT 600 ms, 0.5 % loss",
			Links: []Path{paths(
				netsim.LinkConfig{Rate: 3 * mbit}, netsim.LinkConfig{Rate: 20 * mbit},
				netsim.LinkConfig{Delay: 300 * ms, Jitter: 10 * ms, Loss: 0.005, QueueTime: 300 * ms},
			)},
		},
	}
	for _, percent := range []int{5, 10, 20, 30} {
		all = append(all, Profile{
			Name:  fmt.Sprintf("lossy-%d", percent),
			About: fmt.Sprintf("%d %% random loss each way, RTT 50 ms, no limit of rate", percent),
			Links: []Path{both(netsim.LinkConfig{Delay: 25 * ms, Loss: float64(percent) / 100})},
		})
	}
	all = append(all, train(), lift(), Profile{
		Name: "wifi-to-lte", About: "out of the house in a call: Wi-Fi fades from 6 s on and is left for LTE at 10 s",
		Links: []Path{wifi(), lte()},
		Events: []Event{
			{At: 6 * time.Second, Kind: EventSet, Path: fading()},
			{At: 10 * time.Second, Kind: EventMove, Link: 1},
		},
	}, steppe())
	all = append(all, rfc8867()...)
	all = append(all, rfc8868()...)
	return append(all, rfc8869()...)
}

// both is a path that is the same each way.
func both(cfg netsim.LinkConfig) Path { return Path{Up: cfg, Down: cfg} }

// paths has rates of their own each way, and all else in common.
func paths(up, down, common netsim.LinkConfig) Path {
	p := both(common)
	p.Up.Rate, p.Down.Rate = up.Rate, down.Rate
	return p
}

func wifi() Path {
	return paths(
		netsim.LinkConfig{Rate: 20 * mbit}, netsim.LinkConfig{Rate: 50 * mbit},
		netsim.LinkConfig{
			Delay: 10 * ms, Jitter: 20 * ms, Spread: netsim.Pareto, QueueTime: 100 * ms,
			Burst: netsim.Burst{Enter: 0.0005, Leave: 0.5},
		},
	)
}

// fading is Wi-Fi at the garden gate: slow, late and lossy, and still there.
func fading() Path {
	return paths(
		netsim.LinkConfig{Rate: 300 * kbit}, netsim.LinkConfig{Rate: 500 * kbit},
		netsim.LinkConfig{
			Delay: 20 * ms, Jitter: 200 * ms, Spread: netsim.Pareto, QueueTime: 500 * ms,
			Burst: netsim.Burst{Enter: 0.05, Leave: 0.25},
		},
	)
}

func lte() Path {
	return paths(
		netsim.LinkConfig{Rate: 8 * mbit}, netsim.LinkConfig{Rate: 25 * mbit},
		netsim.LinkConfig{Delay: 25 * ms, Jitter: 20 * ms, Spread: netsim.HalfNormal, Loss: 0.001, QueueTime: 300 * ms},
	)
}

// train is a minute that begins again: cells come and go, two tunnels, one long and dark and one in which packets wait.
func train() Profile {
	mobile := netsim.LinkConfig{Delay: 30 * ms, Jitter: 30 * ms, Spread: netsim.HalfNormal, Loss: 0.002, QueueTime: 500 * ms}
	trace := func(share float64) netsim.Trace {
		t := netsim.Trace{Loop: time.Minute}
		for _, s := range []struct {
			at   time.Duration
			rate float64 // of the downlink, bits a second
			loss float64
			dark bool
		}{
			{0, 12 * mbit, 0.002, false},
			{8 * time.Second, 4 * mbit, 0.005, false},
			{12 * time.Second, 1.2 * mbit, 0.02, false}, // the edge of a cell
			{16 * time.Second, 300 * kbit, 0.05, false},
			{18 * time.Second, 6 * mbit, 0.005, false}, // the next one
			{28 * time.Second, 800 * kbit, 0.02, false},
			{30 * time.Second, 0, 0, true}, // a tunnel
			{34 * time.Second, 500 * kbit, 0.05, false},
			{36 * time.Second, 8 * mbit, 0.002, false},
			{46 * time.Second, 0, 0, false}, // a bridge: packets wait in the base station
			{47 * time.Second, 2 * mbit, 0.01, false},
			{52 * time.Second, 10 * mbit, 0.002, false},
		} {
			cfg := mobile
			cfg.Rate, cfg.Loss, cfg.Blackout = max(int64(s.rate*share), netsim.Stalled), s.loss, s.dark
			if s.rate == 0 {
				cfg.Queue, cfg.QueueTime = 100_000, 0 // bytes: in time of no rate nothing would fit
			}
			t.Steps = append(t.Steps, netsim.Step{At: s.at, Link: cfg})
		}
		return t
	}
	return Profile{
		Name:  "train",
		About: "mobile network at 160 km/h, a minute that begins again: 0.3 to 12 Mbit/s, a tunnel of 4 s at 30 s, a standstill of 1 s at 46 s",
		Links: []Path{{UpTrace: trace(0.3), DownTrace: trace(1)}},
	}
}

// lift is half a minute: doors close at 10 s and open again at 20 s.
func lift() Profile {
	trace := func(full int64) netsim.Trace {
		good := netsim.LinkConfig{Rate: full, Delay: 25 * ms, Jitter: 20 * ms, Spread: netsim.HalfNormal, Loss: 0.001, QueueTime: 300 * ms}
		closing, dark := good, good
		closing.Rate, closing.Loss, closing.Jitter = 200*kbit, 0.2, 100*ms
		dark.Blackout = true
		return netsim.Trace{Steps: []netsim.Step{
			{At: 0, Link: good},
			{At: 10 * time.Second, Link: closing},
			{At: 12 * time.Second, Link: dark},
			{At: 18 * time.Second, Link: closing},
			{At: 20 * time.Second, Link: good},
		}}
	}
	return Profile{
		Name: "lift", About: "LTE, and a lift: 20 % loss at 200 kbit/s from 10 s, nothing from 12 s to 18 s, good again from 20 s",
		Links: []Path{{UpTrace: trace(8 * mbit), DownTrace: trace(25 * mbit)}},
	}
}

// steppe is the call far from any town that has to stay intelligible.
func steppe() Profile {
	return Profile{
		Name:  "steppe",
		About: "24 kbit/s, RTT 200 ms; 30 % loss each way on UDP and 3 % on TCP; NAT rebind at 10 s, UDP cut at 20 s",
		Links: []Path{both(netsim.LinkConfig{Delay: 100 * ms, Rate: 24 * kbit, Loss: 0.3, LossTCP: 0.03})},
		Events: []Event{
			{At: 10 * time.Second, Kind: EventRebind},
			{At: 20 * time.Second, Kind: EventCutUDP},
		},
	}
}

// reference is the bottleneck of RFC 8867 section 4: 50 ms one way, a drop-tail queue of 300 ms, jitter of at most 15 ms
// (RFC 8868 section 4.5: |N(0, 5 ms)| cut at 3 σ) that keeps the order.
func reference() netsim.LinkConfig {
	return netsim.LinkConfig{Delay: 50 * ms, Jitter: 15 * ms, Spread: netsim.HalfNormal, QueueTime: 300 * ms}
}

// free is the way back in RFC 8867: the same delay and no limit.
func free() netsim.LinkConfig { return netsim.LinkConfig{Delay: 50 * ms} }

// phase is a capacity from a time on.
type phase struct {
	at   time.Duration
	rate int64 // bits a second
}

// capacity is a link whose rate changes.
func capacity(link netsim.LinkConfig, phases ...phase) netsim.Trace {
	var t netsim.Trace
	for _, p := range phases {
		link.Rate = p.rate
		t.Steps = append(t.Steps, netsim.Step{At: p.at, Link: link})
	}
	return t
}

// rfc8867 is the capacity of each test case of section 5, client to server; flows, sources and competing TCP are the
// scenario's.
func rfc8867() []Profile {
	profile := func(number, about string, path Path) Profile {
		return Profile{Name: "rfc8867-" + number, About: "RFC 8867 section " + about, Links: []Path{path}}
	}
	second := time.Second
	rated := func(rate int64, queue time.Duration) Path {
		up := reference()
		up.Rate, up.QueueTime = rate, queue
		return Path{Up: up, Down: free()}
	}
	all := []Profile{
		profile("5.1", "5.1, one flow, variable capacity: 1, 2.5, 0.6, 1 Mbit/s; 100 s", Path{
			UpTrace: capacity(reference(), phase{0, mbit}, phase{40 * second, 2500 * kbit}, phase{60 * second, 600 * kbit}, phase{80 * second, mbit}),
			Down:    free(),
		}),
		profile("5.2", "5.2, two flows, variable capacity: 4, 2, 3.5, 1, 2 Mbit/s; 125 s", Path{
			UpTrace: capacity(reference(), phase{0, 4 * mbit}, phase{25 * second, 2 * mbit}, phase{50 * second, 3500 * kbit}, phase{75 * second, mbit}, phase{100 * second, 2 * mbit}),
			Down:    free(),
		}),
		profile("5.3", "5.3, congested feedback, a flow each way: 2, 1, 0.5, 2 and 2, 0.8, 2 Mbit/s; 100 s", Path{
			UpTrace:   capacity(reference(), phase{0, 2 * mbit}, phase{20 * second, mbit}, phase{40 * second, 500 * kbit}, phase{60 * second, 2 * mbit}),
			DownTrace: capacity(reference(), phase{0, 2 * mbit}, phase{35 * second, 800 * kbit}, phase{70 * second, 2 * mbit}),
		}),
		profile("5.4", "5.4, three competing flows: 3.5 Mbit/s; 120 s", rated(3500*kbit, 300*ms)),
	}
	for _, delay := range []time.Duration{10, 25, 50, 100, 150} {
		path := rated(4*mbit, 300*ms)
		path.Up.Delay, path.Down.Delay = delay*ms, delay*ms
		all = append(all, profile(fmt.Sprintf("5.5-%dms", delay),
			fmt.Sprintf("5.5, round trip fairness: 4 Mbit/s, the flow with %d ms one way; 300 s", delay), path))
	}
	return append(all,
		profile("5.6", "5.6, against one long TCP: 2 Mbit/s; 120 s", rated(2*mbit, 300*ms)),
		profile("5.6-1000ms", "5.6, against one long TCP: 2 Mbit/s, a queue of 1 s; 120 s", rated(2*mbit, 1000*ms)),
		profile("5.7", "5.7, against short TCP: 2 Mbit/s; 300 s", rated(2*mbit, 300*ms)),
		profile("5.8", "5.8, a flow that pauses: 3.5 Mbit/s; 120 s", rated(3500*kbit, 300*ms)),
	)
}

// rfc8868 varies one parameter of the reference at a time, over the values of RFC 8868 section 4.
func rfc8868() []Profile {
	var all []Profile
	add := func(name, about string, change func(*netsim.LinkConfig)) {
		link := reference()
		link.Rate = mbit
		change(&link)
		all = append(all, Profile{
			Name: "rfc8868-" + name, About: "RFC 8868, 1 Mbit/s: " + about,
			Links: []Path{both(link)},
		})
	}
	for _, delay := range []time.Duration{0, 50, 150, 300} {
		add(fmt.Sprintf("delay-%d", delay), fmt.Sprintf("%d ms one way", delay), func(l *netsim.LinkConfig) { l.Delay = delay * ms })
	}
	for _, loss := range []int{0, 1, 5, 10, 20} {
		add(fmt.Sprintf("loss-%d", loss), fmt.Sprintf("%d %% loss", loss), func(l *netsim.LinkConfig) { l.Loss = float64(loss) / 100 })
	}
	for _, queue := range []time.Duration{70, 300, 500, 1000, 2000} {
		add(fmt.Sprintf("queue-%d", queue), fmt.Sprintf("a queue of %d ms", queue), func(l *netsim.LinkConfig) { l.QueueTime = queue * ms })
	}
	add("jitter-reorders", "jitter to 15 ms that reorders", func(l *netsim.LinkConfig) { l.JitterReorders = true })
	return all
}

// rfc8869 stands in for the wireless cases, which are defined over a radio simulator: their bottlenecks as traces.
func rfc8869() []Profile {
	second := time.Second
	radio := netsim.LinkConfig{Delay: 30 * ms, Jitter: 40 * ms, Spread: netsim.Pareto, QueueTime: 500 * ms}
	// 3.1: ever more users come to the cell and leave it.
	load := capacity(radio, phase{0, 8 * mbit}, phase{20 * second, 4 * mbit}, phase{40 * second, 2 * mbit}, phase{60 * second, mbit}, phase{80 * second, 3 * mbit})
	// 3.2: bad coverage; the radio conditions swing within seconds.
	coverage := capacity(radio, phase{0, 2 * mbit}, phase{3 * second, 700 * kbit}, phase{5 * second, 250 * kbit}, phase{6 * second, 1500 * kbit}, phase{9 * second, 400 * kbit}, phase{11 * second, mbit})
	coverage.Loop = 13 * second
	wireless := netsim.LinkConfig{Rate: 20 * mbit, Delay: 10 * ms, Jitter: 60 * ms, Spread: netsim.Pareto, QueueTime: 300 * ms}
	wired := reference()
	wired.Rate = mbit
	return []Profile{
		{Name: "rfc8869-3.1", About: "like RFC 8869 section 3.1, a cell that fills: 8 to 1 Mbit/s each way; 100 s", Links: []Path{{UpTrace: load, DownTrace: load}}},
		{Name: "rfc8869-3.2", About: "like RFC 8869 section 3.2, bad coverage: 0.25 to 2 Mbit/s each way, a loop of 13 s", Links: []Path{{UpTrace: coverage, DownTrace: coverage}}},
		{Name: "rfc8869-4.1", About: "RFC 8869 section 4.1, Wi-Fi with the bottleneck in the wire: 1 Mbit/s each way", Links: []Path{both(wired)}},
		{Name: "rfc8869-4.2", About: "like RFC 8869 section 4.2, Wi-Fi is the bottleneck: 20 Mbit/s each way, jitter to 60 ms", Links: []Path{both(wireless)}},
	}
}

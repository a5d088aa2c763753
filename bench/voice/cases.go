package voice

import (
	"fmt"
	"time"

	"github.com/tolkyn/tolkyn/internal/netsim"
)

const (
	ms     = time.Millisecond
	second = time.Second

	usualRTT = 50 * ms
	length   = 60 * second
	learning = 5 * second
)

// What real clients are.
var (
	chromium = Ear{RED: true, NACK: true, Transport: true}
	firefox  = Ear{Transport: true}
	browser  = Voice{}
	sdk      = Voice{RED: []int{2, 4}}
)

// one is a voice that one ear hears.
func one(name, about string, up, down Hop, v Voice, e Ear, goals ...Goal) Case {
	return Case{
		Name: name, About: about, Duration: length, From: learning, Up: up, Down: down, Voices: []Voice{v}, Ears: []Ear{e},
		Goals: append(goals, Goal{Wrong, 0}),
	}
}

func clean() Hop               { return Hop{RTT: usualRTT} }
func lossy(p float64) Hop      { return Hop{RTT: usualRTT, Loss: p} }
func percent(p float64) string { return fmt.Sprintf("%.0f %%", p*100) }

// bursts lose this share in bursts of this mean length.
func bursts(share, mean float64) Hop {
	leave := 1 / mean
	return Hop{RTT: usualRTT, Burst: netsim.Burst{Enter: share * leave / (1 - share), Leave: leave}}
}

// hopGoals are what may be concealed at a loss on one hop, and for how many bytes.
func hopGoals(p float64, bytes Metric) []Goal {
	most := map[float64]float64{0.05: 0.002, 0.1: 0.002, 0.2: 0.002, 0.3: 0.01, 0.5: 0.06}[p]
	return []Goal{{Concealed, most}, {bytes, 2.2}}
}

// talk is a call of two on equal paths.
func talk(name, about string, hop Hop, v Voice, e Ear, goals ...Goal) Case {
	return Case{
		Name: name, About: about, Duration: length, From: learning, Up: hop, Voices: []Voice{v, v}, Both: e,
		Goals: append(goals, Goal{Wrong, 0}), Only: []string{"tolkyn"},
	}
}

// Cases are all there are, in the order of tables.
func Cases() []Case {
	all := []Case{
		one("clean", "nothing is lost", clean(), clean(), browser, chromium, Goal{Concealed, 0}, Goal{Copies, 0}, Goal{UpBytes, 1.001},
			Goal{DownBytes, 1.001}, Goal{DelayP95, 15}),
	}
	for _, p := range []float64{0.05, 0.1, 0.2, 0.3, 0.5} {
		all = append(all, one(named("down", p), percent(p)+" is lost between the server and who listens", clean(), lossy(p), browser, chromium,
			hopGoals(p, DownBytes)...))
	}
	for _, p := range []float64{0.05, 0.1, 0.2, 0.3, 0.5} {
		all = append(all, one(named("up", p), percent(p)+" is lost between a browser that speaks and the server", lossy(p), clean(), browser, chromium,
			hopGoals(p, UpBytes)...))
	}
	for _, p := range []float64{0.2, 0.3, 0.5} {
		all = append(all, one(named("up-sdk", p), percent(p)+" is lost between the server and who speaks, and sends RED", lossy(p), clean(), sdk, chromium,
			hopGoals(p, UpBytes)...).only("tolkyn", "plain"))
	}
	for _, p := range []float64{0.2, 0.3} {
		most := map[float64]float64{0.2: 0.005, 0.3: 0.02}[p]
		all = append(all, one(named("both", p), percent(p)+" is lost on each hop", lossy(p), lossy(p), browser, chromium, Goal{Concealed, most}))
		all = append(all, one(named("both-sdk", p), percent(p)+" is lost on each hop; who speaks sends RED", lossy(p), lossy(p), sdk, chromium,
			Goal{Concealed, most}).only("tolkyn"))
	}
	all = append(all, one("down-burst-20", "20 % is lost before who listens, in bursts of 3 packets in the mean", clean(), bursts(0.2, 3), browser, chromium,
		Goal{Concealed, 0.04}, Goal{DownBytes, 2.2}))
	all = append(all, one("up-burst-20", "20 % is lost behind who speaks, in bursts of 3 packets in the mean", bursts(0.2, 3), clean(), browser, chromium,
		Goal{Concealed, 0.04}))
	for _, rtt := range []time.Duration{20 * ms, 100 * ms, 200 * ms, 300 * ms} {
		far := lossy(0.2)
		far.RTT = rtt
		all = append(all, one(fmt.Sprintf("down-20-rtt%d", rtt.Milliseconds()), fmt.Sprintf("20 %% is lost before who listens, with a round trip of %v", rtt),
			clean(), far, browser, chromium, hopGoals(0.2, DownBytes)...).only("tolkyn", "plain"))
	}
	all = append(all, congested()...)
	all = append(all, others()...)
	return all
}

// congested are cases in which copies cost what they are to save.
func congested() []Case {
	thin := Hop{RTT: usualRTT, Rate: 64_000, QueueTime: 200 * ms}
	narrowed := lossy(0.2)
	narrowed.Rate, narrowed.RateFrom, narrowed.QueueTime = 64_000, 20*second, 200*ms
	wide := narrowed
	wide.Rate = 1_000_000
	late := func(c Case) Case {
		c.From = 30 * second
		return c
	}
	return []Case{
		one("thin", "64 kbit/s before who listens carry the voice, and no copy of it", clean(), thin, browser, chromium,
			Goal{Concealed, 0.005}, Goal{CopiesEnd, 0.05}),
		late(one("thin-20", "20 % is lost, and after 20 s only 64 kbit/s are left: from 30 s on", clean(), narrowed, browser, chromium,
			Goal{Concealed, 0.1}, Goal{CopiesEnd, 0.5})),
		late(one("wide-20", "the same with 1 Mbit/s, which leaves room for all copies", clean(), wide, browser, chromium, hopGoals(0.2, DownBytes)...)),
	}
}

// others are other clients.
func others() []Case {
	opaque := Voice{Opaque: true, FEC: FECNever}
	saver := Voice{Saver: true, Silent: []Span{{20 * second, 40 * second}}}
	listens := Voice{Saver: true, Silent: []Span{{0, length}}}
	saving := talk("saver", "12 kbit/s, 60 ms, nothing in silence: one talks, and is silent from 20 to 40 s; the other one listens", clean(), saver, chromium,
		Goal{Concealed, 0}, Goal{UpTalk, 22}, Goal{UpSilent, 4}, Goal{DownTalk, 22}, Goal{DownSilent, 4})
	saving.Voices[1] = listens
	steppe := saving
	steppe.Name, steppe.About, steppe.Up = "saver-20", "the same with 20 % of loss on each hop", lossy(0.2)
	steppe.Voices = []Voice{saver, listens}
	steppe.Goals = []Goal{{Wrong, 0}}
	two := one("two", "two speak, and 20 % is lost before who listens", clean(), lossy(0.2), browser, chromium, hopGoals(0.2, DownBytes)...)
	two.Voices = []Voice{browser, browser}
	return []Case{
		one("firefox-20", "20 % is lost before a Firefox: it takes no RED and asks for nothing again", clean(), lossy(0.2), browser, firefox,
			Goal{DownBytes, 1.001}).only("tolkyn", "plain", "fec"),
		one("opaque-20", "20 % is lost before who listens, of packets that are encrypted end to end", clean(), lossy(0.2), opaque, Ear{NACK: true, Offers: true, Transport: true},
			Goal{DownBytes, 2.2}).only("tolkyn", "plain"),
		one("no-fec-20", "20 % is lost before who listens, of a voice without in-band FEC", clean(), lossy(0.2), Voice{FEC: FECNever}, chromium,
			Goal{Concealed, 0.01}).only("tolkyn", "plain"),
		two.only("tolkyn", "plain"),
		saving, steppe,
	}
}

func named(what string, p float64) string { return fmt.Sprintf("%s-%.0f", what, p*100) }

// only has a case be played in these ways alone.
func (c Case) only(ways ...string) Case {
	c.Only = ways
	return c
}

// Find returns a case by its name.
func Find(name string) (Case, bool) {
	for _, c := range Cases() {
		if c.Name == name {
			return c, true
		}
	}
	return Case{}, false
}

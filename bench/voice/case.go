package voice

import (
	"time"

	"github.com/tolkyn/tolkyn/internal/netsim"
)

// Case is one experiment: who talks to whom, over what, and what must come out.
type Case struct {
	Name, About string
	Duration    time.Duration
	From        time.Duration // figures count from here on: until then the server may learn what the paths do
	Up, Down    Hop           // between each mouth and the server, and between the server and each ear
	Voices      []Voice       // a client each
	Ears        []Ear         // a client each; none: who talks hears the others
	Both        Ear           // of those that talk, where there are no Ears
	Goals       []Goal
	Only        []string // the ways it is played in, by name; none: all
}

// Hop is a path between a client and the server. It loses both ways, what is heard and what is told of it.
type Hop struct {
	RTT   time.Duration
	Loss  float64
	Burst netsim.Burst

	Rate      int64         // of media's way, bits a second; 0: unlimited
	RateFrom  time.Duration // since when
	QueueTime time.Duration // what may wait for Rate
}

// traces are how media's way and the other one are, from the time on that all are connected.
func (h Hop) traces() (there, back netsim.Trace) {
	link := netsim.LinkConfig{Delay: h.RTT / 2, Loss: h.Loss, Burst: h.Burst}
	thin := link
	thin.Rate, thin.QueueTime = h.Rate, h.QueueTime
	there.Steps = []netsim.Step{{Link: link}}
	back.Steps = []netsim.Step{{Link: link}}
	switch {
	case h.Rate > 0 && h.RateFrom > 0:
		there.Steps = append(there.Steps, netsim.Step{At: h.RateFrom, Link: thin})
	case h.Rate > 0:
		there.Steps[0].Link = thin
	}
	return there, back
}

// Way is how much of what we do is in use, or what another does: it changes a case's voices and ears.
type Way struct {
	Name, About string
	change      func(*Voice, *Ear)
}

// The ways. What others forward is RED-2, which most clients that send RED at all could at best be told to send.
func Ways() []Way {
	return []Way{
		{"tolkyn", "what each hop needs, as the server chooses", func(*Voice, *Ear) {}},
		{"plain", "forwarded as it comes, without any repair", func(v *Voice, e *Ear) {
			v.FEC, v.Deaf, v.RED = FECNever, true, nil
			*e = Ear{Transport: e.Transport}
		}},
		{"fec", "in-band FEC alone", func(v *Voice, e *Ear) {
			v.FEC, v.Deaf, v.RED = FECAlways, true, nil
			*e = Ear{Transport: e.Transport}
		}},
		{"red-2", "two copies from end to end, as others forward them", func(v *Voice, e *Ear) {
			v.FEC, v.Deaf, v.RED, v.Blind = FECNever, true, nil, []int{1, 2}
			*e = Ear{Transport: e.Transport, NoFEC: true}
		}},
	}
}

// Metric is a figure of a run, by its name in rows.
type Metric string

// The metrics, from Case.From on; means of all ears. Shares are from 0 to 1.
const (
	// Concealed is what was made up ÷ what was played of talk, in samples.
	Concealed Metric = "concealed"
	// ConcealedFirst is the same before Case.From: what it costs until the server knows.
	ConcealedFirst Metric = "concealed_first"
	// UpBytes and DownBytes are the bytes of RTP on the wire, headers of UDP and IPv4 included, ÷ those of the same frames
	// without any repair: of mouths to the server, and of the server to ears.
	UpBytes   Metric = "up_bytes"
	DownBytes Metric = "down_bytes"
	// DelayMean and DelayP95 are how much later words are heard than the paths alone would have it, ms.
	DelayMean Metric = "delay_mean_ms"
	DelayP95  Metric = "delay_p95_ms"
	// Copies is how many copies came with a packet.
	Copies Metric = "copies"
	// CopiesEnd is the same in the last five seconds.
	CopiesEnd Metric = "copies_end"
	// ByRED, ByFEC and ByResend are the shares of playout that came so.
	ByRED    Metric = "by_red"
	ByFEC    Metric = "by_fec"
	ByResend Metric = "by_resend"
	// Lost is the share of the server's packets to ears that did not come.
	Lost Metric = "lost"
	// Wrong is how many payloads nobody had said, or were played twice or out of order.
	Wrong Metric = "wrong"
	// UpTalk and the others are all bytes on the wire of one client and one direction, RTP, RTCP, STUN, in kbit/s: while it, or
	// for Down the other one, talks or is silent.
	UpTalk     Metric = "up_talk_kbps"
	UpSilent   Metric = "up_silent_kbps"
	DownTalk   Metric = "down_talk_kbps"
	DownSilent Metric = "down_silent_kbps"
)

// Goal is what a metric of a case must be at most.
type Goal struct {
	Metric Metric
	Value  float64
}

// Met says whether a figure meets the goal.
func (g Goal) Met(v float64) bool { return v <= g.Value }

// Package cc plays congestion control cases in virtual time: RFC 8867's and our own, our controller and others'.
//
//	Source ─► pace.Queue ─► own way ─► bottlenecks, which others' flows and TCP share ─► own way ─► receiver ─┐
//	  ▲ 100 ms later  ▲ probes                                                                               │ report
//	  └── Target ── Controller ◄──────────────────────────── own way, bottlenecks ◄───────────────────────────┘
//
// Run plays one Case with one seed: events on one heap, links of internal/netsim, no goroutine and no clock, so that equal
// seeds give equal figures to the bit and minutes take milliseconds. Source, pacer, receiver and feedback are the same for
// every controller; what differs is behind Controller. The report of a receiver comes each 50 to 250 ms, by libwebrtc's rule.
//
// Cases are data and carry their goals; ideal says what each flow could have had, max-min fair, and Metric how a run is
// measured by it. Play runs cases, controllers and seeds on all cores, WriteText, Table.WriteJSON and Table.Study show them.
// Hunt draws cases nobody thought of and keeps those that go worst, which are tests from then on (testdata/worst). What ours
// does in every case stands in testdata/baseline.json: 'go test ./bench/cc -update' writes it anew.
package cc

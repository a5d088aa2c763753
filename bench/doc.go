// Package bench calls a server as strangers do and says how good the call was. It is a black box: it talks to any
// server by its address.
//
//	scenario ──► Schedule ──► worker process                       server under test
//	                          callers: full, light, browser ──────► tolkyn, LiveKit, Janus, plain
//	               source ──► clips, a stamp in each frame  ◄──────   started here, or elsewhere
//	                             │           ▲                          │
//	                             ▼           └─ netem: Line, veth, TUN  ▼ CPU, memory, drops
//	                          measure ─────────────► Run ◄──────────────┘
//	                                                  │
//	           Capacity: Run at rising loads ─────────┤
//	           Compare:  Run A, B, A, B … ────────────┤
//	                                                  ▼
//	                          report: terminal, JSON, CSV, Prometheus, HTML
//
// Run plays one scenario: it lays the Ground, starts the server, starts processes for the callers, looks once a second at what
// both use, and puts the Report together. The callers have processes of their own so that their CPU and lateness can be told
// from the server's, and so that they can be put into a network namespace.
//
// docs/benchmarking.md teaches how to measure with it. bench/fanout measures what forwarding costs the server, bench/signaling
// the plane: replies, changes of networks, memory, messages. bench/cc plays congestion control in virtual time, bench/congestion
// with real browsers and sockets. Go benchmarks stand beside the code they measure, and scripts/bench
// runs all of them.
package bench

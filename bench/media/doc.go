//go:build linux

// Command media measures what the media engine costs, and keeps the rows.
//
//	go test -bench ─────────────────────────► ns a packet of each codec and decision, bytes of a history ring
//	tolkyn bench, light callers ────────────► switching fan-out, meetings, pairs, 10 to 1,000 subscribers, rooms of a thousand
//	tolkyn bench compare tolkyn livekit ────► the same in turn, at the largest load that both carry without loss
//	                                              │ medians
//	                                              ▼
//	                                  bench/results/media.json
//
// A server's cost is CPU time, user and system, of its process and of the kernel's packet threads, from the moment when everybody
// was in the call, divided by packets: those that callers sent and received, or (subscribers, fan-out) received. The load is made
// on the same cores, so each row has beside it what was lost, dropped and put off: where that is not 0, the load was too large for
// this machine and the figure says nothing.
package main

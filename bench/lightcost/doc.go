//go:build linux

// Command lightcost measures what light callers cost beside the server that they load, and keeps the rows.
//
//	┌ tolkyn bench -s 'webinar 1x500 kind=light' ┐  report   caller ns ÷ server ns a packet,
//	│ server process ◄── SRTP ──► caller process │ ────────► drops of either side's sockets, loss
//	└──────── three times, then 'pairs 500' ─────┘           medians ─► bench/results/light.json
//
// Both are CPU time, user and system, divided by all packets that callers sent and received while everybody was in the call.
// The two share one machine, so only their ratio says something: load generated here must not cost what the server does.
package main

//go:build linux

// Command turn measures what relaying one packet costs the server, beside Debian's coturn, in one run.
//
//	turnutils_uclient ──► tolkyn serve --roles turn ──► turnutils_peer     the same load on each, in turn,
//	turnutils_uclient ──► turnserver (coturn)       ──► turnutils_peer     and the other one first in the next pair
//
// The load and the peer are coturn's own tools, so that nothing of ours measures ours. A packet counts once for each way
// through the relay. What counts is CPU time of the server's process, its set-up of the allocations included, and the median
// of the pairs' ratios; a machine whose sends cost twice as much changes both. Packets that the relay lost are a row of their
// own.
//
// Beside that: what an allocation costs, in CPU time and in memory, with thousands of them held; what a packet costs that is handed
// to the SFU in memory, beside one on the SFU's own socket; and what a minute of a flood does to calls, memory and log.
package main

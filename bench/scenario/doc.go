// Package scenario says what is played: rooms, callers, media, who comes and goes when, the network of each, and what must hold
// in the end. It is pure.
//
//	file.yaml ──► Parse ─┐                      ┌─► Schedule ──► []Caller: who, where, what, and events in order of time
//	                     ├─► Scenario ─► Check ─┤                     JSON, for the processes that play them
//	"webinar 1x500" ─────┘                      └─► Scale ──► the same at another load, for capacity runs
//	   Builtin
//
// One struct says everything: its tags are the limits that Check holds a scenario to, its doc comments become schema.json, and
// docs/scenarios.md teaches it. The same scenario and seed have the same schedule, byte for byte. Every draw is cast from a die
// of its own, made of the seed and the names of room, group and caller, so that a further room or group leaves those that are
// there as they were.
package scenario

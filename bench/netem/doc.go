// Package netem puts a bad network between a caller and a server.
//
//	caller ──► relay or namespace ──► server
//	              │
//	   preset or trace ──► internal/netsim: delay, loss, rate, queue, reordering
//
// Empty until the bench is built. There is one link model, in internal/netsim; this package only drives real packets
// through it.
package netem

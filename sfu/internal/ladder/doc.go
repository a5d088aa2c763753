// Package ladder says which layer of a track a slot should show. It is a pure core.
//
//	encodings as measured          rungs, by rate                         one slot
//	q  180p  T0 T1 T2   ──►  q/T0 < q/T2 < h/T0 < h/T2 < f/T2   ──►  Choose(view, what flows) ──► rung
//	h  360p  T0 T1 T2         (what the publisher claims
//	f  720p  T0 T1 T2          does not count)
package ladder

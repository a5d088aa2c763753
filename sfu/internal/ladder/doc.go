// Package ladder says which layer of a track a slot should show, and which layers of a track anybody needs. It is a pure
// core.
//
//	encodings as measured         Ladder: rungs, by rate                        one slot each
//	q  180p  T0 T1 T2   ──►  q/T0 < q/T2 < h/T0 < h/T2 < f/T2  ──► Chooser.Choose(view, budget) ──► Want: with all that is known
//	h  360p  T0 T1 T2        silent: remembered, not shown            │                             Show: with what flows now
//	f  720p  T0 T1 T2                                                 ▼
//	     ▲                                                      Wanted.Settle
//	     └───────────── on at once, off after 400 ms ─────────────────┘
//
// What a publisher says of its encodings does not count: RIDs are names, and their order is not that of their sizes
// everywhere. A rate is measured, and ranks beside what is measured at the same time: see rank.go. The size of a picture comes
// out of the stream, and tells whether it fills its place.
package ladder

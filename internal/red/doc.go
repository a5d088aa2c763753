// Package red takes the sound of one stream apart that comes as RED (RFC 2198): packets of a voice with copies of earlier ones
// before them. It is a pure core for receivers.
//
//	70     71     72        73 lost   74 lost   75 (copies of 71 and 73)
//	                            ▲                 │
//	            holes: 73, 74 ──┴── 73's payload ─┤  71 is there: nothing
//	                                              └► own payload
//
// A copy says only by how much its timestamp lies before its carrier's. Which number its packet had is found by the holes that there
// are, and where each of them lies in time. So nobody hears anything twice, and what was lost twice is missing once.
package red

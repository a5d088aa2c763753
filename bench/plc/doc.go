// Package plc makes up the sound that is not there, so that what a caller heard can be listened to. It is a pure core.
//
//	played          lost: Conceal                                  played again: Play
//	~~~~~~~~~~~~~~~┌────────┬────────┬────────┬─ ─ ─ ─            ~~~~~~~~~~~~~~~~~
//	       │period││ period │ period │ period │    fades to 0
//	       └──┬───┘└────────┴────────┴────────┴─ ─ ─ ─          ▲
//	          └ the last one before the hole, over and over     └ the two are cross-faded, so that nothing clicks
//
// The idea is that of ITU-T G.711 Appendix I: a voice is nearly periodic for some hundredths of a second, so its last period is
// repeated; more periods are used as the hole grows, or it would buzz; what is made up loses a fifth every 10 ms and is silent after
// 60 ms, since whoever makes up more says words that nobody said. Devices do it in such a way or a better one. It is no model of a
// certain decoder: two recordings can be compared with each other, and not with what a telephone of some make would have played.
//
// Stretch makes a piece a little longer or shorter, as a playout buffer asks for that changes its delay: it cuts out, or says
// twice, a few milliseconds where that is heard least.
package plc

// Package speaker finds the loudest speakers of a room, once per room. It is a pure core.
//
//	a packet's level (RFC 6464) ──► above this id's own noise? ──► activity: how long of late ──► speaks, or no longer
//	                                                          └──► loudness: how loud of late ──► order of speakers
//
//	         0.0   0.1   0.2   0.3   0.4   0.5 s          0 s      1 s      2 s
//	heard    ▁▁████████████████████████████████          ██▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁
//	activity ▁▁▂▂▃▃▄▄▄▄▅▅▅▅▆▆▆▆▆▆▇▇▇▇▇▇████████          ██▇▆▆▅▅▄▄▃▃▃▂▂▂▂▂▁▁▁▁▁▁
//	speaks                     └ at 0.35 s                                 └ until 1.7 to 2.4 s after the last word
//
// The rules, after the ideas of Volfin and Cohen (Dominant speaker identification for multipoint videoconferencing, 2012):
// judge by activity over a time that a cough does not fill, and let a challenger be clearly louder than who is before him.
// Theirs compares likelihoods in three windows; this one has two decaying sums, which cost a table look-up a packet.
//
//   - A packet is active when it is 9 dB above the id's noise floor and above -60 dBov. The floor falls at once to the
//     quietest packet and rises by 3 dB a second: a fan becomes floor, speech dips between syllables and does not. A packet
//     without the voice bit is not active, if its sender ever sets that bit. Activity lasts 100 ms over such dips.
//   - Activity nears 1 with a time constant of 500 ms: half of it, which makes a speaker, is reached in 350 ms. A cough of
//     200 ms (300 ms with what it lasts on) comes to 0.45. It fades with one of 1 s, and at 0.1 the speaker is no longer
//     one: a pause of 1.6 s is survived even by who has just begun, and 2.3 s by who spoke long.
//   - Loudness is dB above -60 dBov, averaged with a time constant of 400 ms. A speaker passes the one before him when he is
//     louder by a quarter: 8 dB where the other speaks at -30 dBov, and after about 0.4 s where the other has fallen silent.
//   - Silence is the absence of packets too (DTX, mute): time counts, not packets, so sending more of them gives no weight.
package speaker

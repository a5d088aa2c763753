// Package alloc shares one subscriber's bits among the slots it watches: who is shown how sharp and how smooth, and who is
// not shown at all. It is a pure core.
//
//	bits, sources ──► weigh ──► is more sent than there is? ──yes──► thin: by layers that need no keyframe, if that is enough
//	 (estimate        utility of       │                             fall: else by any, the least utility first
//	  less audio      each layer       no
//	  and repair)                      ▼
//	                             rise: what is spare, with headroom, when the last fall is a while ago
//	                             anew: all of it again, when that is clearly better
//	                                   │
//	                                   ▼
//	                     one Choice for each source; Step: with how many bits somebody would get more
//
// Bits are those that last: bwe.Estimate.Lasts, not the Target that drains a queue for some tenths of a second, less what audio
// and repair take.
//
// # Order
//
// Everybody's least layer comes before anybody's second. When there are not even bits for that, what weighs least is paused,
// and says so. What is left goes where it brings the most utility for its bits. Nothing is exempt: the sum is never above
// the bits given, but for a tolerance of 5 % for 200 ms. Audio has its bits before video is asked.
//
// # Utility
//
// weight × sharpness × smoothness; the last two are from 0 to 1 and concave in pixels and pictures, so that the first layers
// bring the most:
//
//	weight      screen and speaker 4, camera 1; × 1 to 3 by the priority of the wish within its kind; × ½ to 2 by size
//	sharpness   (1 − e^(−α·s^0.74)) / (1 − e^−α), s: share of the pixels shown that the layer brings; α 4, of a screen 1.5
//	smoothness  (1 − e^(−β·t^0.63)) / (1 − e^−β), t: pictures a second ÷ 30; β 3, of a screen 8
//
// The two curves have the form that viewers' ratings gave in Q-STAR (Ou, Xue, Wang, IEEE Transactions on Image Processing
// 23(6), 2014); what is in them is in its range and not measured by us. A screen is read: half of its lines are not half of
// its worth but less, and five pictures a second are nearly as good as thirty. A face moves: of a camera, fewer than 20 pictures
// a second count × t ÷ ⅔ of that, so that the next smaller encoding is shown whole before half of the pictures are left out:
// below about 15 people do worse at nearly all that they were tried at (Chen, Thropp, IEEE Transactions on Systems, Man, and
// Cybernetics A 37(6), 2007). Where sizes are not known bits stand for them.
// Else bits are a price and no quality: a face that moves little is sharp at a third of another's rate.
//
// # Calm
//
// A fall is at once. Rises leave 10 % of headroom, and half as much again in the first seconds after a fall. A rise that is taken
// back within 30 s has failed: the next one to as much waits 9 s from its fall, then 27, then a minute, unless the bits are
// those of another path. What flows is not disturbed for another share that is only a little better. The sfu cases of
// `tolkyn bench cc` show what comes of it.
package alloc

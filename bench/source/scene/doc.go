// Package scene draws the pictures of the clips: somebody who talks and waves before a window, a clock, a ball.
//
//	scene, frame, mouth ─► Draw ─► Picture (RGB) ─► Shrink ─► YUV ─► encoder
//
//	┌──────────────────────────────────────────┐
//	│  black: room for the block code          │
//	│ ┌───┐        ___              ╱ ╲        │  the window's cloud drifts, the hand waves, the clock goes round
//	│ │   │       (o o)    \o      │  |  │      │  once in a loop, the ball hops, the camera sways; grain all over
//	│ └───┘        \_/    /         ╲ ╱        │
//	│  o         /  A  \_/          3.4        │
//	└──────────────────────────────────────────┘
//
// A core: the same arguments give the same picture, so that what was decoded can be compared with what was drawn. Whatever
// moves is back where it began after a loop.
package scene

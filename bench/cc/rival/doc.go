// Package rival is the controllers that ours is measured against, behind cc.Maker.
//
//	pion-gcc      pion/interceptor's pkg/gcc itself, in a synctest bubble ──┐
//	googcc-model  libwebrtc's GoogCC, modelled                              ├──► cc.Controller ──► the cases of bench/cc
//	scream-model  SCReAM v2, modelled                                       │
//	nada-model    NADA, RFC 8698, modelled                                  ┘
//
// The models are written from the published descriptions, with the published parameters. They are not the products: anchor_test.go
// holds them beside what the real ones were measured to do and says how near they come and where they do not. What they leave
// out stands with each. Like every controller of a case they get feedback each 50 to 250 ms, which suits GoogCC and pion; SCReAM
// and NADA were made for feedback of every few packets.
//
// pion's code reads time.Now and starts goroutines, so it runs in a bubble of testing/synctest of its own: the case plays outside
// and steps the bubble's clock before each feedback. All controllers but pion's answer equal inputs equally.
package rival

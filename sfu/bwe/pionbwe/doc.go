// Package pionbwe offers the estimator of sfu/bwe, and sfu/pace as its pacer, to users of pion: it is a
// cc.BandwidthEstimator of pion/interceptor, in the place of pion's gcc.
//
//	track ─► NACK responder, reports, … ─► Estimator.AddStream's writer ─► queue: audio, repair, video, probes ─► SRTP
//	                                                                         ▲ pacing
//	                     ReadRTCP ─► cc.Interceptor ─► WriteRTCP ─► estimate ─┴─► OnTargetBitrateChange
//
// Add it before the other interceptors, so that retransmissions pass it too, and register the header extension (the Example
// shows both):
//
//	factory, err := cc.NewInterceptor(func() (cc.BandwidthEstimator, error) { return pionbwe.New(pionbwe.Config{}), nil })
//	factory.OnNewPeerConnection(func(id string, e cc.BandwidthEstimator) { … e.OnTargetBitrateChange(encoder.SetBitrate) … })
//	registry.Add(factory)
//	webrtc.RegisterDefaultInterceptors(mediaEngine, registry)
//
// The transport-wide number is put on a packet as it leaves the queue, so ConfigureTWCCHeaderExtensionSender is not needed; when it
// is there, add it after this one. Feedback may be transport-wide, RFC 8888, or REMB and receiver reports alone. Every encoder
// reads RTCP of its senders (RTPSender.Read in a loop), or no feedback comes.
//
// Probes need padding where media does not suffice: it goes on the RTX stream (RFC 4588) of a video, with numbers that are this
// package's own, so negotiate RTX. A stream without RTX whose packets are sent again keeps their first transport-wide number:
// another one would seal different bytes under one SRTP nonce.
//
// There is no goroutine per peer or stream: packets leave in the writer's, and what waits in a timer's.
package pionbwe

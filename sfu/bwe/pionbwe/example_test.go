package pionbwe_test

import (
	"fmt"

	"github.com/pion/interceptor"
	"github.com/pion/interceptor/pkg/cc"
	"github.com/pion/webrtc/v4"

	"github.com/tolkyn/tolkyn/sfu/bwe/pionbwe"
)

// A PeerConnection whose encoder follows the estimate.
func ExampleNew() {
	engine, registry := &webrtc.MediaEngine{}, &interceptor.Registry{}
	if err := engine.RegisterDefaultCodecs(); err != nil {
		panic(err)
	}
	factory, err := cc.NewInterceptor(func() (cc.BandwidthEstimator, error) {
		return pionbwe.New(pionbwe.Config{}), nil
	})
	if err != nil {
		panic(err)
	}
	factory.OnNewPeerConnection(func(_ string, e cc.BandwidthEstimator) {
		fmt.Println("before anything is known:", e.GetTargetBitrate())
		e.OnTargetBitrateChange(func(bitrate int) { /* encoder.SetBitrate(bitrate) */ })
	})
	registry.Add(factory) // first, so that nothing passes it by
	if err := webrtc.RegisterDefaultInterceptors(engine, registry); err != nil {
		panic(err)
	}
	api := webrtc.NewAPI(webrtc.WithMediaEngine(engine), webrtc.WithInterceptorRegistry(registry))
	pc, err := api.NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		panic(err)
	}
	defer pc.Close()
	// Output: before anything is known: 289000
}

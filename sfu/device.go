package sfu

import (
	"github.com/tolkyn/tolkyn/sfu/internal/handshake"
	"github.com/tolkyn/tolkyn/sfu/internal/plan"
)

// suit fits what the peer publishes and receives to its device.
func (p *Peer) suit(d Device) {
	var policy handshake.Policy
	policy.Codecs, policy.MaxEncodings, p.maxVideos, p.maxHeight = plan.Publishing(plan.Device{
		Class: plan.Class(d.Class), Decoders: d.Decoders, Cores: d.Cores, SavingPower: d.SavingPower, Hot: d.Hot,
		HardwareEncoders: d.HardwareEncoders,
	})
	p.policy = policy
}

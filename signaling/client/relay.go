package client

import (
	"github.com/pion/stun/v4"
	"github.com/pion/webrtc/v4"

	"github.com/tolkyn/tolkyn/signaling/wire"
)

// relaysAre takes the TURN servers that the session has from now on: for the next gathering of candidates. Who goes through a relay
// gathers at once, before what it was allocated with runs out.
func (s *session) relaysAre(servers []*wire.IceServer) {
	s.mu.Lock()
	s.relays = servers
	room := s.room
	s.mu.Unlock()
	if room != nil {
		room.relaysChanged()
	}
}

func (r *Room) relaysChanged() {
	r.mu.Lock()
	m := r.media
	r.mu.Unlock()
	if m == nil {
		return
	}
	// It fails on a connection that is closed, which needs no relay.
	if m.pc.SetConfiguration(r.client.ice()) != nil || !m.relayed.Load() {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.moved = true
	r.nudge()
}

// ice configures pion's ICE. A server on this machine is reached without a relay.
func (c *Client) ice() webrtc.Configuration {
	configuration := webrtc.Configuration{}
	if c.relayOnly {
		configuration.ICETransportPolicy = webrtc.ICETransportPolicyRelay
	} else if c.nearby {
		return configuration
	}
	c.session.mu.Lock()
	servers := c.session.relays
	c.session.mu.Unlock()
	for _, server := range servers {
		var urls []string
		for _, url := range server.GetUrls() {
			// pion would refuse all of them for one that it does not know.
			if _, err := stun.ParseURI(url); err == nil && (c.relays == nil || c.relays(url)) {
				urls = append(urls, url)
			}
		}
		if len(urls) > 0 {
			configuration.ICEServers = append(configuration.ICEServers, webrtc.ICEServer{
				URLs: urls, Username: server.GetUsername(), Credential: server.GetCredential(),
			})
		}
	}
	return configuration
}

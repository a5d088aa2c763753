package main

import (
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/tolkyn/tolkyn/cmd/tolkyn/internal/config"
	"github.com/tolkyn/tolkyn/sfu"
	"github.com/tolkyn/tolkyn/signaling"
	"github.com/tolkyn/tolkyn/web"
)

// lobby is the room of the local and lan modes, where there is nobody to name others. It lies in the tenant of
// development tokens, so that guests with an invitation meet who opened the page on this machine.
const (
	lobbyTenant = "dev"
	lobbyRoom   = "lobby"
)

// invitationMark stands before the invitation in the printed URL. What follows # never leaves the browser by itself: no
// log and no Referer holds it.
const invitationMark = "#invite="

// plane is what browsers reach: the page, the doors that hand out tokens, the sessions.
type plane struct {
	mux        *http.ServeMux
	sessions   *signaling.Server
	invitation string // the code that the printed URL carries; lan mode only
}

// openPlane puts the page, the doors of this mode and the sessions on one mux. pagePorts are the TCP ports it is served
// on; q is nil without QUIC, relays without TURN.
func openPlane(
	c config.Config, who mode, unit *sfu.SFU, admission *load, pagePorts []uint16, q *quicPort, relays *relay, log *slog.Logger,
) (*plane, error) {
	p := &plane{mux: http.NewServeMux()}
	p.mux.Handle("/", web.Handler(q.pagePorts()...))
	keys, err := p.openDoors(c, who)
	if err != nil {
		return nil, err
	}
	verifier, err := signaling.NewVerifier(keys...)
	if err != nil {
		return nil, fmt.Errorf("signaling.keys: %w", err)
	}
	proxies, err := c.HTTP.Proxies()
	if err != nil {
		return nil, fmt.Errorf("http.trusted_proxies: %w", err)
	}
	settings := signaling.Config{
		SFU:      unit,
		Verifier: verifier,
		Admit: func() (bool, time.Duration) {
			retryAfter, ok := admission.Admit()
			return ok, retryAfter
		},
		FramesPerSecond: c.Limits.FramesPerSecond,
		HelloPerSecond:  float64(c.Limits.HellosPerSecond),
		HelloBurst:      c.Limits.HelloBurst,
		TrustedProxies:  proxies,
		Origins:         c.Signaling.Origins,
		OwnPorts:        pagePorts,
		Transports:      q.transports,
		ResumeFor:       c.Signaling.Resume,
		AudioSlots:      c.Limits.AudioSlots,
		VideoSlots:      c.Limits.VideoSlots,
		Name:            "tolkyn " + readBuild().version,
		Logger:          log,
	}
	if relays != nil {
		settings.Relays, settings.Revoke = relays.servers, relays.revoke
	}
	if p.sessions, err = signaling.New(settings); err != nil {
		return nil, err
	}
	p.mux.Handle("/v1/ws", p.sessions)
	p.mux.Handle("/v1/transports", p.sessions.TransportsHandler())
	return p, nil
}

// openDoors mounts where tokens are had in this mode, and returns the keys that tokens are checked with.
func (p *plane) openDoors(c config.Config, who mode) ([]signaling.Key, error) {
	if who == production {
		return trustedKeys(c.Signaling.Keys)
	}
	key, err := momentaryKey()
	if err != nil {
		return nil, err
	}
	p.mux.Handle("/v1/dev-token", signaling.DevTokenHandler(key))
	if who == lan {
		var invites signaling.Invites
		p.invitation, err = invites.Issue(signaling.Grants{
			Tenant: lobbyTenant, Room: lobbyRoom, Publish: true, Subscribe: true,
		}, time.Now())
		if err != nil {
			return nil, fmt.Errorf("make an invitation: %w", err)
		}
		p.mux.Handle("/v1/invite/{code}", signaling.InviteHandler(&invites, key))
	}
	return []signaling.Key{key}, nil
}

// momentaryKey signs tokens until the process ends; nothing of it is kept.
func momentaryKey() (signaling.Key, error) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return signaling.Key{}, fmt.Errorf("make a signing key: %w", err)
	}
	return signaling.Key{ID: "development", Public: public, Private: private}, nil
}

// trustedKeys are the keys of the configuration, read from their files.
func trustedKeys(configured []config.Key) ([]signaling.Key, error) {
	var keys []signaling.Key
	for _, k := range configured {
		material, err := k.Material()
		if err != nil {
			return nil, fmt.Errorf("signaling.keys: %q: %w", k.ID, err)
		}
		key := signaling.Key{ID: k.ID}
		switch material := material.(type) {
		case ed25519.PublicKey:
			key.Public = material
		case []byte:
			key.Secret = material
		}
		keys = append(keys, key)
	}
	return keys, nil
}

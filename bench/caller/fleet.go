package caller

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/tolkyn/tolkyn/bench/caller/light"
	"github.com/tolkyn/tolkyn/bench/scenario"
	"github.com/tolkyn/tolkyn/bench/source"
)

// newFleet starts the light callers. They know one server's protocol and go out plainly.
func newFleet(list []scenario.Caller, job Job, clips *source.Clips) (*light.Fleet, error) {
	if job.Target.Kind != "tolkyn" {
		return nil, errors.New("light callers can call a Tolkyn server alone: take full ones (kind: full)")
	}
	for _, c := range list {
		if len(c.Networks) > 0 && !job.Modelled {
			return nil, errors.New("light callers have no modelled network: take full ones (kind: full) for group " + c.Group)
		}
	}
	config := light.Config{
		Server: job.Target.URL, Callers: list, Others: append(job.Others, job.Callers...),
		Epoch: job.Epoch, Duration: job.Duration, Warmup: job.Warmup, OpenOneIn: job.OpenOneIn,
	}
	if job.Target.Address.IsValid() {
		config.Address = job.Target.Address
	}
	if !slices.ContainsFunc(list, madeUp) {
		config.Media = func(c scenario.Caller, i, layer int) light.Media {
			t, stamp := c.Publish[i], light.Stamp(c, i, layer)
			if t.Media == scenario.Microphone {
				return clips.Audio(c.Number, profileOf(t.Profile), stamp)
			}
			return clips.Video(c.Number, layerOf(t.Encodings()[layer].Profile), stamp)
		}
	}
	if job.Target.Secret != "" || job.Target.Token != "" {
		config.Token = func(_ context.Context, room, identity string) (string, error) {
			return job.Target.Sign(room, identity)
		}
	}
	return light.New(config)
}

// madeUp: a rate that no clip has. Then all of them send noise.
func madeUp(c scenario.Caller) bool {
	return slices.ContainsFunc(c.Publish, func(t scenario.Track) bool {
		return t.Bitrate > 0 && t.Bitrate != rateOf(t) || t.FPS != 0 && t.FPS != source.FrameRate
	})
}

// rateOf is the clips' own rate.
func rateOf(t scenario.Track) scenario.Rate {
	if t.Media == scenario.Microphone {
		return scenario.Rate(profileOf(t.Profile).Bitrate())
	}
	return scenario.Rate(layerOf(t.Profile).Bitrate())
}

// tokenLife is how long a token lives that Sign makes: servers take no longer ones.
const tokenLife = 9 * time.Minute

// Sign makes a join token with the target's secret, or returns its ready one; empty: the server has to be asked.
func (t Target) Sign(room, identity string) (string, error) {
	if t.Secret == "" {
		return t.Token, nil
	}
	token := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{
		"sub": identity, "tenant": "bench", "room": room, "publish": true, "subscribe": true,
		"iat": time.Now().Unix(), "exp": time.Now().Add(tokenLife).Unix(),
	})
	token.Header["kid"] = t.Key
	return token.SignedString([]byte(t.Secret))
}

// addFleet adds how the light callers stand.
func addFleet(f *light.Fleet, to *Snapshot) {
	s := f.Snapshot()
	to.Callers += s.Present
	to.Failed += s.Failing
	to.GaveUp += s.GaveUp
	to.Sent += s.SentPackets
	to.Received += s.ReceivedPackets
	to.Expected += s.ReceivedPackets + s.Lost
	to.Lost += s.Lost
	to.Drops += s.Overflow
	to.Lag = max(to.Lag, float64(s.Late)/float64(time.Millisecond))
}

func fleetResult(r light.Result, to *Result) {
	to.Totals.Merge(&r.Totals)
	to.Drops += r.Overflow
	to.OpenOneIn, to.Slips = r.OpenOneIn, r.Slips
}

package config

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tolkyn/tolkyn/internal/spell"
)

// validator notes what is wrong with values that have the right type.
type validator struct {
	origins  Origins
	problems Problems
}

func (v *validator) problem(key, format string, args ...any) {
	v.problems = append(v.problems, Problem{Origin: v.origins.Of(key), Key: key, Text: fmt.Sprintf(format, args...)})
}

// validate checks what the values mean, alone and together.
func validate(c *Config, origins Origins) Problems {
	v := &validator{origins: origins}
	v.address("http.listen", c.HTTP.Listen, "127.0.0.1:8080")
	v.address("http.tls_listen", c.HTTP.TLSListen, ":8443")
	v.address("quic.listen", c.QUIC.Listen, ":8443")
	v.address("media.listen", c.Media.Listen, "127.0.0.1:7882")
	v.address("admin.listen", c.Admin.Listen, "127.0.0.1:9090")
	if c.Media.Listen == "" {
		v.problem("media.listen", "got nothing, want an address, for example :7882")
	}
	if c.Has(RoleSignaling) && c.HTTP.Listen == "" && c.HTTP.TLSListen == "" && c.OnePort.Listen == "" && !c.LAN.Enabled {
		v.problem("http.listen", "is off and http.tls_listen too: nobody could join, set one of them")
	}
	v.roles(c)
	v.certificate(c)
	v.turn(c)
	v.onePort(c)
	v.acme(c)
	if _, err := c.HTTP.Proxies(); err != nil {
		v.problem("http.trusted_proxies", "%v", err)
	}
	v.within("media.shards", c.Media.Shards, 0, MaxShards)
	if address, err := netip.ParseAddrPort("[::]" + portOf(c.Media.Listen)); err == nil && address.Port() != 0 &&
		int(address.Port())+max(c.Media.Shards, 1)-1 > 65535 {
		v.problem("media.shards", "got %d, but after port %d there are only %d more", c.Media.Shards, address.Port(), 65535-int(address.Port()))
	}
	v.within("media.min_bitrate", c.Media.MinBitrate, 10_000, 1_000_000_000)
	v.within("media.max_bitrate", c.Media.MaxBitrate, max(100_000, c.Media.MinBitrate), 1_000_000_000)
	v.within("media.start_bitrate", c.Media.StartBitrate, c.Media.MinBitrate, max(c.Media.MaxBitrate, c.Media.MinBitrate))
	for i, address := range c.Media.Advertise {
		if _, err := netip.ParseAddr(address); err != nil {
			v.problem(fmt.Sprintf("media.advertise[%d]", i), "got %q, want an IP address, for example 203.0.113.7", address)
		}
	}
	v.keys(c.Signaling.Keys)
	for i, origin := range c.Signaling.Origins {
		v.origin(fmt.Sprintf("signaling.origins[%d]", i), origin)
	}
	if r := c.Signaling.Resume; r < time.Second || r > 10*time.Minute {
		v.problem("signaling.resume", "got %v, want from 1s to 10m", r)
	}
	v.oneOf("log.level", c.Log.Level, "debug", "info", "warn", "error")
	v.oneOf("log.format", c.Log.Format, "auto", "text", "json")
	v.within("limits.cpu_percent", c.Limits.CPUPercent, 1, 100)
	v.within("limits.packets_per_second", c.Limits.PacketsPerSecond, 0, 1_000_000_000)
	v.within("limits.peer_packets_per_second", c.Limits.PeerPacketsPerSecond, 100, 100_000)
	v.within("limits.peer_bits_per_second", c.Limits.PeerBitsPerSecond, 1_000_000, 1_000_000_000)
	v.within("limits.frames_per_second", c.Limits.FramesPerSecond, 10, 1_000_000)
	v.within("limits.hellos_per_second", c.Limits.HellosPerSecond, 1, 100_000)
	v.within("limits.hello_burst", c.Limits.HelloBurst, 1, 1_000_000)
	v.within("limits.peers_per_room", c.Limits.PeersPerRoom, 2, 10_000)
	v.within("limits.audio_slots", c.Limits.AudioSlots, 1, 16)
	v.within("limits.video_slots", c.Limits.VideoSlots, 1, 49)
	return v.problems
}

// portOf is what follows the host of an address, with its colon.
func portOf(address string) string { return address[max(strings.LastIndexByte(address, ':'), 0):] }

func (v *validator) address(key, address, example string) {
	if address == "" {
		return
	}
	host, port, err := net.SplitHostPort(address)
	_, portErr := strconv.ParseUint(port, 10, 16)
	if err != nil || portErr != nil {
		v.problem(key, "got %q, want host:port, for example %s", address, example)
		return
	}
	if host == "" || host == "localhost" {
		return
	}
	if _, err := netip.ParseAddr(host); err != nil {
		v.problem(key, "got the name %q, want an IP address of this machine, or nothing before the colon for all of them: %s",
			host, ":"+port)
	}
}

func (v *validator) certificate(c *Config) {
	certificate, key := c.HTTP.CertificateFile != "", c.HTTP.KeyFile != ""
	switch {
	case certificate && !key:
		v.problem("http.certificate_file", "needs http.key_file beside it")
	case key && !certificate:
		v.problem("http.key_file", "needs http.certificate_file beside it")
	case c.HTTP.TLSListen != "" && !certificate && !c.LAN.Enabled && c.ACME.Host == "":
		v.problem("http.tls_listen", "needs http.certificate_file and http.key_file, acme.host, or lan.enabled for a self-made certificate")
	}
}

func (v *validator) keys(keys []Key) {
	seen := map[string]bool{}
	for i, key := range keys {
		at := fmt.Sprintf("signaling.keys[%d]", i)
		switch {
		case key.ID == "":
			v.problem(at+".id", "got nothing, want the name that tokens carry as kid")
		case len(key.ID) > 64:
			v.problem(at+".id", "got %d characters, want at most 64", len(key.ID))
		case seen[key.ID]:
			v.problem(at+".id", "%q is the id of an earlier key too, want one key an id", key.ID)
		}
		seen[key.ID] = true
		if _, err := key.Material(); err != nil {
			v.problem(at, "%v", err)
		}
	}
}

func (v *validator) origin(key, origin string) {
	u, err := url.Parse(origin)
	if err != nil || (u.Scheme != "https" && u.Scheme != "http") || u.Host == "" || u.Path != "" || u.RawQuery != "" {
		v.problem(key, "got %q, want scheme and host alone, for example https://call.example.kz", origin)
	}
}

func (v *validator) oneOf(key, got string, allowed ...string) {
	if slices.Contains(allowed, got) {
		return
	}
	text := fmt.Sprintf("got %q, want one of %s", got, strings.Join(allowed, ", "))
	if near := spell.Nearest(got, allowed); near != "" {
		text += "; did you mean " + near + "?"
	}
	v.problem(key, "%s", text)
}

func (v *validator) within(key string, got, low, high int) {
	if got < low || got > high {
		v.problem(key, "got %d, want a whole number from %d to %d", got, low, high)
	}
}

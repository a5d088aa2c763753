package config

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/knadh/koanf/v2"
	"github.com/stretchr/testify/require"
)

// load reads text as a file named tolkyn.yaml.
func load(t *testing.T, text string) (Config, Origins, error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "tolkyn.yaml")
	require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	return Load(Sources{File: file})
}

func TestDefaultIsValid(t *testing.T) {
	c, origins, err := Load(Sources{})
	require.NoError(t, err)
	require.Equal(t, Default(), c)
	require.Empty(t, origins)
}

// TestPrintCanBeLoaded: what print shows is a file that means the same.
func TestPrintCanBeLoaded(t *testing.T) {
	c, origins, err := load(t, "http: {listen: ':9000', tls_listen: ''}\nsignaling: {resume: 90s, origins: [https://a.kz]}\nlan: {enabled: true}\n")
	require.NoError(t, err)
	text, err := Print(c, origins)
	require.NoError(t, err)
	again, _, err := load(t, string(text))
	require.NoError(t, err, "%s", text)
	before, err := Print(c, nil)
	require.NoError(t, err)
	after, err := Print(again, nil)
	require.NoError(t, err)
	require.Equal(t, string(before), string(after))
}

// TestListsReplace: a list in a later layer stands for the earlier one, it does not add to it.
func TestListsReplace(t *testing.T) {
	file := filepath.Join(t.TempDir(), "tolkyn.yaml")
	require.NoError(t, os.WriteFile(file, []byte("media: {advertise: [192.0.2.1, 192.0.2.2]}\n"), 0o600))
	for value, want := range map[string][]string{
		"203.0.113.7":                    {"203.0.113.7"},
		"203.0.113.7, 203.0.113.8":       {"203.0.113.7", "203.0.113.8"},
		"[203.0.113.7, \"2001:db8::1\"]": {"203.0.113.7", "2001:db8::1"},
		"":                               {},
	} {
		c, _, err := Load(Sources{File: file, Environment: []string{"TOLKYN_MEDIA__ADVERTISE=" + value}})
		require.NoError(t, err)
		require.ElementsMatch(t, want, c.Media.Advertise, value)
	}
}

func TestShards(t *testing.T) {
	c, _, err := Load(Sources{Environment: []string{"TOLKYN_MEDIA__SHARDS=0"}})
	require.NoError(t, err)
	for cores, want := range map[int]int{1: 1, 2: 1, 3: 1, 4: 3, 7: 6, 8: 6, 16: 12, 256: MaxShards} {
		require.Equal(t, want, c.Media.ShardsOf(cores), "%d cores", cores)
	}
	require.Equal(t, 5, Media{Shards: 5}.ShardsOf(1))
	for value, problem := range map[string]string{
		"TOLKYN_MEDIA__SHARDS=65": "media.shards: got 65, want a whole number from 0 to 64",
		"TOLKYN_MEDIA__SHARDS=-1": "media.shards: got -1, want a whole number from 0 to 64",
	} {
		_, _, err = Load(Sources{Environment: []string{value}})
		require.ErrorContains(t, err, problem)
	}
	_, _, err = Load(Sources{Environment: []string{"TOLKYN_MEDIA__SHARDS=3", "TOLKYN_MEDIA__LISTEN=127.0.0.1:65534"}})
	require.ErrorContains(t, err, "media.shards: got 3, but after port 65534 there are only 1 more")
}

func TestKeysFromTheEnvironment(t *testing.T) {
	c, _, err := Load(Sources{Environment: []string{
		`TOLKYN_SIGNALING__KEYS=[{id: main, algorithm: HS256, secret: "0123456789012345678901234567890123456789"}]`,
	}})
	require.NoError(t, err)
	require.Len(t, c.Signaling.Keys, 1)
	require.Equal(t, "main", c.Signaling.Keys[0].ID)
	require.Equal(t, hidden, c.Signaling.Keys[0].Secret.String())

	_, _, err = Load(Sources{Environment: []string{`TOLKYN_SIGNALING__KEYS=[{id: main, secrt: x}]`}})
	require.ErrorContains(t, err, "TOLKYN_SIGNALING__KEYS: signaling.keys[0].secrt: no such key; did you mean signaling.keys[0].secret?")
}

// TestKeyWithoutSection: state_dir is set like any other, and where it stood before its new place is named.
func TestKeyWithoutSection(t *testing.T) {
	c, origins, err := load(t, "state_dir: /var/lib/tolkyn\n")
	require.NoError(t, err)
	require.Equal(t, "/var/lib/tolkyn", c.StateDir)
	require.Equal(t, "tolkyn.yaml:1", origins.Of("state_dir"))

	c, origins, err = Load(Sources{Environment: []string{"TOLKYN_STATE_DIR=/srv/state", "TOLKYN_HTTP=x", "TOLKYN_PORT=tcp://10.0.0.1:80"}})
	require.NoError(t, err)
	require.Equal(t, "/srv/state", c.StateDir)
	require.Equal(t, "TOLKYN_STATE_DIR", origins.Of("state_dir"))

	_, _, err = Load(Sources{Environment: []string{"TOLKYN_STATE__DIR=/srv/state"}})
	require.ErrorContains(t, err, "TOLKYN_STATE__DIR: no such key; did you mean TOLKYN_STATE_DIR?")
	_, _, err = load(t, "lan: {state_dir: /var/lib/tolkyn}\n")
	require.ErrorContains(t, err, "tolkyn.yaml:1: lan.state_dir: no such key here; did you mean state_dir?")
	_, _, err = load(t, "state_dir: [/var/lib/tolkyn]\n")
	require.ErrorContains(t, err, "state_dir: got a list, want text")
}

// FuzzLoadText: whatever a file holds, it is read or refused.
func FuzzLoadText(f *testing.F) {
	f.Add([]byte("http:\n  listen: 127.0.0.1:8080\n"))
	f.Add([]byte("a: &a [*a]\n"))
	f.Add([]byte("signaling: {keys: [{id: 1, secret: !!binary AAAA}]}\n"))
	f.Add([]byte("limits: {cpu_percent: 0x55, audio_slots: 1_6}\n--- \n"))
	f.Add([]byte("? [http]\n: {<<: {listen: x}}\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		c := &checker{origins: Origins{}}
		merged := koanf.New(".")
		loadText(c, merged, "tolkyn.yaml", text)
		if len(c.problems) > 0 {
			return
		}
		config, err := decode(merged)
		require.NoError(t, err, "what was checked can be decoded")
		_ = validate(&config, c.origins)
	})
}

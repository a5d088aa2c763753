package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestRelaySettings: each mistake is named with its key, what was wanted, and the mend.
func TestRelaySettings(t *testing.T) {
	const secret = "  secret: 0123456789abcdef\n"
	for text, want := range map[string]string{
		"roles: []\n":                                           "tolkyn.yaml:1: roles: is empty",
		"roles: [sfu]\n":                                        "roles: sfu and signaling work in one process only",
		"roles: [trun]\n":                                       "roles[0]: got \"trun\", want one of sfu, signaling, turn; did you mean turn?",
		"roles: [turn]\n":                                       "turn.secret_file: a relay alone needs the secret of who makes the credentials",
		"roles: [turn]\nturn:\n" + secret:                       "turn.allow: is empty",
		"roles: [turn]\nturn: {listen: ''}\n":                   "turn.listen: is off and turn.tls_listen too",
		"turn: {listen: relay}\n":                               "turn.listen: got \"relay\", want host:port, for example :3478",
		"turn: {tls_listen: ':5349'}\n":                         "turn.tls_listen: needs http.certificate_file and http.key_file, or acme.host",
		"turn: {secret: short}\n":                               "turn.secret_file: a secret has 5 characters, want at least 16; 'openssl rand -hex 32' makes one",
		"turn: {secret_file: nowhere}\n":                        "turn.secret_file: secret_file: open nowhere",
		"turn: {secret: 0123456789abcdef, secret_file: x}\n":    "has both secret and secret_file",
		"turn: {urls: ['turn:a.kz']}\n":                         "turn.urls: needs the secret of those servers",
		"turn: {urls: ['http://a.kz']}\n":                       "turn.urls[0]: got \"http://a.kz\", want for example turn:turn.example.kz:3478?transport=udp",
		"turn: {urls: ['turn:a.kz?transport=sctp']}\n":          "turn.urls[0]",
		"turn: {host: 'a.kz:3478'}\n":                           "turn.host: got \"a.kz:3478\", want a name or an IP address alone, without port",
		"turn: {realm: ''}\n":                                   "turn.realm: got \"\"",
		"turn: {credential_lifetime: 2h}\n":                     "turn.credential_lifetime: got 2h0m0s, want from 1m to 1h",
		"turn: {relay_addresses: [0.0.0.0]}\n":                  "turn.relay_addresses[0]: got \"0.0.0.0\", want an IP address that peers see",
		"turn: {relay_addresses: [203.0.113.7, 203.0.113.8]}\n": "turn.relay_addresses[1]: got \"203.0.113.8\", but there is one of its family already",
		"turn: {relay_ports: '443-500'}\n":                      "turn.relay_ports: got \"443-500\", want the first and the last port, from 1024 to 65535",
		"turn: {relay_ports: '6000-5000'}\n":                    "whose last port is before the first",
		"turn: {allow: [everybody]}\n":                          "turn.allow: entry 0: got \"everybody\", want an IP address or a network",
		"turn: {users: [{name: aru}]}\n":                        "turn.users: user \"aru\": has neither password nor password_file",
		"turn: {users: [{password: x}]}\n":                      "turn.users: a user has no name",
		"turn: {workers: 257}\n":                                "turn.workers: got 257, want a whole number from 0 to 256",
		"turn: {allocations: -1}\n":                             "turn.allocations: got -1",
		"turn: {drain: 25h}\n":                                  "turn.drain: got 25h0m0s, want from 0s to 24h",
		"turn: {alternate: turn2.example.kz}\n":                 "turn.alternate: got \"turn2.example.kz\", want an IP address and a port",
	} {
		_, _, err := load(t, text)
		require.ErrorContains(t, err, want, text)
	}
	for _, text := range []string{
		"roles: [turn]\nturn:\n  allow: [203.0.113.7]\n" + secret,
		"roles: [turn]\nturn: {allow: [203.0.113.0/28], users: [{name: aru, password: barys}]}\n",
		"roles: [sfu, signaling]\nturn:\n  urls: ['turns:turn.example.kz:443', 'turn:[2001:db8::1]:3478?transport=tcp', 'turn:a.kz']\n" + secret,
		"turn: {listen: '', alternate: '[2001:db8::1]:3478', relay_addresses: [203.0.113.7, '2001:db8::7'], host: a.kz}\n",
	} {
		_, _, err := load(t, text)
		require.NoError(t, err, text)
	}
}

// TestRolesReplaceTheDefault, from every source.
func TestRolesReplaceTheDefault(t *testing.T) {
	for _, from := range []Sources{
		{Environment: []string{"TOLKYN_ROLES=turn", "TOLKYN_TURN__SECRET=0123456789abcdef", "TOLKYN_TURN__ALLOW=203.0.113.7"}},
		{Environment: []string{"TOLKYN_ROLES=[turn]", "TOLKYN_TURN__SECRET=0123456789abcdef", "TOLKYN_TURN__ALLOW=203.0.113.7"}},
	} {
		c, _, err := Load(from)
		require.NoError(t, err)
		require.Equal(t, []string{RoleTURN}, c.Roles)
		require.False(t, c.Has(RoleSFU))
	}
	require.Len(t, Default().Roles, 3, "and nothing has changed it")
}

// TestRelaySecrets: the first line makes credentials, those below are taken too.
func TestRelaySecrets(t *testing.T) {
	file := filepath.Join(t.TempDir(), "secret")
	require.NoError(t, os.WriteFile(file, []byte(strings.Repeat("n", 16)+"\n\n"+strings.Repeat("o", 20)+"\n"), 0o600))
	secrets, err := TURN{SecretFile: file}.Secrets()
	require.NoError(t, err)
	require.Equal(t, [][]byte{[]byte(strings.Repeat("n", 16)), []byte(strings.Repeat("o", 20))}, secrets)
	require.NoError(t, os.WriteFile(file, []byte("\n"), 0o600))
	_, err = TURN{SecretFile: file}.Secrets()
	require.ErrorContains(t, err, "is empty")
	secrets, err = TURN{}.Secrets()
	require.NoError(t, err)
	require.Empty(t, secrets)
}

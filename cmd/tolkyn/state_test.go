package main

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestStateDir(t *testing.T) {
	t.Setenv("HOME", "/home/aigerim")
	t.Setenv("XDG_STATE_HOME", "")
	dir, err := stateDir("")
	require.NoError(t, err)
	require.Equal(t, "/home/aigerim/.local/state/tolkyn", dir)
	t.Setenv("XDG_STATE_HOME", "/var/state")
	dir, err = stateDir("")
	require.NoError(t, err)
	require.Equal(t, "/var/state/tolkyn", dir)
	dir, err = stateDir("/here")
	require.NoError(t, err)
	require.Equal(t, "/here", dir)
}

func TestSecretIsMadeOnce(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state", "tolkyn")
	first, err := quietState(dir).secret()
	require.NoError(t, err)
	require.NotZero(t, first)
	info, err := os.Stat(filepath.Join(dir, secretFile))
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	again, err := quietState(dir).secret()
	require.NoError(t, err)
	require.Equal(t, first, again)
}

func TestSecretsThatAreTaken(t *testing.T) {
	raw := strings.Repeat("\x01", 32)
	hexadecimal := strings.Repeat("01", 32)
	for name, test := range map[string]struct {
		text string
		mode os.FileMode
		want string // part of the error; empty: it is taken
	}{
		"raw":                {raw, 0o600, ""},
		"hexadecimal":        {hexadecimal + "\n", 0o600, ""},
		"read only":          {raw, 0o400, ""},
		"too short":          {raw[1:], 0o600, "want 32 bytes, or 64 hexadecimal digits"},
		"half of it":         {hexadecimal[2:], 0o600, "remove it"},
		"empty":              {"", 0o600, "want 32 bytes"},
		"zeros":              {strings.Repeat("\x00", 32), 0o600, "all zeros"},
		"others may read it": {raw, 0o644, "mode 0644): chmod 600"},
		"a group may":        {raw, 0o640, "chmod 600"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			file := filepath.Join(dir, secretFile)
			require.NoError(t, os.WriteFile(file, []byte(test.text), 0o600))
			require.NoError(t, os.Chmod(file, test.mode))
			secret, err := quietState(dir).secret()
			if test.want != "" {
				require.ErrorContains(t, err, test.want)
				require.ErrorContains(t, err, file)
				return
			}
			require.NoError(t, err)
			require.Equal(t, raw, string(secret[:]))
		})
	}
}

// TestStateThatCannotBeKept: a file stands where the directory should be. Everything is made for the moment, and said once.
func TestStateThatCannotBeKept(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	var said bytes.Buffer
	s := openState(filepath.Join(file, "tolkyn"), slog.New(slog.NewTextHandler(&said, nil)))
	secret, err := s.secret()
	require.NoError(t, err)
	require.NotZero(t, secret)
	_, err = s.lanCertificate(nil, time.Now())
	require.NoError(t, err)
	require.Equal(t, 1, strings.Count(said.String(), "--state"), said.String())
}

func TestNoHome(t *testing.T) {
	t.Setenv("HOME", "")
	t.Setenv("XDG_STATE_HOME", "")
	var said bytes.Buffer
	secret, err := openState("", slog.New(slog.NewTextHandler(&said, nil))).secret()
	require.NoError(t, err)
	require.NotZero(t, secret)
	require.Contains(t, said.String(), "--state")
}

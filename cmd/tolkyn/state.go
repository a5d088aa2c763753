package main

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"

	"github.com/tolkyn/tolkyn/signaling"
)

// secretFile is the name of the secret in the state directory.
const secretFile = "secret"

// state is the directory of what the server makes for itself and keeps over a restart. Where nothing can be kept
// (a read-only container, no home) it says so once, and what is made holds until the end of the process.
type state struct {
	dir    string // empty: there is none
	log    *slog.Logger
	warned bool
}

// openState decides where the directory is; it is made when something is kept in it.
func openState(asked string, log *slog.Logger) *state {
	s := &state{log: log}
	var err error
	if s.dir, err = stateDir(asked); err != nil {
		s.cannotKeep(err)
	}
	return s
}

// stateDir is where the state is (XDG Base Directory Specification).
func stateDir(asked string) (string, error) {
	if asked != "" {
		return asked, nil
	}
	if dir := os.Getenv("XDG_STATE_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "tolkyn"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", err
	}
	return filepath.Join(home, ".local", "state", "tolkyn"), nil
}

func (s *state) cannotKeep(err error) {
	if s.warned {
		return
	}
	s.warned = true
	s.log.Warn("nothing can be kept: the self-made certificates and the secret of session tickets end with this process; "+
		"name a directory that can be written with --state", "error", err)
}

// read returns what is kept under a name; nil when nothing is.
func (s *state) read(name string) ([]byte, error) {
	if s.dir == "" {
		return nil, nil
	}
	text, err := os.ReadFile(filepath.Join(s.dir, name))
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("state_dir: %w: let this user read it, or name another directory with --state", err)
	}
	return text, nil
}

// keep puts a file into the directory, whole or not at all, readable by its owner alone.
func (s *state) keep(name string, text []byte) {
	if s.dir == "" {
		return
	}
	if err := writeSecret(filepath.Join(s.dir, name), text); err != nil {
		s.cannotKeep(err)
	}
}

// secret returns the kept secret, made at the first start.
func (s *state) secret() (signaling.Secret, error) {
	text, err := s.read(secretFile)
	if err != nil {
		return signaling.Secret{}, err
	}
	if text == nil {
		secret := signaling.NewSecret()
		s.keep(secretFile, []byte(hex.EncodeToString(secret[:])+"\n"))
		return secret, nil
	}
	file := filepath.Join(s.dir, secretFile)
	info, err := os.Stat(file)
	if err != nil {
		return signaling.Secret{}, fmt.Errorf("state_dir: %w", err)
	}
	if open := info.Mode().Perm() & 0o077; open != 0 && runtime.GOOS != "windows" { // Its modes say nothing of access.
		return signaling.Secret{}, fmt.Errorf("state_dir: others may read or write %s (mode %04o): chmod 600 %s", file, info.Mode().Perm(), file)
	}
	secret, err := parseSecret(text)
	if err != nil {
		return signaling.Secret{}, fmt.Errorf("state_dir: %s: %w; put the right one back, or remove it and one is made", file, err)
	}
	return secret, nil
}

// parseSecret takes 32 bytes as they are, or in hexadecimal digits as 'openssl rand -hex 32' prints them.
func parseSecret(text []byte) (signaling.Secret, error) {
	var secret signaling.Secret
	if len(text) != len(secret) {
		var err error
		if text, err = hex.DecodeString(strings.TrimSpace(string(text))); err != nil || len(text) != len(secret) {
			return signaling.Secret{}, errors.New("want 32 bytes, or 64 hexadecimal digits")
		}
	}
	copy(secret[:], text)
	if secret == (signaling.Secret{}) {
		return signaling.Secret{}, errors.New("is all zeros")
	}
	return secret, nil
}

// writeSecret puts a file in its place whole, readable by its owner alone.
func writeSecret(file string, text []byte) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return err
	}
	temporary, err := os.CreateTemp(filepath.Dir(file), ".new-*") // CreateTemp gives 0600.
	if err != nil {
		return err
	}
	_, err = temporary.Write(text)
	err = errors.Join(err, temporary.Sync(), temporary.Close()) // Synced: a crash of the machine leaves no empty file.
	if err == nil {
		err = os.Rename(temporary.Name(), file)
	}
	if err != nil {
		_ = os.Remove(temporary.Name())
	}
	return err
}

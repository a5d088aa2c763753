package main

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tolkyn/tolkyn/cmd/tolkyn/internal/config"
	"github.com/tolkyn/tolkyn/signaling"
)

// tokenFlags is what `tolkyn token` was asked for.
type tokenFlags struct {
	grants               signaling.Grants
	keyID, keyFile       string
	noPublish, noReceive bool
	lifetime             time.Duration
}

func newToken() *cobra.Command {
	var f tokenFlags
	cmd := &cobra.Command{
		Use:   "token",
		Short: "Sign a join token by hand",
		Long: "Token signs a join token and prints it. The key is a file that 'tolkyn token key' made, or an HS256 key of\n" +
			"the configuration. Your own service signs tokens the same way: claims sub, tenant, room, publish, subscribe,\n" +
			"exp (at most 10 minutes ahead), and kid in the header.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return signToken(cmd, f) },
	}
	flags := cmd.Flags()
	flags.StringVar(&f.grants.Room, "room", "", "room to join (required)")
	flags.StringVar(&f.grants.Identity, "identity", "", "who joins (required)")
	flags.StringVar(&f.grants.Tenant, "tenant", "default", "tenant that the room belongs to")
	flags.BoolVar(&f.noPublish, "no-publish", false, "may not send")
	flags.BoolVar(&f.noReceive, "no-subscribe", false, "may not receive")
	flags.DurationVar(&f.lifetime, "lifetime", signaling.TokenLifetime, "how long the token is good, at most 10m")
	flags.StringVar(&f.keyFile, "key-file", "", "private key of EdDSA, or secret of HS256")
	flags.StringVar(&f.keyID, "key-id", "", "id of the key; default: the name of the key file, or the first HS256 key of the configuration")
	for _, name := range []string{"room", "identity"} {
		_ = cmd.MarkFlagRequired(name) // Fails only for a flag that is not there.
	}
	cmd.AddCommand(newTokenKey())
	return cmd
}

func signToken(cmd *cobra.Command, f tokenFlags) error {
	key, err := signingKey(cmd, f)
	if err != nil {
		return err
	}
	f.grants.Publish, f.grants.Subscribe = !f.noPublish, !f.noReceive
	token, err := signaling.Mint(key, f.grants, time.Now(), f.lifetime)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(cmd.OutOrStdout(), token)
	return err
}

// signingKey reads --key-file, or takes an HS256 key of the configuration.
func signingKey(cmd *cobra.Command, f tokenFlags) (signaling.Key, error) {
	if f.keyFile != "" {
		text, err := os.ReadFile(f.keyFile)
		if err != nil {
			return signaling.Key{}, fmt.Errorf("read --key-file: %w", err)
		}
		id := f.keyID
		if id == "" {
			name := filepath.Base(f.keyFile)
			id = strings.TrimSuffix(name, filepath.Ext(name))
		}
		return parseSigningKey(id, text)
	}
	settings, _, err := loadSettings(cmd)
	if err != nil {
		return signaling.Key{}, err
	}
	keys, err := trustedKeys(settings.Signaling.Keys)
	if err != nil {
		return signaling.Key{}, err
	}
	for _, key := range keys {
		if key.Secret != nil && (f.keyID == "" || f.keyID == key.ID) {
			return key, nil
		}
	}
	return signaling.Key{}, errors.New("no key to sign with: name one with --key-file ('tolkyn token key' makes one)")
}

// parseSigningKey takes a private key in PEM, or else the text as a secret.
func parseSigningKey(id string, text []byte) (signaling.Key, error) {
	block, _ := pem.Decode(text)
	if block == nil {
		return signaling.Key{ID: id, Secret: []byte(strings.TrimSpace(string(text)))}, nil
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return signaling.Key{}, fmt.Errorf("parse --key-file: %w", err)
	}
	private, ok := parsed.(ed25519.PrivateKey)
	if !ok {
		return signaling.Key{}, fmt.Errorf("--key-file holds %T, want an Ed25519 private key; 'tolkyn token key' makes one", parsed)
	}
	return signaling.Key{ID: id, Private: private}, nil
}

func newTokenKey() *cobra.Command {
	var id, algorithm, dir string
	cmd := &cobra.Command{
		Use:   "key",
		Short: "Make a key that signs join tokens",
		Long: "Key writes a new key beside the configuration and prints the lines that make the server trust it. With EdDSA\n" +
			"the server needs the public half alone: give the private one to the service that signs tokens.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			settings, err := makeKey(id, algorithm, dir)
			if err != nil {
				return err
			}
			_, err = fmt.Fprint(cmd.OutOrStdout(), settings)
			return err
		},
	}
	cmd.Flags().StringVar(&id, "id", "main", "name of the key, which tokens carry as kid")
	cmd.Flags().StringVar(&algorithm, "algorithm", config.EdDSA, "EdDSA or HS256")
	cmd.Flags().StringVar(&dir, "dir", ".", "directory to write to")
	return cmd
}

// makeKey writes the files of a new key and returns the lines for the configuration.
func makeKey(id, algorithm, dir string) (settings string, err error) {
	if id == "" || id != filepath.Base(id) || strings.HasPrefix(id, ".") || len(id) > 64 {
		return "", fmt.Errorf("--id: got %q, want a plain name of at most 64 characters: it names the files too", id)
	}
	file := filepath.Join(dir, id)
	switch algorithm {
	case config.EdDSA:
		public, private, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			return "", err
		}
		secret, err := x509.MarshalPKCS8PrivateKey(private)
		if err != nil {
			return "", err
		}
		open, err := x509.MarshalPKIXPublicKey(public)
		if err != nil {
			return "", err
		}
		if err := writeNew(file+".key", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}), 0o600); err != nil {
			return "", err
		}
		if err := writeNew(file+".pub", pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: open}), 0o644); err != nil {
			return "", err
		}
		return fmt.Sprintf("# %s.key signs tokens: keep it secret, the server does not need it. %s.pub checks them.\n"+
			"signaling:\n  keys:\n    - id: %s\n      algorithm: EdDSA\n      public_key_file: %s.pub\n", file, file, id, file), nil
	case config.HS256:
		secret := make([]byte, 32)
		_, _ = rand.Read(secret) // Never fails: crypto/rand ends the program instead.
		text := base64.RawURLEncoding.EncodeToString(secret) + "\n"
		if err := writeNew(file+".secret", []byte(text), 0o600); err != nil {
			return "", err
		}
		return fmt.Sprintf("# %s.secret signs and checks tokens: keep it secret.\n"+
			"signaling:\n  keys:\n    - id: %s\n      algorithm: HS256\n      secret_file: %s.secret\n", file, id, file), nil
	default:
		return "", fmt.Errorf("--algorithm: got %q, want EdDSA or HS256", algorithm)
	}
}

// writeNew writes a file that must not exist: a key that is overwritten is lost.
func writeNew(name string, text []byte, permissions fs.FileMode) error {
	file, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, permissions)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s is there already: take it away first, or name another key with --id", name)
	}
	if err != nil {
		return fmt.Errorf("write the key: %w", err)
	}
	_, err = file.Write(text)
	return errors.Join(err, file.Close())
}

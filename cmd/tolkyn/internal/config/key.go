package config

import (
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"strings"
)

// The algorithms of keys.
const (
	EdDSA = "EdDSA"
	HS256 = "HS256"
)

// minSecret in bytes: RFC 7518 section 3.2 wants a key no shorter than the hash.
const minSecret = 32

// Material returns what checks the token: an ed25519.PublicKey for EdDSA, a []byte for HS256.
func (k Key) Material() (any, error) {
	switch k.Algorithm {
	case EdDSA:
		if k.Secret != "" || k.SecretFile != "" {
			return nil, errors.New("EdDSA has no secret: set public_key or public_key_file")
		}
		text, err := oneOrFile("public_key", k.PublicKey, k.PublicKeyFile)
		if err != nil {
			return nil, err
		}
		return parsePublicKey(text)
	case HS256:
		if k.PublicKey != "" || k.PublicKeyFile != "" {
			return nil, errors.New("HS256 has no public key: set secret or secret_file")
		}
		text, err := oneOrFile("secret", string(k.Secret), k.SecretFile)
		if err != nil {
			return nil, err
		}
		if len(text) < minSecret {
			return nil, fmt.Errorf("the secret has %d characters, want at least %d; 'tolkyn token key --algorithm HS256' makes one",
				len(text), minSecret)
		}
		return []byte(text), nil
	default:
		return nil, fmt.Errorf("algorithm: got %q, want EdDSA or HS256", k.Algorithm)
	}
}

// oneOrFile returns the value, or what its file holds without the spaces around it.
func oneOrFile(name, value, file string) (string, error) {
	switch {
	case value != "" && file != "":
		return "", fmt.Errorf("has both %s and %s_file, want one of them", name, name)
	case value == "" && file == "":
		return "", fmt.Errorf("has neither %s nor %s_file, want one of them; 'tolkyn token key' makes a key", name, name)
	case value != "":
		return value, nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("%s_file: %w", name, err)
	}
	return strings.TrimSpace(string(text)), nil
}

func parsePublicKey(text string) (ed25519.PublicKey, error) {
	block, _ := pem.Decode([]byte(text))
	if block == nil || block.Type != "PUBLIC KEY" {
		return nil, errors.New("the public key is not PEM, want a block that begins with -----BEGIN PUBLIC KEY-----")
	}
	parsed, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("parse the public key: %w", err)
	}
	key, ok := parsed.(ed25519.PublicKey)
	if !ok {
		return nil, fmt.Errorf("the public key is %T, want Ed25519; 'tolkyn token key' makes one", parsed)
	}
	return key, nil
}

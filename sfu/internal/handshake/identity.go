package handshake

import (
	"encoding/hex"
	"strings"
)

// Who offers: the ICE credentials and the fingerprint of the certificate.

func checkTransport(line int, ufrag, pwd, fingerprint string) error {
	if !isICE(ufrag) || len(ufrag) < 4 || len(ufrag) > 256 {
		return bad(line, quote(ufrag)+" is no ice-ufrag", "send 4 to 256 ice-chars (RFC 8839 §5.4)")
	}
	if !isICE(pwd) || len(pwd) < 22 || len(pwd) > 256 {
		return bad(line, "the ice-pwd is missing or malformed", "send 22 to 256 ice-chars (RFC 8839 §5.4)")
	}
	if fingerprint == "" {
		return bad(line, "there is no a=fingerprint we can check", "send one of sha-256, sha-384 or sha-512")
	}
	return nil
}

// betterFingerprint keeps the first that is well formed, in canonical form.
func betterFingerprint(have, value string) string {
	if have != "" {
		return have
	}
	algorithm, digest, _ := strings.Cut(value, " ")
	algorithm = strings.ToLower(algorithm)
	size := map[string]int{"sha-256": 32, "sha-384": 48, "sha-512": 64}[algorithm]
	b, err := hex.DecodeString(strings.ReplaceAll(digest, ":", ""))
	if err != nil || size == 0 || len(b) != size {
		return ""
	}
	out := []byte(algorithm + " ")
	for i, c := range b {
		if i > 0 {
			out = append(out, ':')
		}
		out = append(out, strings.ToUpper(hex.EncodeToString([]byte{c}))...)
	}
	return string(out)
}

// isICE follows RFC 8839 §5.4.
func isICE(s string) bool {
	for i := range len(s) {
		if c := s[i]; !isAlphanumeric(c) && c != '+' && c != '/' && c != '-' && c != '_' && c != '=' {
			return false
		}
	}
	return s != ""
}

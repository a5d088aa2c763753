package srtp

import (
	"crypto/aes"
	"fmt"
)

// Key is the master key and salt of one direction.
type Key struct {
	Profile Profile
	Master  []byte // Profile.KeyLen bytes
	Salt    []byte // Profile.SaltLen bytes
}

// KeysFromExporter cuts the keying material of the DTLS exporter (label "EXTRACTOR-dtls_srtp", p.ExporterLen bytes) into
// the two directions (RFC 5764 §4.2): local is what this side seals with. server tells which side of DTLS this one is.
// The keys share material's memory.
func KeysFromExporter(p Profile, material []byte, server bool) (local, remote Key, err error) {
	if p.KeyLen() == 0 {
		return Key{}, Key{}, fmt.Errorf("derive SRTP keys: unknown profile %d", p)
	}
	if len(material) != p.ExporterLen() {
		return Key{}, Key{}, fmt.Errorf("derive SRTP keys: %d bytes of keying material, %v takes %d", len(material), p, p.ExporterLen())
	}
	k, s := p.KeyLen(), p.SaltLen()
	client := Key{Profile: p, Master: material[:k:k], Salt: material[2*k : 2*k+s : 2*k+s]}
	served := Key{Profile: p, Master: material[k : 2*k : 2*k], Salt: material[2*k+s:]}
	if server {
		return served, client, nil
	}
	return client, served, nil
}

// check reports a key that does not fit its profile.
func (k Key) check() error {
	if k.Profile.KeyLen() == 0 {
		return fmt.Errorf("unknown SRTP profile %d", k.Profile)
	}
	if len(k.Master) != k.Profile.KeyLen() || len(k.Salt) != k.Profile.SaltLen() {
		return fmt.Errorf("SRTP key of %d and salt of %d bytes, %v takes %d and %d",
			len(k.Master), len(k.Salt), k.Profile, k.Profile.KeyLen(), k.Profile.SaltLen())
	}
	return nil
}

// Labels of the key derivation, RFC 3711 §4.3.2.
const (
	labelRTPKey   = 0
	labelRTPAuth  = 1
	labelRTPSalt  = 2
	labelRTCPKey  = 3
	labelRTCPAuth = 4
	labelRTCPSalt = 5
)

// derive returns size bytes of session key (RFC 3711 §4.3.1 and §4.3.3, key derivation rate 0): the key stream of AES in
// counter mode, its counter beginning with the salt xor the label. The 12-byte salts of GCM are padded with zeros on the
// right (RFC 7714 §11).
func (k Key) derive(label byte, size int) ([]byte, error) {
	block, err := aes.NewCipher(k.Master)
	if err != nil {
		return nil, fmt.Errorf("derive SRTP session key: %w", err)
	}
	var counter [aes.BlockSize]byte
	copy(counter[:14], k.Salt)
	counter[7] ^= label
	out := make([]byte, 0, size+aes.BlockSize)
	for len(out) < size {
		out = out[:len(out)+aes.BlockSize]
		block.Encrypt(out[len(out)-aes.BlockSize:], counter[:])
		counter[15]++
	}
	return out[:size], nil
}

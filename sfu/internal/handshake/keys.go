package handshake

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"sync"

	"github.com/pion/dtls/v3"
	"github.com/pion/dtls/v3/pkg/crypto/prf"
	"github.com/pion/dtls/v3/pkg/protocol/extension"
	dtlshandshake "github.com/pion/dtls/v3/pkg/protocol/handshake"

	"github.com/tolkyn/tolkyn/internal/srtp"
)

// Keys for both directions of one peer's SRTP and SRTCP.
type Keys struct {
	Local  srtp.Key // seals what we send
	Remote srtp.Key // opens what we receive
}

// keyCollector gathers what the DTLS exporter (RFC 5705) needs from pion's two public hooks, and exports. pion itself
// offers no exporter on a PeerConnection.
type keyCollector struct {
	mu           sync.Mutex
	serverRandom []byte
	clientRandom []byte
	master       []byte
	suite        dtls.CipherSuiteID
	profile      uint16
}

// cipherSuites is what every browser has, fewer than pion would take: each name here fixes the exporter's hash.
func cipherSuites() []dtls.CipherSuiteID {
	return []dtls.CipherSuiteID{
		dtls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
		dtls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
		dtls.TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA,
	}
}

func suiteHash(s dtls.CipherSuiteID) func() hash.Hash {
	if s == dtls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384 {
		return sha512.New384
	}
	return sha256.New
}

func dtlsProfiles(ps []srtp.Profile) []dtls.SRTPProtectionProfile {
	var out []dtls.SRTPProtectionProfile
	for _, want := range ps {
		for _, id := range []dtls.SRTPProtectionProfile{dtls.SRTP_AEAD_AES_128_GCM, dtls.SRTP_AEAD_AES_256_GCM, dtls.SRTP_AES128_CM_HMAC_SHA1_80} {
			if p, ok := srtp.ProfileFromDTLS(uint16(id)); ok && p == want {
				out = append(out, id)
			}
		}
	}
	return out
}

// serverHello sees our own ServerHello before it leaves and changes nothing.
func (k *keyCollector) serverHello(m dtlshandshake.MessageServerHello) dtlshandshake.Message {
	k.mu.Lock()
	defer k.mu.Unlock()
	random := m.Random.MarshalFixed()
	k.serverRandom = random[:]
	if m.CipherSuiteID != nil {
		k.suite = dtls.CipherSuiteID(*m.CipherSuiteID)
	}
	for _, x := range m.Extensions {
		if u, ok := x.(*extension.UseSRTP); ok && len(u.ProtectionProfiles) == 1 {
			k.profile = uint16(u.ProtectionProfiles[0])
		}
	}
	return &m
}

// Write takes a line of the NSS key log: CLIENT_RANDOM, client random and master secret in hexadecimal.
func (k *keyCollector) Write(line []byte) (int, error) {
	fields := bytes.Fields(line)
	if len(fields) != 3 || string(fields[0]) != "CLIENT_RANDOM" {
		return len(line), nil
	}
	random, err := hex.DecodeString(string(fields[1]))
	if err != nil {
		return 0, fmt.Errorf("read key log: %w", err)
	}
	master, err := hex.DecodeString(string(fields[2]))
	if err != nil {
		return 0, fmt.Errorf("read key log: %w", err)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.clientRandom, k.master = random, master
	return len(line), nil
}

// export derives the SRTP keys (RFC 5764 §4.2) and forgets the secrets they came from. Valid once DTLS is connected:
// before that the client has not proved that it holds its certificate's key.
func (k *keyCollector) export() (Keys, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	profile, ok := srtp.ProfileFromDTLS(k.profile)
	if !ok {
		return Keys{}, fmt.Errorf("export SRTP keys: unknown protection profile %#04x", k.profile)
	}
	if k.master == nil || k.serverRandom == nil {
		return Keys{}, errors.New("export SRTP keys: handshake was not seen")
	}
	seed := append([]byte("EXTRACTOR-dtls_srtp"), k.clientRandom...)
	seed = append(seed, k.serverRandom...)
	material, err := prf.PHash(k.master, seed, profile.ExporterLen(), suiteHash(k.suite))
	if err != nil {
		return Keys{}, fmt.Errorf("export SRTP keys: %w", err)
	}
	local, remote, err := srtp.KeysFromExporter(profile, material, true)
	if err != nil {
		return Keys{}, fmt.Errorf("export SRTP keys: %w", err)
	}
	clear(k.master)
	k.master, k.clientRandom, k.serverRandom = nil, nil, nil
	return Keys{Local: local, Remote: remote}, nil
}

package main

import (
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"time"
)

// Browsers accept a certificate that no authority has signed when the page names its SHA-256 and it holds for 14 days at
// most. So it changes often, and whoever connects next must know the hash of the next one before it is shown.
const (
	// shortLife of a certificate that clients know by its hash.
	shortLife = 10 * 24 * time.Hour
	// nextAfter that age of the current one the next is made, and its hash told beside.
	nextAfter = 5 * 24 * time.Hour
	// changeAfter that age of the current one the next is shown.
	changeAfter = 8 * 24 * time.Hour
	// toldFor at least the next one's hash, before it is shown: a page may be open that asked a day ago.
	toldFor = 24 * time.Hour
	// lastHour of the current one: then the next is shown even if its hash was told late. Clocks of clients may be ahead.
	lastHour = time.Hour
)

// period is when a certificate was made and when it ends.
type period struct{ made, ends time.Time }

// step says what becomes of the kept certificates, current one first, at this moment: which of them stay, in their new order,
// and whether one is to be made behind them. Clocks jump, and machines sleep for days: it looks at nothing but now.
func step(now time.Time, kept []period) (stay []int, make bool) {
	for i, p := range kept {
		// One from the future was made before the clock was set right; clients refuse it.
		if now.Before(p.ends) && !now.Before(p.made.Add(-slowClocks)) && len(stay) < 2 {
			stay = append(stay, i)
		}
	}
	if len(stay) == 2 {
		current, next := kept[stay[0]], kept[stay[1]]
		due := now.Sub(current.made) >= changeAfter && now.Sub(next.made) >= toldFor
		if due || current.ends.Sub(now) <= lastHour {
			stay = stay[1:]
		}
	}
	if len(stay) == 0 {
		return stay, true
	}
	return stay, len(stay) == 1 && now.Sub(kept[stay[0]].made) >= nextAfter
}

// rotation is the self-made certificate of QUIC: the one that is shown, and for a time the next.
type rotation struct {
	// Fixed after openRotation.
	state     *state
	addresses []netip.Addr
	log       *slog.Logger

	// Guarded by mu.
	mu   sync.Mutex
	kept []*tls.Certificate // the first is shown
}

// rotationFile holds the certificates of a rotation in the state directory, with their keys.
const rotationFile = "quic.pem"

// openRotation takes up the kept certificates. Their addresses may be old: clients go by the hash.
func openRotation(s *state, addresses []netip.Addr, log *slog.Logger, now time.Time) (*rotation, error) {
	text, err := s.read(rotationFile)
	if err != nil {
		return nil, err
	}
	r := &rotation{state: s, addresses: addresses, log: log}
	for _, pair := range splitPairs(text) {
		// Somebody else's file is no reason not to start: what browsers would refuse is made anew.
		if _, ok := pair.PrivateKey.(*ecdsa.PrivateKey); ok && periodOf(pair.Leaf).ends.Sub(periodOf(pair.Leaf).made) <= shortLife {
			r.kept = append(r.kept, pair)
		}
	}
	return r, r.turn(now)
}

func periodOf(leaf *x509.Certificate) period {
	return period{made: leaf.NotBefore.Add(slowClocks), ends: leaf.NotAfter}
}

// Certificate is what to show at this moment. Safe from any goroutine; called at each handshake.
func (r *rotation) Certificate() *tls.Certificate {
	shown := r.at(time.Now())
	if len(shown) == 0 {
		return nil
	}
	return shown[0]
}

// Hashes are those of the certificates that are shown now and next: SHA-256 of the DER. Safe from any goroutine.
func (r *rotation) Hashes() [][]byte { return r.hashesAt(time.Now()) }

func (r *rotation) hashesAt(now time.Time) [][]byte {
	var all [][]byte
	for _, pair := range r.at(now) {
		sum := sha256.Sum256(pair.Leaf.Raw)
		all = append(all, sum[:])
	}
	return all
}

// at returns the certificates of a moment, current one first.
func (r *rotation) at(now time.Time) []*tls.Certificate {
	if err := r.turn(now); err != nil {
		r.log.Error("the certificate of QUIC could not be renewed", "error", err) // The old ones stay.
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.kept
}

// turn does what step says, and keeps the result.
func (r *rotation) turn(now time.Time) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	var periods []period
	for _, pair := range r.kept {
		periods = append(periods, periodOf(pair.Leaf))
	}
	stay, more := step(now, periods)
	if len(stay) == len(r.kept) && !more {
		return nil
	}
	var kept []*tls.Certificate // A new one: at has handed the old one out.
	for _, i := range stay {
		kept = append(kept, r.kept[i])
	}
	if more {
		made, err := makeCertificate(r.addresses, now, shortLife)
		if err != nil {
			return fmt.Errorf("make a certificate: %w", err)
		}
		kept = append(kept, made)
	}
	text, err := joinPairs(kept...)
	if err != nil {
		return err
	}
	r.kept = kept
	r.state.keep(rotationFile, text)
	r.log.Info("certificates of QUIC changed", "shown_until", kept[0].Leaf.NotAfter, "next_is_told", len(kept) > 1)
	return nil
}

package handshake

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net/netip"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/transport/v4/stdnet"
	"github.com/pion/webrtc/v4"

	"github.com/tolkyn/tolkyn/internal/srtp"
)

// Config of an Engine. Only HostAddrs is required.
type Config struct {
	// Certificate for DTLS; nil makes a self-signed ECDSA P-256 one.
	Certificate *webrtc.Certificate
	// HostAddrs are advertised as UDP candidates, best first.
	HostAddrs []netip.AddrPort
	// TCPAddrs are advertised as passive ICE-TCP candidates, best first; none without.
	TCPAddrs []netip.AddrPort
	// MaxAudioSlots and MaxVideoSlots bound the recvonly m-lines of one offer; defaults 16 and 49.
	MaxAudioSlots, MaxVideoSlots int
	// Profiles in order of preference; default AEAD_AES_128_GCM, AEAD_AES_256_GCM, AES128_CM_HMAC_SHA1_80.
	Profiles []srtp.Profile
	// Logger gets pion's warnings at debug level; nil discards.
	Logger *slog.Logger
}

const (
	defaultAudioSlots = 16
	defaultVideoSlots = 49

	// 100 ms instead of pion's second: at 30 % loss the median join fell from 4.8 to 1.0 s.
	dtlsRetransmission = 100 * time.Millisecond
)

// Engine holds what all peers of a process share: certificate, addresses, limits. Safe from any goroutine.
type Engine struct {
	cfg         Config
	certificate webrtc.Certificate
	network     *stdnet.Net
	candidates  []string // complete a=candidate lines for the answer
	loopback    bool     // one of them is on loopback: a server for this machine, see candidates.go
	log         pionLog
}

// NewEngine checks cfg and makes the certificate when there is none.
func NewEngine(cfg Config) (*Engine, error) {
	if len(cfg.HostAddrs) == 0 {
		return nil, errors.New("make handshake engine: no address to advertise")
	}
	if cfg.MaxAudioSlots == 0 {
		cfg.MaxAudioSlots = defaultAudioSlots
	}
	if cfg.MaxVideoSlots == 0 {
		cfg.MaxVideoSlots = defaultVideoSlots
	}
	if cfg.Profiles == nil {
		cfg.Profiles = []srtp.Profile{srtp.AEADAES128GCM, srtp.AEADAES256GCM, srtp.AES128CMHMACSHA180}
	}
	e := &Engine{cfg: cfg, candidates: candidateLines(cfg.HostAddrs, cfg.TCPAddrs), log: pionLog{cfg.Logger, ""}}
	for _, a := range cfg.HostAddrs {
		e.loopback = e.loopback || a.Addr().Unmap().IsLoopback()
	}
	if cfg.Certificate != nil {
		e.certificate = *cfg.Certificate
	} else {
		c, err := newCertificate()
		if err != nil {
			return nil, fmt.Errorf("make handshake engine: %w", err)
		}
		e.certificate = *c
	}
	// One for all peers: pion's default asks the kernel for every interface at each new peer.
	var err error
	if e.network, err = stdnet.NewNet(); err != nil {
		return nil, fmt.Errorf("make handshake engine: %w", err)
	}
	return e, nil
}

// newCertificate makes a certificate that outlives the process: pion's own last a month, and then it refuses new peers.
func newCertificate() (*webrtc.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 128))
	if err != nil {
		return nil, err
	}
	now := time.Now()
	return webrtc.NewCertificate(key, x509.Certificate{
		Issuer:       pkix.Name{CommonName: "WebRTC"},
		Subject:      pkix.Name{CommonName: "WebRTC"},
		SerialNumber: serial,
		NotBefore:    now.AddDate(0, 0, -1),
		NotAfter:     now.AddDate(10, 0, 0),
		Version:      2,
	})
}

// candidateLines writes the candidates of every answer: all UDP addresses, then all TCP ones, in falling priority
// (RFC 8445 §5.1.2, RFC 6544 §4.2).
func candidateLines(udp, tcp []netip.AddrPort) []string {
	const hostUDP, hostTCP, component = 126, 90, 1
	var lines []string
	add := func(protocol string, preference uint32, to netip.AddrPort, suffix string) {
		n := uint32(len(lines))
		priority := preference<<24 | (65535-n)<<8 | (256 - component)
		lines = append(lines, fmt.Sprintf("a=candidate:%d %d %s %d %s %d typ host%s",
			n+1, component, protocol, priority, to.Addr().Unmap().WithZone(""), to.Port(), suffix))
	}
	for _, a := range udp {
		add("udp", hostUDP, a, "")
	}
	for _, a := range tcp {
		add("tcp", hostTCP, a, " tcptype passive")
	}
	return lines
}

// The header extensions that are answered when offered.
const (
	uriMID          = "urn:ietf:params:rtp-hdrext:sdes:mid"
	uriAbsSendTime  = "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time"
	uriTransportSeq = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01"
	uriAudioLevel   = "urn:ietf:params:rtp-hdrext:ssrc-audio-level"
	// VP8 does not say which colours its numbers mean. Chromium sends a canvas in BT.709 with full range and says so in this
	// extension alone; who does not get it takes BT.601 with limited range, and (30, 170, 30) becomes (31, 206, 23).
	uriColorSpace  = "http://www.webrtc.org/experiments/rtp-hdrext/color-space"
	uriRID         = "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id"
	uriRepairedRID = "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id"
	uriDescriptor  = "https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension"
	// Not urn:3gpp:video-orientation: who may use it sends pictures lying on their side, and Firefox cannot turn them.
	// Without it senders turn them before they encode, for everybody.
)

// newMediaEngine knows the one codec of the m-line that pion gets; see reduce.
func newMediaEngine() (*webrtc.MediaEngine, error) {
	m := &webrtc.MediaEngine{}
	opus := webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeOpus, ClockRate: 48000, Channels: 2}
	return m, m.RegisterCodec(webrtc.RTPCodecParameters{RTPCodecCapability: opus, PayloadType: 111}, webrtc.RTPCodecTypeAudio)
}

// settings of one peer: each has its own because the hooks that carry the keys out are part of them.
func (e *Engine) settings(mux ice.UDPMux, keys *keyCollector) (webrtc.SettingEngine, error) {
	s := webrtc.SettingEngine{LoggerFactory: e.log}
	if err := s.SetAnsweringDTLSRole(webrtc.DTLSRoleServer); err != nil {
		return s, err
	}
	s.SetSRTPProtectionProfiles(dtlsProfiles(e.cfg.Profiles)...)
	s.SetDTLSCipherSuites(cipherSuites()...)
	s.SetDTLSServerHelloMessageHook(keys.serverHello)
	s.SetDTLSKeyLogWriter(keys)
	// The shard passes DTLS only from addresses that a STUN check has validated: the cookie would prove nothing more.
	s.SetDTLSInsecureSkipHelloVerify(true)
	s.SetDTLSRetransmissionInterval(dtlsRetransmission)
	s.EnableSctpSnap(true)

	s.SetNet(e.network)
	s.SetICEUDPMux(mux)
	s.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP4, webrtc.NetworkTypeUDP6})
	s.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
	s.SetIncludeLoopbackCandidate(true)
	s.DisableActiveTCP(true)
	// Once connected the shard answers checks and watches for silence itself: pion neither asks nor gives up.
	s.SetICETimeouts(0, 0, 0)
	s.SetICEBindingRequestHandler(followNomination)
	return s, nil
}

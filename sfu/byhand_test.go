package sfu_test

import (
	"context"
	"crypto"
	"crypto/tls"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/dtls/v3"
	"github.com/pion/dtls/v3/pkg/crypto/fingerprint"
	"github.com/pion/dtls/v3/pkg/crypto/selfsign"
	pionrtcp "github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/stun/v4"
	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/internal/netsim"
	"github.com/tolkyn/tolkyn/internal/packet"
	"github.com/tolkyn/tolkyn/internal/rtcp"
	"github.com/tolkyn/tolkyn/internal/seq"
	"github.com/tolkyn/tolkyn/internal/srtp"
	"github.com/tolkyn/tolkyn/sfu"
	"github.com/tolkyn/tolkyn/sfu/internal/shard"
)

// byHand is a client whose every packet the test makes: checks, DTLS by pion/dtls, SRTP sealed with the real keys. It
// does what no well-behaved client does, and sees what the server sends to the byte.
type byHand struct {
	w      *world
	name   string
	host   *netsim.Host
	conn   net.PacketConn
	server net.Addr

	offered            []string // "kind direction" of each m-line
	print              string   // of its certificate
	ufrag, pwd         string   // its own
	toUfrag, toPwd     string   // the server's
	ssrcAudio, ssrcCam uint32   // RTX of the camera is ssrcCam+1
	peer               *sfu.Peer
	joined             sfu.Joined
	sealer             *srtp.Sealer
	opener             *srtp.Opener
	tunnel             *tunnel
	dtls               *dtls.Conn
	wg                 sync.WaitGroup

	sealing sync.Mutex // guards sealer: a test may send sound and picture from two goroutines

	deaf  atomic.Bool // does not answer the server's checks
	quiet atomic.Bool // does not tell what has come

	// Guarded by mu.
	mu       sync.Mutex
	rtp      []heardRTP
	from     map[byte]int // packets by their publisher's mark
	rtcp     []pionrtcp.Packet
	rtcpAt   []time.Time // of each in rtcp
	bytes    int         // of RTP and RTCP datagrams
	arrivals rtcp.TransportRecorder
	telling  bool        // of them, within feedbackAfter
	checks   []time.Time // the server's binding requests
	answered chan struct{}

	began time.Time
}

type heardRTP struct {
	at time.Time
	rtp.Packet
}

// Extension ids of the offer.
const (
	handLevel, handTransport, handMID, handColors = 1, 3, 4, 7
)

// byHandAt joins a room from a host and returns once keys are agreed.
func (w *world) byHandAt(name string, host *netsim.Host, room string, offered ...string) *byHand {
	w.t.Helper()
	conn, err := host.ListenUDP(0)
	require.NoError(w.t, err)
	c := w.byHandOver(conn, name, room, offered...)
	c.host = host
	return c
}

// byHandOver is byHandAt over any connection.
func (w *world) byHandOver(conn net.PacketConn, name, room string, offered ...string) *byHand {
	w.t.Helper()
	t := w.t
	c := &byHand{w: w, name: name, conn: conn, answered: make(chan struct{}, 64), from: map[byte]int{}, began: time.Now()}
	c.quiet.Store(w.mute)
	c.tunnel = newTunnel(c)
	c.ufrag, c.pwd = randomHex(4), randomHex(16)
	c.ssrcAudio, c.ssrcCam = rand.Uint32()|1, rand.Uint32()|1
	cert, err := selfsign.GenerateSelfSigned()
	require.NoError(t, err)
	c.print, err = fingerprint.Fingerprint(cert.Leaf, crypto.SHA256)
	require.NoError(t, err)
	w.closers = append(w.closers, c.close)
	c.wg.Go(c.read)
	if len(offered) == 0 {
		offered = []string{"audio sendonly", "video sendonly", "audio recvonly", "audio recvonly", "video recvonly", "video recvonly"}
	}
	c.offered = offered
	c.peer, c.joined, err = w.sfu.Join(context.Background(), sfu.JoinRequest{
		Room: room, Identity: name, Name: name, Publish: true, Subscribe: true, Offer: c.offer(c.print, offered),
		Tracks: tracksOf(offered), Events: func(sfu.Event) {},
	})
	require.NoError(t, err)
	c.readAnswer(c.joined.Answer)
	c.handshake(cert)
	return c
}

// newByHand is byHandAt from an address of its own.
func (w *world) newByHand(name, room string, offered ...string) *byHand {
	w.t.Helper()
	return w.byHandAt(name, w.newHost(), room, offered...)
}

func (w *world) newHost() *netsim.Host {
	w.clients++
	host := w.net.Host(netip.AddrFrom4([4]byte{10, 0, 1, byte(w.clients)}))
	w.net.SetPath(w.host, host, w.link)
	return host
}

func tracksOf(offered []string) (tracks []sfu.Track) {
	for mid, line := range offered {
		switch line {
		case "audio sendonly":
			tracks = append(tracks, sfu.Track{ID: "mic", Kind: sfu.Audio, Source: sfu.Microphone, MID: fmt.Sprint(mid)})
		case "video sendonly":
			tracks = append(tracks, sfu.Track{ID: "cam", Kind: sfu.Video, Source: sfu.Camera, MID: fmt.Sprint(mid)})
		}
	}
	return tracks
}

// offer writes one m-line for each "kind direction".
func (c *byHand) offer(print string, offered []string) string {
	var lines strings.Builder
	var mids []string
	for mid, line := range offered {
		kind, direction, _ := strings.Cut(line, " ")
		mids = append(mids, fmt.Sprint(mid))
		pts, codec := "111", "a=rtpmap:111 opus/48000/2\r\na=fmtp:111 minptime=10;useinbandfec=1\r\na=rtcp-fb:111 transport-cc\r\n"+
			fmt.Sprintf("a=extmap:%d urn:ietf:params:rtp-hdrext:ssrc-audio-level\r\n", handLevel)
		if c.w != nil && c.w.red {
			pts, codec = "111 63", codec+"a=rtpmap:63 red/48000/2\r\na=fmtp:63 111/111\r\n"
		}
		sources := fmt.Sprintf("a=ssrc:%d cname:c\r\n", c.ssrcAudio)
		if kind == "video" {
			pts, codec = "96 97", "a=rtpmap:96 VP8/90000\r\na=rtcp-fb:96 transport-cc\r\na=rtcp-fb:96 ccm fir\r\na=rtcp-fb:96 nack\r\n"+
				"a=rtcp-fb:96 nack pli\r\na=rtpmap:97 rtx/90000\r\na=fmtp:97 apt=96\r\n"+
				fmt.Sprintf("a=extmap:%d http://www.webrtc.org/experiments/rtp-hdrext/color-space\r\n", handColors)
			sources = fmt.Sprintf("a=ssrc-group:FID %d %d\r\na=ssrc:%d cname:c\r\na=ssrc:%d cname:c\r\n", c.ssrcCam, c.ssrcCam+1, c.ssrcCam, c.ssrcCam+1)
		}
		if direction == "recvonly" {
			sources = ""
		}
		fmt.Fprintf(&lines, "m=%s 9 UDP/TLS/RTP/SAVPF %s\r\nc=IN IP4 0.0.0.0\r\na=ice-ufrag:%s\r\na=ice-pwd:%s\r\na=fingerprint:sha-256 %s\r\n"+
			"a=setup:actpass\r\na=mid:%d\r\na=extmap:%d http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01\r\n"+
			"a=extmap:%d urn:ietf:params:rtp-hdrext:sdes:mid\r\na=%s\r\na=rtcp-mux\r\na=rtcp-rsize\r\n%s%s",
			kind, pts, c.ufrag, c.pwd, print, mid, handTransport, handMID, direction, codec, sources)
	}
	media := lines.String()
	if c.w != nil && c.w.plain {
		kept := strings.SplitAfter(media, "\r\n")
		kept = slices.DeleteFunc(kept, func(line string) bool {
			return strings.Contains(line, "transport-cc") || strings.Contains(line, "transport-wide-cc")
		})
		media = strings.Join(kept, "")
	}
	return "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE " + strings.Join(mids, " ") + "\r\na=extmap-allow-mixed\r\n" + media
}

func (c *byHand) readAnswer(sdp string) {
	var number, component, port uint16
	var priority uint32
	var transport, host string
	for line := range strings.SplitSeq(sdp, "\r\n") {
		if port == 0 {
			_, _ = fmt.Sscanf(line, "a=candidate:%d %d %s %d %s %d", &number, &component, &transport, &priority, &host, &port)
		}
		if v, ok := strings.CutPrefix(line, "a=ice-ufrag:"); ok {
			c.toUfrag = v
		}
		if v, ok := strings.CutPrefix(line, "a=ice-pwd:"); ok {
			c.toPwd = v
		}
	}
	c.server = net.UDPAddrFromAddrPort(netip.AddrPortFrom(c.w.host.Addr(), port)) // of the first candidate
}

// handshake checks the path, agrees on keys and keeps checking as browsers do.
func (c *byHand) handshake(cert tls.Certificate) {
	t := c.w.t
	for answered := false; !answered; {
		c.check(true)
		select {
		case <-c.answered:
			answered = true
		case <-time.After(100 * time.Millisecond):
		}
	}
	conn, err := dtls.ClientWithOptions(c.tunnel, c.server,
		dtls.WithCertificates(cert), dtls.WithInsecureSkipVerify(true),
		dtls.WithExtendedMasterSecret(dtls.RequireExtendedMasterSecret),
		dtls.WithSRTPProtectionProfiles(dtls.SRTP_AEAD_AES_128_GCM),
		dtls.WithFlightInterval(100*time.Millisecond))
	require.NoError(t, err)
	c.dtls = conn
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	require.NoError(t, conn.HandshakeContext(ctx))
	state, ok := conn.ConnectionState()
	require.True(t, ok)
	profile := srtp.AEADAES128GCM
	material, err := state.ExportKeyingMaterial("EXTRACTOR-dtls_srtp", nil, profile.ExporterLen())
	require.NoError(t, err)
	local, remote, err := srtp.KeysFromExporter(profile, material, false)
	require.NoError(t, err)
	c.sealer, err = srtp.NewSealer(local)
	require.NoError(t, err)
	opener, err := srtp.NewOpener(remote)
	require.NoError(t, err)
	c.mu.Lock()
	c.opener = opener
	c.mu.Unlock()
	time.Sleep(4 * c.w.link.Delay) // the server has its keys too
}

func (c *byHand) close() {
	if c.dtls != nil {
		c.dtls.Close()
	}
	c.tunnel.Close()
	c.conn.Close()
	c.wg.Wait()
}

// check sends one connectivity check.
func (c *byHand) check(nominate bool) {
	c.conn.WriteTo(c.checkBytes(c.toUfrag+":"+c.ufrag, c.toPwd, nominate), c.server)
}

func (c *byHand) checkBytes(username, pwd string, nominate bool) []byte {
	setters := []stun.Setter{
		stun.TransactionID, stun.BindingRequest, stun.NewUsername(username),
		stun.RawAttribute{Type: stun.AttrICEControlling, Value: make([]byte, 8)},
		stun.RawAttribute{Type: stun.AttrPriority, Value: []byte{0x7e, 0, 0, 0xff}},
	}
	if nominate {
		setters = append(setters, stun.RawAttribute{Type: stun.AttrUseCandidate})
	}
	m, err := stun.Build(append(setters, stun.NewShortTermIntegrity(pwd), stun.Fingerprint)...)
	require.NoError(c.w.t, err)
	return m.Raw
}

// read takes everything that arrives.
func (c *byHand) read() {
	b := make([]byte, 2048)
	for {
		n, from, err := c.conn.ReadFrom(b)
		if err != nil {
			return
		}
		p := append(make([]byte, 0, n), b[:n]...)
		switch packet.Classify(p) {
		case packet.STUN:
			c.readSTUN(p, from)
		case packet.DTLS:
			c.tunnel.deliver(p)
		case packet.RTP, packet.RTCP:
			c.readMedia(p)
		}
	}
}

func (c *byHand) readSTUN(b []byte, from net.Addr) {
	m := &stun.Message{Raw: b}
	if m.Decode() != nil {
		return
	}
	switch m.Type {
	case stun.BindingSuccess:
		select {
		case c.answered <- struct{}{}:
		default:
		}
	case stun.BindingRequest:
		c.mu.Lock()
		c.checks = append(c.checks, time.Now())
		c.mu.Unlock()
		if c.deaf.Load() {
			return
		}
		to := from.(*net.UDPAddr)
		answer, err := stun.Build(m, stun.BindingSuccess, &stun.XORMappedAddress{IP: to.IP, Port: to.Port}, stun.NewShortTermIntegrity(c.pwd), stun.Fingerprint)
		if err == nil {
			c.conn.WriteTo(answer.Raw, from)
		}
	}
}

func (c *byHand) readMedia(b []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.opener == nil {
		return
	}
	if packet.Classify(b) == packet.RTCP {
		n, v := c.opener.OpenRTCP(b)
		if v != srtp.OK {
			return
		}
		c.bytes += len(b)
		parts, err := pionrtcp.Unmarshal(b[:n])
		if err != nil {
			c.w.t.Errorf("pion cannot read the server's RTCP: %v", err)
		}
		for _, part := range parts {
			c.rtcp, c.rtcpAt = append(c.rtcp, part), append(c.rtcpAt, time.Now())
		}
		return
	}
	h, ok := packet.ParseHeader(b)
	if !ok {
		return
	}
	size := len(b)
	n, _, v := c.opener.OpenRTP(b, &h)
	if v != srtp.OK {
		return
	}
	c.bytes += size
	c.noteArrival(b[:n], &h)
	heard := heardRTP{at: time.Now()}
	if err := heard.Unmarshal(b[:n]); err == nil {
		c.rtp = append(c.rtp, heard)
		if len(heard.Payload) > 15 {
			c.from[heard.Payload[15]]++
		}
	}
}

// feedbackAfter is how long a client waits for more packets to tell of.
const feedbackAfter = 50 * time.Millisecond

// noteArrival has the server told soon that a packet has come, as browsers do. Guarded by mu.
func (c *byHand) noteArrival(b []byte, h *packet.Header) {
	for e := h.Elements(b); e.Next(); {
		if d := e.Data(); e.ID == handTransport && len(d) == 2 {
			c.arrivals.Handle(time.Since(c.began), uint16(d[0])<<8|uint16(d[1]))
			if !c.telling && !c.quiet.Load() {
				c.telling = true
				time.AfterFunc(feedbackAfter, c.tellArrivals)
			}
		}
	}
}

// tellArrivals sends transport-wide feedback.
func (c *byHand) tellArrivals() {
	c.mu.Lock()
	c.telling = false
	b := c.arrivals.Append(rtcp.AppendReceiverReport(make([]byte, 0, 1500), 1, nil), 1, 1)
	c.mu.Unlock()
	c.sealing.Lock()
	defer c.sealing.Unlock()
	c.conn.WriteTo(b[:c.sealer.SealRTCP(b[:cap(b)], len(b))], c.server)
}

// lie sends transport-wide feedback that tells of 1,000 packets, most of which were never sent, as having come at once, or in the
// future.
func (c *byHand) lie() {
	var r rtcp.TransportRecorder
	at, first := time.Duration(rand.Int64N(int64(time.Hour))), uint16(rand.Uint32())
	for n := range uint16(1000) {
		r.Handle(at, first+n)
	}
	b := r.Append(rtcp.AppendReceiverReport(make([]byte, 0, 1500), 1, nil), 1, 1)
	c.sealing.Lock()
	defer c.sealing.Unlock()
	c.conn.WriteTo(b[:c.sealer.SealRTCP(b[:cap(b)], len(b))], c.server)
}

// send seals one RTP packet and sends it. The caller may have made header and payload lie: they are sealed as they are.
func (c *byHand) send(p *rtp.Packet) []byte {
	plain, err := p.Marshal()
	require.NoError(c.w.t, err)
	return c.sendRaw(plain, p.MarshalSize()-len(p.Payload)-int(p.PaddingSize), 1<<16|seq.Extended(p.SequenceNumber))
}

func (c *byHand) sendRaw(plain []byte, headerSize int, e seq.Extended) []byte {
	b := make([]byte, len(plain), len(plain)+64)
	copy(b, plain)
	c.sealing.Lock()
	n := c.sealer.SealRTP(b[:cap(b)], headerSize, len(plain), e)
	c.sealing.Unlock()
	c.conn.WriteTo(b[:n], c.server)
	return b[:n]
}

// sendRTCP seals a compound packet and sends it.
func (c *byHand) sendRTCP(packets ...pionrtcp.Packet) []byte {
	plain, err := pionrtcp.Marshal(packets)
	require.NoError(c.w.t, err)
	b := make([]byte, len(plain), len(plain)+64)
	copy(b, plain)
	c.sealing.Lock()
	n := c.sealer.SealRTCP(b[:cap(b)], len(plain))
	c.sealing.Unlock()
	c.conn.WriteTo(b[:n], c.server)
	return b[:n]
}

// voice makes the nth packet of the client's audio.
func (c *byHand) voice(n int) *rtp.Packet {
	payload := make([]byte, 40)
	payload[0], payload[15] = 0x78, c.name[0]
	return &rtp.Packet{Header: rtp.Header{
		Version: 2, PayloadType: 111, SSRC: c.ssrcAudio, SequenceNumber: uint16(1000 + n), Timestamp: uint32(5000 + 960*n),
	}, Payload: payload}
}

// frame makes the nth packet of the client's video, a frame each.
func (c *byHand) frame(n int, key bool) *rtp.Packet {
	payload := vp8Packet(key, true, uint16(n), uint8(n), 1000)
	payload[15] = c.name[0]
	return &rtp.Packet{Header: rtp.Header{
		Version: 2, PayloadType: 96, SSRC: c.ssrcCam, SequenceNumber: uint16(2000 + n), Timestamp: uint32(9000 + 3000*n), Marker: true,
	}, Payload: payload}
}

// got counts the packets that a publisher marked with its name.
func (c *byHand) got(name string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.from[name[0]]
}

// heardFrom returns the packets that a publisher marked with its name.
func (c *byHand) heardFrom(name string) (heard []heardRTP) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range c.rtp {
		if len(p.Payload) > 15 && p.Payload[15] == name[0] {
			heard = append(heard, p)
		}
	}
	return heard
}

func (c *byHand) checksHeard() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.checks)
}

// tunnel is what DTLS takes for its socket.
type tunnel struct {
	c    *byHand
	in   chan []byte
	done chan struct{}
	once sync.Once
}

func newTunnel(c *byHand) *tunnel {
	return &tunnel{c: c, in: make(chan []byte, 64), done: make(chan struct{})}
}

func (t *tunnel) deliver(b []byte) {
	select {
	case t.in <- b:
	default:
	}
}

func (t *tunnel) ReadFrom(b []byte) (int, net.Addr, error) {
	select {
	case p := <-t.in:
		return copy(b, p), t.c.server, nil
	case <-t.done:
		return 0, nil, net.ErrClosed
	}
}

func (t *tunnel) WriteTo(b []byte, _ net.Addr) (int, error) { return t.c.conn.WriteTo(b, t.c.server) }

func (t *tunnel) Close() error {
	t.once.Do(func() { close(t.done) })
	return nil
}

func (t *tunnel) LocalAddr() net.Addr              { return t.c.conn.LocalAddr() }
func (t *tunnel) SetDeadline(time.Time) error      { return nil }
func (t *tunnel) SetReadDeadline(time.Time) error  { return nil }
func (t *tunnel) SetWriteDeadline(time.Time) error { return nil }

func randomHex(n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rand.Uint32())
	}
	return hex.EncodeToString(b)
}

// shard returns the server's counters.
func (w *world) shard() shard.Stats {
	w.t.Helper()
	st, ok := w.sfu.Stats()
	require.True(w.t, ok)
	return st.Shards[0]
}

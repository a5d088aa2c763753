package light

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/netip"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/pion/dtls/v3"

	"github.com/tolkyn/tolkyn/bench/measure"
	"github.com/tolkyn/tolkyn/bench/scenario"
	"github.com/tolkyn/tolkyn/internal/rtcp"
	"github.com/tolkyn/tolkyn/internal/srtp"
	"github.com/tolkyn/tolkyn/internal/udp"
)

// cname is every caller's canonical name: nobody plays what light callers send in step.
const cname = "light"

// firstNumber of every stream: those before it are not below zero.
const firstNumber = 1<<16 + 100

// environment is what all devices of a fleet share. Fixed after New.
type environment struct {
	cfg         Config
	base        string
	client      *http.Client
	certificate tls.Certificate
	fingerprint string
	names       *names
	epoch       time.Duration // zero of the run's clock, since the Unix epoch
	tracks      map[trackOf]known

	// Atomic.
	addresses atomic.Uint32 // given away
}

// address gives an address on the loopback interface that nobody had before: to the server each stay is another client. After
// four million they repeat.
func (e *environment) address() netip.Addr {
	n := e.addresses.Add(1)
	return netip.AddrFrom4([4]byte{127, 64 | byte(n>>16)&63, byte(n >> 8), byte(n)})
}

// addressNumber is the number that address made of.
func addressNumber(a netip.Addr) int {
	b := a.As4()
	return int(b[1]&63)<<16 | int(b[2])<<8 | int(b[3])
}

// trackOf names a track in the run.
type trackOf struct{ room, identity, id string }

// known is what the schedule says of a track.
type known struct {
	stamp  uint32 // its sender's
	silent bool   // it is a microphone that is closed at times: that nothing comes of it is no loss
}

// device is one stay of one caller in its call: session, socket, keys, and all that its loop knows.
type device struct {
	// Fixed after enter.
	env       *environment
	plan      *scenario.Caller
	session   *session
	path      path
	tunnel    *tunnel
	dtls      *dtls.Conn
	sealer    *srtp.Sealer
	opener    *srtp.Opener
	overhead  int // bytes that sealing adds to a packet
	ssrc      uint32
	steps     map[measure.Step]time.Time // when each was done; "" is the start
	published []*published
	results   *results // of the caller
	answered  func()   // the first check was; any goroutine

	// Owned by the loop, between add and remove.
	timer    timer
	streams  []*stream
	meters   map[flow]meter // of all that flowed in any of them
	last     *stream
	told     *map[string]flow
	sampler  sampler
	recorder rtcp.TransportRecorder

	transport uint16        // next transport-wide number
	heard     time.Duration // arrival of the newest datagram
	hungry    time.Duration // until when everything is taken whole
	gaps      bool          // something is missing
	ready     bool          // it has begun
	rtt       time.Duration
	checked   time.Duration // when the check was sent that is not answered; 0: none
	warm      bool          // measuring has begun
	told0     int64         // bytes of signaling that had come then

	feedbackAt, reportAt, checkAt time.Duration
	feedbackFrom                  int64         // receivedBytes at the last feedback,
	feedbackTook                  time.Duration // and how long after it the next one was due

	flows                          bool
	firstPacket, lastPacket        time.Duration
	sentPackets, sentBytes         int64
	receivedPackets, receivedBytes int64
	opened, forged, strange        int64
	stamped, nacks                 int64
	failed                         error
}

// enter joins the call and returns once keys are agreed; results goes on collecting where an earlier stay ended.
func enter(ctx context.Context, env *environment, l *loop, plan *scenario.Caller, into *results) (_ *device, err error) {
	d := &device{
		env: env, plan: plan, results: into, steps: map[measure.Step]time.Time{"": time.Now()},
		meters: map[flow]meter{}, rtt: assumedRTT,
	}
	defer func() {
		if err != nil {
			l.forget(d)
			d.close(false)
		}
	}()
	token, err := env.cfg.Token(ctx, plan.Room, scenario.Person(plan.Room, plan.Identity))
	if err != nil {
		return nil, err
	}
	d.ssrc = randomSSRC()
	for i, t := range plan.Publish {
		kind, origin := sourceOf(t.Media)
		for layer, e := range t.Encodings() {
			ssrc := randomSSRC()
			if len(d.published) == 0 {
				ssrc = d.ssrc
			}
			d.published = append(d.published, &published{
				id: string(t.Media), mid: "p" + strconv.Itoa(i), kind: kind, origin: origin, ssrc: ssrc, rtx: ssrc ^ 1<<31,
				rid: e.RID, layer: layer, media: env.cfg.Media(*plan, i, layer), number: firstNumber, repair: firstNumber,
			})
		}
	}
	own := credentials{ufrag: random(4), password: random(16), fingerprint: env.fingerprint}
	sdp, err := d.join(ctx, env, token, offer(plan, d.published, own))
	if err != nil {
		return nil, err
	}
	a, err := parseAnswer(sdp)
	if err != nil {
		return nil, err
	}
	d.path.secure(own, a)
	if l.shared != nil && a.server.Addr().IsLoopback() && a.server.Addr().Is4() {
		d.path.shared, d.path.local = l.shared, env.address()
	} else if d.path.socket, err = udp.Listen(netip.AddrPortFrom(env.cfg.Address, 0), udp.Config{
		DisableGRO: true, Timestamps: true, ReadBuffer: env.cfg.ReadBuffer,
	}); err != nil {
		return nil, err
	}
	if err := d.shake(ctx, l, env.certificate); err != nil {
		return nil, fmt.Errorf("handshake: %w", err)
	}
	for _, s := range a.slots {
		d.streams = append(d.streams, &stream{slot: s})
	}
	d.sampler = newSampler(env.cfg.OpenOneIn, uint64(plan.Number))
	return d, nil
}

// done notes the end of a step.
func (d *device) done(s measure.Step) { d.steps[s] = time.Now() }

// begin puts the device onto its loop's clock.
func (d *device) begin(l *loop, now time.Duration) {
	d.timer.device = d
	// Each at moments of its own: five hundred do not report in the same millisecond.
	spread := func(of time.Duration) time.Duration { return of * time.Duration(d.plan.Number%997) / 997 }
	d.feedbackAt, d.feedbackTook = now+spread(feedbackSlowest), feedbackSlowest
	d.reportAt = now + spread(reportEvery)
	d.checkAt = now
	d.attribute(now)
	l.wheel.arm(&d.timer, now+spread(l.cfg.ReadEvery))
	d.ready = true
	for _, t := range d.published {
		t.began = now + spread(100*time.Millisecond)
		if l.cfg.Together {
			t.began = (now/time.Second + 1) * time.Second
		}
		t.timer = timer{device: d, track: t}
		l.wheel.arm(&t.timer, t.began+t.media.Due())
	}
}

// turn reads and answers, and says when it is to be called again.
func (d *device) turn(l *loop, now time.Duration) (next time.Duration) {
	if !d.warm && now >= l.cfg.Warmup {
		d.warm, d.told0 = true, d.session.bytes.Load()
		d.restart(now)
	}
	if d.path.shared == nil {
		now = l.now() // what was sent earlier in this turn may have come round already
		d.read(l, now)
	}
	d.answerDue(l, now)
	if d.path.shared == nil || d.gaps {
		return max(d.timer.at+l.cfg.ReadEvery, now+tick)
	}
	return min(d.feedbackAt, d.reportAt, d.checkAt)
}

// restart drops what was measured before the warm-up's end.
func (d *device) restart(now time.Duration) {
	clear(d.meters)
	for _, s := range d.streams {
		if s.meter != nil {
			s.meter, s.since = d.meterOf(s, now), max(s.since, now)
		}
	}
}

// end takes the device off the clock and settles its streams.
func (d *device) end(l *loop, now time.Duration) {
	if d.path.shared == nil {
		d.read(l, l.now())
	}
	d.timer.device = nil
	for _, t := range d.published {
		t.timer.device = nil
	}
	d.settle(now)
	d.results.leave(d)
}

// close leaves: with a goodbye, or as somebody whose network is gone. The loop has let go of the device.
func (d *device) close(polite bool) {
	if d.session != nil {
		d.session.close(polite)
	}
	if d.tunnel != nil && !polite {
		d.tunnel.Close() // no close_notify
	}
	if d.dtls != nil {
		_ = d.dtls.Close()
	}
	if d.tunnel != nil {
		d.tunnel.Close()
	}
	if d.path.socket != nil {
		_ = d.path.socket.Close()
	}
}

func random(bytes int) string {
	b := make([]byte, bytes)
	rand.Read(b)
	return hex.EncodeToString(b)
}

func randomSSRC() uint32 {
	var b [4]byte
	rand.Read(b[:])
	return binary.BigEndian.Uint32(b[:]) | 1
}

package control

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"time"

	"github.com/tolkyn/tolkyn/turn/internal/peers"
)

// authenticate checks who made a request (RFC 8489 §9.2.4). False: the answer is written. The nonce comes first, so that who cannot
// receive at the address he names costs no more than one MAC.
func (c *Core) authenticate(now time.Time, t time.Duration, from Client) bool {
	m := &c.in
	if m.integrity == 0 && m.integrity256 == 0 {
		size := len(m.raw)
		if m.fingerprint {
			size -= 8 // is answered with one
		}
		if from.Way == UDP && size < headerSize+8 {
			// Without even the transport or lifetime that clients name, 401 would be more than 1.5 times what was sent.
			c.refuse(t, from, 400)
			return false
		}
		c.challenge(now, t, from, 401)
		return false
	}
	user, named := m.get(username)
	in, within := m.get(realm)
	value, given := m.get(nonce)
	switch {
	case !named || !within || !given || len(user) > 513:
		c.refuse(t, from, 400)
		return false
	case !c.fresh(value, from, now):
		c.challenge(now, t, from, 438)
		return false
	case string(in) != c.cfg.Realm:
		c.challenge(now, t, from, 401)
		return false
	}
	name := string(user)
	for try := 0; ; try++ {
		subject, key, ok := c.cfg.Key(name, now, try)
		if !ok {
			c.challenge(now, t, from, 401)
			return false
		}
		if c.sign.proves(m, key[:]) {
			c.subject, c.key, c.proved = subject, key, true
			return true
		}
	}
}

// affords reports whether an answer may go to who has not proved to be there.
func (c *Core) affords(t time.Duration, from Client) bool {
	if from.Way != UDP || c.strangers.spend(from.Addr.Addr(), t, c.cfg.StrangerRate) {
		return true
	}
	c.refused[0]++
	return false
}

// refuse answers a stranger with an error, as far as the budget goes.
func (c *Core) refuse(t time.Duration, from Client, code int) bool {
	if !c.affords(t, from) {
		return false
	}
	c.fail(code)
	return true
}

// challenge is refuse with what a client needs to come again: 401 and 438.
func (c *Core) challenge(now time.Time, t time.Duration, from Client, code int) {
	if !c.refuse(t, from, code) {
		return
	}
	c.out = appendAttribute(c.out, realm, append(c.sign.scratch[:0], c.cfg.Realm...))
	c.out = append(c.out, nonce>>8, nonce&0xFF, 0, nonceSize)
	c.out = c.nonce(c.out, from, uint32(now.Unix()))
}

// fail begins an error. There is no reason phrase: nobody reads it, and strangers shall not be sent more than they send.
func (c *Core) fail(code int) {
	c.refused[code]++
	c.out = appendHeader(c.out[:0], c.in.method, failure, c.in.tx)
	c.out = appendUint32(c.out, errorCode, uint32(code/100<<8|code%100))
}

func (c *Core) succeed() { c.out = appendHeader(c.out[:0], c.in.method, success, c.in.tx) }

func (c *Core) finish() []byte {
	if len(c.out) == 0 {
		return nil
	}
	if c.proved {
		h, kind, size := c.sign.sha1, uint16(messageIntegrity), 20
		if c.in.integrity256 != 0 {
			h, kind, size = c.sign.sha256, messageIntegritySHA256, 32
		}
		sum := c.sign.integrity(h, c.key[:], c.out, len(c.out), size)
		c.out = appendAttribute(c.out, kind, sum)
	}
	if c.in.fingerprint {
		setLength(c.out, 8)
		c.out = appendUint32(c.out, fingerprint, crc(c.out))
	}
	setLength(c.out, 0)
	return c.out
}

// hasUnknown reports whether the request asks for something that must be understood and is not.
func (c *Core) hasUnknown() bool {
	return slices.ContainsFunc(c.in.attributes, func(a attribute) bool { return !known(a.kind) })
}

// unknown answers 420 with their names, 8 at most.
func (c *Core) unknown() {
	c.fail(420)
	names := c.sign.scratch[:0]
	for _, a := range c.in.attributes {
		if !known(a.kind) && len(names) < 16 {
			names = binary.BigEndian.AppendUint16(names, a.kind)
		}
	}
	c.out = appendAttribute(c.out, unknownAttributes, names)
}

// bindingRequest answers who asks for his own address (RFC 8489 §6).
func (c *Core) bindingRequest(t time.Duration, from Client) {
	switch {
	case !c.affords(t, from):
	case c.hasUnknown():
		c.unknown()
	default:
		c.succeed()
		c.out = appendAddress(c.out, xorMappedAddress, from.Addr, c.in.tx, true)
	}
}

// allocate answers an Allocate request, in the order of RFC 8656 §7.2.
func (c *Core) allocate(t time.Duration, from Client, a *Allocation) {
	if a != nil {
		if a.tx == c.in.tx && a.Subject == c.subject {
			c.allocated(a) // sent again: so is the answer
			return
		}
		c.fail(437)
		return
	}
	w, code := c.wished(from)
	if code != 0 {
		c.fail(code)
		return
	}
	if c.cfg.Draining != nil {
		if alternate, draining := c.cfg.Draining(); draining {
			c.goElsewhere(from, alternate)
			return
		}
	}
	if c.cfg.Admit != nil && !c.cfg.Admit(c.subject, from.Addr.Addr().Unmap()) {
		c.fail(486)
		return
	}
	a = &Allocation{Client: from, Subject: c.subject, core: c, tx: c.in.tx, lifetime: w.lifetime}
	code = 0
	for family := range a.Relayed {
		if !w.families[family] {
			continue
		}
		if !c.has(family) {
			code = 440
			continue
		}
		ask := Open{Client: from, Subject: c.subject, IPv6: family == 1, Even: w.even, Reserve: w.reserve, Take: w.take}
		addr, ok := c.cfg.Open(ask)
		if !ok {
			code = 508
			continue
		}
		a.Relayed[family], a.until[family] = addr, t+w.lifetime
	}
	if a.Relayed == ([2]netip.AddrPort{}) {
		if c.cfg.Left != nil {
			c.cfg.Left(a)
		}
		c.fail(code)
		return
	}
	a.missing = code // one of two is an answer too
	delete(c.reservations, w.token)
	if w.reserve {
		c.keepBack(t, a)
	}
	c.clients[from] = a
	for _, addr := range a.Relayed {
		if addr.IsValid() {
			c.relayed[addr] = a
		}
	}
	c.sooner(t + w.lifetime)
	c.allocated(a)
}

// wish is what an Allocate request asks for.
type wish struct {
	families      [2]bool
	even, reserve bool
	token         [8]byte
	take          netip.AddrPort
	lifetime      time.Duration
}

// wished reads an Allocate request; code is the error that it deserves, or 0.
func (c *Core) wished(from Client) (w wish, code int) {
	m := &c.in
	transport, ok := m.get(requestedTransport)
	switch {
	case !ok || len(transport) != 4:
		return w, 400
	case transport[0] == 6 && from.Way == UDP:
		return w, 400 // RFC 6062 §5.1
	case transport[0] != 17:
		return w, 442
	}
	token, byToken := m.get(reservationToken)
	even, evenly := m.get(evenPort)
	first, one := m.get(requestedAddressFamily)
	other, both := m.get(additionalAddressFamily)
	switch {
	case byToken && (len(token) != 8 || evenly || one || both), evenly && len(even) != 1, one && both,
		one && len(first) != 4, both && (len(other) != 4 || other[0] != 2), both && evenly && even[0]&0x80 != 0:
		return w, 400
	case one && first[0] != 1 && first[0] != 2, one && !c.has(int(first[0])-1), !one && !both && !byToken && !c.cfg.IPv4:
		return w, 440
	}
	w.even = evenly
	w.reserve = evenly && even[0]&0x80 != 0
	switch {
	case byToken:
		w.token = [8]byte(token)
		r, ok := c.reservations[w.token]
		if !ok || r.subject != c.subject {
			return w, 508
		}
		w.take = r.addr
		w.families[familyOf(r.addr.Addr())] = true
	case both:
		w.families = [2]bool{true, true}
	case one:
		w.families[first[0]-1] = true
	default:
		w.families[0] = true
	}
	w.lifetime, ok = c.lifetime()
	if !ok {
		return w, 400
	}
	return w, 0
}

// lifetime is what is granted of what is asked for (RFC 8656 §7.2): never less than the usual. False: LIFETIME makes no sense.
func (c *Core) lifetime() (time.Duration, bool) {
	value, ok := c.in.get(lifetime)
	if !ok {
		return c.cfg.Lifetime, true
	}
	if len(value) != 4 {
		return 0, false
	}
	asked := time.Duration(binary.BigEndian.Uint32(value)) * second
	return min(max(asked, c.cfg.Lifetime), c.cfg.MaxLifetime), true
}

func (c *Core) has(family int) bool { return family == 0 && c.cfg.IPv4 || family == 1 && c.cfg.IPv6 }

// keepBack makes the token of the port behind the one just opened.
func (c *Core) keepBack(t time.Duration, a *Allocation) {
	addr := a.Relayed[0]
	if !addr.IsValid() {
		addr = a.Relayed[1]
	}
	c.reserved++
	b := binary.BigEndian.AppendUint64(c.sign.scratch[:0], c.reserved)
	b = append(append(b, "token"...), a.tx[:]...)
	copy(a.token[:], c.sign.mac(c.sign.sha256, c.cfg.NonceKey[:], nil, b))
	c.reservations[a.token] = reservation{netip.AddrPortFrom(addr.Addr(), addr.Port()+1), a.Subject, t + reservationLife}
	c.sooner(t + reservationLife)
}

// allocated answers with what an allocation was given.
func (c *Core) allocated(a *Allocation) {
	c.succeed()
	for _, addr := range a.Relayed {
		if addr.IsValid() {
			c.out = appendAddress(c.out, xorRelayedAddress, addr, c.in.tx, true)
		}
	}
	if a.missing != 0 {
		family := uint32(1)
		if a.Relayed[0].IsValid() {
			family = 2
		}
		c.out = appendUint32(c.out, addressErrorCode, family<<24|uint32(a.missing/100<<8|a.missing%100))
	}
	c.out = appendUint32(c.out, lifetime, uint32(a.lifetime/second))
	if a.token != ([8]byte{}) {
		c.out = appendAttribute(c.out, reservationToken, a.token[:])
	}
	c.out = appendAddress(c.out, xorMappedAddress, a.Client.Addr, c.in.tx, true)
}

// goElsewhere refuses a new allocation because this server is to be switched off (RFC 8489 §10).
func (c *Core) goElsewhere(from Client, alternate netip.AddrPort) {
	if !alternate.IsValid() || familyOf(alternate.Addr().Unmap()) != familyOf(from.Addr.Addr().Unmap()) {
		c.fail(486)
		return
	}
	c.fail(300)
	c.out = appendAddress(c.out, alternateServer, alternate, c.in.tx, false)
}

// refresh answers a Refresh request (RFC 8656 §7.2, and of one family of two §7.3).
func (c *Core) refresh(t time.Duration, a *Allocation) {
	granted, ok := c.lifetime()
	value, one := c.in.get(requestedAddressFamily)
	if !ok || one && len(value) != 4 {
		c.fail(400)
		return
	}
	if one && (value[0] != 1 && value[0] != 2 || !a.Relayed[value[0]-1].IsValid()) {
		c.fail(443)
		return
	}
	if asked, some := c.in.get(lifetime); some && binary.BigEndian.Uint32(asked) == 0 {
		granted = 0
	}
	for family := range a.Relayed {
		if !a.Relayed[family].IsValid() || one && family != int(value[0])-1 {
			continue
		}
		if granted == 0 {
			c.endFamily(a, family)
			continue
		}
		a.until[family] = t + granted
	}
	c.succeed()
	c.out = appendUint32(c.out, lifetime, uint32(granted/second))
}

// judge is the error that a peer address of a request deserves, or 0.
func (c *Core) judge(a *Allocation, peer netip.AddrPort, verdict peers.Verdict) int {
	switch {
	case !a.Relayed[familyOf(peer.Addr())].IsValid():
		return 443
	case verdict == peers.Denied || peer.Addr().Is4In6():
		return 403
	}
	return 0
}

// admits is the error that new permissions for these addresses deserve, or 0.
func (c *Core) admits(a *Allocation, fresher []netip.Addr) int {
	if len(a.permissions)+len(fresher) > c.cfg.MaxPermissions {
		return 508
	}
	for _, ip := range fresher {
		if c.cfg.Permit != nil && c.cfg.Peers.CheckAddr(ip) != peers.Own && !c.cfg.Permit(a, ip) {
			return 508
		}
	}
	return 0
}

// createPermission makes or renews all permissions that are asked for, or none (RFC 8656 §10.2).
func (c *Core) createPermission(t time.Duration, a *Allocation) {
	a.prune(t)
	c.fresher = c.fresher[:0]
	code := 400
	for _, attr := range c.in.attributes {
		if attr.kind != xorPeerAddress {
			continue
		}
		peer, ok := address(attr.value, c.in.tx)
		if !ok {
			c.fail(400)
			return
		}
		if code = c.judge(a, peer, c.cfg.Peers.CheckAddr(peer.Addr())); code != 0 {
			c.fail(code)
			return
		}
		if ip := peer.Addr(); !a.permits(t, ip) && !slices.Contains(c.fresher, ip) {
			c.fresher = append(c.fresher, ip)
		}
	}
	if code == 0 {
		code = c.admits(a, c.fresher)
	}
	if code != 0 {
		c.fail(code)
		return
	}
	for _, attr := range c.in.attributes {
		if attr.kind == xorPeerAddress {
			peer, _ := address(attr.value, c.in.tx)
			a.permit(t, peer.Addr())
		}
	}
	a.tell(t)
	c.succeed()
}

// channelBind binds a channel or renews it, with its permission (RFC 8656 §12.2).
func (c *Core) channelBind(t time.Duration, a *Allocation) {
	a.prune(t)
	value, ok := c.in.get(channelNumber)
	to, some := c.in.get(xorPeerAddress)
	most := byte(0x4F)
	if c.cfg.OldChannels {
		most = 0x7F
	}
	if !ok || !some || len(value) != 4 || value[0] < 0x40 || value[0] > most {
		c.fail(400)
		return
	}
	number := binary.BigEndian.Uint16(value)
	peer, ok := address(to, c.in.tx)
	if !ok {
		c.fail(400)
		return
	}
	fresh := true
	for _, ch := range a.channels {
		if (ch.number == number) != (ch.peer == peer) {
			c.fail(400)
			return
		}
		fresh = fresh && ch.number != number
	}
	code := c.judge(a, peer, c.cfg.Peers.Check(peer))
	if code == 0 && fresh && len(a.channels) >= c.cfg.MaxChannels {
		code = 508
	}
	if code == 0 && !a.permits(t, peer.Addr()) {
		c.fresher = append(c.fresher[:0], peer.Addr())
		code = c.admits(a, c.fresher)
	}
	if code != 0 {
		c.fail(code)
		return
	}
	a.permit(t, peer.Addr())
	a.bind(t, number, peer)
	a.tell(t)
	c.succeed()
}

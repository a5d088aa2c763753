package handshake

import (
	"context"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/stun/v4"
	"github.com/stretchr/testify/require"
)

// record is a Wire that notes where pion writes.
type record chan netip.AddrPort

func (r record) WriteTo(p []byte, to netip.AddrPort) (int, error) {
	if p[0] >= 20 { // DTLS; answers to checks are of no interest here
		r <- to
	}
	return len(p), nil
}

// Left alone pion keeps sending to the pair that it ranks higher, not to the one that the client nominates.
func TestPionFollowsTheNomination(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		engine, err := NewEngine(Config{HostAddrs: []netip.AddrPort{serverAddr}})
		require.NoError(t, err)
		wire := make(record, 64)
		p, err := engine.NewPeer(wire, Hooks{})
		require.NoError(t, err)
		defer func() { require.NoError(t, p.Close()) }()
		a, err := p.Answer(context.Background(), testOffer("audio sendonly"), Policy{}, nil)
		require.NoError(t, err)

		check := func(from netip.AddrPort, priority uint32, use bool) {
			setters := []stun.Setter{
				stun.BindingRequest, stun.TransactionID, stun.NewUsername(a.LocalUfrag + ":" + a.RemoteUfrag),
				ice.AttrControlling(1), ice.PriorityAttr(priority),
			}
			if use {
				setters = append(setters, ice.UseCandidate())
			}
			m, err := stun.Build(append(setters, stun.NewShortTermIntegrity(a.LocalPwd), stun.Fingerprint)...)
			require.NoError(t, err)
			p.Deliver(m.Raw, from)
			synctest.Wait()
		}
		selected := func() netip.AddrPort {
			pair, err := p.pc.SCTP().Transport().ICETransport().GetSelectedCandidatePair()
			require.NoError(t, err)
			require.NotNil(t, pair)
			return netip.AddrPortFrom(netip.MustParseAddr(pair.Remote.Address), pair.Remote.Port)
		}
		high, low := netip.MustParseAddrPort("192.0.2.7:50000"), netip.MustParseAddrPort("198.51.100.9:50001")
		check(high, 2130706431, true)
		require.Equal(t, high, selected())
		check(low, 1, false)
		require.Equal(t, high, selected(), "a check alone moves nothing")
		check(low, 1, true)
		require.Equal(t, low, selected())
		check(high, 2130706431, true)
		require.Equal(t, high, selected())
	})
}

// pion checks back every address that an authentic check came from. Who can send from false ones names few of them.
func TestPionHearsFromFewAddresses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		engine, err := NewEngine(Config{HostAddrs: []netip.AddrPort{serverAddr}})
		require.NoError(t, err)
		checked := make(checks, 1<<16)
		p, err := engine.NewPeer(checked, Hooks{})
		require.NoError(t, err)
		defer func() { require.NoError(t, p.Close()) }()
		for generation, ufrag := range []string{"abcd", "efgh"} {
			a, err := p.Answer(context.Background(), strings.ReplaceAll(testOffer("audio sendonly"), "a=ice-ufrag:abcd", "a=ice-ufrag:"+ufrag), Policy{}, nil)
			require.NoError(t, err)
			for n := range 100 {
				m, err := stun.Build(stun.BindingRequest, stun.TransactionID, stun.NewUsername(a.LocalUfrag+":"+a.RemoteUfrag),
					ice.AttrControlling(1), ice.PriorityAttr(1), stun.NewShortTermIntegrity(a.LocalPwd), stun.Fingerprint)
				require.NoError(t, err)
				p.Deliver(m.Raw, netip.AddrPortFrom(netip.MustParseAddr("203.0.113.5"), uint16(1000*generation+n+1)))
				synctest.Wait()
			}
			time.Sleep(10 * time.Second)
			require.EqualValues(t, (generation+1)*(100-maxRemotes), p.Stats().Crowded)
			to := map[netip.AddrPort]int{}
			for len(checked) > 0 {
				to[<-checked]++
			}
			require.LessOrEqual(t, len(to), (generation+1)*maxRemotes)
			require.NotEmpty(t, to)
		}
	})
}

// checks is a Wire that notes where pion sends binding requests.
type checks chan netip.AddrPort

func (c checks) WriteTo(p []byte, to netip.AddrPort) (int, error) {
	if isSTUN(p, bindingRequest) {
		c <- to
	}
	return len(p), nil
}

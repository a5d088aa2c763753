package netem

import (
	"encoding/binary"
	"net/netip"
)

// nat gives a link's client another address towards the server, one to one: ports stay. ICMP errors about a translated
// packet are not translated inside, so after a rebind they reach nobody.
type nat struct {
	link    int
	rebinds int
	own     [2]netip.Addr // of the client, by family
	outer   [2]netip.Addr // as the server sees it
}

func newNAT(link int) nat {
	own := [2]netip.Addr{mapped(link, 0), mapped6(link, 0)}
	return nat{link: link, own: own, outer: own}
}

// rebind takes the next address and returns it.
func (n *nat) rebind() netip.Addr {
	n.rebinds++
	n.outer = [2]netip.Addr{mapped(n.link, n.rebinds), mapped6(n.link, n.rebinds)}
	return n.outer[0]
}

// translate rewrites a packet's address in place; false when it is none of the client's, as it left and as it comes.
func (n *nat) translate(ip []byte, h header, d Direction) bool {
	from, to := n.own[h.family], n.outer[h.family]
	at := h.source
	if d == Down {
		from, to = to, from
		at = h.destination
	}
	size := from.BitLen() / 8
	if now, _ := netip.AddrFromSlice(ip[at : at+size]); now != from {
		return false
	}
	if from == to {
		return true
	}
	old, fresh := from.AsSlice(), to.AsSlice()
	copy(ip[at:], fresh)
	for _, sum := range h.sums {
		if sum > 0 {
			adjust(ip[sum:sum+2], old, fresh)
		}
	}
	return true
}

// header is where the fields of an IP packet lie that translation touches.
type header struct {
	family              int // 0: IPv4, 1: IPv6
	protocol            byte
	source, destination int
	sums                [2]int // checksums that cover the addresses; 0: none
}

// Protocol numbers, the same in both families.
const (
	protoTCP    = 6
	protoUDP    = 17
	protoICMPv6 = 58
)

func parse(ip []byte) (header, bool) {
	if len(ip) == 0 {
		return header{}, false
	}
	h := header{}
	var payload int
	first := true // fragment: only it has the transport's header
	switch ip[0] >> 4 {
	case 4:
		payload = int(ip[0]&15) * 4
		if payload < 20 || len(ip) < payload {
			return header{}, false
		}
		h.source, h.destination, h.sums[0] = 12, 16, 10
		h.protocol = ip[9]
		first = binary.BigEndian.Uint16(ip[6:])&0x1fff == 0
	case 6:
		if len(ip) < 40 {
			return header{}, false
		}
		h.family, h.source, h.destination = 1, 8, 24
		h.protocol, payload = ip[6], 40
	default:
		return header{}, false
	}
	sum := 0
	switch h.protocol {
	case protoTCP:
		sum = payload + 16
	case protoUDP:
		sum = payload + 6
	case protoICMPv6:
		sum = payload + 2
	}
	if sum > 0 && first && len(ip) >= sum+2 {
		none := h.protocol == protoUDP && binary.BigEndian.Uint16(ip[sum:]) == 0
		if !none {
			h.sums[1] = sum
		}
	}
	return h, true
}

// adjust changes an Internet checksum as if the bytes of old had been those of fresh (RFC 1624).
func adjust(sum, old, fresh []byte) {
	total := uint32(^binary.BigEndian.Uint16(sum))
	for i := 0; i < len(old); i += 2 {
		total += uint32(^binary.BigEndian.Uint16(old[i:])) + uint32(binary.BigEndian.Uint16(fresh[i:]))
	}
	for total > 0xffff {
		total = total>>16 + total&0xffff
	}
	binary.BigEndian.PutUint16(sum, ^uint16(total))
}

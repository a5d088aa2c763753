package packet

// ECN is what the two lowest bits of an IP packet's traffic class say: the Explicit Congestion Notification of RFC 3168 §5.
type ECN uint8

// The four values. ECT1 asks for the marking of L4S (RFC 9331 §4.1): early and often, as the queue grows.
const (
	NotECT ECN = 0b00 // not capable: a full queue can only drop
	ECT1   ECN = 0b01
	ECT0   ECN = 0b10 // classic: one mark stands for a loss
	CE     ECN = 0b11 // congestion experienced: a router marked it instead of dropping it
)

// ECNOf reads the bits of an IPv4 TOS or IPv6 traffic class octet.
func ECNOf(trafficClass uint8) ECN { return ECN(trafficClass & 0b11) }

// String returns the name of RFC 3168.
func (e ECN) String() string { return [...]string{"Not-ECT", "ECT(1)", "ECT(0)", "CE"}[e&0b11] }

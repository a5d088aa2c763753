package packet

import "testing"

// BenchmarkHeader is what forwarding does to each header besides the payload: read it, write another with a CSRC and two
// extensions.
func BenchmarkHeader(b *testing.B) {
	in := make([]byte, 1100)
	n := PutHeader(in, Header{Sequence: 7, SSRC: 9})
	PutExtensions(in, n, []Extension{{ID: 1, Data: []byte{1, 2}}, {ID: 2, Data: []byte{0x85}}})
	out := make([]byte, 1500)
	number := []byte{3, 4}
	b.ReportAllocs()
	for b.Loop() {
		h, ok := ParseHeader(in)
		level, found := h.Extension(in, 2)
		if !ok || !found {
			b.Fatal("not parsed")
		}
		n := PutHeader(out, h)
		n = PutCSRC(out, n, 5)
		PutExtensions(out, n, []Extension{{ID: 1, Data: number}, {ID: 2, Data: level}})
	}
}

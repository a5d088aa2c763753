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

// BenchmarkElements reads six extensions of a packet as a browser's video has them: in one walk, and by six searches.
func BenchmarkElements(b *testing.B) {
	in := make([]byte, 1100)
	n := PutHeader(in, Header{Sequence: 7, SSRC: 9})
	PutExtensions(in, n, []Extension{
		{1, []byte{1, 2}},
		{2, []byte("0")},
		{3, []byte("q")},
		{4, []byte{1, 2, 3}},
		{5, []byte{1, 2, 3, 4}},
		{6, []byte{0, 1, 2}},
	})
	h, ok := ParseHeader(in)
	if !ok {
		b.Fatal("not parsed")
	}
	b.Run("walk", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			found := 0
			for e := h.Elements(in); e.Next(); {
				switch e.ID {
				case 1, 2, 3, 4, 5, 6:
					found += len(e.Data())
				}
			}
			if found != 14 {
				b.Fatal("not found")
			}
		}
	})
	b.Run("search", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			found := 0
			for id := range uint8(6) {
				data, _ := h.Extension(in, id+1)
				found += len(data)
			}
			if found != 14 {
				b.Fatal("not found")
			}
		}
	})
}

package codec

// The dependency descriptor is a header extension that says of a frame, in any codec, what it depends on and who needs it
// (Dependency Descriptor RTP Header Extension, annex A of AV1's RTP specification). With it a server forwards layers of what
// it cannot read: payloads may be encrypted end to end.

// Limits of a structure. A larger one is refused: no encoder makes it, and it would cost every packet.
const (
	MaxDecodeTargets = 32 // as many as the format has
	MaxTemplates     = 64 // likewise
	MaxDescriptor    = 255
)

// Descriptor is what the dependency descriptor of one packet says, with the structure in force applied. It holds no
// pointers.
type Descriptor struct {
	Number     uint16 // frame_number
	Start, End bool   // first and last packet of the frame
	Structure  bool   // it carries a structure: a coded video sequence begins
	Layer      Layer

	// By decode target, the lowest bit the first one.
	Needed      uint32 // those that need the frame: neither not-present
	Switch      uint32 // those that may be entered at it
	Discardable uint32 // those that need it, but in which nothing depends on it
	Active      uint32 // those that the sender produces, as last told
}

// Structure is a template dependency structure: which layers a stream has, which decode targets, and what frames of each
// template depend on. The zero value is none.
type Structure struct {
	targets int
}

// ReadDescriptor reads the descriptor of one packet by the structure in force, and replaces that when the packet carries a
// new one. False: malformed, or it needs a structure that has not come; then s is as before. It allocates nothing.
func (s *Structure) ReadDescriptor(b []byte) (Descriptor, bool) { return Descriptor{}, false }

// Targets is how many decode targets there are; 0: no structure has come.
func (s *Structure) Targets() int { return s.targets }

// Target is the highest layer of a decode target.
func (s *Structure) Target(i int) Layer { return Layer{} }

// Best is the decode target that shows most of what l holds, among those of active: its number, -1 when there is none.
func (s *Structure) Best(l Layer, active uint32) int { return -1 }

// Resolution is the size of a spatial layer's pictures, 0 when the structure does not tell.
func (s *Structure) Resolution(spatial uint8) (width, height uint16) { return 0, 0 }

// References lists the numbers of the frames that the frame of this descriptor depends on, at most 8 of them; ok is false
// when b is malformed. For decisions that come now and then; it allocates nothing.
func (s *Structure) References(b []byte) (numbers [8]uint16, n int, ok bool) { return numbers, 0, false }

// AppendDescriptor appends the descriptor b with the frame number replaced and, when it carries a structure or active is not
// 0, with the decode targets in active told as those that are produced. It returns dst as it was when b is malformed or the
// result has more than MaxDescriptor bytes.
func (s *Structure) AppendDescriptor(dst, b []byte, number uint16, active uint32) []byte { return dst }

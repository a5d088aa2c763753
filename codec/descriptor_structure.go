package codec

import "math"

// Layers of a structure, as far as anybody counts them: AV1 writes a spatial id in 2 bits and a temporal one in 3 (§5.3.3),
// VP9 has 3 bits for each and 5 layers at most; receivers of libwebrtc refuse more.
const (
	maxSpatial  = 4
	maxTemporal = 8
)

// Structure is a template dependency structure: which layers a stream has, which decode targets, and what frames of each
// template depend on. The zero value is none. It is a value without pointers of about 3 kB: one for each stream, not for
// each packet.
type Structure struct {
	active uint32 // decode targets that are produced, as last told

	offset        uint8 // template_id_offset
	targets       uint8
	templateCount uint8
	chains        uint8
	spatial       uint8 // spatial layers
	sized         bool  // width and height are told

	width, height [maxSpatial]uint16
	layers        [MaxDecodeTargets]Layer
	protectedBy   [MaxDecodeTargets]uint8
	protects      [MaxDecodeTargets]uint32 // by chain: decode targets
	templates     [MaxTemplates]template
}

// template is what many frames have in common.
type template struct {
	needed, enter, discardable uint32 // as in Descriptor; enter is Switch
	layer                      Layer
	references                 uint8                       // how many
	difference                 [MaxReferences]uint8        // back to each, 1 to 16
	chain                      [MaxDecodeTargets / 2]uint8 // distances, 4 bits each, the low ones first
}

// Targets is how many decode targets there are; 0: no structure has come.
func (s *Structure) Targets() int { return int(s.targets) }

// Target is the highest layer of a decode target, the base for one that is not there.
func (s *Structure) Target(i int) Layer {
	if i < 0 || i >= int(s.targets) {
		return Layer{}
	}
	return s.layers[i]
}

// Best is the decode target that shows most of what l holds, among those of active: its number, -1 when there is none. A
// higher spatial layer goes before a higher temporal one; of equals the first is taken.
func (s *Structure) Best(l Layer, active uint32) int {
	best := -1
	for i, of := range s.layers[:s.targets] {
		if active>>i&1 == 0 || !l.Holds(of) {
			continue
		}
		if best < 0 || of.Spatial > s.layers[best].Spatial || of.Spatial == s.layers[best].Spatial && of.Temporal > s.layers[best].Temporal {
			best = i
		}
	}
	return best
}

// Within are the decode targets that show no more than l holds: who receives l can be told these of the active ones.
func (s *Structure) Within(l Layer) uint32 {
	var targets uint32
	for i, of := range s.layers[:s.targets] {
		if l.Holds(of) {
			targets |= 1 << i
		}
	}
	return targets
}

// Along are the decode targets that come along with one: all of their frames are frames that it needs too. Where spatial
// layers are predicted from each other that is all below it; where they are so in keyframes only (modes L2T1_KEY and the
// like), or never (S2T1), it is those of its own spatial layer.
func (s *Structure) Along(target int) uint32 {
	if target < 0 || target >= int(s.targets) {
		return 0
	}
	along := uint32(1)<<s.targets - 1
	for i := range s.templates[:s.templateCount] {
		if t := &s.templates[i]; t.needed>>target&1 == 0 {
			along &^= t.needed
		}
	}
	return along | 1<<target
}

// Above are the decode targets that show a higher spatial layer.
func (s *Structure) Above(spatial uint8) uint32 {
	var targets uint32
	for i, of := range s.layers[:s.targets] {
		if of.Spatial > spatial {
			targets |= 1 << i
		}
	}
	return targets
}

// Active is the set of decode targets that the sender produces, as last told.
func (s *Structure) Active() uint32 { return s.active }

// Resolution is the size of a spatial layer's pictures, in pixels, 0 when the structure does not tell.
func (s *Structure) Resolution(spatial uint8) (width, height uint16) {
	if !s.sized || spatial >= s.spatial {
		return 0, 0
	}
	return s.width[spatial], s.height[spatial]
}

// Chain is the number of the chain that protects a decode target: whoever has all of the chain's frames can go on with the
// target, whatever else he lacks. -1 when the structure has no chains, or no such target.
func (s *Structure) Chain(target int) int {
	if target < 0 || target >= int(s.targets) || s.chains == 0 {
		return -1
	}
	return int(s.protectedBy[target])
}

// InChain says whether a frame is one of a chain's: all the active decode targets that the chain protects need it to go on
// (§A.6, PartOfActiveChain).
func (s *Structure) InChain(d Descriptor, chain int) bool {
	if chain < 0 || chain >= int(s.chains) {
		return false
	}
	protected := s.protects[chain]
	return protected&d.Active != 0 && protected&^(d.Needed&^d.Discardable) == 0
}

// Equal says whether two structures are the same, whatever they were last told of active decode targets: a keyframe may
// repeat the structure in force.
func (s *Structure) Equal(other *Structure) bool {
	same := *s
	same.active = other.active
	return same == *other
}

// readStructure reads template_dependency_structure (§A.8.2). Its cost is bounded by MaxDescriptor: what claims more than
// the bytes hold ends at the first field that is not there.
func readStructure(r *fieldReader) (s Structure, ok bool) {
	s.offset = uint8(r.bits(6))
	s.targets = uint8(r.bits(5)) + 1
	if !s.readLayers(r) {
		return Structure{}, false
	}
	templates := s.templates[:s.templateCount]
	// The rest is at least this long.
	if r.left() < len(templates)*(2*int(s.targets)+1) {
		return Structure{}, false
	}
	for i := range templates {
		t := &templates[i]
		t.needed, t.enter, t.discardable = s.readTargets(r)
	}
	for i := range templates {
		t := &templates[i]
		for r.flag() {
			if t.references == MaxReferences {
				return Structure{}, false
			}
			t.difference[t.references] = uint8(r.bits(4)) + 1
			t.references++
		}
	}
	s.readChains(r)
	s.conclude()
	if s.sized = r.flag(); s.sized {
		for i := range s.spatial {
			s.width[i], s.height[i] = readSize(r), readSize(r)
		}
	}
	if r.ended {
		return Structure{}, false
	}
	return s, true
}

// readLayers reads template_layers.
func (s *Structure) readLayers(r *fieldReader) bool {
	var at Layer
	for !r.ended {
		if s.templateCount == MaxTemplates || at.Spatial == maxSpatial || at.Temporal == maxTemporal {
			return false
		}
		s.templates[s.templateCount].layer = at
		s.templateCount++
		s.spatial = at.Spatial + 1
		switch r.bits(2) {
		case 1:
			at.Temporal++
		case 2:
			at = Layer{Spatial: at.Spatial + 1}
		case 3:
			return true
		}
	}
	return false
}

// readChains reads template_chains.
func (s *Structure) readChains(r *fieldReader) {
	if s.chains = uint8(r.nonSymmetric(int(s.targets) + 1)); s.chains == 0 {
		return
	}
	for i := range int(s.targets) {
		chain := r.nonSymmetric(int(s.chains))
		s.protectedBy[i] = uint8(chain)
		s.protects[chain] |= 1 << i
	}
	if r.left() < 4*int(s.templateCount)*int(s.chains) {
		r.ended = true
		return
	}
	for i := range int(s.templateCount) {
		for chain := range int(s.chains) {
			s.templates[i].chain[chain/2] |= uint8(r.bits(4)) << (4 * (chain & 1))
		}
	}
}

// conclude fills in what follows from the templates: the layers of the decode targets (decode_target_layers), all of which
// are active until told otherwise.
func (s *Structure) conclude() {
	for i := range int(s.templateCount) {
		t := &s.templates[i]
		for target := range int(s.targets) {
			if t.needed>>target&1 != 0 {
				l := &s.layers[target]
				l.Spatial, l.Temporal = max(l.Spatial, t.layer.Spatial), max(l.Temporal, t.layer.Temporal)
			}
		}
	}
	s.active = uint32(1)<<s.targets - 1
}

// readSize reads a width or height less one. 65536 is no size that a picture has.
func readSize(r *fieldReader) uint16 { return uint16(min(r.bits(16)+1, math.MaxUint16)) }

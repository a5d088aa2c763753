package codec

import (
	"fmt"
	"slices"
	"strings"

	"pgregory.net/rapid"
)

// svc is a model of a scalable stream: which frames there are, what they refer to, who needs them. It follows the figures
// of the W3C's Scalable Video Coding (WebRTC-SVC) modes and knows nothing of how descriptors are written.
type svc struct {
	mode                string // LxTy: each picture's layers lean on those below; LxTy_KEY: keyframes' do; SxTy: none do
	spatial, temporal   int
	inter, interOnlyKey bool
	start               uint16 // number of the first frame

	frames []svcFrame
	kinds  []svcFrame    // what templates has found
	next   int           // number of the next frame, from 0
	pic    int           // pictures since the keyframe
	last   map[Layer]int // latest frame of each layer since the keyframe
	chain  []int         // latest frame of each chain since the keyframe, -1 none
}

type svcFrame struct {
	number     int
	key        bool // base layer of a keyframe
	layer      Layer
	references []int // distances
	chains     []int // distances
	inChain    []bool
	targets    string // one of -DSR each
}

// newSVC takes a mode's name.
func newSVC(mode string, start uint16) *svc {
	m := &svc{mode: mode, start: start}
	var kind byte
	if _, err := fmt.Sscanf(mode, "%c%dT%d", &kind, &m.spatial, &m.temporal); err != nil {
		panic(err)
	}
	m.inter, m.interOnlyKey = kind == 'L', strings.HasSuffix(mode, "_KEY")
	return m
}

// picture adds the frames of one picture and returns them.
func (m *svc) picture(key bool) []svcFrame {
	if key {
		m.pic, m.last, m.chain = 0, map[Layer]int{}, slices.Repeat([]int{-1}, m.spatial)
	}
	temporal := [][]int{{0}, {0, 1}, {0, 2, 1, 2}}[m.temporal-1]
	t := temporal[m.pic%len(temporal)]
	first := len(m.frames)
	for s := range m.spatial {
		f := svcFrame{number: m.next, key: key && s == 0, layer: Layer{uint8(s), uint8(t)}}
		// In time: the latest picture of a lower temporal layer; of the base, the one before.
		newest := -1
		for l, at := range m.last {
			if int(l.Spatial) == s && (int(l.Temporal) < t || t == 0 && l.Temporal == 0) {
				newest = max(newest, at)
			}
		}
		if newest >= 0 {
			f.references = append(f.references, m.next-newest)
		}
		if s > 0 && m.inter && (key || !m.interOnlyKey) {
			f.references = append(f.references, 1)
		}
		for c := range m.spatial {
			distance := 0
			if m.chain[c] >= 0 {
				distance = m.next - m.chain[c]
			}
			f.chains = append(f.chains, distance)
			f.inChain = append(f.inChain, t == 0 && (c == s || c > s && m.needsBelow(key)))
		}
		for c := range m.spatial {
			if f.inChain[c] {
				m.chain[c] = m.next
			}
		}
		for target := range m.spatial * m.temporal {
			f.targets += m.indication(Layer{uint8(target / m.temporal), uint8(target % m.temporal)}, f.layer, key)
		}
		m.frames = append(m.frames, f)
		m.next++
	}
	for _, f := range m.frames[first:] {
		m.last[f.layer] = f.number
	}
	m.pic++
	return m.frames[first:]
}

func (m *svc) needsBelow(key bool) bool { return m.inter && (key || !m.interOnlyKey) }

// indication is what a frame is to a decode target (table A.1).
func (m *svc) indication(target, of Layer, key bool) string {
	switch {
	case target.Spatial < of.Spatial, target.Temporal < of.Temporal, target.Spatial > of.Spatial && !m.needsBelow(key):
		return "-"
	case target.Spatial > of.Spatial && !key:
		return "R"
	case target.Temporal == of.Temporal && target.Temporal > 0 && target.Spatial == of.Spatial:
		return "D"
	default:
		return "S"
	}
}

// templates are the kinds of frames of a stream, in the order that a structure wants.
func (m *svc) templates() []svcFrame {
	if m.kinds != nil {
		return m.kinds
	}
	fresh := newSVC(m.mode, 0)
	fresh.picture(true)
	for range 8 {
		fresh.picture(false)
	}
	var all []svcFrame
	for _, f := range fresh.frames {
		if !slices.ContainsFunc(all, f.sameKind) {
			all = append(all, f)
		}
	}
	slices.SortStableFunc(all, func(a, b svcFrame) int {
		return int(a.layer.Spatial)<<8 + int(a.layer.Temporal) - int(b.layer.Spatial)<<8 - int(b.layer.Temporal)
	})
	m.kinds = all
	return all
}

func (f svcFrame) sameKind(g svcFrame) bool {
	return f.layer == g.layer && slices.Equal(f.references, g.references) && slices.Equal(f.chains, g.chains) && f.targets == g.targets
}

// written is how a frame's descriptor is to be written.
type written struct {
	start, end, structure                bool
	offset                               int // template_id_offset
	active                               int // 0: not told
	ownTargets, ownReferences, ownChains bool
	resolutions                          bool
	trailing                             int // bytes of zeros behind it
}

// describe writes a descriptor, bit by bit, as §A.8.2 has it.
func (m *svc) describe(f svcFrame, w written) []byte {
	templates := m.templates()
	id := slices.IndexFunc(templates, f.sameKind)
	if id < 0 {
		panic("no template")
	}
	if w.ownTargets || w.ownReferences || w.ownChains { // any template of the layer does
		id = slices.IndexFunc(templates, func(t svcFrame) bool {
			return t.layer == f.layer && (w.ownTargets || t.targets == f.targets) &&
				(w.ownReferences || slices.Equal(t.references, f.references)) && (w.ownChains || slices.Equal(t.chains, f.chains))
		})
	}
	out := fmt.Sprintf("%b%b%06b%016b", bit(w.start), bit(w.end), (w.offset+id)%64, uint16(f.number)+m.start)
	if w.structure || w.active != 0 || w.ownTargets || w.ownReferences || w.ownChains {
		out += fmt.Sprintf("%b%b%b%b%b", bit(w.structure), bit(w.active != 0), bit(w.ownTargets), bit(w.ownReferences), bit(w.ownChains))
	}
	if w.structure {
		out += m.structure(templates, w)
	}
	if w.active != 0 {
		out += fmt.Sprintf("%0*b", m.spatial*m.temporal, w.active)
	}
	if w.ownTargets {
		out += targetBits(f.targets)
	}
	if w.ownReferences {
		for _, d := range f.references {
			switch {
			case d <= 1<<4:
				out += fmt.Sprintf("01%04b", d-1)
			case d <= 1<<8:
				out += fmt.Sprintf("10%08b", d-1)
			default:
				out += fmt.Sprintf("11%012b", d-1)
			}
		}
		out += "00"
	}
	if w.ownChains {
		for _, d := range f.chains {
			out += fmt.Sprintf("%08b", d)
		}
	}
	return append(packBits(out), make([]byte, w.trailing)...)
}

func (m *svc) structure(templates []svcFrame, w written) string {
	targets := m.spatial * m.temporal
	out := fmt.Sprintf("%06b%05b", w.offset, targets-1)
	for i, t := range templates[1:] {
		switch before := templates[i].layer; {
		case t.layer == before:
			out += "00"
		case t.layer.Spatial == before.Spatial:
			out += "01"
		default:
			out += "10"
		}
	}
	out += "11"
	for _, t := range templates {
		out += targetBits(t.targets)
	}
	for _, t := range templates {
		for _, d := range t.references {
			out += fmt.Sprintf("1%04b", d-1)
		}
		out += "0"
	}
	out += nonSymmetricBits(m.spatial, targets+1)
	for target := range targets {
		out += nonSymmetricBits(target/m.temporal, m.spatial)
	}
	for _, t := range templates {
		for _, d := range t.chains {
			out += fmt.Sprintf("%04b", d)
		}
	}
	out += fmt.Sprintf("%b", bit(w.resolutions))
	if w.resolutions {
		for s := range m.spatial {
			out += fmt.Sprintf("%016b%016b", 320<<s-1, 180<<s-1)
		}
	}
	return out
}

func targetBits(targets string) (out string) {
	for _, c := range targets {
		out += fmt.Sprintf("%02b", strings.IndexRune("-DSR", c))
	}
	return out
}

// nonSymmetricBits is write_ns of §A.8.2.
func nonSymmetricBits(v, n int) string {
	if n == 1 {
		return ""
	}
	w := 0
	for x := n; x != 0; x >>= 1 {
		w++
	}
	if m := 1<<w - n; v < m {
		return fmt.Sprintf("%0*b", w-1, v)
	} else {
		return fmt.Sprintf("%0*b", w, v+m)
	}
}

func bit(yes bool) int {
	if yes {
		return 1
	}
	return 0
}

// set is the decode targets whose indication is one of these.
func (f svcFrame) set(indications string) (targets uint32) {
	for i, c := range f.targets {
		if strings.ContainsRune(indications, c) {
			targets |= 1 << i
		}
	}
	return targets
}

// svcModes are what browsers send.
var svcModes = []string{
	"L1T1", "L1T2", "L1T3", "L2T1", "L2T2", "L2T3", "L3T1", "L3T2", "L3T3",
	"L2T1_KEY", "L2T2_KEY", "L2T3_KEY", "L3T1_KEY", "L3T2_KEY", "L3T3_KEY", "S2T1", "S2T3", "S3T1", "S3T3",
}

func drawWritten(t *rapid.T, targets int, key bool) written {
	w := written{start: true, end: rapid.Bool().Draw(t, "end"), resolutions: rapid.Bool().Draw(t, "resolutions")}
	w.ownTargets = rapid.Bool().Draw(t, "own targets")
	w.ownReferences = rapid.Bool().Draw(t, "own references")
	w.ownChains = rapid.Bool().Draw(t, "own chains")
	w.structure = key
	if rapid.Bool().Draw(t, "mask") {
		w.active = rapid.IntRange(1, 1<<targets-1).Draw(t, "active")
	}
	if w.ownTargets || w.active != 0 {
		w.trailing = rapid.IntRange(0, 2).Draw(t, "trailing")
	}
	return w
}

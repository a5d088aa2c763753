// Package tolkyn_test holds what is true of the whole repository.
package tolkyn_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const module = "github.com/tolkyn/tolkyn"

// floors says which of our packages a package may import: arrows point down only, siblings do not know each other. A
// name that ends in /... stands for itself and all below it. A package may always import what lies inside it, and its
// tests may import more.
//
//	cmd
//	signaling   turn   web   bench
//	sfu
//	shard | plan
//	handshake | ladder | speaker | downlink, uplink | voice
//	bwe pace jitter alloc fec   codec
//	internal
var floors = []struct {
	packages string
	may      []string
}{
	{"cmd/...", []string{"signaling", "signaling/wire", "signaling/client", "turn", "turn/credential", "web", "bench/...", "sfu", "sfu/bwe", "internal/..."}},
	{"signaling", []string{"sfu", "signaling/wire", "signaling/call", "codec", "internal/..."}},
	{"signaling/wire", nil},
	{"signaling/call", nil},
	{"signaling/client", slices.Concat([]string{"signaling/wire", "codec", "internal/...", "sfu/bwe/pionbwe"}, publicCores)},
	{"turn", []string{"turn/...", "internal/..."}},
	{"turn/credential", nil},
	{"turn/internal/peers", nil},
	{"turn/internal/frame", nil},
	{"turn/internal/control", []string{"turn/credential", "turn/internal/peers"}},
	{"web/...", nil},
	{"scripts/...", nil},
	{"bench/...", slices.Concat([]string{"bench/...", "signaling/client", "signaling/wire", "codec", "internal/..."}, publicCores)},
	{"sfu/bwe/pionbwe", []string{"sfu/bwe", "sfu/pace"}},
	{"sfu/internal/shard", slices.Concat([]string{
		"sfu/internal/handshake", "sfu/internal/uplink", "sfu/internal/downlink", "sfu/internal/ladder", "sfu/internal/speaker",
		"sfu/internal/voice", "codec", "internal/...",
	}, publicCores)},
	{"sfu/internal/handshake", []string{"codec", "internal/..."}},
	{"sfu/internal/plan", []string{"codec"}},
	{"sfu/internal/speaker", []string{"codec", "internal/seq"}},
	{"sfu/internal/ladder", []string{"codec"}},
	{"sfu/internal/replay", nil},
	{"sfu/internal/downlink", slices.Concat([]string{"sfu/internal/uplink", "sfu/internal/voice"}, coreGround, publicCores)},
	{"sfu/internal/voice", []string{"sfu/bwe"}},
	{"sfu/internal/uplink", slices.Concat(coreGround, publicCores)},
	{"sfu", slices.Concat([]string{"sfu/internal/...", "codec", "internal/..."}, publicCores)},
	{"sfu/bwe", []string{"internal/seq"}},
	{"sfu/pace", []string{"internal/seq", "sfu/bwe"}},
	{"sfu/jitter", []string{"internal/seq", "internal/packet"}},
	{"sfu/alloc", []string{"codec", "sfu/bwe"}},
	{"sfu/fec", []string{"internal/seq", "internal/packet"}},
	{"codec", nil},
	{"internal/seq", nil},
	{"internal/spell", nil},
	{"internal/packet", []string{"internal/seq"}},
	{"internal/rtcp", []string{"internal/packet", "internal/seq"}},
	{"internal/srtp", []string{"internal/packet", "internal/seq"}},
	{"internal/clip", []string{"internal/seq"}},
	{"internal/red", []string{"codec", "internal/seq"}},
	{"internal/capture", nil},
	{"internal/framed", nil},
	{"internal/handover", []string{"internal/udp"}},
	{"internal/udp", []string{"internal/netsim", "internal/packet"}},
	{"internal/netsim", []string{"internal/udp", "internal/packet"}},
}

var (
	publicCores = []string{"sfu/bwe", "sfu/pace", "sfu/jitter", "sfu/alloc", "sfu/fec"}
	coreGround  = []string{"codec", "internal/seq", "internal/packet", "internal/rtcp"}
)

// cores decide and do nothing else: no clock, no lock, no goroutine, no socket.
var cores = []string{
	"codec", "sfu/bwe", "sfu/pace", "sfu/jitter", "sfu/alloc", "sfu/fec", "sfu/internal/uplink", "sfu/internal/downlink",
	"sfu/internal/plan", "sfu/internal/speaker", "sfu/internal/ladder", "sfu/internal/voice", "signaling/call", "internal/seq", "internal/rtcp",
	"internal/clip", "internal/red", "internal/spell", "turn/credential", "turn/internal/peers", "turn/internal/control",
	"turn/internal/frame", "bench/scenario", "bench/measure", "bench/plc", "bench/source", "bench/source/scene",
}

// source is one Go file that is not a test.
type source struct {
	pkg  string // folder from the repository's root
	path string
	file *ast.File
}

func (s source) imports() []string {
	var all []string
	for _, spec := range s.file.Imports {
		name, err := strconv.Unquote(spec.Path.Value)
		if err == nil {
			all = append(all, name)
		}
	}
	return all
}

// sources reads the whole repository.
func sources(t *testing.T) []source {
	t.Helper()
	var all []source
	err := filepath.WalkDir(".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			hidden := strings.HasPrefix(entry.Name(), ".") && name != "."
			_, nested := os.Stat(filepath.Join(name, "go.mod"))
			if hidden || entry.Name() == "node_modules" || entry.Name() == "testdata" || (nested == nil && name != ".") {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
		all = append(all, source{path.Dir(filepath.ToSlash(name)), name, file})
		return err
	})
	require.NoError(t, err)
	require.NotEmpty(t, all)
	return all
}

func TestArrowsPointDown(t *testing.T) {
	for _, s := range sources(t) {
		for _, name := range s.imports() {
			target, ours := strings.CutPrefix(name, module+"/")
			if ours && !allowed(s.pkg, target) {
				t.Errorf("%s: %s may not import %s (docs/architecture.md, floors)", s.path, s.pkg, target)
			}
		}
	}
}

// allowed says whether the floor that pkg stands on looks down on target.
func allowed(pkg, target string) bool {
	if strings.HasPrefix(target, pkg+"/") && strings.HasPrefix(target, pkg+"/internal/") {
		return true
	}
	// The floor that names pkg best: its own name before a parent's.
	best, may := "", []string(nil)
	for _, floor := range floors {
		if covers(floor.packages, pkg) && len(floor.packages) > len(best) {
			best, may = floor.packages, floor.may
		}
	}
	for _, pattern := range may {
		if covers(pattern, target) {
			return true
		}
	}
	// Inside one room, parts know each other: web and its bundler, cmd and its config.
	return best != "" && strings.HasSuffix(best, "/...") && covers(best, target)
}

func covers(pattern, pkg string) bool {
	base, all := strings.CutSuffix(pattern, "/...")
	return pkg == base || all && strings.HasPrefix(pkg, base+"/")
}

func TestEveryPackageStandsOnAFloor(t *testing.T) {
	for _, s := range sources(t) {
		named := slices.ContainsFunc(floors, func(floor struct {
			packages string
			may      []string
		},
		) bool {
			return covers(floor.packages, s.pkg) || strings.HasPrefix(s.pkg, floor.packages+"/internal/")
		})
		if !named {
			t.Errorf("%s stands on no floor: name it in imports_test.go", s.pkg)
		}
	}
}

func TestCoresArePure(t *testing.T) {
	banned := []string{
		"net", "net/http", "sync", "os", "context", "log/slog", "math/rand", "github.com/pion/webrtc/v4",
		"github.com/pion/ice/v4", "github.com/pion/dtls/v3",
	}
	for _, s := range sources(t) {
		if !slices.Contains(cores, s.pkg) {
			continue
		}
		for _, name := range s.imports() {
			if slices.Contains(banned, name) {
				t.Errorf("%s: a core may not import %s", s.path, name)
			}
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.GoStmt:
				t.Errorf("%s: a core may not start a goroutine", s.path)
			case *ast.SelectorExpr:
				if pkg, ok := n.X.(*ast.Ident); ok && pkg.Name == "time" && readsClock(n.Sel.Name) {
					t.Errorf("%s: a core may not call time.%s: time goes in as a value", s.path, n.Sel.Name)
				}
			}
			return true
		})
	}
}

// TestRaceSkipsCoresOnly: scripts/test spares the race detector what cannot race, and that is the cores alone.
func TestRaceSkipsCoresOnly(t *testing.T) {
	script, err := os.ReadFile("scripts/test")
	require.NoError(t, err)
	_, rest, found := strings.Cut(string(script), "\ncores=\"")
	require.True(t, found, "scripts/test names the cores")
	names, _, _ := strings.Cut(rest, "\"")
	require.ElementsMatch(t, cores, strings.Fields(names))
}

func readsClock(name string) bool {
	return slices.Contains([]string{"Now", "Since", "Until", "After", "AfterFunc", "Sleep", "NewTimer", "NewTicker", "Tick"}, name)
}

func TestOnlyCmdKnowsPrometheus(t *testing.T) {
	for _, s := range sources(t) {
		for _, name := range s.imports() {
			if strings.HasPrefix(name, "github.com/prometheus/") && !strings.HasPrefix(s.pkg, "cmd/") {
				t.Errorf("%s: only cmd may import %s: offer Stats() instead", s.path, name)
			}
		}
	}
}

func TestEveryPackageHasAPicture(t *testing.T) {
	pictures := map[string]bool{}
	for _, s := range sources(t) {
		pictures[s.pkg] = pictures[s.pkg] || hasPicture(s.file)
	}
	for pkg, ok := range pictures {
		if !ok {
			t.Errorf("%s has no package comment with a picture of its room", pkg)
		}
	}
}

// hasPicture says whether the package comment has an indented block, which godoc shows as it stands.
func hasPicture(file *ast.File) bool {
	return file.Doc != nil && strings.Contains(file.Doc.Text(), "\n\t")
}

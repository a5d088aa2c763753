package caller

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestNamesStayInTheirDirectory(t *testing.T) {
	for in, want := range map[string]string{
		"aru": "aru", "Дана": "Дана", "": "_", ".": "_", "..": "_.", "../../etc/passwd": "_._.._etc_passwd",
		"a/b\\c:d*e": "a_b_c_d_e", "\x00\x1b[2J": "__[2J"[:2] + "_2J", "a\xffb": "a_b", ".hidden": "_hidden",
	} {
		require.Equal(t, want, safe(in), "%q", in)
	}
	require.LessOrEqual(t, len(safe(strings.Repeat("я", 200))), maxPart)
}

// TestFilesAreNeverSharedOrOverwritten: whatever strangers call themselves, each file is new and inside.
func TestFilesAreNeverSharedOrOverwritten(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		dir, err := os.MkdirTemp(t.TempDir(), "out")
		require.NoError(rt, err)
		s, err := openStore(dir)
		require.NoError(rt, err)
		defer s.close()
		seen := map[string]bool{}
		for range rapid.IntRange(1, 8).Draw(rt, "files") {
			part := rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{"a", "a-b", "b", "..", "/", "a/b"}))
			o, err := s.create(part.Draw(rt, "identity"), part.Draw(rt, "track"), ".ivf")
			require.NoError(rt, err)
			require.False(rt, seen[o.path])
			seen[o.path] = true
			require.Equal(rt, dir, filepath.Dir(o.path))
			require.NoError(rt, o.close())
		}
		entries, err := os.ReadDir(dir)
		require.NoError(rt, err)
		require.Len(rt, entries, len(seen))
	})
}

func TestTheTableCannotBeDrawnOver(t *testing.T) {
	require.Equal(t, "a?[2Jb?c…", printable("a\x1b[2Jb\ncdefg", 8))
	var many Report
	many.Seconds = 1
	for range 50 {
		many.Received = append(many.Received, Track{Who: "x\x1b", ID: "camera", Kind: "video", Packets: 9, Lost: 1, Bytes: 1000})
	}
	many.Received = append(many.Received, Track{Who: "gone", Over: true})
	lines := Table(Report{}, many)
	require.Len(t, lines, 2+maxRows+1)
	require.Equal(t, "and 30 more", lines[len(lines)-1])
	require.Regexp(t, `^< x\? +camera +video +8 +9 +10\.0 +- +0\.0 +0\.0 +-$`, lines[2])
	before := Report{Sent: []Track{{Who: "x", ID: "camera", Packets: 100, Lost: 5}}}
	lines = Table(before, Report{Seconds: 2, Sent: []Track{{Who: "x", ID: "camera", Kind: "video", Packets: 300, Lost: 15}}})
	require.Regexp(t, `^> x +camera +video +0 +100 +5\.0 `, lines[2], "10 of the 200 sent in two seconds")
	var text strings.Builder
	many.Unknown = 3
	require.NoError(t, many.Summary(&text))
	require.Contains(t, text.String(), "3 packets came of nobody known")
	require.NotContains(t, text.String(), "\x1b")
}

package alloc

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/sfu/bwe"
)

var update = flag.Bool("update", false, "rewrite testdata/*.txt with what the allocator does now")

// TestScenarios runs testdata/*.txt: blocks of commands, a line of dashes, and what follows from each. Rates are in kbit/s.
//
//	show alice speaker 720 : 180 60 90 150 : 360 200 300 500   alice takes a slot of 720 lines, and offers two encodings with
//	                                                           three temporal layers each, of 8, 15 and 30 pictures a second
//	show bob camera*3 720 : 720 1500                           the same with a priority, and one encoding of one layer
//	hide bob
//	view alice 360        the slot is another size
//	camera alice          another kind
//	bits 2500             from now on
//	at 3.5                the clock, in seconds; on the way Allocate is asked whenever it wanted to be
//
// A line says who is given what, and at which time; "+" that there would be more if there were more bits.
func TestScenarios(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			require.NoError(t, err)
			got := play(t, string(text))
			if *update {
				require.NoError(t, os.WriteFile(file, []byte(got), 0o644))
				return
			}
			require.Equal(t, string(text), got)
		})
	}
}

// stage is a scenario under way.
type stage struct {
	a       Allocator
	now     time.Duration
	next    time.Duration
	bits    bwe.Bitrate
	names   []string
	sources []Source
	said    []string // of each source, last
	out     strings.Builder
}

func play(t *testing.T, script string) string {
	var s stage
	for block := range strings.SplitSeq(strings.TrimSpace(script), "\n\n") {
		script, _, _ := strings.Cut(block, "\n----")
		begin := s.out.Len()
		for line := range strings.SplitSeq(script, "\n") {
			if line != "" && line[0] != '#' {
				s.do(t, strings.Fields(line))
			}
		}
		s.ask()
		said := s.out.String()[begin:]
		rest := s.out.String()[:begin]
		s.out.Reset()
		s.out.WriteString(rest + script + "\n")
		if said != "" {
			s.out.WriteString("----\n" + said)
		}
		s.out.WriteString("\n")
	}
	return strings.TrimSuffix(s.out.String(), "\n")
}

func (s *stage) do(t *testing.T, words []string) {
	number := func(word string) int {
		n, err := strconv.Atoi(word)
		require.NoError(t, err, words)
		return n
	}
	switch words[0] {
	case "show":
		kind, priority, _ := strings.Cut(words[2], "*")
		source := Source{Kind: kinds[kind], Current: Paused, Since: s.now, Height: uint32(number(words[3]))}
		if priority != "" {
			source.Priority = uint32(number(priority))
		}
		source.Width = source.Height * 16 / 9
		for encoding := range strings.SplitSeq(strings.Join(words[5:], " "), ":") {
			parts := strings.Fields(encoding)
			for i, kbit := range parts[1:] {
				lines := uint16(number(parts[0]))
				rate := []uint8{8, 15, 30}[i]
				if len(parts) == 2 {
					rate = 30
				}
				source.Layers = append(source.Layers, Layer{
					Bits: bwe.Bitrate(number(kbit)) * bwe.Kbps, Height: lines, Width: lines / 9 * 16, Rate: rate, Cheap: i > 0,
				})
			}
		}
		s.names, s.sources, s.said = append(s.names, words[1]), append(s.sources, source), append(s.said, "")
	case "hide":
		i := s.find(t, words[1])
		s.names, s.sources, s.said = slices.Delete(s.names, i, i+1), slices.Delete(s.sources, i, i+1), slices.Delete(s.said, i, i+1)
	case "view":
		source := &s.sources[s.find(t, words[1])]
		source.Height = uint32(number(words[2]))
		source.Width = source.Height * 16 / 9
	case "camera", "speaker", "screen":
		s.sources[s.find(t, words[1])].Kind = kinds[words[0]]
	case "bits":
		s.bits = bwe.Bitrate(number(words[1])) * bwe.Kbps
		s.ask()
	case "at":
		s.ask()
		seconds, err := strconv.ParseFloat(words[1], 64)
		require.NoError(t, err, words)
		until := time.Duration(seconds * float64(time.Second))
		require.Greater(t, until, s.now, words)
		for s.next != 0 && s.next <= until {
			require.Greater(t, s.next, s.now, "it asks to be asked later")
			s.now = s.next
			s.ask()
		}
		s.now = until
	default:
		require.Fail(t, "unknown command", words)
	}
}

var kinds = map[string]Kind{"camera": Camera, "speaker": Speaker, "screen": Screen}

func (s *stage) find(t *testing.T, name string) int {
	i := slices.Index(s.names, name)
	require.GreaterOrEqual(t, i, 0, name)
	return i
}

// ask allocates, does what is said, and tells what has changed.
func (s *stage) ask() {
	if s.bits == 0 {
		return // nobody has said yet
	}
	choices, wants, next := s.a.Allocate(s.now, s.bits, s.sources, nil)
	s.next = next
	var lines []string
	var sent bwe.Bitrate
	for i, c := range choices {
		source := &s.sources[i]
		if c.Layer != source.Current {
			source.Current, source.Since = c.Layer, s.now
		}
		word := "paused"
		if c.Layer != Paused {
			l := source.Layers[c.Layer]
			sent += l.Bits
			word = fmt.Sprintf("%dp%d", l.Height, l.Rate)
		}
		if c.Limited {
			word += "+"
		}
		if word != s.said[i] {
			s.said[i] = word
			lines = append(lines, s.names[i]+" "+word)
		}
	}
	if len(lines) > 0 {
		fmt.Fprintf(&s.out, "%.2f  %s\n      %d sent, %d wanted", s.now.Seconds(), strings.Join(lines, ", "), sent/bwe.Kbps, wants/bwe.Kbps)
		if step := s.a.Step(); step > 0 {
			fmt.Fprintf(&s.out, ", the next step with %d", step/bwe.Kbps)
		}
		s.out.WriteString("\n")
	}
}

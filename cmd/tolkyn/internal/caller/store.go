package caller

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	maxPart  = 64   // bytes of an identity or track in a file's name; file systems take 255 in all
	maxTwins = 1000 // files that would have the same name
)

// store is the directory that recordings go to; nothing is written outside. Without a directory it keeps nothing.
type store struct {
	dir  string
	root *os.Root
}

func openStore(dir string) (*store, error) {
	if dir == "" {
		return &store{}, nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("--record: %w", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("--record: %w", err)
	}
	return &store{dir, root}, nil
}

func (s *store) close() {
	if s.root != nil {
		_ = s.root.Close() // the files are closed one by one
	}
}

func (s *store) keeps() bool { return s.root != nil }

// create makes identity-track.ext, or identity-track-2.ext and so on: it never writes over a file, of this call or another.
func (s *store) create(identity, track, ext string) (*output, error) {
	name := safe(identity) + "-" + safe(track)
	for i := 1; i <= maxTwins; i++ {
		full := name + ext
		if i > 1 {
			full = fmt.Sprintf("%s-%d%s", name, i, ext)
		}
		file, err := s.root.OpenFile(full, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o644)
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("--record: %w", err)
		}
		return &output{path: filepath.Join(s.dir, full), file: file, buffered: bufio.NewWriterSize(file, 64<<10)}, nil
	}
	return nil, fmt.Errorf("--record: %d files are named %s already: take them away, or name another directory", maxTwins, name)
}

// safe makes part of a file's name of a text that strangers chose: letters, digits, '-', '_' and '.', the last not in front.
func safe(text string) string {
	var b strings.Builder
	for _, r := range text {
		if b.Len() >= maxPart-utf8.UTFMax {
			break
		}
		switch {
		case r == utf8.RuneError, !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("-_.", r),
			r == '.' && b.Len() == 0:
			r = '_'
		}
		b.WriteRune(r)
	}
	if b.Len() == 0 {
		return "_"
	}
	return b.String()
}

// output is a file that is written in large pieces.
type output struct {
	path     string
	file     *os.File
	buffered *bufio.Writer
}

// Write implements io.Writer.
func (o *output) Write(b []byte) (int, error) { return o.buffered.Write(b) }

// Seek implements io.Seeker.
func (o *output) Seek(offset int64, whence int) (int64, error) {
	if err := o.buffered.Flush(); err != nil {
		return 0, err
	}
	return o.file.Seek(offset, whence)
}

func (o *output) close() error { return errors.Join(o.buffered.Flush(), o.file.Close()) }

// Command elsewhere checks that all packages are sound Go where no test runs: names, types and files of another system and processor.
//
//	go list -deps ──▶ files for this GOOS and GOARCH, what is imported first ──▶ go/types
//
//	go run ./scripts/elsewhere linux/arm64 darwin/arm64 windows/amd64
//
// It reads our packages and all that they import, bodies included, and finds what a file for one system lacks or has twice, and
// what is used wrongly or not at all. Code is not generated and nothing is linked: that takes minutes.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// listed is what go list tells of a package.
type listed struct {
	ImportPath, Dir string
	GoFiles         []string
	ImportMap       map[string]string // of the standard library: what it brings with it has another path
	Module          *struct {
		GoVersion string
		Main      bool
	}
}

func main() {
	for _, target := range os.Args[1:] {
		n, err := check(target)
		if err != nil {
			fmt.Fprintf(os.Stderr, "%s: %v\n", target, err)
			os.Exit(1)
		}
		fmt.Printf("%s: %d packages of ours\n", target, n)
	}
}

// check reads every package for a target, as "linux/arm64", and says how many of ours there are.
func check(target string) (ours int, err error) {
	system, processor, ok := strings.Cut(target, "/")
	if !ok {
		return 0, errors.New("want GOOS/GOARCH")
	}
	list := exec.Command("go", "list", "-deps", "-json=ImportPath,Dir,GoFiles,ImportMap,Module", "./...")
	list.Env = append(os.Environ(), "GOOS="+system, "GOARCH="+processor, "CGO_ENABLED=0")
	list.Stderr = os.Stderr
	out, err := list.Output()
	if err != nil {
		return 0, fmt.Errorf("go list: %w", err)
	}
	known := map[string]*types.Package{"unsafe": types.Unsafe}
	for decoder := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p listed
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return 0, err
		}
		if p.ImportPath == "unsafe" {
			continue
		}
		if known[p.ImportPath], err = read(p, known, types.SizesFor("gc", processor)); err != nil {
			return 0, err
		}
		if p.Module != nil && p.Module.Main {
			ours++
		}
	}
	if ours == 0 {
		return 0, errors.New("no package of ours")
	}
	return ours, nil
}

// read checks one package whose imports are known.
func read(p listed, known map[string]*types.Package, sizes types.Sizes) (*types.Package, error) {
	fset := token.NewFileSet()
	var files []*ast.File
	for _, name := range p.GoFiles {
		file, err := parser.ParseFile(fset, filepath.Join(p.Dir, name), nil, parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		files = append(files, file)
	}
	var errs []error
	config := types.Config{
		Importer: imports{known, p.ImportMap}, Sizes: sizes,
		Error: func(err error) { errs = append(errs, err) },
	}
	if p.Module != nil && p.Module.GoVersion != "" {
		config.GoVersion = "go" + p.Module.GoVersion
	}
	pkg, _ := config.Check(p.ImportPath, fset, files, nil) // its first error is among errs
	return pkg, errors.Join(errs...)
}

// imports finds packages that were read before.
type imports struct {
	known map[string]*types.Package
	other map[string]string
}

func (i imports) Import(path string) (*types.Package, error) {
	if other, ok := i.other[path]; ok {
		path = other
	}
	if p := i.known[path]; p != nil {
		return p, nil
	}
	return nil, fmt.Errorf("%s was not listed", path)
}

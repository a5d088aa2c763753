// Command bundle builds web/dist from web/src with esbuild's Go API.
//
//	src/client/index.ts, src/page/{main,sdk-test}.ts, src/page/style.css --esbuild--> dist/assets/NAME-HASH.{js,css}
//	src/page/*.html, sdk.js, icon.svg, app.webmanifest ---{{NAME}} -> asset's URL---> dist/
//
// It runs in web/ (go generate does that) and needs web/node_modules (npm ci). The output depends on its input alone:
// no clock, no absolute path.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/evanw/esbuild/pkg/api"
)

func main() {
	if err := build("."); err != nil {
		fmt.Fprintln(os.Stderr, "bundle:", err)
		os.Exit(1)
	}
}

// build bundles the sources under root (web/) into root/dist, which it replaces.
func build(root string) error {
	root, err := filepath.Abs(root)
	if err != nil {
		return err
	}
	result := api.Build(api.BuildOptions{
		AbsWorkingDir:     root,
		EntryPoints:       []string{"src/client/index.ts", "src/page/main.ts", "src/page/sdk-test.ts", "src/page/style.css"},
		Outdir:            "dist",
		EntryNames:        "assets/[name]-[hash]",
		ChunkNames:        "assets/[name]-[hash]",
		Bundle:            true,
		Splitting:         true,
		Format:            api.FormatESModule,
		Platform:          api.PlatformBrowser,
		Target:            api.ES2022,
		Charset:           api.CharsetUTF8,
		MinifyWhitespace:  true,
		MinifyIdentifiers: true,
		MinifySyntax:      true,
		LegalComments:     api.LegalCommentsEndOfFile,
		Metafile:          true,
		LogLevel:          api.LogLevelWarning,
	})
	if len(result.Errors) > 0 {
		return fmt.Errorf("%d errors, the first: %s", len(result.Errors), result.Errors[0].Text)
	}
	urls, err := assetURLs(result.Metafile)
	if err != nil {
		return err
	}
	dist := filepath.Join(root, "dist")
	if err := os.RemoveAll(dist); err != nil {
		return err
	}
	for _, f := range result.OutputFiles {
		if err := write(f.Path, f.Contents); err != nil {
			return err
		}
	}
	for _, name := range []string{"index.html", "sdk-test.html", "sdk.js", "icon.svg", "app.webmanifest"} {
		text, err := os.ReadFile(filepath.Join(root, "src/page", name))
		if err != nil {
			return err
		}
		page := urls.Replace(string(text))
		if strings.Contains(page, "{{") {
			return fmt.Errorf("src/page/%s names an asset that was not built", name)
		}
		if err := write(filepath.Join(dist, name), []byte(page)); err != nil {
			return err
		}
	}
	return nil
}

// assetURLs reads esbuild's metafile: {{main.ts}} stands for the URL of what src/page/main.ts became.
func assetURLs(metafile string) (*strings.Replacer, error) {
	var meta struct {
		Outputs map[string]struct {
			EntryPoint string `json:"entryPoint"`
		} `json:"outputs"`
	}
	if err := json.Unmarshal([]byte(metafile), &meta); err != nil {
		return nil, fmt.Errorf("read metafile: %w", err)
	}
	var pairs []string
	for output, o := range meta.Outputs {
		if o.EntryPoint != "" {
			pairs = append(pairs, "{{"+path.Base(o.EntryPoint)+"}}", strings.TrimPrefix(output, "dist"))
		}
	}
	return strings.NewReplacer(pairs...), nil
}

func write(name string, contents []byte) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	return os.WriteFile(name, contents, 0o644)
}

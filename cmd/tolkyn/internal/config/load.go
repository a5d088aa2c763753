package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/go-viper/mapstructure/v2"
	"github.com/knadh/koanf/v2"
	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"

	"github.com/tolkyn/tolkyn/internal/spell"
)

// Origins says where each key was set: "tolkyn.yaml:4", "TOLKYN_HTTP__LISTEN", "--listen". A key that is not there has
// its default.
type Origins map[string]string

// Of returns where key was set last, looking at the list that holds it when it is an element: an empty string means
// default.
func (o Origins) Of(key string) string {
	if origin, ok := o[key]; ok {
		return origin
	}
	list, _, _ := strings.Cut(key, "[")
	return o[list]
}

// Sources is where to look.
type Sources struct {
	// File is the YAML file; empty for none.
	File string
	// Environment as os.Environ returns it; only TOLKYN_SECTION__KEY counts.
	Environment []string
	// Flags that were given on the command line win over all else. Nil for none.
	Flags *pflag.FlagSet
	// FlagKeys says which key a flag sets: "listen" → "http.listen". Flags not named here are left alone.
	FlagKeys map[string]string
}

// Load reads all sources in order and checks the result. Its error is Problems, or what hindered reading the file.
func Load(from Sources) (Config, Origins, error) {
	c := &checker{origins: Origins{}}
	merged := koanf.New(".")
	if from.File != "" {
		if err := loadFile(c, merged, from.File); err != nil {
			return Config{}, nil, err
		}
	}
	loadEnvironment(c, merged, from.Environment)
	if from.Flags != nil {
		loadFlags(c, merged, from.Flags, from.FlagKeys)
	}
	if len(c.problems) > 0 {
		return Config{}, nil, c.problems
	}

	config, err := decode(merged)
	if err != nil {
		return Config{}, nil, err
	}
	if problems := validate(&config, c.origins); len(problems) > 0 {
		return Config{}, nil, problems
	}
	return config, c.origins, nil
}

// decode lays what was merged over the defaults.
func decode(merged *koanf.Koanf) (Config, error) {
	config := Default()
	if merged.Exists("roles") {
		config.Roles = nil // or the defaults would fill up what is shorter
	}
	err := merged.UnmarshalWithConf("", &config, koanf.UnmarshalConf{DecoderConfig: &mapstructure.DecoderConfig{
		Result:      &config,
		TagName:     "koanf",
		ErrorUnused: true,
		DecodeHook:  mapstructure.StringToTimeDurationHookFunc(),
	}})
	if err != nil {
		return Config{}, fmt.Errorf("decode the configuration: %w", err)
	}
	return config, nil
}

// layer hands a map to koanf.
type layer map[string]any

func (l layer) Read() (map[string]any, error) { return l, nil }
func (l layer) ReadBytes() ([]byte, error)    { return nil, errors.ErrUnsupported }

func loadFile(c *checker, merged *koanf.Koanf, path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("read the configuration: %w", err)
	}
	loadText(c, merged, filepath.Base(path), text)
	return nil
}

// loadText takes what stands in a file; its problems are noted in c.
func loadText(c *checker, merged *koanf.Koanf, name string, text []byte) {
	c.source, c.lines = name, true
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	var document, more yaml.Node
	switch err := decoder.Decode(&document); {
	case errors.Is(err, io.EOF):
		return // An empty file sets nothing.
	case err != nil:
		c.problems = append(c.problems, notYAML(c.source, err))
		return
	}
	switch err := decoder.Decode(&more); {
	case err == nil:
		c.problem(&more, "", "a second document begins here; keep one")
		return
	case !errors.Is(err, io.EOF):
		c.problems = append(c.problems, notYAML(c.source, err))
		return
	}
	c.merge(merged, document.Content[0], reflect.TypeFor[Config](), "")
}

// notYAML turns "yaml: line 3: did not find expected key" into a problem that names its line as the others do.
func notYAML(source string, err error) Problem {
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	if m := regexp.MustCompile(`^line (\d+): (.*)$`).FindStringSubmatch(text); m != nil {
		return Problem{Origin: source + ":" + m[1], Text: "this is not YAML: " + m[2]}
	}
	return Problem{Origin: source, Text: "this is not YAML: " + text}
}

// merge checks the value n of key, and lays it over what is there when it has no problems.
func (c *checker) merge(merged *koanf.Koanf, n *yaml.Node, t reflect.Type, key string) {
	before := len(c.problems)
	c.check(n, t, key)
	if len(c.problems) > before {
		return
	}
	var value any
	if err := n.Decode(&value); err != nil {
		c.problem(n, key, "%v", err)
		return
	}
	if key == "" {
		settings, _ := value.(map[string]any)
		_ = merged.Load(layer(settings), nil) // A layer cannot fail to be read.
		return
	}
	_ = merged.Set(key, value)
}

// loadEnvironment takes TOLKYN_SECTION__KEY=value, and TOLKYN_KEY=value where the key has no section. The value of a list is YAML ([a, b]) or a, b.
func loadEnvironment(c *checker, merged *koanf.Koanf, environment []string) {
	environment = slices.Sorted(slices.Values(environment))
	c.lines = false
	for _, variable := range environment {
		name, value, _ := strings.Cut(variable, "=")
		rest, ours := strings.CutPrefix(name, "TOLKYN_")
		key := strings.ToLower(strings.Replace(rest, "__", ".", 1))
		t, known := leafType(key)
		// Kubernetes sets TOLKYN_PORT and the like for a service of our name: only two underscores make an unknown one a
		// mistake.
		if !ours || !known && !strings.Contains(rest, "__") {
			continue
		}
		c.source = name
		if !known {
			text := "no such key"
			if near := spell.Nearest(key, leaves()); near != "" {
				text = "no such key; did you mean TOLKYN_" + strings.ToUpper(strings.Replace(near, ".", "__", 1)) + "?"
			}
			c.problems = append(c.problems, Problem{Origin: name, Text: text})
			continue
		}
		c.mergeText(merged, value, t, key)
	}
}

// loadFlags takes the flags that were given.
func loadFlags(c *checker, merged *koanf.Koanf, flags *pflag.FlagSet, keys map[string]string) {
	c.lines = false
	flags.Visit(func(f *pflag.Flag) {
		key, ours := keys[f.Name]
		t, known := leafType(key)
		if !ours || !known {
			return
		}
		c.source = "--" + f.Name
		value := f.Value.String()
		if list, ok := f.Value.(pflag.SliceValue); ok {
			value = strings.Join(list.GetSlice(), ",")
		}
		c.mergeText(merged, value, t, key)
	})
}

// mergeText lays a value over that came as text, without YAML's need for quotes.
func (c *checker) mergeText(merged *koanf.Koanf, text string, t reflect.Type, key string) {
	node := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: text}
	switch {
	case t.Kind() == reflect.Slice && (t.Elem().Kind() == reflect.Struct || strings.HasPrefix(text, "[")):
		var document yaml.Node
		if err := yaml.Unmarshal([]byte(text), &document); err != nil || len(document.Content) == 0 {
			c.problem(node, key, "got %q, want a list in YAML: [first, second]", text)
			return
		}
		node = document.Content[0]
	case t.Kind() == reflect.Slice:
		node = &yaml.Node{Kind: yaml.SequenceNode}
		for _, element := range strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' }) {
			node.Content = append(node.Content, &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: element})
		}
	case t.Kind() == reflect.Bool && (text == "true" || text == "false"):
		node.Tag = "!!bool"
	case t.Kind() == reflect.Int:
		node.Tag = "!!int"
	}
	c.merge(merged, node, t, key)
}

// leafType returns the type of the value that "section.key", or "key", names. A section is no value.
func leafType(key string) (reflect.Type, bool) {
	first, leaf, inSection := strings.Cut(key, ".")
	f, ok := field(reflect.TypeFor[Config](), first)
	if !ok || inSection != (f.Type.Kind() == reflect.Struct) {
		return nil, false
	}
	if inSection {
		f, ok = field(f.Type, leaf)
	}
	return f.Type, ok
}

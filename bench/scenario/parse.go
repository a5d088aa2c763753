package scenario

import (
	"bytes"
	"encoding"
	"errors"
	"fmt"
	"io"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/tolkyn/tolkyn/internal/spell"
)

// Parse reads a scenario from YAML and checks it. name is what problems call the file. The error is Problems, all there are, each
// with its line, its key and the fix.
func Parse(name string, text []byte, known Known) (Scenario, error) {
	if len(text) > MaxText {
		return Scenario{}, Problems{{Origin: name, Text: fmt.Sprintf("got %d bytes, want at most %d", len(text), MaxText)}}
	}
	c := &checker{file: name, origins: origins{}}
	document, ok := c.document(text)
	if !ok {
		return Scenario{}, c.problems
	}
	c.check(document, reflect.TypeFor[Scenario](), "")
	if len(c.problems) > 0 {
		return Scenario{}, c.problems
	}
	var s Scenario
	if err := document.Decode(&s); err != nil {
		return Scenario{}, Problems{notYAML(name, err)}
	}
	if problems := validate(s, known, c.origins); len(problems) > 0 {
		return Scenario{}, problems
	}
	return s, nil
}

// checker walks a document beside the type that it is to become, and notes each key's line and each problem.
type checker struct {
	file     string
	origins  origins
	problems Problems
}

func (c *checker) at(n *yaml.Node) string { return fmt.Sprintf("%s:%d", c.file, n.Line) }

func (c *checker) problem(n *yaml.Node, key, format string, args ...any) {
	c.problems = append(c.problems, Problem{Origin: c.at(n), Key: key, Text: fmt.Sprintf(format, args...)})
}

// document reads the one document that a file holds.
func (c *checker) document(text []byte) (*yaml.Node, bool) {
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	var document, more yaml.Node
	switch err := decoder.Decode(&document); {
	case errors.Is(err, io.EOF):
		c.problems = append(c.problems, Problem{Origin: c.file, Text: "is empty, want a scenario: name, duration, rooms"})
		return nil, false
	case err != nil:
		c.problems = append(c.problems, notYAML(c.file, err))
		return nil, false
	}
	switch err := decoder.Decode(&more); {
	case err == nil:
		c.problem(&more, "", "a second document begins here; keep one")
		return nil, false
	case !errors.Is(err, io.EOF):
		c.problems = append(c.problems, notYAML(c.file, err))
		return nil, false
	}
	return document.Content[0], true
}

var lineOfError = regexp.MustCompile(`^line (\d+): (.*)$`)

// notYAML turns "yaml: line 3: did not find expected key" into a problem that names its line as the others do.
func notYAML(file string, err error) Problem {
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	if m := lineOfError.FindStringSubmatch(text); m != nil {
		return Problem{Origin: file + ":" + m[1], Text: "this is not YAML: " + m[2]}
	}
	return Problem{Origin: file, Text: "this is not YAML: " + text}
}

// check compares the value n of key with type t.
func (c *checker) check(n *yaml.Node, t reflect.Type, key string) {
	if n.Kind == yaml.AliasNode {
		c.problem(n, key, "aliases are not understood here: write the value out")
		return
	}
	c.origins[key] = c.at(n)
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch {
	case t.Kind() == reflect.Struct:
		c.checkKeys(n, t, key)
	case t.Kind() == reflect.Map:
		c.checkNames(n, t, key)
	case t.Kind() == reflect.Slice:
		c.checkList(n, t, key)
	case n.Kind != yaml.ScalarNode:
		c.problem(n, key, "got %s, want %s", shape(n), expected(t))
	case n.Tag == "!!null":
		c.problem(n, key, "has no value, want %s; leave the key out for its default", expected(t))
	default:
		c.checkScalar(n, t, key)
	}
}

// checkKeys compares a group of keys with the fields of struct t.
func (c *checker) checkKeys(n *yaml.Node, t reflect.Type, key string) {
	known := fieldNames(t)
	c.pairs(n, key, "keys: "+strings.Join(known, ", "), func(name, value *yaml.Node) {
		at := join(key, name.Value)
		f, ok := field(t, name.Value)
		if !ok {
			c.problem(name, at, "%s", noSuchKey(name.Value, known))
			return
		}
		c.check(value, f.Type, at)
		// The zero of a value means its default: who writes it out where it is out of range meant something else.
		if value.Kind == yaml.ScalarNode && f.Type.Kind() == reflect.Int && value.Value == "0" && ruleOf(f).low > 0 {
			c.problem(value, at, "got 0, want a whole number from %d to %d", ruleOf(f).low, ruleOf(f).high)
		}
	})
}

// checkNames compares a group of names, which the scenario gives, with the values of map t.
func (c *checker) checkNames(n *yaml.Node, t reflect.Type, key string) {
	c.pairs(n, key, "names, each with its keys", func(name, value *yaml.Node) {
		c.check(value, t.Elem(), join(key, name.Value))
	})
}

// pairs calls each for every key and value of a group.
func (c *checker) pairs(n *yaml.Node, key, want string, each func(name, value *yaml.Node)) {
	if n.Kind != yaml.MappingNode {
		c.problem(n, key, "got %s, want %s", shape(n), want)
		return
	}
	first := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		name, value := n.Content[i], n.Content[i+1]
		if name.Kind != yaml.ScalarNode || name.Tag == "!!merge" {
			c.problem(name, key, "got %s for a key, want text", shape(name))
			continue
		}
		if line, again := first[name.Value]; again {
			c.problem(name, join(key, name.Value), "stands here a second time, first on line %d; keep one", line)
			continue
		}
		first[name.Value] = name.Line
		each(name, value)
	}
}

func (c *checker) checkList(n *yaml.Node, t reflect.Type, key string) {
	if n.Kind != yaml.SequenceNode {
		c.problem(n, key, "got %s, want a list: [first, second]", shape(n))
		return
	}
	for i, element := range n.Content {
		c.check(element, t.Elem(), fmt.Sprintf("%s[%d]", key, i))
	}
}

func (c *checker) checkScalar(n *yaml.Node, t reflect.Type, key string) {
	if text, ok := reflect.New(t).Interface().(encoding.TextUnmarshaler); ok {
		if err := text.UnmarshalText([]byte(n.Value)); err != nil {
			c.problem(n, key, "%v", err)
		}
		return
	}
	switch {
	case fits(n, t):
	case t.Kind() == reflect.String:
		c.problem(n, key, "got %s, want %s: put it in quotes", n.Value, expected(t))
	default:
		c.problem(n, key, "got %q, want %s", n.Value, expected(t))
	}
}

// fits says whether scalar n can stand for a value of type t.
func fits(n *yaml.Node, t reflect.Type) bool {
	// YAML would read 010 as eight.
	whole := n.Tag == "!!int" && (len(n.Value) == 1 || n.Value[0] != '0')
	var err error
	switch {
	case t == reflect.TypeFor[time.Duration]():
		_, err = time.ParseDuration(n.Value)
		return err == nil && n.Tag == "!!str"
	case t.Kind() == reflect.String:
		return n.Tag == "!!str"
	case t.Kind() == reflect.Bool:
		return n.Tag == "!!bool"
	case t.Kind() == reflect.Int:
		_, err = strconv.ParseInt(n.Value, 10, 32)
	case t.Kind() == reflect.Uint64:
		_, err = strconv.ParseUint(n.Value, 10, 64)
	}
	return whole && err == nil
}

// expected names what a value of type t looks like.
func expected(t reflect.Type) string {
	switch {
	case t == reflect.TypeFor[time.Duration]():
		return "a duration, for example 30s"
	case t == reflect.TypeFor[Rate]():
		return "a rate, for example 24kbit/s"
	case t == reflect.TypeFor[Share]():
		return "a share, for example 2.5%"
	case t == reflect.TypeFor[Size]():
		return "a size, for example 320x180"
	case t.Kind() == reflect.Bool:
		return "true or false"
	case t.Kind() == reflect.Int || t.Kind() == reflect.Uint64:
		return "a whole number"
	default:
		return "text"
	}
}

// shape names what stands where something else was wanted.
func shape(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a group of keys"
	case yaml.SequenceNode:
		return "a list"
	case yaml.AliasNode:
		return "an alias"
	default:
		if n.Tag == "!!null" {
			return "nothing"
		}
		return strconv.Quote(n.Value)
	}
}

// field returns the field of struct type t that a key names.
func field(t reflect.Type, key string) (reflect.StructField, bool) {
	for i := range t.NumField() {
		if f := t.Field(i); keyOf(f) == key && key != "-" {
			return f, true
		}
	}
	return reflect.StructField{}, false
}

// fieldNames lists the keys of struct type t.
func fieldNames(t reflect.Type) []string {
	var names []string
	for i := range t.NumField() {
		if key := keyOf(t.Field(i)); key != "-" {
			names = append(names, key)
		}
	}
	return names
}

// keyOf is the key that a field has in a file; "-" for none.
func keyOf(f reflect.StructField) string {
	key, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
	return key
}

// noSuchKey says that key is unknown, and what was likely meant.
func noSuchKey(key string, known []string) string {
	if near := spell.Nearest(key, known); near != "" {
		return "no such key; did you mean " + near + "?"
	}
	return "no such key; known here: " + strings.Join(known, ", ")
}

func join(key, name string) string {
	if key == "" {
		return name
	}
	return key + "." + name
}

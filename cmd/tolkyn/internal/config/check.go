package config

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// checker walks one layer beside the Config type and notes each key's origin and each problem.
type checker struct {
	source   string // file name, or the environment variable that the YAML text came from
	lines    bool   // whether a line number means anything in this source
	origins  Origins
	problems Problems
}

func (c *checker) at(n *yaml.Node) string {
	if c.lines {
		return fmt.Sprintf("%s:%d", c.source, n.Line)
	}
	return c.source
}

func (c *checker) problem(n *yaml.Node, key, format string, args ...any) {
	c.problems = append(c.problems, Problem{Origin: c.at(n), Key: key, Text: fmt.Sprintf(format, args...)})
}

// check compares the value n of key with type t.
func (c *checker) check(n *yaml.Node, t reflect.Type, key string) {
	if n.Kind == yaml.AliasNode {
		c.problem(n, key, "aliases are not understood here: write the value out")
		return
	}
	if key != "" {
		c.origins[key] = c.at(n)
	}
	switch {
	case t.Kind() == reflect.Struct:
		c.checkSection(n, t, key)
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

func (c *checker) checkSection(n *yaml.Node, t reflect.Type, key string) {
	if n.Kind == yaml.ScalarNode && n.Tag == "!!null" {
		return // A section whose keys are all commented out.
	}
	if n.Kind != yaml.MappingNode {
		c.problem(n, key, "got %s, want keys: %s", shape(n), strings.Join(fieldNames(t), ", "))
		return
	}
	prefix := ""
	if key != "" {
		prefix = key + "."
	}
	first := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		name, value := n.Content[i], n.Content[i+1]
		if line, again := first[name.Value]; again {
			c.problem(name, prefix+name.Value, "stands here a second time, first on line %d; keep one", line)
			continue
		}
		first[name.Value] = name.Line
		f, known := field(t, name.Value)
		if !known {
			c.problem(name, prefix+name.Value, "%s", noSuchKey(prefix, name.Value, fieldNames(t)))
			continue
		}
		c.check(value, f.Type, prefix+name.Value)
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
	if !fits(n, t) {
		if t.Kind() == reflect.String {
			c.problem(n, key, "got %s, want %s: put it in quotes", n.Value, expected(t))
			return
		}
		c.problem(n, key, "got %q, want %s", n.Value, expected(t))
	}
}

// fits says whether scalar n can stand for a value of type t.
func fits(n *yaml.Node, t reflect.Type) bool {
	var err error
	switch {
	case t == reflect.TypeFor[time.Duration]():
		_, err = time.ParseDuration(n.Value)
	case t.Kind() == reflect.String:
		return n.Tag == "!!str"
	case t.Kind() == reflect.Bool:
		return n.Tag == "!!bool"
	case t.Kind() == reflect.Int:
		if n.Tag != "!!int" || len(n.Value) > 1 && n.Value[0] == '0' { // YAML would read 010 as eight.
			return false
		}
		_, err = strconv.Atoi(n.Value)
	}
	return err == nil
}

// expected names what a value of type t looks like.
func expected(t reflect.Type) string {
	switch {
	case t == reflect.TypeFor[time.Duration]():
		return "a duration, for example 60s"
	case t.Kind() == reflect.Bool:
		return "true or false"
	case t.Kind() == reflect.Int:
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
	default:
		return strconv.Quote(n.Value)
	}
}

package config

import (
	"reflect"
	"strings"
)

// field returns the field of struct type t that a key names.
func field(t reflect.Type, key string) (reflect.StructField, bool) {
	for i := range t.NumField() {
		if f := t.Field(i); f.Tag.Get("koanf") == key {
			return f, true
		}
	}
	return reflect.StructField{}, false
}

// fieldNames lists the keys of struct type t.
func fieldNames(t reflect.Type) []string {
	names := make([]string, t.NumField())
	for i := range names {
		names[i] = t.Field(i).Tag.Get("koanf")
	}
	return names
}

// leaves lists every settable key: "section.key", or "key" where none has a section.
func leaves() []string {
	var keys []string
	config := reflect.TypeFor[Config]()
	for i := range config.NumField() {
		section := config.Field(i)
		if section.Type.Kind() != reflect.Struct {
			keys = append(keys, section.Tag.Get("koanf"))
			continue
		}
		for _, name := range fieldNames(section.Type) {
			keys = append(keys, section.Tag.Get("koanf")+"."+name)
		}
	}
	return keys
}

// noSuchKey says that key is unknown, and what was likely meant. prefix is the section and its dot, known are the keys
// that stand there.
func noSuchKey(prefix, key string, known []string) string {
	if near := nearest(key, known); near != "" {
		return "no such key; did you mean " + prefix + near + "?"
	}
	// The right key in the wrong section.
	for _, leaf := range leaves() {
		if leaf == key || strings.HasSuffix(leaf, "."+key) {
			return "no such key here; did you mean " + leaf + "?"
		}
	}
	return "no such key; known here: " + strings.Join(known, ", ")
}

// nearest returns the known word that is at most a third of its letters away from word, or "".
func nearest(word string, known []string) string {
	best, bestDistance := "", 0
	for _, candidate := range known {
		d := distance(strings.ToLower(word), candidate)
		if d <= max(1, len(candidate)/3) && (best == "" || d < bestDistance) {
			best, bestDistance = candidate, d
		}
	}
	return best
}

// distance is how many letters have to be put in, taken out or changed to make a out of b (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

package config

import (
	"reflect"
	"strings"

	"github.com/tolkyn/tolkyn/internal/spell"
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
	if near := spell.Nearest(key, known); near != "" {
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

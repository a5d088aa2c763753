package config

import (
	"reflect"
	"time"

	"go.yaml.in/yaml/v3"
)

// Print returns the whole configuration as YAML, secrets hidden, each value that is not a default marked with its
// origin.
func Print(c Config, origins Origins) ([]byte, error) {
	return yaml.Marshal(printed(reflect.ValueOf(c), "", origins))
}

func printed(v reflect.Value, key string, origins Origins) *yaml.Node {
	switch {
	case v.Kind() == reflect.Struct:
		group := &yaml.Node{Kind: yaml.MappingNode}
		for i := range v.NumField() {
			name := v.Type().Field(i).Tag.Get("koanf")
			path := name
			if key != "" {
				path = key + "." + name
			}
			value := printed(v.Field(i), path, origins)
			if origin := origins[path]; origin != "" && v.Field(i).Kind() != reflect.Struct {
				value.LineComment = origin
			}
			group.Content = append(group.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: name}, value)
		}
		return group
	case v.Kind() == reflect.Slice:
		list := &yaml.Node{Kind: yaml.SequenceNode}
		if v.Len() == 0 {
			list.Style = yaml.FlowStyle
		}
		for i := range v.Len() {
			list.Content = append(list.Content, printed(v.Index(i), key+"[]", origins))
		}
		return list
	case v.Type() == reflect.TypeFor[Secret]():
		return scalar(v.Interface().(Secret).String())
	case v.Type() == reflect.TypeFor[time.Duration]():
		return scalar(v.Interface().(time.Duration).String())
	default:
		return scalar(v.Interface())
	}
}

func scalar(value any) *yaml.Node {
	var n yaml.Node
	_ = n.Encode(value) // Text, numbers and booleans always encode.
	return &n
}

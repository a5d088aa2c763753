package scenario

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"reflect"
	"testing"
	"time"

	"github.com/invopop/jsonschema"
	judge "github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

var update = flag.Bool("update", false, "write schema.json and testdata/*.jsonl anew")

func TestSchemaIsFresh(t *testing.T) {
	reflector := jsonschema.Reflector{
		FieldNameTag:               "yaml",
		DoNotReference:             true,
		RequiredFromJSONSchemaTags: true,
		Mapper: func(t reflect.Type) *jsonschema.Schema {
			switch t {
			case reflect.TypeFor[time.Duration]():
				return &jsonschema.Schema{Type: "string", Pattern: `^([0-9.]+(ns|us|µs|ms|s|m|h))+$`}
			case reflect.TypeFor[Rate]():
				return &jsonschema.Schema{Type: "string", Pattern: `^[0-9.]+ *[GMk]?bit/s$`}
			case reflect.TypeFor[Size]():
				return &jsonschema.Schema{Type: "string", Pattern: `^[0-9]+x[0-9]+$`}
			case reflect.TypeFor[Share]():
				return &jsonschema.Schema{Type: "string", Pattern: `^[0-9.]+ *%$`}
			}
			return nil
		},
	}
	require.NoError(t, reflector.AddGoComments("github.com/tolkyn/tolkyn/bench/scenario", "."))
	schema := reflector.Reflect(Scenario{})
	schema.ID = ""
	schema.Title = "Tolkyn bench scenario"
	fresh, err := json.MarshalIndent(schema, "", "  ")
	require.NoError(t, err)
	fresh = append(fresh, '\n')
	if *update {
		require.NoError(t, os.WriteFile("schema.json", fresh, 0o644))
		return
	}
	require.True(t, bytes.Equal(Schema, fresh), "schema.json is older than Scenario: run go generate here")
}

// schema returns what judges a YAML text by schema.json alone.
func schema(t *testing.T) func(text string) error {
	t.Helper()
	document, err := judge.UnmarshalJSON(bytes.NewReader(Schema))
	require.NoError(t, err)
	compiler := judge.NewCompiler()
	require.NoError(t, compiler.AddResource("schema.json", document))
	compiled, err := compiler.Compile("schema.json")
	require.NoError(t, err)
	return func(text string) error {
		var value any
		require.NoError(t, yaml.Unmarshal([]byte(text), &value))
		asJSON, err := json.Marshal(value)
		require.NoError(t, err)
		instance, err := judge.UnmarshalJSON(bytes.NewReader(asJSON))
		require.NoError(t, err)
		return compiled.Validate(instance)
	}
}

// TestSchemaAndStructAgree: what one refuses for its shape, the other does too.
func TestSchemaAndStructAgree(t *testing.T) {
	valid := schema(t)
	require.NoError(t, valid(example(t)))
	const head = "name: a\nduration: 10s\n"
	const room = "rooms: [{name: r, callers: [{name: p, count: 2, publish: [{media: microphone}]}]}]\n"
	require.NoError(t, valid(head+room))
	for _, text := range []string{
		head,
		"name: A b\nduration: 10s\n" + room,
		"name: a\n" + room,
		"name: a\nduration: 10\n" + room,
		head + room + "sed: 1\n",
		head + room + "seed: 9007199254740993\n",
		head + room + "seed: -1\n",
		head + room + "grows: trees\n",
		head + "rooms: []\n",
		head + "rooms: [{name: r, callers: []}]\n",
		head + "rooms: [{name: r, count: 0, callers: [{name: p, count: 2, publish: [{media: microphone}]}]}]\n",
		head + "rooms: [{name: r, callers: [{name: p, count: 20001, publish: [{media: microphone}]}]}]\n",
		head + "rooms: [{name: r, callers: [{name: p, count: 2, publish: [{media: drum}]}]}]\n",
		head + "rooms: [{name: r, callers: [{name: p, count: 2, kind: ful, publish: [{media: camera}]}]}]\n",
		head + "rooms: [{name: r, callers: [{name: p, count: 2, churn: {stay: 5s}, publish: [{media: camera}]}]}]\n",
		head + "rooms: [{name: r, callers: [{name: p, count: 2, view: {}, publish: [{media: camera}]}]}]\n",
		head + "rooms: [{name: r, callers: [{name: p, count: 2, view: {sizes: [360p]}, publish: [{media: camera}]}]}]\n",
		head + room + "networks: {n: {up: {loss: 0.3}}}\n",
		head + room + "networks: {n: {up: {rate: 24000}}}\n",
		head + room + "networks: {n: {up: {burst: {loss: 3%}}}}\n",
		head + room + "networks: {n: {events: [{at: 1s, do: explode}]}}\n",
		head + room + "pass: loss < 1%\n",
	} {
		require.Error(t, valid(text), text)
		_, err := Parse("a.yaml", []byte(text), Known{})
		require.Error(t, err, text)
	}
}

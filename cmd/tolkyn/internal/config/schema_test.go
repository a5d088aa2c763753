package config

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"reflect"
	"testing"
	"time"

	"github.com/invopop/jsonschema"
	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write schema.json anew")

func TestSchemaIsFresh(t *testing.T) {
	reflector := jsonschema.Reflector{
		FieldNameTag:               "koanf",
		DoNotReference:             true,
		RequiredFromJSONSchemaTags: true,
		Mapper: func(t reflect.Type) *jsonschema.Schema {
			switch t {
			case reflect.TypeFor[time.Duration]():
				return &jsonschema.Schema{Type: "string", Pattern: `^([0-9.]+(ms|s|m|h))+$`}
			case reflect.TypeFor[Secret]():
				return &jsonschema.Schema{Type: "string"}
			}
			return nil
		},
	}
	require.NoError(t, reflector.AddGoComments("github.com/tolkyn/tolkyn/cmd/tolkyn/internal/config", "."))
	schema := reflector.Reflect(Config{})
	schema.ID = ""
	schema.Title = "Tolkyn configuration"
	fresh, err := json.MarshalIndent(schema, "", "  ")
	require.NoError(t, err)
	fresh = append(fresh, '\n')
	if *update {
		require.NoError(t, os.WriteFile("schema.json", fresh, 0o644))
		return
	}
	require.True(t, bytes.Equal(Schema, fresh), "schema.json is older than Config: run go generate here")
}

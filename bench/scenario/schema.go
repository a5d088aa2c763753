package scenario

import _ "embed"

// Schema is the JSON Schema of a scenario file, made of the doc comments and tags of Scenario.
//
//go:generate go test . -run ^TestSchemaIsFresh$ -update
//go:embed schema.json
var Schema []byte

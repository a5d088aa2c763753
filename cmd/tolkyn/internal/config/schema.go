package config

import _ "embed"

// Schema is the JSON Schema of the configuration file, made from the doc comments of Config.
//
//go:generate go test . -run ^TestSchemaIsFresh$ -update
//go:embed schema.json
var Schema []byte

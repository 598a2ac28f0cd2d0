package definition

import _ "embed"

// Schema is the JSON Schema (2020-12) of definition files, for editors. A test holds it together
// with the model.
//
//go:embed definitions.schema.json
var Schema []byte

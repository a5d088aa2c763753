// Package config is what can be set about a server, and where each value came from.
//
//	Default() ◄── tolkyn.yaml ◄── TOLKYN_SECTION__KEY ◄── flags      a later layer wins, key by key
//	                  │                  │                  │
//	                  ▼                  ▼                  ▼
//	               check: every key exists, every value has its type      "tolkyn.yaml:4: http.lisen: no such key"
//	                                     │
//	                                     ▼
//	               validate: what the values mean, alone and together     all problems at once, each with its fix
//	                                     │
//	                                     ▼
//	                             Config + Origins
//
// One struct says everything: its defaults are Default, its doc comments become schema.json.
package config

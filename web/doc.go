// Package web holds the browser's side of Tolkyn: the TypeScript SDK and the call page built on it. Go serves the built
// files from memory; nothing here runs in the server.
//
//	src/wire     generated from signaling/wire/tolkyn.proto
//	   |
//	src/client   @tolkyn/client: session, media, slots, statistics        src/page/{sdk.js,sdk-test.ts}
//	   |                                                                      |
//	src/page     the call page: pre-join, layouts, people, words              |
//	   |                                                                      |
//	   +---- go generate (internal/bundle: esbuild's Go API, type-stripping) -+
//	                              |
//	dist         index.html, sdk.js, sdk-test.html, assets/NAME-HASH.{js,css}   (committed, embedded)
//	   |
//	Handler      ETag, gzip, Content-Security-Policy
//
// npm is needed only to generate (scripts/generate-web); building and testing Go needs none.
package web

//go:generate go run ./internal/bundle

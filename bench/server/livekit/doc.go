// Package livekit starts a LiveKit server, to be measured beside others.
//
//	tolkyn bench ──► Start ──────────────────► livekit-server ◄── signaling, media
//	             └─► callers, a program of its own ◄──────────────────────┘
//
// Neither is part of this module. The server is installed with
//
//	go install github.com/livekit/livekit-server/cmd/server@v1.13.5
//
// which makes a binary called server in GOBIN. The callers are in the folder callers, with a go.mod of their own because of
// LiveKit's protocol and all it brings along:
//
//	cd bench/server/livekit/callers && go build -o tolkyn-livekit-callers .
package livekit

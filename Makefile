# The verbs of this repository. `make help` lists them; everything runs without make too, as the recipes show.

.DEFAULT_GOAL := help
.PHONY: build test test-peers race lint bench bench-signaling bench-light bench-compare bench-media bench-turn fuzz help

build: ## the binary, ./tolkyn
	CGO_ENABLED=0 go build -trimpath -o tolkyn ./cmd/tolkyn

test: ## all tests, browsers included (scripts/test checks everything, as CI does)
	go test ./...

test-peers: ## the bench's drivers against Janus and LiveKit, which must be installed (root; see scripts/bench-compare)
	go test -count=1 -tags peers ./bench/server/janus
	cd bench/server/livekit/callers && go test -count=1 ./...

race: ## all tests with the race detector
	go test -race ./...

lint: ## formatting, vet, staticcheck
	test -z "$$(go run mvdan.cc/gofumpt@v0.12.0 -l . | tee /dev/stderr)"
	go vet ./...
	go run honnef.co/go/tools/cmd/staticcheck@v0.8.2 ./...

bench: ## the benchmarks; forwarding and signaling beside the floor of this machine (bench/results)
	scripts/bench

bench-signaling: ## of it, signaling alone: first reply, change of networks, memory, messages (root, 5 minutes)
	go run ./bench/signaling

bench-light: ## what the bench's light callers cost beside the server that they load (3 minutes)
	scripts/bench-light

bench-media: ## what codecs, layers, meetings, pairs and rooms of a thousand cost, LiveKit beside them (root, 25 minutes)
	scripts/bench-media

bench-compare: ## Tolkyn beside a stock pion SFU, LiveKit and Janus (root, 25 minutes)
	scripts/bench-compare

bench-turn: ## what relaying a packet and an allocation cost beside coturn (apt install coturn; 30 minutes)
	go run ./bench/turn

fuzz: ## every fuzz target, FUZZ_SECONDS in all (default 300)
	scripts/fuzz

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# The index of the work. make help lists it.
# Needs Go 1.26, make, and for the simulator (tests, demo, benchmarks) a C compiler.

SHELL   := /bin/sh
VERSION ?= $(shell installer/version.sh)
LDFLAGS := -s -w -X main.version=$(VERSION)
GOBUILD := CGO_ENABLED=0 go build -trimpath -ldflags '$(LDFLAGS)'
DIST    := VERSION="$(VERSION)" SOURCE_DATE_EPOCH="$${SOURCE_DATE_EPOCH:-$$(git log -1 --format=%ct)}" go run ./installer/dist
FUZZTIME ?= 10s
export TIDEMARK_SIMULATOR := $(CURDIR)/bin/simulator

.PHONY: help build simulator demo test check race cross dist dist-check test-systemd policy fuzz crash faults failing bench clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## both programs into bin/
	$(GOBUILD) -o bin/ ./cmd/tidemark ./cmd/tidemark-archive

simulator: ## the simulated WeChat client (cgo, real SQLCipher) into bin/
	@command -v "$${CC:-gcc}" >/dev/null || { echo "make: a C compiler is needed for the simulator: apt-get install gcc" >&2; exit 1; }
	CGO_ENABLED=1 go build -C simulator -o ../bin/simulator .

demo: build simulator ## a chatting account captured into an archive, live; FOR=30s ends by itself
	bin/simulator demo --bin bin $(if $(FOR),--for $(FOR))

test: simulator check ## all tests, with the race detector, the simulator's too
	go test -race -timeout 60m ./...
	cd simulator && go test -race -timeout 30m ./...

.PHONY: test-windows
test-windows: simulator ## the Windows programs under Wine 10, which it installs; REQUIRED=1 fails where it cannot
	installer/windows/test.sh

check: ## format, vet, staticcheck, tidy modules
	@bad="$$(gofmt -l $$(git ls-files --cached --others --exclude-standard '*.go'))"; [ -z "$$bad" ] || { echo "not gofmt-ed: $$bad" >&2; exit 1; }
	go vet ./...
	go tool staticcheck ./...
	cd simulator && go vet ./...
	go mod tidy -diff
	cd simulator && go mod tidy -diff

cross: bin/tools/go-winres ## both programs for all six targets, without cgo, into bin/dist/
	$(DIST) binaries

bin/tools/nfpm:
	GOBIN=$(CURDIR)/bin/tools go install github.com/goreleaser/nfpm/v2/cmd/nfpm@v2.45.2

bin/tools/go-winres:
	GOBIN=$(CURDIR)/bin/tools go install github.com/tc-hib/go-winres@v0.3.3

dist: bin/tools/nfpm bin/tools/go-winres ## what is published, into dist/: packages, archives, checksums, lists of components
	rm -rf dist
	$(DIST) binaries
	$(DIST) packages
	$(DIST) sums

dist-check: dist ## builds dist/ again from a clone in another folder, and compares the sums
	@set -e; t=$$(mktemp -d); trap 'rm -rf "$$t"' EXIT; git clone -q . "$$t/again"; mkdir -p "$$t/again/bin"; cp -r bin/tools "$$t/again/bin/"; \
	  $(MAKE) -C "$$t/again" dist VERSION="$(VERSION)"; diff dist/SHA256SUMS "$$t/again/dist/SHA256SUMS"; echo "dist-check: the same bytes"

policy: ## policy templates and the table of settings, anew from agent/config
	go generate ./agent/config/template

test-systemd: simulator bin/tools/nfpm ## the Linux packages under a real systemd, in a container; needs root, 3 minutes the first time
	installer/packaging/test-systemd.sh

fuzz: ## every fuzzer for FUZZTIME (10s) each
	@# Go's fuzzer now and then gives the end of its own time for a failure: "context
	@# deadline exceeded", with no input that fails. That is tried again.
	@set -e; mkdir -p bin; for p in $$(go list ./...); do for f in $$(go test -list '^Fuzz' $$p | grep '^Fuzz' || true); do \
	  echo "$$p $$f"; done_=; for try in 1 2 3; do \
	    if go test -run '^$$' -fuzz "^$$f\$$" -fuzztime $(FUZZTIME) $$p >bin/fuzz.log 2>&1; then done_=yes; tail -1 bin/fuzz.log; break; fi; \
	    cat bin/fuzz.log; grep -q 'context deadline exceeded' bin/fuzz.log && ! grep -q 'Failing input' bin/fuzz.log || break; \
	  done; [ "$$done_" ] || exit 1; done; done

crash: build simulator ## kill agent and archive with SIGKILL at random moments, 200 times
	TIDEMARK_CRASHES=200 go test -run '^TestCrash$$' -v -count 1 -timeout 60m ./cmd/tidemark

faults: build simulator ## the fault suite: 10,000 kill points and 1,000 power cuts; SHORT=1 takes minutes
	TIDEMARK_FAULTS=$(if $(SHORT),120,10000) go test -run '^TestFaultKill$$' -v -count 1 -timeout 12h ./cmd/tidemark
	TIDEMARK_FAULTS=$(if $(SHORT),50,1000) go test -run '^TestFaultPowerCut$$' -v -count 1 -timeout 12h ./cmd/tidemark
	go test -run '^TestFaultNetwork$$' -v -count 1 -timeout 1h ./cmd/tidemark

failing: simulator ## the processor time of the agent in each failing state
	TIDEMARK_FAILING=. go test -run '^TestFailingStatesAreQuiet$$' -v -count 1 -timeout 30m ./cmd/tidemark

bench: build simulator ## the figures of docs/benchmarks.md; makes a 1 GB account in bin/bench once
	TIDEMARK_BENCH=$(CURDIR)/bin/bench go test -run '^TestBench$$' -v -count 1 -timeout 60m ./cmd/tidemark
	TIDEMARK_BENCH=1 go test -run '^TestAppendRatio$$' -v -count 1 -timeout 20m ./spool
	go test -run '^$$' -bench AppendHistory -benchtime 12x ./archive

.PHONY: bench-media
bench-media: build simulator ## the figures of docs/benchmarks.md about files; LARGE sets the size of the largest
	go test -run '^$$' -bench '^BenchmarkDecode$$' ./collector/media
	TIDEMARK_BENCH_FILES=10000 go test -run '^$$' -bench '^BenchmarkFiles$$' -benchtime 1x -timeout 60m ./collector
	$(if $(LARGE),TIDEMARK_LARGE_MEDIA=$(LARGE) )go test -run '^TestLargeMedia$$' -v -count 1 -timeout 60m ./cmd/tidemark

clean: ## what was built
	rm -rf bin dist

# audisp-relay: make help

GO          ?= go
STATICCHECK ?= honnef.co/go/tools/cmd/staticcheck@v0.8.2
FUZZTIME    ?= 60s
PREFIX      ?= /usr
SBINDIR     ?= $(PREFIX)/sbin
MANDIR      ?= $(PREFIX)/share/man
BASHDIR     ?= $(PREFIX)/share/bash-completion/completions
ZSHDIR      ?= $(PREFIX)/share/zsh/$(if $(wildcard /etc/debian_version),vendor-completions,site-functions)
FISHDIR     ?= $(PREFIX)/share/fish/vendor_completions.d
BIN         ?= bin/audisp-relay
DESTDIR     ?=
FIPS        ?=
# The same in every clone of a commit, whatever other tags and how many objects it has.
VERSION     := $(shell git describe --tags --match 'v[0-9]*' --abbrev=12 --always --dirty 2>/dev/null || echo dev)

# What the tests need besides Go. gcc is for the race detector.
TEST_NEEDS := gcc debootstrap auditd auditctl audisp-syslog socat rsyslogd imrelp.so lmnsd_gtls.so syslog-ng laurel auparse logrotate mandoc tmux bash bash-completion zsh fish promtool selinux-devel apparmor_parser

# The validated version of the Go Cryptographic Module that builds with FIPS=1 have. They are in FIPS
# 140-3 mode without anything in the environment, of which auditd leaves a plugin nothing.
FIPS_MODULE := v1.0.0
fips = $(if $(FIPS),GOFIPS140=$(FIPS_MODULE))

# What runs programs for arm64 on other machines.
QEMU ?= qemu-aarch64-static

# Packages whose tests need neither root nor auditd when they are short, and those that parse and
# queue, which are all that an emulator is asked to run.
QUICK = $$($(GO) list ./... | grep -vE '/test(/lab)?$$')
PARSE := ./audit/... ./format/... ./queue/... ./config ./filter ./recovery

# Empty where there is no C compiler and none could be installed.
RACE = $(shell command -v gcc >/dev/null && echo -race)

# Packages in which the race detector has nothing to find: they start no goroutine, or, in
# test/, what they test is a process that is built with it anyway.
ALONE := audit/(auditlog|event|integrity|record|stream)|config|format/.*|host/.*|packaging|bench|suggest|test(/(forge|lab|load|otelcol|picture|pki|shim))?

# Packages whose tests take longest: begun first, so that none of them runs alone at the end.
LONGEST := ./plugin ./sinks/syslog ./fleet ./sinks/nats ./sinks/program ./test/engine ./queue/spool ./recovery

# Suites of Debian whose auditd the tests run besides the machine's own.
SUITES := trixie sid

# The releases' packages, and the key that signs them: one of OpenSSH, private or in an agent.
DIST ?= dist
KEY  ?=
VULNDB ?=

.PHONY: help build build-fips run test test-packages test-live test-fips test-32 test-arm64 race rest quick deps roots servers bench lint fuzz install uninstall clean fleet packages try-packages licences vulns release

help: ## this list
	@sed -n 's/^\([a-z0-9-]*\):.*## /\1\t/p' Makefile | expand -t 14

build: ## bin/audisp-relay, one static binary
	CGO_ENABLED=0 $(fips) $(GO) build -trimpath -pgo=packaging/relay.pgo -ldflags "-s -w -X main.version=$(VERSION)" -o $(BIN) ./cmd/audisp-relay

build-fips: ## bin/audisp-relay-fips: the same with a validated cryptographic module, in FIPS 140-3 mode
	@$(MAKE) --no-print-directory build FIPS=1 BIN=$(BIN)-fips

run: build ## show it at work: live events of a real auditd (AUDISP_DEMO=1: a replayed capture)
	@packaging/demo.sh

fleet: build ## three relays, each a host of its own, that publish to a cluster of three servers, and what it has of them
	@GO=$(GO) packaging/fleet.sh

# -trimpath: what one clone has compiled is of use to the next. -w: the tests of every package are
# linked, and without what only debuggers read that takes half of the time.
lint test test-packages test-live test-fips test-32 test-arm64 race rest quick servers: export GOFLAGS := $(GOFLAGS) -trimpath -ldflags=-w

# -count=1: what is kept of an earlier run does not say that auditd, and the relay that the tests
# of the whole program build, still do the same.
# WITH_RACE=1: those of packages that start goroutines run with the race detector.
test: deps ## all tests; as root with the real auditd (AUDISP_REQUIRE_AUDITD=1: nothing may be skipped)
	$(GO) build ./... # once for both of the parts that run at the same time
	$(GO) build $(RACE) -o /dev/null ./cmd/audisp-relay
	@$(MAKE) --no-print-directory -j2 test-live $(if $(WITH_RACE),rest,test-packages)
	@$(if $(WITH_RACE),$(MAKE) --no-print-directory race)

# What most of the tests share. nice: the live tests, at the same time, time what auditd and the
# kernel do.
TESTS = nice -n 10 $(GO) test -count=1 -vet=off -skip '^TestLive' -parallel 6 -timeout 20m

test-packages:
	$(TESTS) -p 3 ./test ./host $(LONGEST) ./...

test-live: # one after the other: there is one auditd
	$(GO) test -count=1 -vet=off -run '^TestLive' -p 1 -timeout 20m ./audit/auditlog ./test/lab ./host ./test

race: deps ## the tests of the packages that start goroutines, with the race detector
	$(TESTS) -race -p 4 $(LONGEST) $$($(GO) list ./... | grep -vE '^audisp-relay/($(ALONE))$$')

rest: # all other tests
	$(TESTS) -p 2 ./test ./host $$($(GO) list ./... | grep -E '^audisp-relay/($(ALONE))$$')

quick: ## the tests that need neither root nor auditd, in a minute
	$(GO) test -short -vet=off -p 4 -parallel 8 $(QUICK)

test-fips: ## what uses cryptography, in FIPS 140-3 mode with the validated module
	GOFIPS140=$(FIPS_MODULE) $(TESTS) -p 2 -short ./sinks/... ./queue ./state ./fleet/... ./metrics ./plugin ./doctor/... ./cmd/...
	$(TESTS) -run TestFIPS ./packaging

test-32: ## the quick tests as a program of 32 bits (GOARCH=386), and that all compiles for arm
	GOARCH=arm $(GO) vet ./...
	CGO_ENABLED=0 GOARCH=386 $(GO) test -short -p 4 -parallel 8 $(QUICK)

# qemu has no sock_diag, and runs none of the programs that a test starts, itself again among them.
test-arm64: ## the tests of what parses and queues, as a program for arm64 under qemu
	@command -v $(QEMU) >/dev/null || packaging/getdeps.sh $(QEMU)
	CGO_ENABLED=0 GOARCH=arm64 $(GO) test -short -vet=off -p 2 -timeout 30m -exec $(QEMU) -skip '^(TestWiden|TestAKillCostsNothingStored)$$' $(PARSE)

deps: # what the tests need, where root may install it
	@packaging/getdeps.sh $(TEST_NEEDS) || echo "tests that need these will be skipped"

roots: ## what runs the auditd of other Debian suites, below the user's cache folder (minutes, once)
	test/lab/root.sh $(SUITES)

servers: ## compile the servers that tests start: a minute, once
	$(GO) -C test/servers build -o /dev/null ./nats
	$(GO) -C test/servers/collector build -o /dev/null .

bench: build ## compare with the stock plugins on this machine
	bench/run.sh

lint: ## gofmt, go vet, staticcheck, syntax of the scripts
	@files=$$(gofmt -l .); [ -z "$$files" ] || { echo "gofmt these: $$files"; exit 1; }
	$(GO) vet ./...
	$(GO) run $(STATICCHECK) ./...
	@for script in packaging/*.sh bench/*.sh test/lab/*.sh .ci/run; do bash -n $$script || exit 1; done

fuzz: ## every fuzz target for FUZZTIME (60s)
	@set -e; for pkg in $$($(GO) list ./...); do \
		for target in $$($(GO) test -list '^Fuzz' $$pkg | grep '^Fuzz' || true); do \
			echo "$$pkg $$target"; \
			$(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 10x $$pkg; \
		done; \
	done

install: build ## into SBINDIR (/usr/sbin) and under the running auditd; with DESTDIR only files
	install -D -m 0755 $(BIN) $(DESTDIR)$(SBINDIR)/audisp-relay
	install -D -m 0644 packaging/man/audisp-relay.8 $(DESTDIR)$(MANDIR)/man8/audisp-relay.8
	install -D -m 0644 packaging/man/audisp-relay-doctor.8 $(DESTDIR)$(MANDIR)/man8/audisp-relay-doctor.8
	install -D -m 0644 packaging/man/audisp-relay-fleet.8 $(DESTDIR)$(MANDIR)/man8/audisp-relay-fleet.8
	install -D -m 0644 packaging/man/audisp-relay.toml.5 $(DESTDIR)$(MANDIR)/man5/audisp-relay.toml.5
	$(BIN) completion bash | install -D -m 0644 /dev/stdin $(DESTDIR)$(BASHDIR)/audisp-relay
	$(BIN) completion zsh | install -D -m 0644 /dev/stdin $(DESTDIR)$(ZSHDIR)/_audisp-relay
	$(BIN) completion fish | install -D -m 0644 /dev/stdin $(DESTDIR)$(FISHDIR)/audisp-relay.fish
ifeq ($(DESTDIR),)
	$(SBINDIR)/audisp-relay install
else
	install -D -m 0640 packaging/audisp-relay.toml $(DESTDIR)/etc/audit/audisp-relay.toml
	sed 's|^path = .*|path = $(SBINDIR)/audisp-relay|' audisp-plugins.d/audisp-relay.conf | \
		install -D -m 0640 /dev/stdin $(DESTDIR)/etc/audit/plugins.d/audisp-relay.conf
endif

uninstall: ## take it out again; configuration and data stay
ifeq ($(DESTDIR),)
	$(SBINDIR)/audisp-relay uninstall
else
	rm -f $(DESTDIR)/etc/audit/plugins.d/audisp-relay.conf
endif
	rm -f $(DESTDIR)$(SBINDIR)/audisp-relay $(DESTDIR)$(MANDIR)/man8/audisp-relay.8 $(DESTDIR)$(MANDIR)/man8/audisp-relay-doctor.8 $(DESTDIR)$(MANDIR)/man8/audisp-relay-fleet.8 $(DESTDIR)$(MANDIR)/man5/audisp-relay.toml.5 \
		$(DESTDIR)$(BASHDIR)/audisp-relay $(DESTDIR)$(ZSHDIR)/_audisp-relay $(DESTDIR)$(FISHDIR)/audisp-relay.fish

packages: ## deb, rpm and apk for amd64 and arm64, each also in FIPS mode, SBOMs and SHA256SUMS in DIST (dist)
	rm -rf $(DIST)
	packaging/packages.sh $(DIST)

try-packages: ## build packages twice, compare them, look into them, and try them in systems in memory
	@packaging/getdeps.sh rpm rpmlint lintian busybox || echo "what needs these is skipped"
	AUDISP_PACKAGES=1 $(GO) test -count=1 -v -timeout 40m -run TestPackages ./packaging

licences: ## the licences of all that is in the program
	@packaging/licences.sh

vulns: ## known vulnerabilities in what the program calls (VULNDB="-db URL", default vuln.go.dev)
	$(GO) -C packaging/tools build -o $(CURDIR)/bin/ golang.org/x/vuln/cmd/govulncheck
	bin/govulncheck $(VULNDB) ./...

release: ## packages of a tagged commit, SHA256SUMS signed with KEY=file
	DIST=$(DIST) packaging/release.sh "$(KEY)"

clean: ## what the build made
	rm -rf bin dist

# Everything one does with Weir's source. `make help` lists the targets; nothing has to be installed before
# but a Swift toolchain, git and make: targets fetch the Debian packages that they need.

PREFIX = /usr/local
sysconfdir = /etc
bindir = $(PREFIX)/bin
mandir = $(PREFIX)/share/man
unitdir = $(PREFIX)/lib/systemd/system
exampledir = $(PREFIX)/share/doc/weir/examples
bashdir = $(PREFIX)/share/bash-completion/completions
zshdir = $(PREFIX)/share/zsh/site-functions
fishdir = $(PREFIX)/share/fish/vendor_completions.d

SWIFT = swift
# Debian's own Python: python3-pytest belongs to it.
PYTHON = /usr/bin/python3
WEIR = .build/release/weir

# C headers, and what the toolchain links with, for Weir itself.
build_packages = binutils libc6-dev libstdc++-12-dev liburing-dev libxxhash-dev libyaml-dev pkg-config
# What `weir demo` asks one to type.
run_packages = curl
# What the tests start, look into the program with, or are written in.
test_packages = chromium curl dpkg-dev fish man-db nginx postgresql prometheus python3 python3-prometheus-client \
	python3-pytest python3-websockets redis-server redis-tools tmux valgrind wrk zsh
deb_packages = dpkg-dev
bench_packages = haproxy libnginx-mod-stream nginx python3 wrk
profile_packages = haproxy libnginx-mod-stream linux-perf nginx python3 valgrind wrk

FUZZ_SECONDS = 60
# Examples to start from; the schema is for editors.
samples = tcp.yaml http.yaml redis.yaml postgres.yaml weir.schema.json alerts.yaml grafana.json weir.socket

.PHONY: help run build simulate test test-epoll simulate-mutants weir-bench choices skewed fuzz lint bench profile \
	profile-baseline chaos reloads upgrades systemd install uninstall deb clean packages run-packages test-packages \
	bench-packages profile-packages deb-packages swift

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1|\2/p' Makefile | \
	while IFS='|' read -r name text; do printf '  make %-16s %s\n' "$$name" "$$text"; done

run: run-packages build ## build Weir and see it work: `weir demo`
	@$(WEIR) demo

build: packages swift ## build Weir, optimised, into .build/release
	$(SWIFT) build -c release --static-swift-stdlib --product weir

weir-bench: packages swift ## build the load generator (docs/weir-bench.md)
	$(SWIFT) build -c release --static-swift-stdlib --product weir-bench

choices: weir-bench ## measure choices a second of each balancing policy
	$(PYTHON) Tests/Benchmarks/choices.py

skewed: build weir-bench ## measure what balancing policies make of one slow backend
	$(PYTHON) Tests/Benchmarks/skewed.py --weir $(WEIR)

simulate: packages swift ## build the seed runner: .build/release/simulate --help
	$(SWIFT) build -c release --static-swift-stdlib --product simulate

test: test-packages build simulate weir-bench ## run all tests: Swift's, then those against the built Weir
	@WEIR=$(abspath $(WEIR)) SWIFT=$(SWIFT) $(PYTHON) Tests/run.py

test-epoll: test-packages ## the same where io_uring is forbidden
	@$(PYTHON) Tests/without_io_uring.py $(MAKE) --no-print-directory test

simulate-mutants: packages swift ## show that the simulator sees every planted defect
	@SWIFT=$(SWIFT) Tests/simulate-mutants.sh

fuzz: fuzz-configuration fuzz-http1 ## run each fuzz target for FUZZ_SECONDS; what it finds is left in .build/fuzz

fuzz-%: packages swift
	WEIR_FUZZ=1 $(SWIFT) build -c release --product $@ --scratch-path .build/fuzz -Xswiftc -sanitize=fuzzer
	@mkdir -p .build/fuzz/corpus-$*
	.build/fuzz/release/$@ -max_total_time=$(FUZZ_SECONDS) -timeout=10 \
		-artifact_prefix=.build/fuzz/ .build/fuzz/corpus-$* Tests/Corpus/$*

lint: test-packages build ## check the format of the code and what the program is linked to
	$(SWIFT) format lint --strict --recursive Sources Tests Package.swift
	$(PYTHON) -m py_compile $$(find Tests -name '*.py')
	@! ldd $(WEIR) | grep -E 'libswift|Foundation' || \
		{ echo 'The program must not need the Swift runtime or Foundation at run time.'; exit 1; }
	@! grep -rnE '/(home|root|Users)/' README.md docs configs || \
		{ echo 'The documentation names a folder of one machine.'; exit 1; }

bench: bench-packages build weir-bench ## measure Weir beside HAProxy and nginx; writes docs/benchmarks.md
	$(PYTHON) Tests/Benchmarks/bench.py --weir $(WEIR) --write-docs

profile: profile-packages build weir-bench ## count instructions of a request, and sample what takes the CPU's time
	$(PYTHON) Tests/Benchmarks/instructions.py --weir $(WEIR) --top 30
	@if perf record -q -e cpu-clock -o /dev/null true 2> /dev/null; then \
		$(PYTHON) Tests/Benchmarks/bench.py --weir $(WEIR) --profile http-small; \
		$(PYTHON) Tests/Benchmarks/bench.py --weir $(WEIR) --profile small; \
	else echo 'No samples of the CPU clock: perf is not to be had here.'; fi

profile-baseline: profile-packages build weir-bench ## make what a request costs now what the tests expect
	$(PYTHON) Tests/Benchmarks/instructions.py --weir $(WEIR) --write-baseline

upgrades: bench-packages build ## upgrade 20 times in a row under load, and count what clients notice
	$(PYTHON) Tests/Chaos/upgrades.py --weir $(WEIR)

chaos: bench-packages build ## kill, stop and start backends under load, and count what clients notice
	$(PYTHON) Tests/Chaos/chaos.py --weir $(WEIR)

reloads: bench-packages build ## reload 500 times in a minute under load, and count who notices
	$(PYTHON) Tests/Chaos/reloads.py --weir $(WEIR)

systemd: build ## run the systemd unit under a systemd of its own: start, reload, upgrade, crash, stop (root)
	$(PYTHON) Tests/Chaos/under_systemd.py --weir $(WEIR)

install: ## install program, manual, completions, systemd unit, sample configurations (PREFIX, DESTDIR)
	@test -x $(WEIR) || { echo 'Run make build first (as yourself), then make install.'; exit 1; }
	install -D -m 755 $(WEIR) $(DESTDIR)$(bindir)/weir
	@mkdir -p .build/install
	for page in $$($(WEIR) --man --list); do \
		$(WEIR) --man $$page > .build/install/$$page && install -D -m 644 .build/install/$$page \
			$(DESTDIR)$(mandir)/man$${page##*.}/$$page || exit 1; done
	for shell in bash zsh fish; do $(WEIR) completions $$shell > .build/install/$$shell || exit 1; done
	install -D -m 644 .build/install/bash $(DESTDIR)$(bashdir)/weir
	install -D -m 644 .build/install/zsh $(DESTDIR)$(zshdir)/_weir
	install -D -m 644 .build/install/fish $(DESTDIR)$(fishdir)/weir.fish
	sed -e 's|/usr/local/bin|$(bindir)|g' -e 's|/etc/weir|$(sysconfdir)/weir|g' \
		configs/weir.service > .build/install/weir.service
	install -D -m 644 .build/install/weir.service $(DESTDIR)$(unitdir)/weir.service
	sed -e 's|weir.schema.json|$(exampledir)/weir.schema.json|' -e 's|/etc/weir|$(sysconfdir)/weir|g' \
		configs/service.yaml > .build/install/weir.yaml
	test -e $(DESTDIR)$(sysconfdir)/weir/weir.yaml || \
		install -D -m 644 .build/install/weir.yaml $(DESTDIR)$(sysconfdir)/weir/weir.yaml
	for sample in $(samples); do \
		install -D -m 644 configs/$$sample $(DESTDIR)$(exampledir)/$$sample || exit 1; done

uninstall: ## remove what install put there, but for the configuration
	rm -f $(DESTDIR)$(bindir)/weir $(DESTDIR)$(unitdir)/weir.service
	rm -f $(DESTDIR)$(mandir)/man1/weir.1 $(DESTDIR)$(mandir)/man1/weir-*.1 $(DESTDIR)$(mandir)/man5/weir.yaml.5
	rm -f $(DESTDIR)$(bashdir)/weir $(DESTDIR)$(zshdir)/_weir $(DESTDIR)$(fishdir)/weir.fish
	for sample in $(samples); do rm -f $(DESTDIR)$(exampledir)/$$sample; done

deb: deb-packages build ## build a Debian package into .build/deb (docs/install.md)
	@MAKE=$(MAKE) packaging/deb/build $(WEIR) .build/deb

clean: ## remove everything that was built
	rm -rf .build
	find Tests \( -name __pycache__ -o -name .pytest_cache \) -prune -exec rm -rf {} +

packages:
	@.ci/install-packages $(build_packages)

run-packages:
	@.ci/install-packages $(build_packages) $(run_packages)

test-packages:
	@.ci/install-packages $(build_packages) $(test_packages)

deb-packages:
	@.ci/install-packages $(build_packages) $(deb_packages)

bench-packages:
	@.ci/install-packages $(build_packages) $(bench_packages)

profile-packages:
	@.ci/install-packages $(build_packages) $(profile_packages)

swift:
	@command -v $(SWIFT) > /dev/null || \
		{ echo 'No Swift toolchain found. Get Swift 6.2 or later: https://www.swift.org/install/linux/'; exit 1; }

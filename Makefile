# Every recipe is one that people run too. `make` alone lists them.
# CI calls lint, test, configs, package-check and instructions; the Dockerfile calls image-root.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules

CARGO ?= cargo
# The lock file is the truth; a build that would change it fails.
LOCKED := --locked
TOOLS := .cache/tools/bin
MUSL := x86_64-unknown-linux-musl
DEBUG := $(or $(CARGO_TARGET_DIR),target)/debug

# The commit that is built, for --version and the metric build_info: no time and no machine, so that a build
# can be repeated. Not for the builds of tests, which a commit would make anew.
COMMIT := $(shell git describe --always --exclude='*' --dirty --abbrev=12 2>/dev/null)
build image-binary target/pgo/portcullis: export PORTCULLIS_COMMIT ?= $(COMMIT)

# What the tests run besides the program.
TEST_TOOLS := proxies more-proxies upstreams stores providers browser api

# Fetches what $(1) names while cargo runs with the arguments $(2); both must succeed.
beside = tools/setup $(1) & setup=$$!; $(CARGO) $(2) || { kill $$setup 2>/dev/null; exit 1; }; wait $$setup

# Says why the first build takes a while; says nothing when there is a build already.
define explain-first-build
@[ -e $(DEBUG)/portcullis ] || printf '%s\n' \
	'compiling Portcullis and its 300 dependencies: about five minutes on two cores, once.' \
	'"make demo" and "make test" share this build; "make build" makes the optimised one.'
endef

# Demos run the build that the tests run. The example is there so that cargo gives the dependencies
# the same features in both; without it, it would build a second set.
DEMO_BUILD := build $(LOCKED) --bin portcullis --example checks

.PHONY: help
help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' Makefile

.PHONY: setup
setup: ## fetch the real proxies, stores and identity providers that tests and demo run, into .cache/tools
	tools/setup $(TEST_TOOLS)

.PHONY: build
build: ## release build
	$(CARGO) build $(LOCKED) --release

.PHONY: test
test: ## all tests, also those through the real proxies and stores
	$(explain-first-build)
	$(call beside,$(TEST_TOOLS),test $(LOCKED) --no-run)
	$(CARGO) test $(LOCKED)

.PHONY: console-screenshots
console-screenshots: ## take the pictures of docs/console.md again
	tools/setup $(TEST_TOOLS)
	$(CARGO) test $(LOCKED) --test it console::browser::screenshots -- --ignored

.PHONY: reference
reference: ## write docs/configuration.md, docs/cli.md and docs/config.schema.json again, from the types
	$(CARGO) run -q $(LOCKED) --example reference > target/configuration.md
	$(CARGO) run -q $(LOCKED) --example reference commands > target/cli.md
	$(CARGO) run -q $(LOCKED) --bin portcullis -- schema > target/config.schema.json
	mv target/configuration.md target/cli.md target/config.schema.json docs/

.PHONY: lint
lint: format-check clippy doc deny ## everything that needs no running program

.PHONY: format-check
format-check:
	$(CARGO) fmt --check

.PHONY: format
format: ## format all Rust code
	$(CARGO) fmt

.PHONY: clippy
clippy:
	$(CARGO) clippy $(LOCKED) --all-targets -- -D warnings

.PHONY: doc
doc: # --examples has cargo count the dependencies of tests in, as clippy does: nothing is built twice
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc $(LOCKED) --no-deps --document-private-items --lib --examples

.PHONY: deny
deny: ## licences, duplicate versions and sources of all dependencies
	tools/setup deny
	$(TOOLS)/cargo-deny $(LOCKED) check bans licenses sources

.PHONY: advisories
advisories: ## known vulnerabilities; needs GitHub, so it is not part of CI
	tools/setup deny
	$(TOOLS)/cargo-deny $(LOCKED) check advisories

.PHONY: configs
configs: setup ## load every shipped configuration into the program that it is for
	$(TOOLS)/envoy --mode validate --log-level warn -c envoy/envoy.yaml
	$(TOOLS)/envoy --mode validate --log-level warn -c envoy/envoy-http.yaml
	$(TOOLS)/apache2 -t -d "$(CURDIR)/proxies/apache" -f httpd.conf
	mkdir -p target/nginx && $(TOOLS)/nginx -t -q -p "$(CURDIR)/target/nginx" -c "$(CURDIR)/envoy/nginx.conf"
	$(TOOLS)/caddy validate --adapter caddyfile --config proxies/caddy/Caddyfile 2>/dev/null
	cd proxies/haproxy && ../../$(TOOLS)/haproxy -c -f haproxy.cfg
	$(CARGO) test $(LOCKED) --quiet --test it the_shipped_example_works # it builds the program, too
	tools/setup deploy
	PATH="$(CURDIR)/$(TOOLS):$$PATH" .cache/tools/venv/bin/python deploy/check.py \
		--portcullis $(DEBUG)/portcullis $(if $(CI),,--lenient)

.PHONY: package-check
package-check: ## a Debian package of the build that the tests run, and what it must hold; the bill of materials
	$(CARGO) $(DEMO_BUILD)
	tools/setup packages
	$(AS_COMMITTED) $(TOOLS)/cargo-deb --no-build --no-strip --profile dev --output target/check.deb
	python3 deploy/check_deb.py target/check.deb
	$(MAKE) --no-print-directory sbom

.PHONY: demo
demo: ## the whole story in a minute, on real proxies; KEEP=1 leaves it running
	$(explain-first-build)
	$(call beside,demo,$(DEMO_BUILD))
	.cache/tools/venv/bin/python demo/demo.py $(if $(KEEP),--keep)

.PHONY: pgo
pgo: target/pgo/portcullis ## release build optimised by what it does under load: a quarter less per check

target/pgo/portcullis: $(shell find src proto console -type f) build.rs Cargo.toml Cargo.lock .cargo/config.toml
	tools/setup proxies bench pgo
	$(CARGO) build $(LOCKED) --release --example kit
	tools/pgo

.PHONY: image-binary
image-binary: ## the static binary that goes into the image
	tools/setup musl
	CC_x86_64_unknown_linux_musl=musl-gcc $(CARGO) build $(LOCKED) --release --target $(MUSL)

.PHONY: image-root
image-root: image-binary ## the files of the image, below target/image
	rm -rf target/image
	install -D -m 755 target/$(MUSL)/release/portcullis target/image/usr/bin/portcullis
	install -D -m 644 LICENSE target/image/usr/share/doc/portcullis/LICENSE
	install -d -m 755 target/image/etc/portcullis
	install -d -m 700 target/image/var/lib/portcullis
	install -d -m 755 target/image/run/portcullis

.PHONY: image
image: ## the container image; needs docker
	docker build --build-arg PORTCULLIS_COMMIT=$(COMMIT) -t portcullis .

# A package that is built again from the same commit is the same.
AS_COMMITTED = SOURCE_DATE_EPOCH=$(shell git log -1 --format=%ct 2>/dev/null)

.PHONY: deb
deb: image-binary ## the Debian package with the static binary, in target/debian
	tools/setup packages
	$(AS_COMMITTED) $(TOOLS)/cargo-deb --no-build --target $(MUSL) --output target/debian/portcullis.deb
	python3 deploy/check_deb.py target/debian/portcullis.deb

.PHONY: sbom
sbom: ## the bill of materials of the program (CycloneDX), target/portcullis.cdx.json
	tools/setup packages
	$(AS_COMMITTED) $(TOOLS)/cargo-cyclonedx cyclonedx --format json --spec-version 1.5 --target $(MUSL) \
		--override-filename portcullis.cdx
	mv portcullis.cdx.json target/

.PHONY: replicas
replicas: ## three replicas on three NATS servers: what each does when one dies or is cut off
	$(explain-first-build)
	$(call beside,demo stores,$(DEMO_BUILD))
	.cache/tools/venv/bin/python demo/replicas.py

# The server is built on its own and last: built together with an example, it would get the
# features that only tests ask of the runtime.
.PHONY: bench
bench: $(if $(PGO),pgo) ## measure every promise about speed; writes docs/performance.md; PGO=1 takes that build
	tools/setup proxies bench
	$(CARGO) build $(LOCKED) --release --example allow_all --example obvious --example kit
	$(CARGO) build $(LOCKED) --release --bin portcullis
	$(if $(PGO),PORTCULLIS=target/pgo/portcullis) python3 benches/run.py

.PHONY: bench-replicas
bench-replicas: ## measure three replicas on three NATS servers; writes docs/performance.md
	tools/setup stores
	$(CARGO) build $(LOCKED) --release --example kit
	$(CARGO) build $(LOCKED) --release --bin portcullis
	python3 benches/propagation.py

.PHONY: bench-steps
bench-steps: ## time every step of a check on its own
	$(CARGO) bench $(LOCKED) --bench steps

.PHONY: instructions
instructions: ## count the instructions of a check and hold them against the budget
	tools/setup bench
	tools/instructions

# The dependencies are those of Cargo.lock. The kept inputs are read; what is found on the way goes to target/fuzz.
SECONDS_EACH ?= 60
.PHONY: fuzz
fuzz: ## fuzz each parser for a minute, or SECONDS_EACH; needs a nightly toolchain, a C++ compiler and cargo-fuzz
	@$(CARGO) +nightly fuzz --version >/dev/null || { \
		echo 'needs: rustup toolchain install nightly; cargo install cargo-fuzz'; exit 1; }
	cp Cargo.lock fuzz/
	for target in $$($(CARGO) +nightly fuzz list); do \
		mkdir -p target/fuzz/$$target; \
		$(CARGO) +nightly fuzz run $$target target/fuzz/$$target fuzz/corpus/$$target \
			-- -max_total_time=$(SECONDS_EACH) -timeout=10; \
	done

.PHONY: soak
soak: ## ten minutes at full load with events and key rotations
	tools/setup bench
	$(CARGO) build $(LOCKED) --release --example kit
	$(CARGO) build $(LOCKED) --release --bin portcullis
	python3 benches/soak.py

# Weir. `make run` and `make test` are all that is needed on a fresh machine with a Rust tool-chain (rustup),
# make and a C compiler; what else is missing they install, and say so.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help run test test-tools soak component lint lint-dependencies lint-advisories lint-template bench wasm-toolchain \
  package package-x86_64 package-arm64 package-slim package-check bench-lambda

CARGO ?= cargo
COMPONENT := target/component/weir_logic.wasm
MISBEHAVING := target/component/weir_misbehaving.wasm
FAULTY := target/component/weir_faulty.wasm
WEEKLY := target/component/weir_weekly.wasm
FOREIGN := target/component/weir_foreign.wasm
HOST_NODE := target/node-hosts
HOST_PYTHON := target/venv-hosts
MINISTACK_VENV := target/venv-ministack
MINISTACK := $(MINISTACK_VENV)/bin/ministack
SAM_VENV := target/venv-sam
SAM := $(SAM_VENV)/bin/sam
RUNTIME_INTERFACE_EMULATOR := target/lambda/aws-lambda-rie
CLIENTS := $(addprefix target/venv-client-,$(addsuffix /installed,0.9.1 0.10.0 0.10.3 0.17.0))
GUEST_SOURCES := $(shell find guest/src -name '*.rs') guest/build.rs guest/Cargo.toml .cargo/config.toml Cargo.toml Cargo.lock wit/aggregator.wit

# This machine's architecture, as Lambda calls it; `make package-$(HOST_ARCHITECTURE)` builds what runs here.
HOST_ARCHITECTURE := $(if $(filter aarch64 arm64,$(shell uname -m)),arm64,x86_64)

# Which tool-chain builds the component: rustup's target wasm32-wasip2, or Debian's packages. `auto` takes
# rustup's where it is installed or can be added.
WASM_TOOLCHAIN ?= auto
DEBIAN_PACKAGES := rustc-web cargo-web rust-web-src rust-web-llvm
RUST_HOST := $(shell rustc -vV 2>/dev/null | sed -n 's/^host: //p')
RUST_LIB := $(shell rustc --print sysroot 2>/dev/null)/lib/rustlib

ifeq ($(WASM_TOOLCHAIN),auto)
  ifneq ($(wildcard $(RUST_LIB)/wasm32-wasip2),)
    override WASM_TOOLCHAIN := rustup
  else ifneq ($(RUSTUP_AUTO_INSTALL),0)
    override WASM_TOOLCHAIN := rustup
  else
    override WASM_TOOLCHAIN := debian
  endif
endif

help: ## Say what can be made
	@echo "Weir: a stream aggregator for DynamoDB rate limiters"; echo
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

run: $(COMPONENT) ## Build everything and run the demo (the first time takes about ten minutes)
	@echo "Building the host; the first time this takes some minutes, later seconds."
	$(CARGO) build --quiet -p weir-cli
	target/debug/weir compile $(COMPONENT)
	target/debug/weir demo $(DEMO)

component: $(COMPONENT) ## Build the component, target/component/weir_logic.wasm

# A component is a crate without std, built in a target folder of its own for each tool-chain.
BUILD_rustup = $(CARGO) build
BUILD_debian = RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1 PATH="$$PATH:$(RUST_LIB)/$(RUST_HOST)/bin:$(RUST_LIB)/$(RUST_HOST)/bin/gcc-ld" /usr/bin/cargo build -Zbuild-std=core,alloc

# Installs what a package.json lists into a folder of its own. The last file that npm writes is $(INSTALLED).
INSTALLED := node_modules/.package-lock.json
define install_from_npm
	@echo "Installing what $< lists."
	@mkdir -p $(@:/$(INSTALLED)=)
	@cp $^ $(@:/$(INSTALLED)=)
	npm ci --prefix $(@:/$(INSTALLED)=) --silent --no-audit --no-fund
	@touch $@
endef

define build_component
	@echo "Building $(@F) with $(WASM_TOOLCHAIN)'s tool-chain."
	$(BUILD_$(WASM_TOOLCHAIN)) --quiet -p $(subst _,-,$(basename $(@F))) --target wasm32-wasip2 --profile component --target-dir target/wasm-$(WASM_TOOLCHAIN)
	@mkdir -p $(@D)
	cp target/wasm-$(WASM_TOOLCHAIN)/wasm32-wasip2/component/$(@F) $@
	@echo "$@: $$(stat -c %s $@) bytes"
endef

$(COMPONENT): $(GUEST_SOURCES) | wasm-toolchain
	$(build_component)

$(MISBEHAVING): $(wildcard tests/components/misbehaving/src/*.rs) tests/components/misbehaving/Cargo.toml guest/src/runtime.rs $(wildcard guest/src/runtime/*.rs) .cargo/config.toml wit/aggregator.wit Cargo.toml Cargo.lock | wasm-toolchain
	$(build_component)

# Fails where a test wants it to, in the midst of exchanging components.
$(FAULTY): $(wildcard tests/components/faulty/src/*.rs) tests/components/faulty/Cargo.toml tests/components/misbehaving/src/endless.rs $(GUEST_SOURCES) | wasm-toolchain
	$(build_component)

# The example of docs/writing-a-component.md, which is built on the real one.
$(WEEKLY): $(wildcard tests/components/weekly/src/*.rs) tests/components/weekly/Cargo.toml $(GUEST_SOURCES) | wasm-toolchain
	$(build_component)

# In another language, made by a tool from npm.
FOREIGN_TOOL := target/node-foreign
$(FOREIGN): $(wildcard tests/components/foreign/*.js) tests/components/foreign/wit/world.wit wit/aggregator.wit $(FOREIGN_TOOL)/$(INSTALLED)
	@echo "Building $(@F) of JavaScript."
	@mkdir -p $(@D) $(FOREIGN_TOOL)/wit/deps
	@cp tests/components/foreign/wit/world.wit $(FOREIGN_TOOL)/wit
	@cp wit/aggregator.wit $(FOREIGN_TOOL)/wit/deps
	$(FOREIGN_TOOL)/node_modules/.bin/componentize-qjs --sync --opt-size --wit $(FOREIGN_TOOL)/wit --world foreign --js tests/components/foreign/logic.js --output $@ >/dev/null
	@echo "$@: $$(stat -c %s $@) bytes"

$(FOREIGN_TOOL)/$(INSTALLED): tests/components/foreign/package.json tests/components/foreign/package-lock.json
	$(install_from_npm)

wasm-toolchain:
ifeq ($(WASM_TOOLCHAIN),rustup)
	@test -d $(RUST_LIB)/wasm32-wasip2 || { echo "Adding rustup's target wasm32-wasip2."; rustup target add wasm32-wasip2; }
else
	$(call install_debian,$(DEBIAN_PACKAGES),build for targets that rustup has not)
endif

# Installs packages that are missing: $(call install_debian,PACKAGES,PURPOSE).
define install_debian
@if ! dpkg -s $1 >/dev/null 2>&1; then \
  if [ "$$(id -u)" != 0 ]; then echo "To $2, install as root: apt-get install $1" >&2; exit 1; fi; \
  echo "Installing $1."; \
  apt-get update -qq; DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $1 >/dev/null; \
fi
endef

lint: lint-dependencies ## Check formatting, lints, documentation and dependencies
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --quiet --workspace --no-deps

# --- What the dependencies are (deny.toml): licences, copies, sources. Advisories only where their database is reached.
CARGO_DENY := target/tools/bin/cargo-deny
ADVISORIES := https://github.com/rustsec/advisory-db

lint-dependencies: $(CARGO_DENY) ## Check licences, copies and sources of dependencies
	$(CARGO_DENY) --all-features check --hide-inclusion-graph licenses bans sources
	@if GIT_TERMINAL_PROMPT=0 timeout 20 git ls-remote --quiet $(ADVISORIES) HEAD >/dev/null 2>&1; then \
	  $(MAKE) --no-print-directory lint-advisories; \
	else echo "Advisories are not checked: $(ADVISORIES) is out of reach."; fi

lint-advisories: $(CARGO_DENY)
	$(CARGO_DENY) --all-features check advisories

$(CARGO_DENY):
	@echo "Installing cargo-deny; this takes some minutes."
	$(CARGO) install --quiet --locked --root target/tools --target-dir target/tools/build cargo-deny@0.20.2
	@rm -rf target/tools/build

# Tests that need one of these are left out elsewhere, and say so. In CI none is.
TEST_TOOLS := $(strip $(if $(shell command -v node),,nodejs) $(if $(shell command -v npm),,npm) $(if $(shell command -v jq),,jq))

test-tools:
	$(if $(TEST_TOOLS),$(call install_debian,$(TEST_TOOLS),run every test))

# What npm installs is left out where there is no npm, and so are the tests that need it, which say so.
FROM_NPM := $(if $(shell command -v npm),$(FOREIGN) $(HOST_NODE)/$(INSTALLED))
COMPONENTS := $(COMPONENT) $(MISBEHAVING) $(FAULTY) $(WEEKLY)

test: $(COMPONENTS) $(FROM_NPM) $(MINISTACK) $(HOST_PYTHON)/installed $(RUNTIME_INTERFACE_EMULATOR) $(CLIENTS) lint-template package-$(HOST_ARCHITECTURE) ## Run every test
	$(CARGO) build --quiet -p weir-cli
	target/debug/weir compile $(COMPONENT)
	$(CARGO) test --workspace

# Other hosts of components, to run the component in: Node.js by way of jco, and Python's wasmtime.
$(HOST_NODE)/$(INSTALLED): tests/hosts/package.json tests/hosts/package-lock.json
	$(install_from_npm)

$(HOST_PYTHON)/installed: tests/hosts/requirements.txt
	@echo "Installing Python's wasmtime for the tests."
	python3 -m venv $(HOST_PYTHON)
	$(HOST_PYTHON)/bin/pip install --quiet --disable-pip-version-check -r $<
	@touch $@

# A second, independent DynamoDB to test against.
$(MINISTACK):
	@echo "Installing ministack for the tests."
	python3 -m venv $(MINISTACK_VENV)
	$(MINISTACK_VENV)/bin/pip install --quiet --disable-pip-version-check ministack==1.5.33

# --- AWS's own tools: the SAM command line tools, with cfn-lint, and the runtime interface emulator in their wheel.
# Later versions of cfn-lint pass over the events of functions.
$(SAM):
	@echo "Installing the SAM command line tools for the tests."
	python3 -m venv $(SAM_VENV)
	$(SAM_VENV)/bin/pip install --quiet --disable-pip-version-check --only-binary :all: aws-sam-cli==1.170.0 cfn-lint==1.53.3

$(RUNTIME_INTERFACE_EMULATOR): $(SAM)
	@mkdir -p $(@D)
	cp $(SAM_VENV)/lib/python3*/site-packages/samcli/local/rapid/aws-lambda-rie-$(HOST_ARCHITECTURE) $@
	@chmod +x $@

# --- The template, by both linters.
TEMPLATE ?= deploy/template.yaml

lint-template: $(SAM) ## Check the deployment's template
	$(SAM_VENV)/bin/cfn-lint $(TEMPLATE)
	SAM_CLI_TELEMETRY=0 AWS_DEFAULT_REGION=us-east-1 $(SAM) validate --lint --template $(TEMPLATE)

# The real clients of the rate limiter, each version in an environment of its own. Wheels only: a client built from
# source builds what it depends on as well, without end.
target/venv-client-%/installed:
	@echo "Installing zae-limiter $* for the tests."
	python3 -m venv target/venv-client-$*
	target/venv-client-$*/bin/pip install --quiet --disable-pip-version-check --only-binary :all: zae-limiter==$*
	@touch $@

# The same tests as in `make test`, with more traffic: about ten minutes.
soak: $(COMPONENT) $(CLIENTS) ## Play more traffic of the real clients
	$(CARGO) build --quiet -p weir-cli
	WEIR_TEST_VOLUME=$(VOLUME) $(CARGO) test -p weir-tests --test clients --test side_by_side

VOLUME ?= 60

# --- The package for AWS Lambda -----------------------------------------------------------------------------
# Zig's linker builds for the C library of the runtime provided.al2023, whatever this machine has. The standard
# library of the other architecture is rustup's, or is built from Debian's source.

GLIBC := 2.34
PACKAGE := target/package
PACKAGE_FEATURES ?= compiler,wasi
PACKAGE_VENV := target/venv-package
ZIGBUILD := $(PACKAGE_VENV)/bin/cargo-zigbuild
TRIPLE_x86_64 := x86_64-unknown-linux-gnu
TRIPLE_arm64 := aarch64-unknown-linux-gnu

# For each architecture: rustup, where its target is installed or can be added, or debian.
PACKAGE_TOOLCHAIN ?= auto
package_toolchain = $(if $(filter-out auto,$(PACKAGE_TOOLCHAIN)),$(PACKAGE_TOOLCHAIN),$\
  $(if $(wildcard $(RUST_LIB)/$(TRIPLE_$1)),rustup,$(if $(filter 0,$(RUSTUP_AUTO_INSTALL)),debian,rustup)))

PACKAGE_BUILD_rustup = $(CARGO) zigbuild
PACKAGE_BUILD_debian = RUSTC=/usr/bin/rustc CARGO=/usr/bin/cargo RUSTC_BOOTSTRAP=1 /usr/bin/cargo zigbuild -Zbuild-std=std,panic_unwind

package: package-x86_64 package-arm64 ## Build the zips for AWS Lambda, for both architectures, and run what is in them
	$(MAKE) --no-print-directory package-check

package-x86_64 package-arm64: package-%: $(COMPONENT) $(ZIGBUILD)
	@echo "Building the package for $* with $(call package_toolchain,$*)'s tool-chain, features $(PACKAGE_FEATURES)."
	$(if $(filter debian,$(call package_toolchain,$*)),$(call install_debian,$(DEBIAN_PACKAGES),build for $*),$\
	  @test -d $(RUST_LIB)/$(TRIPLE_$*) || { echo "Adding rustup's target $(TRIPLE_$*)."; rustup target add $(TRIPLE_$*); })
	PATH="$(CURDIR)/$(PACKAGE_VENV)/bin:$$PATH" $(PACKAGE_BUILD_$(call package_toolchain,$*)) --quiet -p weir-cli --profile lambda \
	  --no-default-features --features $(PACKAGE_FEATURES) --target $(TRIPLE_$*).$(GLIBC) --target-dir target/lambda-$(call package_toolchain,$*)
	$(CARGO) build --quiet -p weir-cli
	@rm -rf $(PACKAGE)/$* $(PACKAGE)/weir-$*.zip; mkdir -p $(PACKAGE)/$*
	@cp target/lambda-$(call package_toolchain,$*)/$(TRIPLE_$*)/lambda/weir $(PACKAGE)/$*/bootstrap
	@cp $(COMPONENT) $(PACKAGE)/$*/
	target/debug/weir compile $(COMPONENT) --target $(TRIPLE_$*) -o $(PACKAGE)/$*/weir_logic.cwasm
	@newest=$$(readelf -VW $(PACKAGE)/$*/bootstrap | grep -o 'GLIBC_[0-9.]*' | sort -uV | tail -n 1); \
	if ! printf '%s\n' "$$newest" GLIBC_$(GLIBC) | sort -VC; then \
	  echo "The program needs $$newest; provided.al2023 has GLIBC_$(GLIBC)." >&2; exit 1; fi; \
	echo "The program needs $$newest, and nothing newer."
	@cd $(PACKAGE)/$*; TZ=UTC touch -d 1980-01-01 *; TZ=UTC python3 -m zipfile -c ../weir-$*.zip bootstrap weir_logic.wasm weir_logic.cwasm
	@stat -c '%12s bytes  %n' $(PACKAGE)/weir-$*.zip $(PACKAGE)/$*/*

package-slim: ## Build the package of this machine's architecture without a compiler: it runs precompiled components only
	$(MAKE) --no-print-directory package-$(HOST_ARCHITECTURE) PACKAGE=$(PACKAGE)/slim PACKAGE_FEATURES=wasi

# Runs each package that is built: it plans a recorded event as the development build does, and starts as Lambda starts
# it, with the precompiled component, up to a Runtime API that nobody serves.
FOREIGN_ARCHITECTURE := $(filter-out $(HOST_ARCHITECTURE),x86_64 arm64)
EMULATOR_x86_64 := qemu-x86_64-static -L /usr/x86_64-linux-gnu
EMULATOR_arm64 := qemu-aarch64-static -L /usr/aarch64-linux-gnu
EMULATOR_PACKAGES_x86_64 := qemu-user-static libc6-amd64-cross
EMULATOR_PACKAGES_arm64 := qemu-user-static libc6-arm64-cross
RECORDED_EVENT := $(PACKAGE)/event.json

package-check: $(RECORDED_EVENT) ## Run the packages that are built, the one for the other architecture in an emulator
	$(CARGO) build --quiet -p weir-cli
	$(call try_package,$(HOST_ARCHITECTURE))
	$(if $(wildcard $(PACKAGE)/$(FOREIGN_ARCHITECTURE)),$\
	  $(call install_debian,$(EMULATOR_PACKAGES_$(FOREIGN_ARCHITECTURE)),run the package for $(FOREIGN_ARCHITECTURE)))
	$(if $(wildcard $(PACKAGE)/$(FOREIGN_ARCHITECTURE)),$\
	  $(call try_package,$(FOREIGN_ARCHITECTURE),$(EMULATOR_$(FOREIGN_ARCHITECTURE))))

REPLAY = replay $(RECORDED_EVENT) --now 1704110460000 --component
NOWHERE = env -i PATH="$$PATH" AWS_LAMBDA_RUNTIME_API=127.0.0.1:1 AWS_REGION=us-east-1 AWS_LAMBDA_FUNCTION_NAME=check \
  AWS_LAMBDA_FUNCTION_VERSION=1 AWS_LAMBDA_FUNCTION_MEMORY_SIZE=512 AWS_LAMBDA_LOG_GROUP_NAME=check AWS_LAMBDA_LOG_STREAM_NAME=check

define try_package
@echo "Running the package for $1$(if $2, in $(firstword $2))."
$2 $(PACKAGE)/$1/bootstrap inspect $(PACKAGE)/$1/weir_logic.wasm
@target/debug/weir $(REPLAY) $(COMPONENT) >$(PACKAGE)/expected.plan
@$2 $(PACKAGE)/$1/bootstrap $(REPLAY) $(PACKAGE)/$1/weir_logic.wasm >$(PACKAGE)/$1.plan
@cmp $(PACKAGE)/expected.plan $(PACKAGE)/$1.plan
@said=$$($(NOWHERE) $2 $(PACKAGE)/$1/bootstrap 2>&1 || true); \
case "$$said" in \
  *"compiled at the start"*) echo "It does not use the precompiled component: $$said" >&2; exit 1;; \
  *"cannot serve invocations"*) ;; \
  *) echo "It does not start: $$said" >&2; exit 1;; \
esac
@echo "The package for $1 plans a recorded event as the development build does, and starts with the precompiled component."
endef

$(RECORDED_EVENT): tests/vectors/generation-c.json
	@mkdir -p $(@D)
	python3 -c 'import json, sys; print(json.dumps(max((b["event"] for b in json.load(open(sys.argv[1]))["batches"]), key=lambda e: len(e.get("Records", [])))))' $< >$@

$(ZIGBUILD):
	@echo "Installing cargo-zigbuild and zig for the package."
	python3 -m venv $(PACKAGE_VENV)
	$(PACKAGE_VENV)/bin/pip install --quiet --disable-pip-version-check --only-binary :all: cargo-zigbuild==0.24.1 ziglang==0.17.1

# The aggregator that Weir is measured against, from its wheel.
AGGREGATOR_VENV := target/venv-aggregator
AGGREGATOR := $(AGGREGATOR_VENV)/bin/zae-limiter

bench: $(COMPONENT) $(AGGREGATOR) ## Measure planning, natively, in the component and beside the Python aggregator, and exchanging components
	$(CARGO) bench -p weir-tests --bench plan -- $(BENCH)
	$(CARGO) bench -p weir-tests --bench schedule
	$(CARGO) bench -p weir-tests --bench policy
	$(CARGO) bench -p weir-tests --bench swap

bench-lambda: package-$(HOST_ARCHITECTURE) $(AGGREGATOR) ## Measure cold start, invocations and memory beside the Python aggregator
	$(MAKE) --no-print-directory package-slim
	$(CARGO) bench -p weir-tests --bench cold_start -- $(BENCH)

$(AGGREGATOR):
	@echo "Installing the Python aggregator to measure against."
	python3 -m venv $(AGGREGATOR_VENV)
	$(AGGREGATOR_VENV)/bin/pip install --quiet --disable-pip-version-check --only-binary :all: zae-limiter==0.10.3 boto3

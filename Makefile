# Weir. `make run` and `make test` are all that is needed on a fresh machine with a Rust tool-chain (rustup),
# make and a C compiler; what else is missing they install, and say so.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help run test soak component lint lint-template bench wasm-toolchain

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
GUEST_SOURCES := $(shell find guest/src -name '*.rs') guest/Cargo.toml Cargo.toml Cargo.lock wit/aggregator.wit

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
	$(CARGO) build --quiet -p weir
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

$(MISBEHAVING): $(wildcard tests/components/misbehaving/src/*.rs) tests/components/misbehaving/Cargo.toml guest/src/runtime.rs wit/aggregator.wit Cargo.toml Cargo.lock | wasm-toolchain
	$(build_component)

# Fails where a test wants it to, in the midst of exchanging components.
$(FAULTY): $(wildcard tests/components/faulty/src/*.rs) tests/components/faulty/Cargo.toml $(GUEST_SOURCES) | wasm-toolchain
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
	@if ! dpkg -s $(DEBIAN_PACKAGES) >/dev/null 2>&1; then \
	  if [ "$$(id -u)" != 0 ]; then echo "To build the component, install as root: apt-get install $(DEBIAN_PACKAGES)" >&2; exit 1; fi; \
	  echo "Installing $(DEBIAN_PACKAGES)."; \
	  apt-get update -qq; DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $(DEBIAN_PACKAGES) >/dev/null; \
	fi
endif

lint: ## Check formatting, lints and documentation
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --quiet --workspace --no-deps

# What npm installs is left out where there is no npm, and so are the tests that need it, which say so.
FROM_NPM := $(if $(shell command -v npm),$(FOREIGN) $(HOST_NODE)/$(INSTALLED))
COMPONENTS := $(COMPONENT) $(MISBEHAVING) $(FAULTY) $(WEEKLY)

test: $(COMPONENTS) $(FROM_NPM) $(MINISTACK) $(HOST_PYTHON)/installed $(RUNTIME_INTERFACE_EMULATOR) $(CLIENTS) lint-template ## Run every test
	$(CARGO) build --quiet -p weir
	target/debug/weir compile $(COMPONENT)
	$(CARGO) test --workspace

bench: $(COMPONENT) ## Measure planning, natively and in the component, and exchanging components
	$(CARGO) bench -p weir-tests --bench plan
	$(CARGO) bench -p weir-tests --bench swap

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
	cp $(SAM_VENV)/lib/python3*/site-packages/samcli/local/rapid/aws-lambda-rie-$(if $(filter aarch64 arm64,$(shell uname -m)),arm64,x86_64) $@
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
	$(CARGO) build --quiet -p weir
	WEIR_TEST_VOLUME=$(VOLUME) $(CARGO) test -p weir-tests --test clients --test side_by_side

VOLUME ?= 60

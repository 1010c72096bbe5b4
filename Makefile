# Targets: run, test, build, lint, fmt, docker-check, bench, clean-demo.
# Each installs what it needs by apt-get where it is missing (see scripts/need).

CARGO ?= cargo
RUNSC := target/release/runsc

.PHONY: all run test build lint fmt docker-check clean-demo

all: build

build:
	scripts/need gcc=gcc
	$(CARGO) build --release -p runsc

# A container from a real bundle, with an output to believe.
run: build
	scripts/demo $(RUNSC)

test:
	scripts/test

lint:
	$(CARGO) fmt --all -- --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings

fmt:
	$(CARGO) fmt --all

# The stock Docker client and daemon with this runtime. CHECK is the program that tries
# what a Docker user does; CHECK_ARGS chooses among its rows.
docker-check: build
	scripts/need docker=docker.io iptables=iptables ip=iproute2 jq=jq
	scripts/docker-rows $(RUNSC)

clean-demo:
	rm -rf target/demo

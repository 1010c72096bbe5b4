# Targets: run, test, build, lint, fmt, docker-check, cri-check, clean-demo, and suite-libuv,
# suite-libevent, suite-cpython, suite-go, suite-sqlite,
# suite-kselftest, suite-pjdfstest, suite-crun, suite-runc, bench-check.
# Each installs what it needs by apt-get where it is missing (see scripts/need).

CARGO ?= cargo
RUNSC := target/release/runsc

.PHONY: all run test build lint fmt docker-check cri-check suite-crun suite-runc bench-check clean-demo

all: build

build:
	scripts/need gcc=gcc /usr/include/stdio.h=libc6-dev
	$(CARGO) build --release -p runsc -p shim

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

# What a Docker user does first, with the stock client, daemon and shim.
docker-check: build
	scripts/docker-rows $(RUNSC)

# Pods through containerd's CRI: under the shim of runc and under our own.
cri-check: build
	scripts/cri-check $(RUNSC)

# A test suite that others wrote, compared with what is expected of it.
suite-%: build
	tests/suites/run.sh $*

# The tests of other runtimes, against this one.
suite-crun suite-runc: suite-%: build
	tests/clients/$*.sh

# The main rows beside the committed table, as ratios to native; by hand, on a quiet machine.
bench-check: build
	scripts/bench-check $(RUNSC)

clean-demo:
	rm -rf target/demo

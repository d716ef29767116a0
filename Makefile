# Everything a newcomer or a machine does here is one word. `make help` lists them.

PREFIX ?= /usr/local
BIN := build/causeway
PYTHON ?= python3
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help setup build wheel develop demo demo-bond demo-messaging test bench bench-bond bench-messaging fuzz lint format install clean

help:  ## list these words
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):[^#]*## */\1\t/' | awk -F '\t' '{ printf "  make %-14s %s\n", $$1, $$2 }'

setup:  ## install what building, testing and measuring need (apt; does nothing when all is there)
	@scripts/setup.sh build test bench bench-bond bench-messaging

build:  ## the release binary, stripped and checked, at build/causeway
	@scripts/setup.sh build
	@scripts/build.sh

wheel:  ## the Python package, at build/dist
	@scripts/setup.sh build wheel
	@$(PYTHON) scripts/wheel.py $(ARGS)

develop:  ## the Python package's libraries beside its sources, for PYTHONPATH=python
	@scripts/setup.sh build wheel
	@$(PYTHON) scripts/wheel.py --develop $(ARGS)

demo:  ## relay, tunnel and faults in one readable transcript; every line is a check
	@scripts/setup.sh build demo
	@scripts/build.sh
	@$(PYTHON) scripts/demo.py $(ARGS)

demo-bond:  ## two shaped links, the bond over both, one pulled mid-transfer and put back (root)
	@scripts/setup.sh build demo-bond
	@scripts/build.sh
	@scripts/build-tools.sh
	@$(PYTHON) scripts/demo-bond.py $(ARGS)

demo-messaging:  ## 1 GiB both ways at once between two processes, then one of them is killed
	@scripts/setup.sh build demo-messaging
	@scripts/build.sh
	@scripts/build-tools.sh messaging-demo
	@$(PYTHON) scripts/demo-messaging.py $(ARGS)

test:  ## every test: lint, unit, simulated, end to end (ARGS="--only http" for a part)
	@scripts/setup.sh build wheel test
	@$(PYTHON) scripts/test.py $(ARGS)

bench:  ## the table of speed and memory beside nginx and ssh (ARGS="--quick", "--only NAME,...")
	@scripts/setup.sh build bench
	@scripts/build.sh
	@$(PYTHON) Benchmarks/run.py $(ARGS)

bench-bond:  ## the bond beside MPTCP and wireguard-go, on good, lossy and dying links (root; ARGS="--quick", "--only CASE,...")
	@scripts/setup.sh build bench-bond
	@scripts/build.sh
	@scripts/build-tools.sh
	@$(PYTHON) Benchmarks/bond.py $(ARGS)

bench-messaging:  ## messages beside raw UCX and Starway, over shared memory and TCP (ARGS="--quick", "--only CASE,...", "--publish")
	@scripts/setup.sh build wheel bench-messaging
	@scripts/build-tools.sh messaging-peer
	@$(PYTHON) scripts/wheel.py --develop
	@$(PYTHON) Benchmarks/messaging.py $(ARGS)

fuzz:  ## each decoder for a minute, from the kept corpus
	@scripts/setup.sh build
	@scripts/fuzz.sh $(ARGS)

lint:  ## formatting and the house's rules, changing nothing
	@scripts/lint.sh

format:  ## format every Swift file in place
	@swift format --in-place --parallel --recursive Package.swift Sources Tests $(wildcard Fuzz)

install:  ## the binary, its completions and the README under PREFIX (default /usr/local)
	@scripts/install.sh "$(DESTDIR)$(PREFIX)" "$(PREFIX)"

clean:  ## remove what was built
	rm -rf .build .build-* build

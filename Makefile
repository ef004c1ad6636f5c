# Everything a person or a machine runs here. Needs Rust and a C compiler, nothing else.

CARGO ?= cargo
# One profile for demo, tests and bench; see Cargo.toml.
BIN := $(if $(CARGO_TARGET_DIR),$(CARGO_TARGET_DIR),target)/debug
VENV := $(if $(CARGO_TARGET_DIR),$(CARGO_TARGET_DIR),target)/python
# COLD=0: `make bench` leaves out compiling everything from nothing.
COLD ?=
# Options of the demo.
KEEP ?=
DIR ?=
# Which planted bugs.
ONLY ?=
# Options of the simulation.
SEEDS ?=
FIRST ?=
WITHIN ?=
TRACE ?=
LOG ?=

.PHONY: help build examples params demo test test-long test-grpc test-sim mutants python bench bench-sched bench-index bench-transfer bench-scrub bench-post sim sim-day sim-there fmt lint deny

help:
	@echo "make demo [KEEP=1] [DIR=PATH]  a whole cluster on this machine: seal, prove, lose workers, recover"
	@echo "make test                      all tests; sets itself up"
	@echo "make test-long                 the tests that take long"
	@echo "make test-grpc                 reflection and health, asked by Python's gRPC (needs python3)"
	@echo "make mutants [ONLY=WORD] [DIR=PATH]  planted bugs, one at a time, each caught by a named test"
	@echo "make bench [COLD=0]            every promised figure, and whether it holds; compiles everything from nothing"
	@echo "                               too, unless COLD=0; fails when a promise is missed"
	@echo "make bench-sched [QUICK=1]     what the scheduler costs: its core alone, and as a service; part of bench"
	@echo "make bench-index [QUICK=1]     what the index costs with 1,000 paths and a million sectors; part of bench"
	@echo "make bench-transfer [QUICK=1] [DIR=PATH]  transfers between workers, against curl and rsync; part of bench"
	@echo "make bench-scrub [QUICK=1]     a scrub, against sha256sum; and how fast the trees over replicas are; part of bench"
	@echo "make bench-post [QUICK=1]      what PoSt costs beyond the proofs: makespan, reads, failover, messages; part of bench"
	@echo "make sim [SEEDS=N] [FIRST=M]   the services on a simulated network under faults, seeds M to M+N-1"
	@echo "         [WITHIN=SECONDS] [TRACE=1] [LOG=info]"
	@echo "make sim-day [SEEDS=N] ...     the same for proving days: no partition is missed that could have been proven"
	@echo "make fmt | lint | deny         form, lints, licences (deny needs cargo-deny)"

# The example is one that tests use. With it dependencies get the features that they have in tests: without it the crates
# that start services are compiled once for the programs, and again for the tests.
build:
	$(CARGO) build --locked --workspace --bins --example faux_sectors

# Benchmarks, and programs that they use.
examples: build
	$(CARGO) build --locked --workspace --examples

# Kept outside the repository; seconds when they are there already.
params: build
	$(BIN)/sp-ctl params generate --sector-size 2KiB

demo: build
	$(BIN)/sp-ctl demo $(if $(filter-out 0 no false,$(KEEP)),--keep) $(if $(DIR),--dir "$(DIR)")

# Not the benchmarks (lint compiles them), and there are no tests in documentation.
test: build params
	$(CARGO) test --locked --workspace --lib --bins --tests --no-fail-fast
	@$(MAKE) --no-print-directory test-sim sim
	@$(MAKE) --no-print-directory sim-day SEEDS=20 WITHIN=60

test-long: build params
	$(CARGO) test --locked --workspace --test rules -- --ignored
	$(CARGO) test --locked --workspace --test week -- --ignored --nocapture
	$(CARGO) test --locked -p proofs-core --lib --test stages -- --ignored
	$(CARGO) test --locked -p sp-tests --no-fail-fast -- --ignored --skip python --test-threads 1 --nocapture

# Bugs are planted into a copy of the tree below DIR, the system's temporary directory if it is empty.
mutants:
	$(CARGO) build --locked -p sp-mutants
	ONLY="$(ONLY)" DIR="$(DIR)" $(BIN)/sp-mutants

# grpcio in a virtual environment of its own below the target directory.
python:
	test -x $(VENV)/bin/python || python3 -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet -r tests/foreign/requirements.txt

test-grpc: build params python
	SP_TEST_PYTHON=$(abspath $(VENV))/bin/python $(CARGO) test --locked --workspace --test foreign_client -- --ignored --nocapture

# Upstream's labels use the processor's SHA instructions only if it is compiled for them; ours are chosen at run time.
SHA := $(shell grep -qw sha_ni /proc/cpuinfo 2>/dev/null && echo 1)
SHA_FLAGS := -C target-feature=+sha,+ssse3,+sse4.1

bench: examples params
	$(if $(SHA),CARGO_TARGET_DIR="$(dir $(BIN))upstream-sha" RUSTFLAGS="$(SHA_FLAGS)" \
		$(CARGO) build --locked -p proofs-core --example bench_sdr)
	$(BIN)/examples/bench $(if $(filter 0 no false,$(COLD)),--no-cold)
	@failed=0; for part in sched index transfer scrub post; do \
		$(MAKE) --no-print-directory bench-$$part || failed=1; \
	done; exit $$failed

# Both halves run, whatever the first one finds; either fails when a promised number is missed.
bench-sched: examples
	$(BIN)/examples/bench_core $(if $(QUICK),--quick); core=$$?; \
	$(BIN)/examples/bench_sched $(if $(QUICK),--quick) && exit $$core

bench-index: examples
	$(BIN)/examples/bench_index $(if $(QUICK),--quick)

# Against curl from nginx and an rsync daemon where they are installed; DIR is on the disk that is measured.
bench-transfer: examples
	$(BIN)/examples/bench_transfer $(if $(QUICK),--quick) $(if $(DIR),--dir "$(DIR)")

# The file lies in memory: what is measured is the pass, not a disk.
bench-scrub: examples
	$(BIN)/examples/bench_replica 8 $(if $(QUICK),3,7); replica=$$?; \
	$(BIN)/examples/bench_scrub $(if $(QUICK),--quick) && exit $$replica

# Processes of its own on loopback; where proofs would hide what is measured, their provers sleep.
bench-post: examples params
	$(BIN)/examples/bench_post $(if $(QUICK),--quick)

SIM = SIM_SEEDS="$(SEEDS)" SIM_FIRST="$(FIRST)" SIM_WITHIN="$(WITHIN)" SIM_TRACE="$(TRACE)" SIM_LOG="$(LOG)"

# A workspace of its own: what it needs must not reach the product. Without SEEDS as many of 200 as fit into 3 minutes.
sim: sim-there
	cd sim && $(SIM) $(CARGO) run --locked

# Proving days: the same workspace, other parts.
sim-day: sim-there
	cd sim && $(SIM) SIM_DAY=1 $(CARGO) run --locked

# The simulation's own tests: that it repeats itself, and the model of leases and fences.
test-sim: sim-there
	cd sim && $(CARGO) test --locked

# A workspace of its own: its patched dependencies must not reach the product. Cargo would take the one above if it were
# missing, and its flags are found only from there.
sim-there:
	@test -f sim/Cargo.toml || { echo "sim/Cargo.toml is missing" >&2; exit 1; }

fmt: sim-there
	$(CARGO) fmt --all
	cd sim && $(CARGO) fmt --all

lint: sim-there
	$(CARGO) fmt --all --check
	cd sim && $(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	cd sim && $(CARGO) clippy --locked --all-targets -- -D warnings

deny:
	$(CARGO) deny check licenses bans sources

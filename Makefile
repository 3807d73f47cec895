# Two commands do everything on a machine that has Python >= 3.11 and cargo: `make demo` and `make test`.

VENV   := .venv
BIN    := $(VENV)/bin
PYTHON := $(shell sh tools/find-python.sh)
OUT    ?= demo
RUST   := $(shell find rust -name '*.rs' -o -name Cargo.toml) Cargo.toml

.PHONY: demo test check-rust check-python bench wheel clean

# The whole path on the generated toy tissue, or on your own: make demo DATA=tissue.h5ad NETWORK=network.parquet
demo: $(BIN)/.built
	$(BIN)/cytoripple demo --out $(OUT) $(if $(DATA),--data $(DATA)) $(if $(NETWORK),--network $(NETWORK))

test: check-rust check-python

check-rust: $(BIN)/.installed
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --profile quick -- -D warnings
	cargo test --profile quick -p cytoripple-core

check-python: $(BIN)/.built
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/python -m mypy.stubtest cytoripple._core
	$(BIN)/python -m pytest

# Rust and Python benches; figures and how to read them: benches/README.md
bench: $(BIN)/.built
	cargo bench -p cytoripple-core
	$(BIN)/python -m pytest benches/python --benchmark-columns=min,median,rounds -q
	OPENBLAS_NUM_THREADS=1 $(BIN)/python benches/ratio.py record

# A manylinux wheel, then a smoke test of it in an environment of its own.
wheel: $(BIN)/.installed
	rm -rf dist
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/maturin build --release --zig --compatibility manylinux_2_28 --out dist
	sh tools/smoke-wheel.sh $(PYTHON)

clean:
	rm -rf $(VENV) target dist

$(BIN)/.installed: pyproject.toml tools/find-python.sh
	@sh tools/need.sh "$(PYTHON)"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --group dev
	@touch $@

$(BIN)/.built: $(BIN)/.installed $(RUST)
	VIRTUAL_ENV=$(CURDIR)/$(VENV) $(BIN)/maturin develop --release --extras all
	@touch $@

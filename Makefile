# make quickstart [VIDEOS=folder FACE=photo.jpg] | make test | make test-s3 | make lint | make docs     [WHEELS=cpu|cu130|...]
# Whichever of the supported versions is there; PYTHON=... takes another.
PYTHON ?= $(firstword $(foreach version,3.11 3.12 3.13,$(if $(shell python$(version) -c "print(1)" 2>/dev/null),python$(version))))
# Which torch wheels: empty takes the default ones (CUDA on Linux); WHEELS=cpu takes the small CPU build.
WHEELS ?=
TORCH_INDEX = $(if $(WHEELS),--index-url https://download.pytorch.org/whl/$(WHEELS))
BIN = .venv/bin

.PHONY: quickstart test test-s3 lint docs install
install: .venv/installed

.venv/installed: pyproject.toml constraints.txt
	@test -n '$(PYTHON)' || { echo 'make: no Python 3.11, 3.12 or 3.13 found; name one with PYTHON=/path/to/python'; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -c constraints.txt $(TORCH_INDEX) torch torchvision
	PYTHONWARNINGS=ignore $(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev]' # setuptools warns of -e
	touch $@

quickstart: install
	$(BIN)/vclip quickstart --out quickstart $(if $(VIDEOS),--videos '$(VIDEOS)') $(if $(FACE),--face '$(FACE)')

# Two processes, each with files of its own until one helps the other; a single test is run with `.venv/bin/python -m pytest tests/...`.
test: install
	$(BIN)/python -m pytest -n 2 --dist worksteal

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

# The docs site with the API reference, in site/; a warning is an error.
docs: install
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

# The stores of the tests in a bucket, on an S3 server on loopback.
test-s3: install
	VCLIP_TEST_STORES=s3 $(BIN)/python -m pytest tests/stores tests/pipelines/browsing tests/pipelines/analysis \
		tests/pipelines/search tests/pipelines/maintenance

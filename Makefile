# `make help` explains each target. Needs Python 3.10 or newer, GNU make and nothing else.
# Another Python: `make lab PYTHON=python3.12`.

PYTHON ?= python3
JOBS ?= auto
LESSON ?=
FORCE ?=
SET ?=
MODEL ?=
ARGS ?=

ifeq ($(OS),Windows_NT)
VENV_PYTHON := .venv/Scripts/python.exe
else
VENV_PYTHON := .venv/bin/python
endif

NOTEBOOKS := $(VENV_PYTHON) tools/notebooks.py
# The tests run as on a train: what needs a network fails.
PYTEST := $(VENV_PYTHON) tools/offline.py $(VENV_PYTHON) -m pytest -n $(JOBS)
# The shipped BERT learned twice: this is what it began with the second time.
BEGUN := build/checkpoints/bert_begun
CODE := course_utils tests tools benchmarks img notebooks exercises docs

.DEFAULT_GOAL := help
.PHONY: help setup lab run exercises slides book offline-pack test test-fast colab budget canary mistakes notebooks checkpoints lint format bench rehearse clean distclean

help: ## list the targets (this text)
	@echo "Usage: make TARGET. Most targets set up .venv first, if that is not done yet."
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' Makefile
	@echo "Options: PYTHON=python3.12 (for setup), LESSON=01 (run, notebooks), FORCE=1 (run, notebooks),"
	@echo "         SET=\"NAME=value ...\" (run: other parameters), JOBS=2 (tests), ARGS=\"...\" (handed on)."

setup: ## make .venv with the pinned versions and the package; nothing when it is there
	@command -v "$(PYTHON)" >/dev/null 2>&1 || { echo "No '$(PYTHON)' found: install Python 3.10 or newer, or name one: make setup PYTHON=/path/to/python" >&2; exit 1; }
	@"$(PYTHON)" tools/setup_venv.py $(if $(filter setup,$(MAKECMDGOALS)),--say)

lab: setup ## open JupyterLab on the list of lessons
	@$(VENV_PYTHON) tools/lab.py $(ARGS)

run: setup ## run every lesson without a screen; pages to read go to build/
	@$(NOTEBOOKS) run $(if $(FORCE),--force) $(foreach pair,$(SET),--set "$(pair)") $(LESSON)

exercises: setup ## solve all exercises, in right and in known wrong ways; a table of what the checks say
	@$(VENV_PYTHON) tools/exercises.py run $(LESSON)

slides: setup ## make the decks of slides, one file each, for a hall without network: build/slides/
	@$(VENV_PYTHON) tools/slides.py $(LESSON)

book: setup ## make the site with all lessons: build/book/index.html
	@$(VENV_PYTHON) tools/book.py $(ARGS)

offline-pack: setup ## make one archive that installs the course where there is no network: build/
	@$(VENV_PYTHON) tools/offline_pack.py $(ARGS)

test: setup ## run all tests, the lessons included, with the network cut off
	@$(PYTEST) tests course_utils $(ARGS)

test-fast: setup ## run the tests without the lessons and without the slow ones
	@$(PYTEST) -m "not slow" tests course_utils $(ARGS)

colab: setup ## run the lessons as Colab does: alone in an empty folder, the course installed by the lesson
	@$(VENV_PYTHON) tools/colab.py $(LESSON)

budget: setup ## measure seconds and memory of the lessons, one by one, for the README's table
	@$(VENV_PYTHON) tools/budget.py

canary: setup ## try the newest versions of everything in a fresh environment (half an hour)
	@$(VENV_PYTHON) tools/canary.py --jobs $(JOBS) $(ARGS)

mistakes: setup ## plant known mistakes in a copy of the package: the fast tests must see each
	@$(VENV_PYTHON) tools/mistakes.py $(ARGS)

notebooks: setup ## run the lessons again and store their outputs, the same way each time
	@$(NOTEBOOKS) rewrite $(if $(FORCE),--force) $(LESSON)

checkpoints: setup ## train the shipped models again (hours; MODEL=bert for one); a training that was stopped goes on
	@for model in $(or $(MODEL),gpt bert vit); do \
		more=; if [ $$model = bert ]; then \
			test -f $(BEGUN)/model.safetensors || $(VENV_PYTHON) -m course_utils.pretrain bert --out $(BEGUN) $(ARGS) || exit 1; \
			more="--start $(BEGUN) --steps 4000 --learning-rate 0.002 --adamw-learning-rate 0.004 --share 0.2 --seed 1"; \
		fi; \
		$(VENV_PYTHON) -m course_utils.pretrain $$model --out build/checkpoints/$$model $(ARGS) $$more || exit 1; \
		rm -rf data/checkpoints/$$model && mkdir -p data/checkpoints && mv build/checkpoints/$$model data/checkpoints || exit 1; \
	done

lint: setup ## check style and layout of the code and the notebooks
	@$(VENV_PYTHON) -m ruff check $(CODE)
	@$(VENV_PYTHON) -m ruff format --check $(CODE)
	@$(VENV_PYTHON) tools/lint.py

format: setup ## mend what `make lint` can mend by itself
	@$(VENV_PYTHON) tools/links.py write
	@$(VENV_PYTHON) tools/exercises.py write
	@$(VENV_PYTHON) -m ruff check --fix $(CODE)
	@$(VENV_PYTHON) -m ruff format $(CODE)

bench: setup ## measure against other implementations (minutes to hours; see benchmarks/)
	@for script in benchmarks/[a-z]*.py; do echo "== $$script"; $(VENV_PYTHON) "$$script" $(ARGS) || exit 1; done

rehearse: ## do what the README says in an empty folder with an empty home (10 minutes)
	@"$(PYTHON)" tools/rehearse.py

clean: ## remove build/ and caches; .venv stays
	@rm -rf build dist .pytest_cache .ruff_cache .hypothesis
	@find . -name .venv -prune -o -name .git -prune -o \( -name __pycache__ -o -name .ipynb_checkpoints \) -type d -print | while IFS= read -r folder; do rm -rf "$$folder"; done

distclean: clean ## remove .venv as well
	@rm -rf .venv

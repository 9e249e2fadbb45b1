"""The groups beside module types: commands, backends and losses are found, checked, blocked and undone as types are."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from plugin_folders import canary, importable, install, registry_of, run_python
from torch import nn

from pairchain import PairchainWarning, registry
from pairchain.errors import (
    InputError,
    PluginConflictError,
    PluginError,
    PluginImportError,
    PluginVersionError,
    UnknownNameError,
    UnknownTypeError,
)
from pairchain.registry.groups import BACKENDS, COMMANDS, LOSSES, MODULES, Group
from pairchain.registry.installation import ALLOW_VARIABLE, DISABLE_VARIABLE

GROUPS = [COMMANDS, BACKENDS, LOSSES]
CLASS = """
class run:
    supports = load = staticmethod(print)
"""
FUNCTION = """
def run(logits, labels):
    return logits
"""
each_group = pytest.mark.parametrize("group", GROUPS, ids=[group.noun for group in GROUPS])
reserved = pytest.mark.parametrize(
    ("group", "name", "owner"),
    [
        *(
            (COMMANDS, name, "pairchain-cli")
            for name in "score rank trace inspect lock verify plugins new compare".split()
        ),
        (COMMANDS, "view", "pairchain-view"),
        (BACKENDS, "transformers", "pairchain-transformer"),
        (LOSSES, "mse", "pairchain-train"),
    ],
)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Path]:
    with importable(tmp_path / "site") as folder:
        yield folder


def announce(
    site: Path,
    group: Group,
    distribution: str,
    name: str,
    *,
    code: str = "",
    value: str = "run",
    requires: tuple[str, ...] = (),
    package: str = "",
) -> None:
    """Install a distribution with one entry point ``name`` of ``group``, to ``value`` behind the code given."""
    package = package or distribution.lower().replace("-", "_")
    points = {name: f"{package}:{value}"}
    thing = FUNCTION if group is LOSSES else CLASS
    install(
        site,
        distribution,
        commands=points if group is COMMANDS else None,
        backends=points if group is BACKENDS else None,
        losses=points if group is LOSSES else None,
        requires=requires,
        files={f"{package}.py": f"{code}\n{thing}\nrun.provider = {distribution!r}\nthing = 3\n"},
    )


@each_group
def test_a_plugin_is_found_without_importing_it_and_then_loads(site: Path, tmp_path: Path, group: Group) -> None:
    announce(site, group, "Acme-Export", "tally", code=canary(tmp_path / "imported"))
    found = registry_of(site, group=group)
    assert found.names() == ["tally"]
    point = found.lookup("tally")
    assert point is not None
    assert (point.distribution, point.group, point.value) == ("acme-export", group.name, "acme_export:run")
    assert not (tmp_path / "imported").exists()
    assert found.load("tally").provider == "Acme-Export"
    assert (tmp_path / "imported").exists()


@each_group
def test_groups_do_not_see_names_of_others(site: Path, group: Group) -> None:
    announce(site, group, "acme", "tally")
    for other in (MODULES, *GROUPS):
        assert registry_of(site, group=other).names() == (["tally"] if other is group else [])


@each_group
@pytest.mark.parametrize(
    ("setting", "is_there"),
    [
        ({DISABLE_VARIABLE: "ACME.Export"}, False),
        ({ALLOW_VARIABLE: "acme_export"}, True),
        ({ALLOW_VARIABLE: ""}, False),
        ({DISABLE_VARIABLE: ""}, True),
    ],
)
def test_settings_hold_in_every_group(site: Path, group: Group, setting: dict[str, str], is_there: bool) -> None:
    announce(site, group, "Acme_Export", "tally")
    found = registry_of(site, group=group, **setting)
    assert found.names() == (["tally"] if is_there else [])
    if not is_there:
        with pytest.raises(UnknownNameError) as caught:
            found.load("tally")
        assert "acme-export 1.0" in str(caught.value)
        assert caught.value.next_step == f"change {next(iter(setting))}."


@each_group
def test_two_distributions_with_one_name_are_an_error_of_that_name_only(site: Path, group: Group) -> None:
    for distribution in ("acme", "zeta"):
        announce(site, group, distribution, "tally")
    announce(site, group, "other", "other")
    found = registry_of(site, group=group)
    assert found.load("other").provider == "other"
    with pytest.raises(PluginConflictError) as caught:
        found.load("tally")
    for part in (group.noun, "'tally'", "acme 1.0", "zeta 1.0", DISABLE_VARIABLE):
        assert part in str(caught.value)


@each_group
def test_a_plugin_that_fails_to_import_is_named_with_its_cause(site: Path, group: Group) -> None:
    announce(site, group, "acme", "tally", code="import no_such_library", requires=("no-such-library>=3",))
    with pytest.raises(PluginImportError) as caught:
        registry_of(site, group=group).load("tally")
    error = caught.value
    assert (error.distribution, error.version, error.entry_point) == ("acme", "1.0", "tally = acme:run")
    for part in ("No module named 'no_such_library'", "acme 1.0 needs no-such-library>=3"):
        assert part in error.what
    assert error.next_step == "pip install 'no-such-library>=3'"


@each_group
def test_a_plugin_for_another_core_is_refused_before_it_runs(site: Path, tmp_path: Path, group: Group) -> None:
    code = canary(tmp_path / "imported")
    announce(site, group, "acme", "tally", code=code, requires=("pairchain-core>=2",))
    with pytest.raises(PluginVersionError, match="pairchain-core is 0"):
        registry_of(site, group=group).load("tally")
    assert not (tmp_path / "imported").exists()


@each_group
def test_an_object_that_does_not_belong_into_the_group_is_refused(site: Path, group: Group) -> None:
    announce(site, group, "acme", "tally", value="thing")
    found = registry_of(site, group=group)
    with pytest.raises(PluginError) as caught:
        found.load("tally")
    assert (caught.value.distribution, caught.value.entry_point) == ("acme", "tally = acme:thing")
    assert f"{group.noun} 'tally'" in str(caught.value)
    with pytest.raises(InputError):
        found.register("mine", 3)
    assert found.names() == ["tally"]


class Holds(nn.Module):
    def forward(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return logits.sum()


@pytest.mark.parametrize("value", [nn.MSELoss(), Holds(), functools.partial(lambda logits, labels, scale: 0, scale=2)])
def test_anything_that_takes_logits_and_labels_is_a_loss(value: object) -> None:
    registry.losses.register("tally", value)()


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (nn.MSELoss, "is the class MSELoss"),
        (lambda logits: 0, "cannot be called with logits, labels"),
        (lambda logits, labels, mask, scale: 0, "'scale'"),
    ],
)
def test_what_a_trainer_could_not_call_is_no_loss(value: object, said: str) -> None:
    with pytest.raises(InputError, match=said):
        registry.losses.register("tally", value)


@each_group
def test_an_unknown_name_gets_the_nearest_and_the_choices(site: Path, group: Group) -> None:
    announce(site, group, "acme", "tally")
    with pytest.raises(UnknownNameError) as caught:
        registry_of(site, group=group).load("talyl")
    assert not isinstance(caught.value, UnknownTypeError)
    assert f"{group.noun} 'talyl' (did you mean 'tally'?)" in caught.value.what
    assert "choose from tally" in caught.value.next_step


@reserved
def test_a_standard_name_that_is_not_installed_says_what_to_install(
    site: Path, group: Group, name: str, owner: str
) -> None:
    with pytest.raises(UnknownNameError) as caught:
        registry_of(site, group=group).load(name)
    assert caught.value.next_step == f"pip install {owner}"


@reserved
def test_a_stranger_does_not_get_a_standard_name(
    site: Path, tmp_path: Path, group: Group, name: str, owner: str
) -> None:
    announce(site, group, "stranger", name, code=canary(tmp_path / "imported"))
    with pytest.raises(PluginConflictError, match=f"reserved for {owner}"):
        registry_of(site, group=group).load(name)
    announce(site, group, owner, name, package="standard")
    with pytest.warns(PairchainWarning, match=f"{owner} is used"):
        assert registry_of(site, group=group).load(name).provider == owner
    assert not (tmp_path / "imported").exists()


@each_group
def test_what_is_registered_by_hand_comes_first_until_undone(site: Path, group: Group) -> None:
    class Mine:
        supports = load = staticmethod(print)

    class Another(Mine): ...

    def mine(logits: object, labels: object) -> object: ...

    def another(logits: object, labels: object, mask: object, scale: float = 1.0) -> object: ...

    first, second = (mine, another) if group is LOSSES else (Mine, Another)
    announce(site, group, "acme", "tally")
    found = registry_of(site, group=group)
    undo = found.register("tally", first)
    assert found.load("tally") is first
    with pytest.raises(PluginConflictError, match=first.__name__):
        found.register("tally", second)
    undo()
    undo()
    assert found.load("tally").provider == "acme"


def test_one_reading_serves_all_groups(site: Path) -> None:
    registry.find()
    announce(site, COMMANDS, "acme", "tally")
    assert "tally" not in registry.commands.names()
    registry.refresh()
    assert "tally" in registry.commands.names()
    assert registry.commands.installation is registry.backends.installation is registry.losses.installation
    assert registry.losses.installation is registry.default.installation


@pytest.mark.slow
def test_finding_commands_backends_and_losses_imports_no_plugin() -> None:
    code = """
        import sys
        from pairchain import registry
        registry.commands.names(), registry.backends.names(), registry.losses.names()
        print([name for name in sys.modules if name == "torch" or name.startswith("pairchain_")])
    """
    assert run_python(code, is_new=True) == "[]"

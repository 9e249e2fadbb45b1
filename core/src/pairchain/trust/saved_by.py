"""The plugin that saved a module, according to the model's files, compared with the one that is installed now."""

from __future__ import annotations

from pairchain.errors import PluginVersionError, warn
from pairchain.format.saved_model import ModuleEntry
from pairchain.registry import Registry
from pairchain.registry.groups import OWN_DISTRIBUTIONS
from pairchain.registry.registry import advice_about, name_of_distribution, valid_version


def version_advice(entry: ModuleEntry, registry: Registry) -> str:
    """Return how to get the version of the plugin that saved ``entry``; empty unless another version is installed."""
    now = registry.installation.distribution(name_of_distribution(entry.distribution))
    saved = valid_version(entry.version)
    if now is None or saved is None or saved == valid_version(now.version):
        return ""
    return f"saved by {now.name} {saved}, installed {now.version}: pip install '{now.name}=={saved}'"


def check_provider(entry: ModuleEntry, distribution: str, registry: Registry) -> None:
    """Check that the plugin ``distribution``, which provides the type of ``entry`` now, reads what was saved.

    Warns if another plugin saved it.

    Raises:
        PluginVersionError: The plugin is older than its newer version, which saved the module, says it may be.
    """
    recorded = name_of_distribution(entry.distribution)
    now = registry.installation.distribution(distribution)
    if not recorded or now is None:
        return
    saved = f"{recorded} {valid_version(entry.version) or ''}".rstrip()
    if recorded != distribution:
        if {recorded, distribution} <= OWN_DISTRIBUTIONS:
            return  # such as the bridge to sentence-transformers and a standard plugin, which give equal scores
        get = advice_about(recorded)
        if registry.installation.distribution(recorded) is not None:
            variable = registry.installation.disabled_by(recorded)
            get = f"change {variable}" if variable else f"pip install '{saved.replace(' ', '==')}'"
        warn(
            f"the type {entry.type!r} was saved by {saved}, and {now.name} {now.version} provides it now, so scores "
            f"may differ. To get the plugin that saved it: {get}."
        )
        return
    oldest, present = valid_version(entry.reads_saved_by), valid_version(now.version)
    if oldest is not None and present is not None and present < oldest:
        raise PluginVersionError(
            f"the module {entry.name!r} was saved by {saved}, which only {recorded} {oldest} and newer read, but "
            f"{recorded} {present} is installed.",
            distribution=recorded,
            version=now.version,
            next_step=f"pip install '{recorded}>={oldest}'",
        )

"""Loads a model's tokenizer or processor through the transformers library."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tokenizers import normalizers

from pairchain import Source
from pairchain.authoring import open_source, require_settings
from pairchain.errors import FormatError, InputError, PairchainError
from pairchain_transformer.checkpoint import faults
from pairchain_transformer.checkpoint.keywords import applying_policy, refuse_code
from pairchain_transformer.checkpoint.positions import positions_in
from pairchain_transformer.files.adapters import tokenizer_place
from pairchain_transformer.files.names import PROCESSOR_FILES, TOKENIZER_FILES
from pairchain_transformer.libraries.classes import is_tokenizer
from pairchain_transformer.libraries.messages import NEEDS_TRUST
from pairchain_transformer.libraries.packages import missing_package, refuse_conflicts
from pairchain_transformer.quick.tokenizer import QuickTokenizer
from pairchain_transformer.settings.during_load import filtering_settings
from pairchain_transformer.settings.files import ProcessingSettings, processing_settings

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedTokenizerBase

# Fetched first, because the library ignores a failed download of these, and scores would change.
_TOKENIZER_SETTINGS = """
    tokenizer_config.json tokenizer.json special_tokens_map.json added_tokens.json chat_template.jinja
""".split()

# A folder of further chat templates; the library reads every file in it.
_TEMPLATES = "additional_chat_templates"


def load_processor(
    source: Source,
    config: PretrainedConfig,
    hub: Mapping[str, Any],
    given: Mapping[str, Any],
    *,
    is_elsewhere: bool = False,
    tokenizer_choice: str | None = None,
    lowers: bool = False,
    takes_types: bool = True,
) -> Any:
    """Return the tokenizer, or the processor of a model that reads more than text.

    The longest input is limited to the model's positions, unless ``model_max_length`` is given.

    Args:
        source: The place of the tokenizer's or processor's files.
        config: The model's configuration.
        hub: The result of `hub_keywords` for ``source``.
        given: Passed on to ``from_pretrained``.
        is_elsewhere: Whether ``source`` is not the model's own; then its code never runs.
        tokenizer_choice: Which tokenizer to use if the library replaces parts of it; see `published`.
        lowers: Whether all text is lowercased first.
        takes_types: Whether the model takes token types.

    Raises:
        MissingFileError: The tokenizer has no vocabulary file.
        PluginError: A package that the processor needs is not installed.
        FormatError: A file is damaged.
        UnsafePathError: A setting leads out of the model.
        TrustRequiredError: A setting reaches another library, program or repository.
    """
    import transformers

    from pairchain_transformer.published.choosing import restore_published

    source.refuse_links_out([_TEMPLATES])
    for name in _TOKENIZER_SETTINGS:
        source.file(name)
    # a list, so that all of them are fetched, as above
    reads_more = bool([name for name in PROCESSOR_FILES if source.file(name) is not None])
    auto_class = transformers.AutoProcessor if reads_more else transformers.AutoTokenizer
    settings = processing_settings(source, given)

    def build(arguments: Mapping[str, Any]) -> Any:
        with applying_policy(source, hub), filtering_settings(source, given, settings, may_be_trusted=not is_elsewhere):
            return auto_class.from_pretrained(source.name, **{**hub, **settings.vocabulary, **arguments})

    try:
        processor = build(given)
    except PairchainError:
        raise
    except ImportError as error:
        refuse_conflicts(error)
        raise missing_package(error) from error
    except Exception as error:  # the tokenizers library raises a plain Exception for a file it cannot use
        if not (is_elsewhere and NEEDS_TRUST in str(error)):
            refuse_code(source, error)
        raise _unusable(source, error, is_elsewhere=is_elsewhere) from error
    if (tokenizer := tokenizer_of(processor)) is not None:
        restore_published(
            tokenizer,
            source,
            given,
            tokenizer_choice,
            lowers=lowers,
            # a processor decides about token types itself
            takes_types=takes_types and processor is tokenizer,
            build=lambda arguments: tokenizer_of(build(arguments)),
        )
        _check_vocabulary(source, tokenizer)
        _limit_length(source, config, tokenizer, given)
    return processor


def check_settings(
    source: Source, hub: Mapping[str, Any], given: Mapping[str, Any], *, is_elsewhere: bool
) -> ProcessingSettings:
    """Return a tokenizer's or processor's settings, and refuse unsafe ones before the model is loaded.

    See `load_processor` for arguments and errors.
    """
    with applying_policy(source, hub):
        settings = processing_settings(source, given)
        if settings.foreign is not None:
            require_settings(settings.foreign, may_be_trusted=not is_elsewhere)
    return settings


def tokenizer_of(processor: Any) -> Any:
    """Return the tokenizer that ``processor`` is or contains, or None."""
    is_one = is_tokenizer(processor) or isinstance(processor, QuickTokenizer)
    return processor if is_one else getattr(processor, "tokenizer", None)


def pad_left(processor: Any) -> None:
    """Make the tokenizer of ``processor``, if there is one, pad on the left."""
    if (tokenizer := tokenizer_of(processor)) is not None:
        tokenizer.padding_side = "left"


def _unusable(source: Source, error: Exception, *, is_elsewhere: bool) -> FormatError:
    if is_elsewhere and NEEDS_TRUST in str(error):
        return FormatError(
            "the tokenizer is not in the model's folder, and needs code of its own.",
            where=str(source),
            next_step="put the tokenizer's files and its code beside the model; code from other places never runs.",
        )
    has_file = any(source.file(name) is not None for name in TOKENIZER_FILES)
    again = "" if has_file else f"save or fetch the model again: it has none of {', '.join(TOKENIZER_FILES)}."
    return FormatError(f"the tokenizer cannot be loaded: {error}", where=str(source), next_step=again)


def _check_vocabulary(source: Source, tokenizer: PreTrainedTokenizerBase) -> None:
    own = tokenizer.vocab_files_names.values()
    # a byte tokenizer names no files
    if own and not any(source.file(name) is not None for name in dict.fromkeys([*TOKENIZER_FILES, *own])):
        raise faults.no_vocabulary(source, sorted({*TOKENIZER_FILES, *own}))


def _limit_length(
    source: Source, config: PretrainedConfig, tokenizer: PreTrainedTokenizerBase, given: Mapping[str, Any]
) -> None:
    if not isinstance(tokenizer.model_max_length, (int, float)) or not tokenizer.model_max_length >= 1:
        raise FormatError(
            f"tokenizer_config.json: model_max_length is {tokenizer.model_max_length!r}, not a number of tokens.",
            where=str(source),
        )
    positions = positions_in(config)
    if "model_max_length" not in given and positions is not None:
        tokenizer.model_max_length = min(tokenizer.model_max_length, positions)


def processor_source(source: Source, name: str | None) -> Source:
    """Return the place of the tokenizer: ``name`` if given, or the model's own; see `tokenizer_place`.

    A model's file may choose ``name``, so the caller's token is not sent there.
    """
    if name is None or name == source.name:
        return tokenizer_place(source)
    return open_source(name, token=False, cache_folder=source.cache_folder, local_files_only=source.local_files_only)


def lower_case(tokenizer: PreTrainedTokenizerBase | None) -> None:
    """Make ``tokenizer`` lowercase text first, unless it does so already."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise InputError(f"do_lower_case needs a fast tokenizer, and this one is a {type(tokenizer).__name__}.")
    if '"Lowercase"' in (state := backend.to_str()) or '"lowercase":true' in state:
        return
    present = [] if backend.normalizer is None else [backend.normalizer]
    backend.normalizer = normalizers.Sequence([normalizers.Lowercase(), *present])

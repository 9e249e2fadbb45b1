"""A model pushed to a Hub loads from there with equal scores, arrives whole, and spares what it should not touch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hub_server import HubServer
from hub_uploads import OWNER, TOKEN
from huggingface_hub import HfApi
from torch import nn

from pairchain import CrossEncoder
from pairchain.errors import FormatError, SourceError, SourceNotFoundError

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("writable")]

GOLDEN = Path(__file__).parents[1] / "golden"
PAIRS = [("how many people live in berlin ?", "berlin is well known ."), ("mars", "the red planet .")]


@pytest.fixture(scope="module")
def model() -> CrossEncoder:
    return load(GOLDEN / "pooling_mean" / "model")


def load(name: str | Path, **options: Any) -> CrossEncoder:
    return CrossEncoder(name, device="cpu", **options)


def push(model: CrossEncoder, name: str, **options: Any) -> str:
    return model.push_to_hub(name, **{"token": TOKEN, **options})


def files(name: str, revision: str = "main") -> set[str]:
    """Return the files of a repository, without the one that every repository has."""
    return set(HfApi(token=TOKEN).list_repo_files(name, revision=revision)) - {".gitattributes"}


def head(name: str, revision: str = "main") -> str | None:
    """Return the commit that a branch or ref of a repository points to."""
    return HfApi(token=TOKEN).model_info(name, revision=revision).sha


def card(name: str, revision: str = "main") -> str:
    """Return the text of the model card in a repository."""
    path = HfApi(token=TOKEN).hf_hub_download(name, "README.md", revision=head(name, revision))
    return Path(path).read_text()


def writes(hub: HubServer) -> list[str]:
    """Return the paths that something was written to."""
    return [request.path for request in hub.requests if request.method in ("POST", "PUT")]


# -- what arrives --


@pytest.mark.parametrize("case", ["pooling_mean", "bert_seqcls_3labels", "router_by_task"])
def test_a_pushed_model_loads_by_its_name_with_equal_scores(case: str) -> None:
    model = load(GOLDEN / case / "model")
    push(model, f"user/pushed-{case}")
    assert np.array_equal(load(f"user/pushed-{case}").predict(PAIRS), model.predict(PAIRS))


def test_a_push_is_one_commit_with_its_message_and_returns_its_address(hub: HubServer, model: CrossEncoder) -> None:
    url = push(model, "user/one-commit", commit_message="A reranker")
    assert url == f"{hub.endpoint}/user/one-commit/commit/{head('user/one-commit')}"
    (commit,) = [request for request in hub.requests if request.path.startswith("/api/models/user/one-commit/commit/")]
    assert json.loads(commit.body.splitlines()[0])["value"]["summary"] == "A reranker"


def test_what_is_pushed_is_what_is_saved(tmp_path: Path, model: CrossEncoder) -> None:
    model.save_pretrained(tmp_path)
    push(model, "user/same-files")
    assert files("user/same-files") == {
        path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()
    }


def test_the_card_shows_how_to_load_the_repository_and_the_examples(model: CrossEncoder) -> None:
    push(model, "user/with-card", card_examples=PAIRS)
    text = card("user/with-card")
    assert 'CrossEncoder("user/with-card")' in text
    assert "| mars | the red planet . |" in text


def test_a_name_without_an_owner_becomes_the_token_owners_in_the_address_and_the_card(
    hub: HubServer, model: CrossEncoder
) -> None:
    url = push(model, "ownerless", card_examples=PAIRS)
    assert url.startswith(f"{hub.endpoint}/{OWNER}/ownerless/commit/")
    text = card(f"{OWNER}/ownerless")
    assert f'model = CrossEncoder("{OWNER}/ownerless")' in text
    assert 'CrossEncoder("ownerless")' not in text
    assert "# ownerless\n" in text
    assert np.array_equal(load(f"{OWNER}/ownerless").predict(PAIRS), model.predict(PAIRS))


def test_weights_are_pushed_as_pickles_where_that_is_asked_for(model: CrossEncoder) -> None:
    push(model, "user/pickled", safe_serialization=False)
    assert "2_Dense/pytorch_model.bin" in files("user/pickled")
    assert np.array_equal(load("user/pickled", allow_pickle=True).predict(PAIRS), model.predict(PAIRS))


def test_a_repository_is_private_if_that_is_asked_for(model: CrossEncoder) -> None:
    push(model, "user/hidden", private=True)
    with pytest.raises(SourceNotFoundError, match="'user/hidden' does not exist, or is private"):
        load("user/hidden", token=False)
    assert np.array_equal(load("user/hidden", token=TOKEN).predict(PAIRS), model.predict(PAIRS))
    push(model, "user/shown", private=False)
    assert np.array_equal(load("user/shown", token=False).predict(PAIRS), model.predict(PAIRS))


# -- what was there --


def test_a_repository_that_is_there_is_pushed_to_only_when_that_is_allowed(model: CrossEncoder) -> None:
    push(model, "user/taken")
    before = head("user/taken")
    with pytest.raises(SourceError, match=r"(?s)cannot be pushed to 'user/taken'.*409.*exist_ok=True pushes"):
        push(model, "user/taken")
    assert head("user/taken") == before
    push(model, "user/taken", exist_ok=True)
    assert head("user/taken") != before


def test_a_card_that_is_there_is_kept_unless_it_is_to_be_replaced(hub: HubServer, model: CrossEncoder) -> None:
    hub.add_repo("user/own-card")
    hub.commit("user/own-card", {"README.md": "mine", "config.json": "{}"})
    push(model, "user/own-card", exist_ok=True)
    assert card("user/own-card") == "mine"
    assert np.array_equal(load("user/own-card").predict(PAIRS), model.predict(PAIRS))
    push(model, "user/own-card", exist_ok=True, replace_model_card=True)
    assert 'CrossEncoder("user/own-card")' in card("user/own-card")


def test_nothing_of_an_older_model_is_left_to_change_the_new_one(hub: HubServer, model: CrossEncoder) -> None:
    old = ("adapter_config.json", "chat_template.jinja", "pytorch_model.bin", "2_Dense/pytorch_model.bin")
    mine = ("notes.md", "my_code.py", "data/config.json", "model-comparison.csv", "onnx/model.safetensors")
    hub.add_repo("user/older")
    hub.commit("user/older", dict.fromkeys((*old, *mine), "{}"))
    push(model, "user/older", exist_ok=True)
    push(model, "user/newer")
    assert files("user/older") == files("user/newer") | set(mine)
    assert np.array_equal(load("user/older").predict(PAIRS), model.predict(PAIRS))


# -- branches and pull requests --


def test_a_revision_is_a_branch_that_is_made_and_leaves_main_alone(hub: HubServer, model: CrossEncoder) -> None:
    hub.add_repo("user/branched")
    main = hub.commit("user/branched", {"README.md": "mine"})
    for _ in range(2):  # made, and then there
        url = push(model, "user/branched", revision="next/try", exist_ok=True)
        assert url.endswith(f"/commit/{head('user/branched', 'next/try')}")
    assert head("user/branched") == main
    assert card("user/branched", "next/try") == "mine"
    assert np.array_equal(load("user/branched", revision="next/try").predict(PAIRS), model.predict(PAIRS))


def test_a_pull_request_leaves_main_alone_and_returns_its_address(hub: HubServer, model: CrossEncoder) -> None:
    hub.add_repo("other/reviewed")
    main = hub.commit("other/reviewed", {"README.md": "theirs"})
    url = push(model, "other/reviewed", create_pr=True)
    assert url == f"{hub.endpoint}/other/reviewed/discussions/1"
    assert head("other/reviewed") == main
    assert card("other/reviewed", "refs/pr/1") == "theirs"
    assert np.array_equal(load("other/reviewed", revision="refs/pr/1").predict(PAIRS), model.predict(PAIRS))


# -- pushes that fail --


@pytest.mark.parametrize("token", ["hf_wrong", False])
def test_a_token_that_may_not_write_is_refused_with_what_to_do(
    hub: HubServer, model: CrossEncoder, token: str | bool
) -> None:
    with pytest.raises(SourceError) as refused:
        push(model, "user/refused", token=token)
    assert "cannot be pushed to 'user/refused'" in str(refused.value)
    assert "401" in refused.value.what
    assert "Invalid username or password" in refused.value.what
    assert "\n" not in refused.value.what
    assert "hf auth login" in refused.value.next_step
    assert writes(hub) == ["/api/repos/create"]


def test_a_model_that_cannot_be_saved_is_pushed_nowhere(hub: HubServer) -> None:
    model = load(GOLDEN / "bert_seqcls_1label" / "model", activation_fn=lambda scores: scores)
    with pytest.raises(FormatError, match="the activation <lambda> cannot be saved"):
        push(model, "user/unsaved")
    assert hub.requests == []


@pytest.mark.parametrize("step", ["/preupload/main", "/info/lfs/objects/batch", "/commit/main"])
def test_a_push_that_breaks_off_leaves_the_model_that_was_there(hub: HubServer, model: CrossEncoder, step: str) -> None:
    name = f"user/broken-{step.rpartition('/')[2]}-{step.count('/')}"
    hub.add_repo(name)
    before = hub.commit(name, GOLDEN / "bert_seqcls_1label" / "model")
    hub.fail(step, 400)
    with pytest.raises(SourceError, match=f"cannot be pushed to {name!r}.*this failure was asked for by the test"):
        push(model, name, exist_ok=True)
    assert head(name) == before
    push(model, name, exist_ok=True)
    assert np.array_equal(load(name).predict(PAIRS), model.predict(PAIRS))


def test_a_name_that_is_none_is_told(hub: HubServer, model: CrossEncoder) -> None:
    with pytest.raises(SourceError, match=r"(?s)cannot be pushed to 'no name'.*alphanumeric.*check the name"):
        push(model, "no name")
    assert hub.requests == []


def test_pushing_does_not_run_the_model(model: CrossEncoder) -> None:
    seen: list[nn.Module] = []
    handle = model.register_forward_hook(lambda module, args, output: seen.append(module))
    push(model, "user/unused")
    handle.remove()
    assert seen == []


def test_a_push_that_another_one_overtakes_replaces_all_of_what_that_one_pushed(
    hub: HubServer, model: CrossEncoder, tmp_path: Path
) -> None:
    other = load(GOLDEN / "qwen3_seqcls_chat_template" / "model")
    push(model, "writer/shared")
    waiting = [other]

    def commit_late(*args: Any, **kwargs: Any) -> Any:
        # between looking at what is there and the commit, the other model is pushed
        if waiting:
            push(waiting.pop(), "writer/shared", exist_ok=True)
        return create_commit(*args, **kwargs)

    create_commit = HfApi.create_commit
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(HfApi, "create_commit", commit_late)
        push(model, "writer/shared", exist_ok=True)

    model.save_pretrained(tmp_path)
    assert files("writer/shared") == {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.*")}
    np.testing.assert_array_equal(load("writer/shared", token=TOKEN).predict(PAIRS), model.predict(PAIRS))

"""`pairchain view`: what its server answers to a real browser's requests, and what it refuses to everybody else."""

from __future__ import annotations

import json
import re
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from tiny_models import GOLDEN, PAIRS, load
from viewing import Answer, Page, refused, viewed

import pairchain

pytestmark = pytest.mark.slow

POOLED = GOLDEN / "pooling_mean" / "model"
CUSTOM = GOLDEN / "custom_temperature_module" / "model"
QUERY, DOCUMENT = PAIRS[0]
TO_SCORE = json.dumps({"query": {"text": QUERY}, "documents": [{"text": DOCUMENT}]}).encode()


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    with viewed(POOLED) as page:
        yield page


def is_refused(answer: Answer, status: int, words: str) -> bool:
    return answer.status == status and words in answer.error


def test_the_page_is_one_file_that_asks_nothing_of_the_network(page: Page) -> None:
    answer = page.request("GET", "/", X_Pairchain_Key=None)
    text = answer.body.decode()
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert re.findall(r"https?://[^'\"\s]+", text) == ["http://www.w3.org/2000/svg"]  # the name of a format
    assert not re.search(r"<(script|link|img|iframe)[^>]+(src|href)=\"(?!data:)", text)


def test_the_page_can_run_no_script_but_its_own_and_ask_nobody_else(page: Page) -> None:
    for answer in (page.request("GET", "/"), page.request("GET", "/api/model"), page.request("GET", "/nowhere")):
        policy = dict(part.split(" ", 1) for part in answer.headers["Content-Security-Policy"].split("; "))
        assert policy["default-src"] == "'none'"
        assert re.fullmatch(r"'sha256-[\w+/]+='", policy["script-src"])
        assert re.fullmatch(r"'sha256-[\w+/]+='", policy["style-src"])
        assert (policy["connect-src"], policy["frame-ancestors"]) == ("'self'", "'none'")
        assert policy["require-trusted-types-for"] == "'script'"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Cache-Control"] == "no-store"
        assert "Access-Control-Allow-Origin" not in answer.headers
        assert answer.headers["Server"] == "pairchain"


def test_nobody_else_in_the_network_reaches_it(page: Page) -> None:
    # another address of this machine, as those that the network sees are
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.2", page.port), timeout=5)


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1", "127.0.0.1:1", "0.0.0.0", None])
def test_a_name_that_somebody_made_to_mean_this_machine_is_refused(page: Page, host: str | None) -> None:
    for path in ("/", "/api/model"):
        assert is_refused(page.request("GET", path, Host=host), 421, "this page is at")
    assert is_refused(page.request("POST", "/api/score", TO_SCORE, Host=host), 421, "this page is at")


def test_a_request_that_names_two_hosts_is_refused(page: Page) -> None:
    hosts = [f"127.0.0.1:{page.port}", "evil.example"]
    assert is_refused(page.request("GET", "/", Host=hosts), 421, "this page is at")


def test_the_page_is_also_there_under_the_name_localhost(page: Page) -> None:
    host = f"localhost:{page.port}"
    assert page.request("POST", "/api/score", TO_SCORE, Host=host, Origin=f"http://{host}").status == 200


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1:1", "http://localhost"])
def test_another_site_is_refused_even_with_the_key(page: Page, origin: str) -> None:
    assert is_refused(page.request("POST", "/api/score", TO_SCORE, Origin=origin), 403, "another site")
    assert is_refused(page.request("GET", "/api/model", Origin=origin), 403, "another site")


@pytest.mark.parametrize("site", ["cross-site", "same-site", "none"])
def test_what_a_browser_says_comes_from_elsewhere_is_refused(page: Page, site: str) -> None:
    assert is_refused(page.request("POST", "/api/score", TO_SCORE, Sec_Fetch_Site=site), 403, "another site")
    assert is_refused(page.request("GET", "/api/model", Sec_Fetch_Site=site), 403, "another site")


@pytest.mark.parametrize("key", [None, "", "guessed", "schlüssel"])
def test_who_has_not_the_key_learns_nothing(page: Page, key: str | None) -> None:
    for path in ("/api/score", "/api/attribution", "/api/images"):
        answer = page.request("POST", path, TO_SCORE, X_Pairchain_Key=key)
        assert is_refused(answer, 403, "open the full address that `pairchain view` printed")
    assert page.request("GET", "/api/model", X_Pairchain_Key=key).status == 403


def test_every_run_has_a_key_of_its_own(page: Page) -> None:
    assert len(page.key) >= 32
    with viewed(GOLDEN / "bert_seqcls_1label" / "model") as other:
        assert other.key != page.key
        assert page.request("GET", "/api/model", X_Pairchain_Key=other.key).status == 403


def test_a_form_of_another_site_could_not_send_what_is_taken(page: Page) -> None:
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", None):
        answer = page.request("POST", "/api/score", TO_SCORE, Content_Type=kind)
        assert is_refused(answer, 415, "application/json")
    assert is_refused(page.request("POST", "/api/images", b"x", Content_Type="image/png"), 415, "octet-stream")
    assert page.request("OPTIONS", "/api/score", Origin="https://evil.example").status == 501


def test_a_body_that_is_too_long_or_of_unknown_length_is_not_read(page: Page) -> None:
    too_long = page.request("POST", "/api/score", b"", Content_Length=str(5 * 1024 * 1024))
    assert is_refused(too_long, 413, "5,242,880 bytes; the limit is 4,194,304")
    for length in (None, "-1", "1e3", ["2", "2"]):
        assert page.request("POST", "/api/score", b"", Content_Length=length).status == 411
    assert page.request("POST", "/api/score", b"", Transfer_Encoding="chunked").status == 411


def test_other_paths_and_methods_get_no_more_than_a_no(page: Page) -> None:
    for path in ("/page.html", "/../pyproject.toml", "/api", "/api/score", "http://evil.example/"):
        assert page.request("GET", path).status == 404
    assert page.request("POST", "/", TO_SCORE).status == 404
    answer = page.request("DELETE", "/api/model")
    assert answer.status == 501
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]


def test_the_chain_is_told_with_who_provides_each_module_and_what_is_in_it(page: Page) -> None:
    told = page.request("GET", "/api/model").json()
    model = load(POOLED)
    modules = {module["class"]: module for module in told["modules"]}
    assert list(modules) == ["Transformer", "Pooling", "Dense"]
    for (_, origin), module in zip(model.origins.items(), told["modules"], strict=True):
        assert module["provider"]["name"] == origin.distribution
        assert module["provider"]["version"] == origin.version
        assert module["provider"]["trust"] == "installed"
    assert modules["Transformer"]["weights"]["count"] == sum(p.numel() for p in model[0].parameters())
    assert modules["Pooling"]["weights"] is None
    assert modules["Pooling"]["reads"] == ["token_embeddings"]
    assert modules["Pooling"]["settings"]["pooling_mode"] == "mean"
    assert modules["Dense"]["type"] == "sentence_transformers.base.modules.dense.Dense"
    assert told["weights"]["dtypes"] == ["float32"]
    assert told["name"] == str(POOLED)


def test_scores_are_those_of_predict(page: Page) -> None:
    documents = [DOCUMENT, "y yes no", "berlin"]
    answer = page.ask("/api/score", query={"text": QUERY}, documents=[{"text": text} for text in documents])
    expected = load(POOLED).predict([(QUERY, text) for text in documents])
    assert [row[0] for row in answer.json()["scores"]] == pytest.approx(expected.tolist(), abs=1e-6)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "the request is not JSON"),
        (b"\xff\xfe", "the request is not JSON"),
        (b"[" * 100_000, "the request is not JSON"),
        (b'{"query": NaN}', "NaN is not valid JSON"),
        (b"[]", "not a JSON object"),
        (b"{}", "there are no documents. add at least one"),
        (b'{"query": {"text": "a"}, "documents": [{"text": " "}]}', "document 1 is empty"),
        (b'{"query": "a", "documents": [{"text": "b"}]}', "the query is missing"),
        (b'{"query": {"text": 1}, "documents": [{"text": "b"}]}', "text is not a string"),
        (b'{"query": {"text": "\\ud800"}, "documents": [{"text": "b"}]}', "unpaired surrogate"),
        (b'{"query": {"text": "a"}, "documents": [{"text": "b"}], "prompt_name": "no"}', "no prompt named 'no'"),
        (b'{"query": {"text": "a"}, "documents": [{"text": "b"}], "task": "no"}', "no module of this chain takes"),
        (b'{"query": {"text": "a"}, "documents": [{"text": "b", "image": "0"}]}', "the image is gone"),
    ],
)
def test_a_bad_question_is_answered_with_what_is_wrong_with_it(page: Page, body: bytes, words: str) -> None:
    assert is_refused(page.request("POST", "/api/score", body), 400, words)


def test_too_many_documents_are_sent_to_the_command_for_files(page: Page) -> None:
    answer = page.ask("/api/score", query={"text": "a"}, documents=[{"text": "b"}] * 501)
    assert is_refused(answer, 400, "501 documents, but this page takes at most 500")
    assert "pairchain rank" in answer.error


def test_the_words_of_a_pair_are_left_out_one_by_one(page: Page) -> None:
    answer = page.ask("/api/attribution", query={"text": "how many"}, documents=[{"text": "no , yes"}], unit="words")
    assert answer.headers["Content-Type"] == "application/x-ndjson"
    first, *more = map(json.loads, answer.body.splitlines())
    pairs = [("how many", "no , yes"), ("many", "no , yes"), ("how ", "no , yes")]
    pairs += [("how many", ", yes"), ("how many", "no yes"), ("how many", "no , ")]
    expected = load(POOLED).predict(pairs).tolist()
    assert first["sides"] == [
        [["how", 0], [" ", None], ["many", 1]],
        [["no", 2], [" ", None], [",", 3], [" ", None], ["yes", 4]],
    ]
    assert [first["score"], *more[0]["without"]] == pytest.approx(expected, abs=1e-6)


def test_ctrl_c_ends_it_without_a_word() -> None:
    with viewed(GOLDEN / "bert_seqcls_1label" / "model") as page:
        assert page.request("GET", "/").status == 200
        status, noted = page.interrupt()
    assert status == 0
    assert "Traceback" not in noted


def test_a_port_that_is_taken_is_an_error_that_says_so(page: Page) -> None:
    status, said = refused(POOLED, "--port", str(page.port))
    assert status == 1
    assert f"cannot open port {page.port} on 127.0.0.1" in said
    assert "Traceback" not in said


def test_code_of_a_model_runs_only_if_it_was_approved_and_the_page_says_by_what() -> None:
    status, said = refused(CUSTOM)
    (approval,) = pairchain.inspect(CUSTOM).approvals
    assert status == 1
    assert f"add --trust-remote-code {approval}" in said
    for given, trust in ((approval, "approved"), ("any", "trusted")):
        with viewed(CUSTOM, "--trust-remote-code", given) as page:
            told = page.request("GET", "/api/model").json()
        head = told["modules"][1]["provider"]
        assert (head["name"], head["where"]) == ("temperature_logit_score.py", "beside the model")
        assert head["trust"] == trust
        assert told["code"][0]["is_allowed"] is True


def test_a_model_that_is_not_what_was_locked_is_not_served(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(POOLED, tmp_path / "model"))
    lock = tmp_path / "pairchain.lock.json"
    pairchain.lock(folder, lock)
    with viewed(folder, "--lock", str(lock)) as page:
        assert page.request("GET", "/api/model").json()["lock"] == str(lock)
    config = folder / "config_sentence_transformers.json"
    config.write_text(config.read_text() + " ")
    status, said = refused(folder, "--lock", str(lock))
    assert status == 1
    assert config.name in said

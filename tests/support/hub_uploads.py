"""The part of a Hub on loopback that is written to: repositories made, branches, uploads and commits."""

from __future__ import annotations

import json
import re
from base64 import b64decode
from collections.abc import Callable
from hashlib import sha256
from typing import Any
from urllib.parse import unquote, urlsplit

from hub_repos import REPO_PATTERN, Answer, Blob, Refusal, Repo, Request, is_lfs, json_answer

# Whose the tokens are, and so every repository that is made without naming an owner.
OWNER = "writer"
# A token that may write, if a test uses the fixture `writable`.
TOKEN = "hf_writer"

_CREATE = re.compile(r"POST /api/repos/create")
_CHECK_CARD = re.compile(r"POST /api/validate-yaml")
_BRANCH = re.compile(rf"POST /api/models/{REPO_PATTERN}/branch/(?P<revision>[^/]+)")
_MODES = re.compile(rf"POST /api/models/{REPO_PATTERN}/preupload/(?P<revision>[^/]+)")
_COMMIT = re.compile(rf"POST /api/models/{REPO_PATTERN}/commit/(?P<revision>[^/]+)")
_BATCH = re.compile(r"POST /(?P<repo>.+)\.git/info/lfs/objects/batch")
_STORE = re.compile(r"PUT /lfs/(?P<oid>[0-9a-f]{64})")

# What a new repository holds on the Hub.
_FIRST_FILES = {".gitattributes": Blob(b"*.safetensors filter=lfs diff=lfs merge=lfs -text\n", lfs=False)}


class Uploads:
    """Answers what `huggingface_hub` asks when it pushes.

    A push is one commit: the client asks how each file is to be sent, puts LFS files into the storage, and posts all
    changes together. Whoever sends one of `tokens` may write to every repository; storage links need no token.
    """

    def __init__(
        self, repos: dict[str, Repo], tokens: set[str], *, endpoint: str, storage: str, lfs_threshold: int
    ) -> None:
        self._repos = repos
        self._tokens = tokens
        self._endpoint = endpoint
        self._storage = storage
        self._lfs_threshold = lfs_threshold
        self._stored: dict[str, bytes] = {}

    def answer(self, request: Request) -> Answer:
        """The answer to a POST or PUT."""
        routes: tuple[tuple[re.Pattern[str], Callable[..., Answer]], ...] = (
            (_CREATE, self._create),
            (_CHECK_CARD, self._check_card),
            (_BRANCH, self._branch),
            (_MODES, self._modes),
            (_BATCH, self._batch),
            (_COMMIT, self._commit),
            (_STORE, self._store),
        )
        for pattern, handler in routes:
            if match := pattern.fullmatch(f"{request.method} {urlsplit(request.path).path}"):
                asked: dict[str, Any] = {name: unquote(value) for name, value in match.groupdict().items()}
                if handler != self._store and request.token not in self._tokens:
                    raise Refusal(401, None, "Invalid username or password.")
                if "repo" in asked:
                    asked["repo"] = self._repo(asked["repo"])
                return handler(request, **asked)
        raise Refusal(404, None, "this server takes nothing at that path")

    def _create(self, request: Request) -> Answer:
        wanted = request.json()
        name = f"{wanted['organization'] or OWNER}/{wanted['name']}"
        url = {"url": f"{self._endpoint}/{name}"}
        if name in self._repos:
            return json_answer({"error": "You already created this model repo", **url}, status=409)
        private = wanted.get("private", False) or wanted.get("visibility") == "private"
        repo = self._repos[name] = Repo(name, gated=False, private=private)
        repo.commit(_FIRST_FILES, revision="main")
        return json_answer(url)

    def _check_card(self, request: Request) -> Answer:
        return json_answer({"errors": [], "warnings": []})

    def _branch(self, request: Request, repo: Repo, revision: str) -> Answer:
        if revision in repo.refs:
            raise Refusal(409, None, f"Reference already exists: {revision}")
        repo.refs[revision] = repo.resolve("main")
        return json_answer({})

    def _modes(self, request: Request, repo: Repo, revision: str) -> Answer:
        repo.resolve(revision)
        modes = [
            {
                "path": file["path"],
                "uploadMode": "lfs" if is_lfs(file["path"], file["size"], self._lfs_threshold) else "regular",
                "shouldIgnore": False,
            }
            for file in request.json()["files"]
        ]
        return json_answer({"files": modes})

    def _batch(self, request: Request, repo: Repo) -> Answer:
        objects = [
            {**wanted, "actions": {"upload": {"href": f"{self._storage}/lfs/{wanted['oid']}"}}}
            for wanted in request.json()["objects"]
        ]
        return json_answer({"transfer": "basic", "objects": objects})

    def _store(self, request: Request, oid: str) -> Answer:
        if sha256(request.body).hexdigest() != oid:
            raise Refusal(400, None, "the content is not what its name says")
        self._stored[oid] = request.body
        return Answer(200, {})

    def _commit(self, request: Request, repo: Repo, revision: str) -> Answer:
        parent = repo.resolve(revision)
        blobs = dict(repo.commits[parent])
        for line in request.body.splitlines():
            change = json.loads(line)
            if change["key"] == "header" and change["value"].get("parentCommit", parent) != parent:
                raise Refusal(412, None, "A commit has happened since. Please refresh and try again.")
            self._apply(change["key"], change["value"], blobs)
        proposed = "create_pr=1" in urlsplit(request.path).query
        number = 1 + sum(ref.startswith("refs/pr/") for ref in repo.refs)
        commit = repo.commit(blobs, revision=f"refs/pr/{number}" if proposed else revision, parent=parent)
        page = f"{self._endpoint}/{repo.name}"
        opened = {"pullRequestUrl": f"{page}/discussions/{number}"} if proposed else {}
        return json_answer({"success": True, "commitOid": commit, "commitUrl": f"{page}/commit/{commit}", **opened})

    def _apply(self, key: str, value: dict[str, Any], blobs: dict[str, Blob]) -> None:
        if key == "file":
            blobs[value["path"]] = Blob(b64decode(value["content"]), lfs=False)
        elif key == "lfsFile":
            if value["oid"] not in self._stored:
                raise Refusal(400, None, f"{value['path']} was never uploaded")
            blobs[value["path"]] = Blob(self._stored[value["oid"]], lfs=True)
        elif key == "deletedFile":
            if blobs.pop(value["path"], None) is None:
                raise Refusal(404, "EntryNotFound", f"A file with this name doesn't exist: {value['path']}")
        elif key != "header":
            raise Refusal(400, None, f"this server knows no change called {key}")

    def _repo(self, name: str) -> Repo:
        if name not in self._repos:
            raise Refusal(404, "RepoNotFound", "Repository not found")
        return self._repos[name]

"""A loopback HTTP server that answers reads and pushes of models the way the Hugging Face Hub does, for tests.

`huggingface_hub` reads `HF_ENDPOINT` when it is imported, so set it first or work in a subprocess:

    with HubServer() as hub:
        hub.add_repo("org/tiny")
        commit = hub.commit("org/tiny", {"config.json": "{}", "model.safetensors": b"weights"})
        environment = {**os.environ, "HF_ENDPOINT": hub.endpoint, "HF_HUB_DISABLE_TELEMETRY": "1"}
        subprocess.run([sys.executable, "-c", script], env=environment, check=True)
        assert all(f"/{commit}/" in request.path for request in hub.requests if "/resolve/" in request.path)

Large files are redirected to `/cdn/…` at a second port of the same server. The second port matters: huggingface_hub
follows a redirect within one origin as a move of the repository, and only takes another origin for file storage.

Pushes are answered by `hub_uploads.Uploads`. Where `hf_xet` is installed, huggingface_hub uploads through it without
asking the server, and this one has none: set `HF_HUB_DISABLE_XET`, or `huggingface_hub.constants.HF_HUB_DISABLE_XET`.
"""

from __future__ import annotations

import re
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha1
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from hub_repos import REPO_PATTERN, Answer, Blob, Refusal, Repo, Request, json_answer
from hub_uploads import Uploads

RECORDED_HEADERS = ("Authorization", "Range", "User-Agent")

_CDN = re.compile(rf"/cdn/{REPO_PATTERN}/(?P<revision>[0-9a-f]{{40}})/(?P<path>.+)")
_INFO = re.compile(rf"/api/models/{REPO_PATTERN}(?:/revision/(?P<revision>[^/]+))?")
_TREE = re.compile(rf"/api/models/{REPO_PATTERN}/tree/(?P<revision>[^/]+)(?:/(?P<path>.+))?")
_RESOLVE = re.compile(rf"/{REPO_PATTERN}/resolve/(?P<revision>[^/]+)/(?P<path>.+)")
_RANGE = re.compile(r"bytes=(\d+)-(\d*)")


@dataclass
class _Fault:
    path_suffix: str
    value: int
    left: int
    method: str | None


class HubServer:
    """A running Hub for use in a `with` statement.

    `tokens` holds the access tokens that may read every repository, gated and private ones included, and write to them;
    any other token counts as an account without access. Files of `lfs_threshold` bytes or more are stored as LFS files.
    """

    def __init__(self, *, lfs_threshold: int = 1_000_000) -> None:
        self.tokens: set[str] = set()
        # A plain list is enough across threads: appending, clearing and copying it are atomic.
        self.requests: list[Request] = []
        self._lfs_threshold = lfs_threshold
        self._repos: dict[str, Repo] = {}
        self._renamed: dict[str, str] = {}
        self._failures: list[_Fault] = []
        self._truncations: list[_Fault] = []
        self._faults_lock = threading.Lock()
        self._listeners = [_Listener(self), _Listener(self)]
        self.endpoint, self.cdn_endpoint = (listener.url for listener in self._listeners)
        self._uploads = Uploads(
            self._repos, self.tokens, endpoint=self.endpoint, storage=self.cdn_endpoint, lfs_threshold=lfs_threshold
        )

    def __enter__(self) -> HubServer:
        for listener in self._listeners:
            threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        for listener in self._listeners:
            listener.shutdown()
            listener.server_close()

    def add_repo(self, repo_id: str, *, gated: bool = False, private: bool = False) -> None:
        """Nothing comes back; `repo_id` exists from now on, without commits."""
        self._repos[repo_id] = Repo(repo_id, gated=gated, private=private)
        self._renamed.pop(repo_id, None)

    def rename(self, old: str, new: str) -> None:
        """Nothing comes back; requests for `old` are redirected to `new` from now on."""
        repo = self._repos.pop(old)
        repo.name = new
        self._repos[new] = repo
        self._renamed[old] = new

    def commit(
        self,
        repo_id: str,
        files: Mapping[str, bytes | str] | Path,
        *,
        revision: str = "main",
        parent: str | None = None,
    ) -> str:
        """The hash of a new commit that holds exactly `files`, to which the branch, tag or ref `revision` now points.

        A Path stands for all the files below that folder. `parent` (by default the commit that `revision` pointed to)
        only takes part in the hash, and so does a counter: equal files still give two commits.
        """
        blobs = {path: Blob.of(path, content, self._lfs_threshold) for path, content in _contents(files).items()}
        return self._repos[repo_id].commit(blobs, revision=revision, parent=parent)

    def truncate(self, path_suffix: str, keep_bytes: int, times: int = 1) -> None:
        """Nothing comes back; the next `times` GETs of files whose path ends with `path_suffix` break off.

        Each announces its full Content-Length, sends `keep_bytes` bytes of its body and closes the connection.
        """
        with self._faults_lock:
            self._truncations.append(_Fault(path_suffix, keep_bytes, times, "GET"))

    def fail(self, path_suffix: str, status: int, times: int = 1, *, method: str | None = None) -> None:
        """Nothing comes back; the next `times` requests whose path ends with `path_suffix` are answered `status`.

        Any path counts, `/api/…` as well as files. A download asks HEAD before GET: `method` fails only one of them.
        """
        with self._faults_lock:
            self._failures.append(_Fault(path_suffix, status, times, method))

    def answer(self, request: Request) -> Answer:
        """The answer to `request`, which is also added to `requests`."""
        self.requests.append(request)
        try:
            if failure := self._take_fault(self._failures, request):
                raise Refusal(failure.value, None, "this failure was asked for by the test")
            return self._route(request) if request.method in ("GET", "HEAD") else self._uploads.answer(request)
        except Refusal as refusal:
            return refusal.answer

    def _route(self, request: Request) -> Answer:
        routes = ((_CDN, self._cdn), (_INFO, self._info), (_TREE, self._tree), (_RESOLVE, self._resolve))
        for pattern, handler in routes:
            if match := pattern.fullmatch(urlsplit(request.path).path):
                asked = {name: unquote(value) for name, value in match.groupdict(default="").items()}
                if new_name := self._renamed.get(asked["repo"]):
                    start, end = match.span("repo")
                    return Answer(307, {"Location": request.path[:start] + new_name + request.path[end:]})
                repo = self._repos.get(asked["repo"])
                if repo is None:
                    raise Refusal(404, "RepoNotFound", "Repository not found")
                return handler(request, repo, asked["revision"] or "main", asked.get("path", ""))
        raise Refusal(404, None, "this server has nothing at that path")

    def _info(self, request: Request, repo: Repo, revision: str, path: str) -> Answer:
        self._check_visible(request, repo)
        commit = repo.resolve(revision)
        gated = "manual" if repo.gated else False
        siblings = [{"rfilename": name} for name in repo.commits[commit]]
        info = {"id": repo.name, "sha": commit, "private": repo.private, "gated": gated, "tags": []}
        return json_answer(info | {"siblings": siblings}, headers={"X-Repo-Commit": commit})

    def _tree(self, request: Request, repo: Repo, revision: str, path: str) -> Answer:
        # A gated repository's list of files is public, as it is on the Hub: only the files themselves are gated.
        self._check_visible(request, repo)
        commit = repo.resolve(revision)
        recursive = "recursive=true" in urlsplit(request.path).query.lower()
        entries = _tree_entries(repo.commits[commit], folder=path, recursive=recursive)
        if path and not entries:
            raise _entry_not_found(path, commit)
        return json_answer(entries, headers={"X-Repo-Commit": commit})

    def _resolve(self, request: Request, repo: Repo, revision: str, path: str) -> Answer:
        self._check_visible(request, repo)
        self._check_downloadable(request, repo)
        commit = repo.resolve(revision)
        blob = repo.commits[commit].get(path)
        if blob is None:
            raise _entry_not_found(path, commit)
        headers = {"X-Repo-Commit": commit}
        if not blob.lfs:
            return self._content(request, blob, {**headers, "ETag": f'"{blob.oid}"'})
        location = f"{self.cdn_endpoint}/cdn/{repo.name}/{commit}/{quote(path)}"
        linked = {"X-Linked-Size": str(len(blob.content)), "X-Linked-Etag": f'"{blob.sha256}"'}
        return Answer(302, {**headers, **linked, "Location": location})

    def _cdn(self, request: Request, repo: Repo, revision: str, path: str) -> Answer:
        # No check of the token: a link to the storage is itself the permission, and clients send no token there.
        blob = repo.commits.get(revision, {}).get(path)
        if blob is None:
            raise Refusal(404, None, "the storage has no such file")
        return self._content(request, blob, {"ETag": f'"{blob.sha256}"'})

    def _content(self, request: Request, blob: Blob, headers: dict[str, str]) -> Answer:
        truncation = self._take_fault(self._truncations, request)
        sent_bytes = truncation.value if truncation else None
        headers = {**headers, "Accept-Ranges": "bytes", "Content-Type": "application/octet-stream"}
        size = len(blob.content)
        part = _requested_part(request.headers.get("Range", ""), size)
        if part is None:
            return Answer(200, headers, blob.content, sent_bytes)
        if not part:
            raise Refusal(416, None, "the range lies outside the file", {"Content-Range": f"bytes */{size}"})
        headers["Content-Range"] = f"bytes {part.start}-{part.stop - 1}/{size}"
        return Answer(206, headers, blob.content[part.start : part.stop], sent_bytes)

    def _check_visible(self, request: Request, repo: Repo) -> None:
        if repo.private and request.token not in self.tokens:
            raise Refusal(404 if request.token else 401, "RepoNotFound", "Repository not found")

    def _check_downloadable(self, request: Request, repo: Repo) -> None:
        if repo.gated and request.token not in self.tokens:
            message = f"Access to model {repo.name} is restricted"
            raise Refusal(403 if request.token else 401, "GatedRepo", message)

    def _take_fault(self, faults: list[_Fault], request: Request) -> _Fault | None:
        path = unquote(urlsplit(request.path).path)
        with self._faults_lock:
            for fault in faults:
                if fault.left and fault.method in (None, request.method) and path.endswith(fault.path_suffix):
                    fault.left -= 1
                    return fault
        return None


class _Listener(ThreadingHTTPServer):
    # The default of 5 is less than the threads of one snapshot_download; those that find no place wait a second.
    request_queue_size = 64

    def __init__(self, hub: HubServer) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.hub = hub
        self.url = f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        # Clients may hang up whenever they like; anything else is a bug here and deserves its traceback.
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Listener

    def do_GET(self) -> None:
        recorded = {name: self.headers[name] for name in RECORDED_HEADERS if name in self.headers}
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        answer = self.server.hub.answer(Request(self.command, self.path, recorded, body))
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer.body)))
        # A connection kept open would go on being served after the server is closed, so a client could not go offline.
        self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body[: answer.sent_bytes])

    do_HEAD = do_POST = do_PUT = do_GET

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing comes back, and nothing is printed: `HubServer.requests` is the log."""


def _entry_not_found(path: str, commit: str) -> Refusal:
    # With the commit, huggingface_hub can remember for good that the file is absent from it.
    return Refusal(404, "EntryNotFound", f"{path} does not exist", {"X-Repo-Commit": commit})


def _contents(files: Mapping[str, bytes | str] | Path) -> Mapping[str, bytes | str]:
    if isinstance(files, Path):
        return {path.relative_to(files).as_posix(): path.read_bytes() for path in files.rglob("*") if path.is_file()}
    return files


def _requested_part(header: str, size: int) -> range | None:
    match = _RANGE.fullmatch(header)
    if match is None:
        return None
    first, last = match.groups()
    return range(int(first), min(int(last) + 1, size) if last else size)


def _tree_entries(blobs: Mapping[str, Blob], *, folder: str, recursive: bool) -> list[dict[str, Any]]:
    prefix = f"{folder}/" if folder else ""
    below = {path: blob for path, blob in blobs.items() if path.startswith(prefix)}
    parents = {parent.as_posix() for path in below for parent in PurePosixPath(path).parents}
    folders = sorted(parent for parent in parents if parent != "." and parent.startswith(prefix))
    entries = [_folder_entry(path) for path in folders] + [_file_entry(path, blob) for path, blob in below.items()]
    return [entry for entry in entries if recursive or "/" not in entry["path"].removeprefix(prefix)]


def _folder_entry(path: str) -> dict[str, Any]:
    return {"type": "directory", "path": path, "size": 0, "oid": sha1(path.encode()).hexdigest()}


def _file_entry(path: str, blob: Blob) -> dict[str, Any]:
    size = len(blob.content)
    lfs = {"oid": blob.sha256, "size": size, "pointerSize": len(blob.pointer)}
    return {"type": "file", "path": path, "size": size, "oid": blob.oid} | ({"lfs": lfs} if blob.lfs else {})

"""Stand for `python` on a command line: hand the program to a warm server, wait, and end as the program ended.

`python -I -S launcher.py FOLDER PYTHON OPTIONS…`; with an option or a variable that a fork cannot follow, it becomes
PYTHON instead.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import socket
import sys

# Read when a library is imported, so that processes with other values need another server.
READ_ON_IMPORT = (
    "HF_",
    "HUGGINGFACE_",
    "TRANSFORMERS_",
    "TOKENIZERS_",
    "TORCH",
    "PYTORCH_",
    "OMP_",
    "MKL_",
    "CUDA_",
    "XDG_",
)
FOLLOWED = {"PYTHONPATH", "PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED"}


def main() -> None:
    folder, python, *arguments = sys.argv[1:]
    connection = connect(folder) if can_follow(arguments) else None
    if connection is None:
        os.execv(python, [python, *arguments])
    streams = inherited(connection.fileno())
    request = json.dumps(
        {"arguments": arguments, "environ": dict(os.environ), "folder": os.getcwd(), "streams": streams}
    ).encode()
    socket.send_fds(connection, [len(request).to_bytes(8, "big")], streams)
    connection.sendall(request)
    answers = connection.makefile()
    process = int(answers.readline())
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _: os.kill(process, number))
    # without an answer, the tests have ended
    status = int(answers.readline() or 1)
    if status < 0:
        if -status != signal.SIGKILL:
            signal.signal(-status, signal.SIG_DFL)
        os.kill(os.getpid(), -status)
    os._exit(status)


def can_follow(arguments: list[str]) -> bool:
    """Whether a fork can do what Python would do with these arguments in this environment."""
    if any(name.startswith("PYTHON") and name not in FOLLOWED for name in os.environ):
        return False
    rest = iter(arguments)
    for argument in rest:
        if argument == "-W":
            next(rest)
        elif argument not in ("-B", "-P") and not argument.startswith("-W"):
            return argument in ("-c", "-m") or not argument.startswith("-")
    return False


def inherited(own: int) -> list[int]:
    """Return the descriptors that this process was started with: its streams, and those of a shell or a pool."""
    # listing them opens one more
    return sorted(
        int(name)
        for name in os.listdir("/proc/self/fd")
        if int(name) != own and os.path.exists(f"/proc/self/fd/{name}")
    )


def connect(folder: str) -> socket.socket | None:
    """Return a connection to the server for this environment, which the first one asks for; None if there is none."""
    environ = {name: value for name, value in os.environ.items() if name.startswith(READ_ON_IMPORT)}
    asked = json.dumps(environ, sort_keys=True).encode()
    path = f"{folder}/{hashlib.sha256(asked).hexdigest()[:16]}"
    if not os.path.exists(path):
        with socket.socket(socket.AF_UNIX) as nursery:
            nursery.connect(f"{folder}/nursery")
            nursery.sendall(json.dumps({"path": path, "environ": environ}).encode() + b"\n")
            nursery.recv(1)
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.connect(path)
    except OSError:
        return None
    return connection


if __name__ == "__main__":
    main()

"""Fork Python programs from a process that has imported torch, transformers, and other libraries.

`python server.py FOLDER` makes a server for each environment that it is asked for, with a socket of its own in FOLDER.
Everything ends when its stdin does.
"""

from __future__ import annotations

import atexit
import builtins
import fcntl
import gc
import importlib
import io
import json
import os
import runpy
import selectors
import signal
import socket
import sys
import threading
import types
import warnings
import weakref
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

PRELOADED = {
    "torch.nn.functional": [],
    "safetensors.torch": [],
    "transformers": ["AutoConfig", "AutoModelForSequenceClassification", "AutoProcessor", "AutoTokenizer"],
    "transformers.models.bert.modeling_bert": [],
    "transformers.models.bert.tokenization_bert": [],
    "transformers.generation.utils": [],
    # what the core and the command import
    "importlib_metadata": [],
    "packaging.requirements": [],
    "pluggy": [],
    "pydantic": ["TypeAdapter"],
    "typer": [],
}
# A server takes 300 MB, and most environments are asked for once.
MOST_SERVERS = 8
MOST_STREAMS = 64
# what a launcher sends, and the descriptors of its process
Request = tuple[dict[str, Any], list[int]]


def nursery(folder: Path) -> socket.socket | None:
    """Make servers as they are asked for; return, in one of them, the socket that it listens at."""
    listening = listen(folder / "nursery")
    print("ready", flush=True)
    count = 0
    with selectors.DefaultSelector() as selector:
        selector.register(listening, selectors.EVENT_READ)
        selector.register(0, selectors.EVENT_READ)
        while True:
            if any(key.fileobj == 0 for key, _ in selector.select()):
                return None
            connection, _ = listening.accept()
            with connection, connection.makefile() as lines:
                asked = json.loads(lines.readline())
                if count < MOST_SERVERS and not os.path.exists(asked["path"]):
                    count += 1
                    own = listen(Path(asked["path"]))
                    if not os.fork():
                        listening.close()
                        os.environ.update(asked["environ"])
                        return own
                    own.close()
                connection.sendall(b"\n")


def listen(path: Path) -> socket.socket:
    """Return a socket that listens at ``path``."""
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(path))
    listening.listen(64)
    return listening


def preload() -> None:
    """Import what programs find imported."""
    for module, names in PRELOADED.items():
        imported = importlib.import_module(module)
        for name in names:
            getattr(imported, name)
    # a fork takes one thread along: whatever another one holds would stay locked
    assert len(os.listdir("/proc/self/task")) == 1, "an import has started a thread"
    # what libraries do when Python ends, such as taking down operators, would only delay the end of each program
    for finalizer in list(weakref.finalize._registry):  # type: ignore[attr-defined]
        finalizer.atexit = False
    # a collector that looks at what is there would copy all of it into each fork
    gc.collect()
    gc.freeze()


def serve(listening: socket.socket) -> Request | None:
    """Fork a process for each request; return, in one of those, the request."""
    woken, waking = socket.socketpair()
    waking.setblocking(False)
    signal.set_wakeup_fd(waking.fileno())
    signal.signal(signal.SIGCHLD, lambda *_: None)
    running: dict[int, socket.socket] = {}
    with selectors.DefaultSelector() as selector:
        for source in (listening, woken, 0):
            selector.register(source, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                source = key.fileobj
                if source == 0:
                    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                    for process in running:
                        os.kill(process, signal.SIGKILL)
                    return None
                if source is listening:
                    connection, _ = listening.accept()
                    request, streams = receive(connection)
                    process = os.fork()
                    if not process:
                        signal.set_wakeup_fd(-1)
                        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                        for other in (listening, woken, waking, connection, *running.values()):
                            other.close()
                        return request, streams
                    for stream in streams:
                        os.close(stream)
                    running[process] = connection
                    selector.register(connection, selectors.EVENT_READ, process)
                    connection.sendall(b"%d\n" % process)
                elif source is woken:
                    woken.recv(4096)
                    for process, status in ended():
                        connection = running.pop(process)
                        if connection in selector.get_map():
                            selector.unregister(connection)
                        with connection, suppress(BrokenPipeError):
                            connection.sendall(b"%d\n" % status)
                else:
                    # the launcher was killed, so its program is
                    selector.unregister(source)
                    os.kill(key.data, signal.SIGKILL)


def ended() -> Iterator[tuple[int, int]]:
    """Yield each process that has ended, and its status: the number of a signal is negative."""
    with suppress(ChildProcessError):
        while (found := os.waitpid(-1, os.WNOHANG))[0]:
            yield found[0], os.waitstatus_to_exitcode(found[1])


def receive(connection: socket.socket) -> Request:
    """Return a request, and the streams of its process."""
    size, streams, _, _ = socket.recv_fds(connection, 8, MOST_STREAMS)
    with connection.makefile("rb") as content:
        return json.loads(content.read(int.from_bytes(size, "big"))), streams


def take_over(request: dict[str, Any], streams: list[int]) -> None:
    """Make this process what Python would have made of it before it runs the program."""
    # first out of the way of the numbers that they get
    kept = [fcntl.fcntl(stream, fcntl.F_DUPFD_CLOEXEC, 256) for stream in streams]
    for stream in streams:
        os.close(stream)
    for number, stream in zip(request["streams"], kept, strict=True):
        os.dup2(stream, number, inheritable=True)
        os.close(stream)
    is_unbuffered = bool(request["environ"].get("PYTHONUNBUFFERED"))
    sys.stdin = sys.__stdin__ = io.TextIOWrapper(io.BufferedReader(io.FileIO(0, closefd=False)))
    sys.stdout = sys.__stdout__ = writer(1, "strict", is_unbuffered=is_unbuffered)
    sys.stderr = sys.__stderr__ = writer(2, "backslashreplace", is_unbuffered=is_unbuffered)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environ"])


def writer(number: int, errors: str, *, is_unbuffered: bool) -> io.TextIOWrapper:
    """Return the text stream that Python makes of stdout or stderr."""
    raw = io.FileIO(number, "w", closefd=False)
    is_by_line = number == 2 or raw.isatty()
    buffer = raw if is_unbuffered else io.BufferedWriter(raw)
    return io.TextIOWrapper(buffer, errors=errors, line_buffering=is_by_line, write_through=is_unbuffered)


def program(arguments: list[str]) -> tuple[types.CodeType | None, str]:
    """Set up the path and the options of a program, and return its code, or else the name of a module to run."""
    rest = list(arguments)
    first: str | None = ""
    while (option := rest.pop(0)).startswith(("-B", "-P", "-W")):
        if option == "-P":
            first = None
        elif option.startswith("-W"):
            filtered = option[2:] or rest.pop(0)
            sys.warnoptions.append(filtered)
            warnings._setoption(filtered)  # type: ignore[attr-defined]
    main = types.ModuleType("__main__")
    main.__builtins__ = builtins  # type: ignore[attr-defined]
    sys.modules["__main__"] = main
    code, module = None, ""
    if option == "-c":
        code = compile(rest[0], "<string>", "exec")
        rest[0] = "-c"
    elif option == "-m":
        module, rest[0] = rest[0], "-m"
        first = first if first is None else os.getcwd()
    else:
        rest.insert(0, option)
        first = first if first is None else os.path.dirname(os.path.abspath(option))
        main.__file__ = option
        code = compile(Path(option).read_bytes(), option, "exec")
    sys.argv = rest
    own = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    sys.path[:0] = [*([] if first is None else [first]), *own]
    sys.path_importer_cache.clear()
    sys.modules.pop("sitecustomize", None)
    with suppress(ImportError):
        importlib.import_module("sitecustomize")
    return code, module


def run(code: types.CodeType | None, module: str) -> int:
    """Run a program to its end, and return the exit status; -2 for an interrupt."""
    status = 0
    try:
        if code is None:
            runpy._run_module_as_main(module)  # type: ignore[attr-defined]
        else:
            exec(code, sys.modules["__main__"].__dict__)
    except SystemExit as exit:
        status = exit.code if isinstance(exit.code, int) else int(exit.code is not None)
        if isinstance(exit.code, str):
            print(exit.code, file=sys.stderr)
    except BaseException as error:
        status = -signal.SIGINT if isinstance(error, KeyboardInterrupt) else 1
        trace = error.__traceback__ and error.__traceback__.tb_next
        sys.excepthook(type(error), error.with_traceback(trace), trace)
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except (OSError, ValueError):
        status = status or 120
    return status


def end(status: int) -> NoReturn:
    """End this process at once: to take down what was preloaded would take longer than most programs."""
    if status < 0:
        signal.signal(-status, signal.SIG_DFL)
        os.kill(os.getpid(), -status)
    os._exit(status & 0xFF)


if __name__ == "__main__" and (listening := nursery(Path(sys.argv[1]))) is not None:
    preload()
    if (found := serve(listening)) is not None:
        take_over(*found)
        end(run(*program(found[0]["arguments"])))

"""Starts the server on a free port, opens the browser, and ends at Ctrl-C."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import threading
import webbrowser
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from genlab.explore.guard import Keys
from genlab.explore.wire import LARGEST_QUESTION
from genlab.registry import ConfigError

if TYPE_CHECKING:
    from genlab.lab.run import Run

_PORTS = 50
"""Ports that are tried one after the other."""
_CONNECTIONS = 64
"""Connections at a time; further ones are refused."""
_PATIENCE = 10.0
"""Seconds in which a connection must bring its first request, and every further one."""
_LOCAL = ("127.0.0.1", "localhost", "::1")
_EVERYWHERE = ("0.0.0.0", "::")


def check_installed() -> None:
    """Raise a ConfigError if a package of the extra is missing."""
    if missing := [name for name in ("starlette", "uvicorn", "websockets") if not find_spec(name)]:
        raise ConfigError(f"Packages are not installed: {', '.join(missing)}. Run pip install 'genlab[explore]'.")


def explore(
    run: Run,
    *,
    host: str = "127.0.0.1",
    port: int = 8765,
    names: Sequence[str] = (),
    browser: bool = True,
    say: Callable[[str], None] = print,
) -> None:
    """Serve the page of a run until Ctrl-C; `names` are further host names under which the page may be opened."""
    check_installed()
    # The port is taken first: a mistake in its number is said before the model is opened.
    listening, taken = listen(host, port)
    with listening:
        from genlab.explore.questions import Questions
        from genlab.explore.server import application

        keys, bound = Keys(), int(listening.getsockname()[1])
        allowed = hosts(host, bound, names)
        app = application(Questions(run), allowed, keys, f"genlab-{bound}")
        if taken:
            say(f"Port {port} is in use, so the page is at port {bound}.")
        if host not in _LOCAL:
            say("Warning: other computers can reach this page, without encryption. Share its address with care.")
        address = f"http://{_shown(host)}:{bound}/?token="
        say(f"Explore {run.name}: {address}{keys.token}")
        say("Press Ctrl-C to stop.")
        _serve(app, listening, _opener(address + keys.once) if browser else None)


def listen(host: str, port: int) -> tuple[socket.socket, bool]:
    """Return a socket that listens at this port, or at the next free one, and True if the port was in use."""
    if not 0 <= port < 2**16:
        raise ConfigError(f"The port must be from 0 to 65535, got {port}.")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for number in range(port, min(port + _PORTS, 2**16)):
        found = socket.socket(family, socket.SOCK_STREAM)
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            found.bind((host, number))
            found.listen(_CONNECTIONS)
        except OSError as error:
            found.close()
            if error.errno == errno.EADDRINUSE:
                continue
            raise ConfigError(f"Cannot listen at {host}, port {number}: {error.strerror or error}.") from None
        return found, number != port
    raise ConfigError(f"The ports from {port} to {number} are all in use. Choose another one with --port.")


def hosts(host: str, port: int, names: Sequence[str] = ()) -> frozenset[str]:
    """Return the values that the header Host may have."""
    own = {"127.0.0.1", "localhost", "[::1]"} if host in _LOCAL else {_shown(host)}
    if host in _EVERYWHERE:
        own = {"127.0.0.1", "localhost", "[::1]", *_of_this_machine()}
    own |= set(names)
    return frozenset(name.lower() if port == 80 else f"{name.lower()}:{port}" for name in own)


def _of_this_machine() -> set[str]:
    """Return the names and the addresses of this machine."""
    found = {socket.gethostname(), socket.getfqdn()}
    with suppress(OSError):
        found |= {str(entry[4][0]) for entry in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)}
    with suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        # Nothing is sent: this only chooses the address from which others are reached.
        probe.connect(("192.0.2.1", 9))
        found.add(str(probe.getsockname()[0]))
    return found


def _shown(host: str) -> str:
    """Return a host as it stands in an address."""
    if host in _EVERYWHERE:
        return socket.gethostname()
    return f"[{host}]" if ":" in host else host


def _opener(address: str) -> Callable[[], None]:
    """Return a function that opens an address in the browser, if there is one with a window."""

    def open_it() -> None:
        with suppress(webbrowser.Error, OSError):
            found = webbrowser.get()
            # A browser of the terminal would take the terminal away.
            if type(found) is not webbrowser.GenericBrowser or os.environ.get("BROWSER"):
                found.open(address)

    return open_it


def _patient() -> Any:
    """Return the protocol of uvicorn, which closes connections that bring no request.

    Otherwise a few programs that open connections and say nothing keep everybody else out.
    """
    from uvicorn.protocols.http.h11_impl import H11Protocol

    class Patient(H11Protocol):
        """HTTP connections that wait only for a while."""

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            """Begin to wait for the first request."""
            super().connection_made(transport)
            self._wait(self.cycle)

        def _wait(self, seen: object) -> None:
            """Close the connection later, if it has brought nothing since the request that was answered last."""

            def look() -> None:
                # A WebSocket has taken the connection over, or it is closed already.
                if self.transport.is_closing() or self.transport.get_protocol() is not self:
                    return
                if self.cycle is not None and not self.cycle.response_complete:
                    # A request is being answered. `self` is no request, so the time begins again after it.
                    self._wait(self)
                elif self.cycle is seen:
                    self.transport.close()
                else:
                    self._wait(self.cycle)

            self.loop.call_later(_PATIENCE, look)

    return Patient


def _serve(app: object, listening: socket.socket, opening: Callable[[], None] | None) -> None:
    """Run uvicorn until a signal ends it; KeyboardInterrupt is raised for Ctrl-C."""
    import uvicorn

    class Server(uvicorn.Server):
        """A server that ends at the first signal, and waits for nobody."""

        def handle_exit(self, sig: int, frame: object) -> None:
            self.force_exit = True
            super().handle_exit(sig, frame)  # type: ignore[arg-type]

        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            if opening:
                threading.Thread(target=opening, daemon=True).start()

    config = uvicorn.Config(
        app,  # type: ignore[arg-type]
        http=_patient(),
        ws="websockets-sansio",
        ws_max_size=LARGEST_QUESTION,
        # Compressed messages could be bombs, and pictures are sent faster as they are.
        ws_per_message_deflate=False,
        lifespan="off",
        log_config=None,
        log_level="critical",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        limit_concurrency=_CONNECTIONS,
        timeout_graceful_shutdown=1,
    )
    Server(config).run(sockets=[listening])

"""The command: its port, its address, what it says, and how it ends."""

import asyncio
import base64
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from genlab.explore import start
from genlab.explore.start import hosts, listen
from genlab.registry import ConfigError
from tests.fixtures.program import assert_refused, environment, genlab


def test_a_port_in_use_gives_way_to_the_next_free_one() -> None:
    first, moved = listen("127.0.0.1", 0)
    with first:
        port = first.getsockname()[1]
        second, moved_on = listen("127.0.0.1", port)
        with second:
            assert second.getsockname()[1] > port
            assert (moved, moved_on) == (False, True)
    with pytest.raises(ConfigError, match="port must be from 0 to 65535"):
        listen("127.0.0.1", 70_000)
    with pytest.raises(ConfigError, match=r"Cannot listen at 203\.0\.113\.1"):
        listen("203.0.113.1", 0)


def test_the_hosts_are_those_that_lead_to_this_computer() -> None:
    assert hosts("127.0.0.1", 81) == {"127.0.0.1:81", "localhost:81", "[::1]:81"}
    assert hosts("192.168.1.5", 81, ["Lab.example"]) == {"192.168.1.5:81", "lab.example:81"}
    assert hosts("fd00::5", 80) == {"[fd00::5]"}
    assert f"{socket.gethostname().lower()}:81" in hosts("0.0.0.0", 81)


def test_a_missing_package_is_named(finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(start, "find_spec", lambda name: None)
    assert_refused(genlab(finished, "explore", "outputs/mine"), "pip install 'genlab[explore]'")


def test_an_unknown_run_is_refused(finished: Path) -> None:
    assert_refused(genlab(finished, "explore", "outputs/nothing"), "nothing")


def test_ctrl_c_ends_the_command_even_with_an_open_page(finished: Path) -> None:
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        port = busy.getsockname()[1]
        command = [sys.executable, "-m", "genlab", "explore", "outputs/mine", "--no-browser", "--port", str(port)]
        variables = environment() | {"PYTHONUNBUFFERED": "1"}
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        with subprocess.Popen(command, cwd=finished, text=True, env=variables, **pipes) as process:  # type: ignore[call-overload]
            try:
                lines = [process.stdout.readline() for _ in range(3)]
                assert lines[0].startswith(f"Port {port} is in use, so the page is at port ")
                found = re.fullmatch(r"Explore vae-digits: http://127\.0\.0\.1:(\d+)/\?token=(\S+)\n", lines[1])
                assert found
                assert lines[2] == "Press Ctrl-C to stop.\n"
                with _open_page(int(found[1]), found[2]):
                    process.send_signal(signal.SIGINT)
                    assert process.wait(60) == 130
                assert process.stderr.read() == "Interrupted.\n"
            finally:
                process.kill()


def _open_page(port: int, token: str) -> socket.socket:
    """Open a WebSocket as a browser does, and leave it open."""
    home = f"127.0.0.1:{port}"
    first = _said(port, f"GET /?token={token} HTTP/1.1\r\nHost: {home}\r\n\r\n")
    cookie = re.search(r"set-cookie: ([^;]+)", first)
    assert cookie
    key = base64.b64encode(os.urandom(16)).decode()
    talk = socket.create_connection(("127.0.0.1", port), 30)
    lines = ["GET /questions HTTP/1.1", f"Host: {home}", f"Origin: http://{home}", f"Cookie: {cookie[1]}"]
    lines += ["Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {key}"]
    talk.sendall("\r\n".join([*lines, "", ""]).encode())
    assert b"101 Switching Protocols" in talk.recv(1000)
    time.sleep(0.1)
    return talk


def _said(port: int, request: str) -> str:
    with socket.create_connection(("127.0.0.1", port), 30) as talk:
        talk.sendall(request.encode())
        return talk.recv(4000).decode()


def test_a_connection_that_says_nothing_is_closed_and_one_with_a_request_gets_its_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(start, "_PATIENCE", 0.2)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.sleep(0.7)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"hi"})

    async def talk(port: int, request: bytes) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request)
        found = await asyncio.wait_for(reader.read(), 20)
        writer.close()
        return found

    async def try_it() -> tuple[bytes, ...]:
        config = uvicorn.Config(app, log_config=None, lifespan="off")
        config.load()
        patient = start._patient()
        server = await asyncio.get_running_loop().create_server(
            lambda: patient(config=config, server_state=ServerState(), app_state={}), "127.0.0.1", 0
        )
        async with server:
            port = server.sockets[0].getsockname()[1]
            whole = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"
            return await asyncio.gather(talk(port, b""), talk(port, whole[:-2]), talk(port, whole))

    silent, half, answered = asyncio.run(try_it())
    assert silent == half == b""
    assert answered.startswith(b"HTTP/1.1 200")
    assert answered.endswith(b"hi")

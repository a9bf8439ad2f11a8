"""The rules of the server: one test a rule, and what it answers when they are kept."""

import asyncio
import io
import json
import struct
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow
from starlette.requests import Request
from starlette.testclient import TestClient
from starlette.types import Message
from starlette.websockets import WebSocketDisconnect

from genlab.explore import server, uploads
from genlab.explore.guard import HEADERS, Keys
from genlab.explore.questions import Questions
from genlab.explore.start import hosts
from genlab.lab.run import Run

HOME, TALK = "http://127.0.0.1:8765", "ws://127.0.0.1:8765/questions"
KEYS = Keys("the-token", "the-first", "the-cookie")
COOKIE = {"cookie": "genlab-8765=the-cookie"}


@pytest.fixture(scope="module")
def client(vae: Run) -> Iterator[TestClient]:
    """Return a client that knows nothing: each test sends its own cookie."""
    app = server.application(Questions(vae), hosts("127.0.0.1", 8765), KEYS, "genlab-8765")
    with TestClient(app, base_url=HOME, follow_redirects=False) as found:
        yield found


@pytest.fixture(autouse=True)
def _without_cookies(client: TestClient) -> None:
    client.cookies.clear()


def get(client: TestClient, path: str, **headers: str) -> Any:
    return client.get(path, headers={**COOKIE, **headers})


def post(client: TestClient, path: str, content: bytes = b"", **headers: str) -> Any:
    return client.post(path, content=content, headers={**COOKIE, "origin": HOME, **headers})


def message(numbers: Any = (), **settings: Any) -> bytes:
    header = json.dumps(settings).encode()
    return struct.pack("<I", len(header)) + header + np.asarray(numbers, "<f4").tobytes()


def header_of(answer: bytes) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(answer[4 : 4 + struct.unpack_from("<I", answer)[0]])
    return found


def test_the_address_with_the_token_gives_a_strict_cookie_and_hides_the_token(client: TestClient) -> None:
    found = client.get("/?token=the-token")
    assert (found.status_code, found.headers["location"]) == (303, "/")
    assert found.headers["set-cookie"] == "genlab-8765=the-cookie; HttpOnly; SameSite=Strict; Path=/"
    page = get(client, "/")
    assert page.status_code == 200
    assert "the-" not in page.text


def test_the_address_that_starts_the_browser_opens_the_page_once(client: TestClient) -> None:
    assert [client.get("/?token=the-first", headers={"cookie": ""}).status_code for _ in range(3)] == [303, 401, 401]
    assert client.get("/?token=the-token").status_code == 303


@pytest.mark.parametrize(
    "address", ["/", "/?token=wrong", "/?token=", "/?token=the-token&token=x", "/facts", "/main.js"]
)
def test_without_the_token_there_is_nothing(client: TestClient, address: str) -> None:
    for cookie in (
        {},
        {"cookie": "genlab-8765=wrong"},
        {"cookie": "genlab-8765=the-token"},
        {"cookie": "x=the-cookie"},
    ):
        found = client.get(address, headers=cookie)
        assert found.status_code == 401
        assert "Open the address that genlab has printed" in found.text
        assert "set-cookie" not in found.headers


def test_a_cookie_of_another_program_does_not_hide_the_own_one(client: TestClient) -> None:
    assert get(client, "/facts", cookie='odd={"a": [1, "b"]}; genlab-8765=the-cookie').status_code == 200


@pytest.mark.parametrize("host", ["evil.example:8765", "127.0.0.1", "127.0.0.1:80", "localhost.evil.example:8765", ""])
def test_another_host_is_refused(client: TestClient, host: str) -> None:
    assert get(client, "/", host=host).status_code == 421
    assert get(client, "/?token=the-token", host=host).status_code == 421


def test_two_hosts_are_refused(client: TestClient) -> None:
    headers = [("cookie", COOKIE["cookie"]), ("host", "127.0.0.1:8765"), ("host", "evil.example")]
    assert client.get("/", headers=headers).status_code == 421


def test_the_names_of_this_computer_are_hosts(client: TestClient) -> None:
    for host in ("localhost:8765", "LOCALHOST:8765", "[::1]:8765"):
        assert get(client, "/", host=host).status_code == 200


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_a_request_of_another_site_is_refused(client: TestClient, site: str) -> None:
    assert get(client, "/facts", **{"sec-fetch-site": site}).status_code == 403
    assert get(client, "/facts", **{"sec-fetch-site": "same-origin"}).status_code == 200


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "http://127.0.0.1:8000", "https://127.0.0.1:8765", "null", ""]
)
def test_a_post_of_another_origin_is_refused(client: TestClient, origin: str) -> None:
    assert post(client, "/examine?number=0", origin=origin).status_code == 403
    assert client.post("/examine?number=0", headers=COOKIE).status_code == 403, "no origin at all"
    assert post(client, "/examine?number=0").status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {**COOKIE, "origin": "http://evil.example"},
        {**COOKIE, "origin": "null"},
        COOKIE,
        {"origin": HOME},
        {"origin": HOME, "cookie": "genlab-8765=wrong"},
        {**COOKIE, "origin": "http://evil.example:8765", "host": "evil.example:8765"},
    ],
)
def test_a_websocket_of_another_origin_host_or_without_the_cookie_is_refused(
    client: TestClient, headers: dict[str, str]
) -> None:
    with pytest.raises(WebSocketDisconnect), client.websocket_connect(TALK, headers=headers):
        pass


@pytest.mark.parametrize(
    "path",
    [
        "/../pyproject.toml",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/..%2f..%2fetc%2fpasswd",
        "//etc/passwd",
        "/page/main.js",
        "/main.js/",
        "/server.py",
        "/__init__.py",
        "/frame.html",
        "/style.css%00.js",
    ],
)
def test_no_path_leads_to_a_file_outside_the_table(client: TestClient, path: str) -> None:
    found = get(client, path)
    assert found.status_code in (307, 404)
    assert "import" not in found.text


@pytest.mark.parametrize("path", ["/", "/facts", "/main.js", "/page.css", "/nothing", "/?token=the-token"])
def test_each_response_has_the_strict_headers(client: TestClient, path: str) -> None:
    found = get(client, path)
    assert HEADERS.items() <= dict(found.headers).items()
    policy = dict(part.split(" ", 1) for part in found.headers["content-security-policy"].split("; "))
    assert (policy["default-src"], policy["script-src"], policy["frame-ancestors"]) == ("'none'", "'self'", "'none'")
    assert "unsafe" not in found.headers["content-security-policy"]
    assert HEADERS.items() <= dict(client.get("/", headers={"host": "evil.example"}).headers).items()


def test_the_page_has_no_inline_script_or_style(client: TestClient) -> None:
    page = get(client, "/").text
    assert page.count("<script") == page.count('<script src="') > 5
    assert "style=" not in page
    assert "<style" not in page
    assert " on" not in "".join(part.split(">")[0] for part in page.split("<")[1:])


def test_other_methods_are_refused(client: TestClient) -> None:
    for method in ("PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"):
        assert client.request(method, "/", headers={**COOKIE, "origin": HOME}).status_code == 405
    assert post(client, "/").status_code == 405
    assert get(client, "/examine").status_code == 405


def test_a_file_that_is_too_large_is_refused(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "LARGEST_FILE", 1000)
    assert post(client, "/examine", b"x" * 1001).status_code == 413

    def parts() -> Iterator[bytes]:
        yield from [b"x" * 400] * 3

    found = client.post("/examine", content=parts(), headers={**COOKIE, "origin": HOME})
    assert found.status_code == 413, "without an announced length"
    assert post(client, "/examine", b"x" * 900).status_code == 400


def test_a_file_that_comes_too_slowly_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "_SLOW", 0.01)

    async def slowly() -> Message:
        await asyncio.sleep(60)
        raise AssertionError("nobody waits so long")

    request = Request({"type": "http", "headers": [(b"content-length", b"5")]}, slowly)
    assert asyncio.run(server._body(request, 10)) is None


def test_a_picture_of_too_many_pixels_is_refused(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "LARGEST_PICTURE", 99)
    file = io.BytesIO()
    Pillow.new("L", (10, 10)).save(file, "PNG")
    found = post(client, "/examine", file.getvalue())
    assert found.status_code == 400
    assert "too many pixels: 10 x 10" in found.text


def test_settings_that_are_no_numbers_are_refused(client: TestClient) -> None:
    for query in (
        "number=-1",
        "number=nan",
        "number=1e99",
        "number=x",
        "number=0&noise=inf",
        "number=0&noise=1&seed=0.5",
    ):
        found = post(client, f"/examine?{query}")
        assert found.status_code == 400
        assert "must be" in found.text
    assert get(client, "/map?method=../x").status_code == 400


def test_questions_are_answered_in_turn_and_a_bad_one_ends_nothing(client: TestClient) -> None:
    with client.websocket_connect(TALK, headers={**COOKIE, "origin": HOME}) as talk:
        bad = [
            message([0] * 20, ask="quit", id=1),
            message([np.nan] * 20, ask="decode", id=2),
            message([0] * 19, ask="decode", id=3),
            struct.pack("<I", 4000) + b"[" * 4000,
            b"",
            b"x" * 300_000,
        ]
        for each in bad:
            talk.send_bytes(each)
            assert "error" in header_of(talk.receive_bytes())
        talk.send_text("not bytes")
        assert "error" in header_of(talk.receive_bytes())
        for number in range(5):
            talk.send_bytes(message([number] * 20, ask="decode", id=number))
        assert [header_of(talk.receive_bytes())["id"] for _ in range(5)] == list(range(5))


def test_a_client_that_goes_away_leaves_the_others_alone(client: TestClient) -> None:
    headers = {**COOKIE, "origin": HOME}
    with client.websocket_connect(TALK, headers=headers) as one:
        with client.websocket_connect(TALK, headers=headers) as other:
            other.send_bytes(message(ask="sample", id=1, seed=0, count=64))
        one.send_bytes(message([0] * 20, ask="decode", id=7))
        assert header_of(one.receive_bytes())["id"] == 7


def test_an_error_of_genlab_is_printed_and_the_page_is_told(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(*_: Any) -> None:
        raise RuntimeError("a secret")

    monkeypatch.setattr(uploads, "item_of", fails)
    found = post(client, "/examine?number=0")
    assert (found.status_code, found.text) == (500, "genlab failed: RuntimeError. The terminal shows more.")
    assert "a secret" in capsys.readouterr().err

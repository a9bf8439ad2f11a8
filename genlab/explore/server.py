"""The local server of the page: a fixed table of addresses, and one WebSocket for questions of a moment."""

from __future__ import annotations

import asyncio
import math
import sys
import traceback
from collections.abc import Awaitable, Callable
from concurrent.futures import wait
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from genlab.explore import page
from genlab.explore.guard import Guard, Keys
from genlab.explore.questions import Questions
from genlab.explore.uploads import LARGEST_FILE, LARGEST_TEXT, Upload
from genlab.explore.wire import Question, pack, unpack
from genlab.explore.worker import BusyError, Worker
from genlab.lab.embed import Method
from genlab.registry import ConfigError

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.websockets import WebSocket

_SLOW = 30.0
"""Seconds that a client may take to send a file, or to take an answer."""

Endpoint = Callable[["Request"], Awaitable["Response"]]


def application(questions: Questions, hosts: frozenset[str], keys: Keys, name: str) -> Guard:
    """Return the server's application behind its guard; `name` is that of the cookie."""
    return Guard(_routes(questions), hosts, keys, name)


def _routes(questions: Questions) -> Starlette:
    from starlette.applications import Starlette
    from starlette.responses import Response
    from starlette.routing import Route, WebSocketRoute

    quick, slow = Worker("questions"), Worker("survey")
    survey = questions.survey
    # The data is read and the sliders are ordered while the browser opens.
    reading = slow.begin(lambda: survey.rows)
    if questions.size:
        slow.begin(survey.units)

    def facts(_: Question) -> dict[str, Any]:
        # Two threads that begin at once would read the data twice. An error is raised again by the facts.
        wait([reading])
        return questions.facts()

    def fixed(content: str, media: str) -> Endpoint:
        async def answer(request: Request) -> Response:
            return Response(content, media_type=media)

        return answer

    def mapped(question: Question) -> dict[str, Any]:
        return survey.map(cast(Method, question.text("method", tuple(survey.methods()))))

    surveys: dict[str, Callable[[Question], Any]] = {
        "units": lambda _: survey.units(),
        "map": mapped,
        "directions": lambda _: survey.directions(),
        "standings": lambda _: survey.standings(),
        "background": lambda _: survey.background(),
    }
    files = {"/": fixed(page.linked(), "text/html")}
    files |= {f"/{name}": fixed(content, "text/css") for name, content in page.STYLES.items()}
    files |= {f"/{name}": fixed(page.text(name), "text/javascript") for name in (page.WIRE, page.BACKEND, *page.VIEW)}
    files[f"/{page.ICON}"] = fixed(page.text(page.ICON), "image/svg+xml")
    routes = [Route(path, endpoint, methods=["GET"]) for path, endpoint in files.items()]
    routes.append(Route("/facts", _asked(quick, facts), methods=["GET"]))
    routes += [Route(f"/{name}", _asked(slow, ask), methods=["GET"]) for name, ask in surveys.items()]
    routes.append(Route("/examine", _given(quick, questions.examine), methods=["POST"]))
    routes.append(Route("/upscale", _given(quick, questions.upscale), methods=["POST"]))
    routes.append(Route("/sound", _heard(quick, questions), methods=["POST"]))
    return Starlette(routes=[*routes, WebSocketRoute("/questions", _conversation(quick, questions))])


def _asked(worker: Worker, ask: Callable[[Question], Any]) -> Endpoint:
    """Return an endpoint whose settings are in the address."""

    async def answer(request: Request) -> Response:
        return await _response(request, worker, lambda: pack(ask(_settings(request))))

    return answer


def _given(worker: Worker, ask: Callable[[Question, Upload], Any]) -> Endpoint:
    """Return an endpoint that takes a file, a text, or the number of a test item."""

    async def answer(request: Request) -> Response:
        content = await _body(request, LARGEST_FILE)

        def work() -> bytes:
            question = _settings(request)
            number = question.integer("number", 0, 2**31 - 1, 0) if "number" in question.settings else None
            return pack(ask(question, Upload(content or b"", _text(request, content or b""), number)))

        return await _response(request, worker, work, content)

    return answer


def _heard(worker: Worker, questions: Questions) -> Endpoint:
    """Return the endpoint that turns a spectrogram into a sound."""

    async def answer(request: Request) -> Response:
        content = await _body(request, LARGEST_FILE)
        return await _response(request, worker, lambda: questions.sound(content or b""), content, "audio/wav")

    return answer


def _settings(request: Request) -> Question:
    """Return the settings in the address of a request; numbers are read as numbers."""
    return Question({name: _number(value) for name, value in request.query_params.items()})


def _number(text: str) -> str | int | float:
    """Return a number if the text is one; nan and infinity stay texts, which no question takes for numbers."""
    for read in (int, float):
        with suppress(ValueError):
            found = read(text)
            return found if math.isfinite(found) else text
    return text


def _text(request: Request, content: bytes) -> str | None:
    if not request.headers.get("content-type", "").startswith("text/plain"):
        return None
    return content[:LARGEST_TEXT].decode("utf-8", "replace")


async def _body(request: Request, most: int) -> bytes | None:
    """Read a body of at most `most` bytes; None if it is larger or comes too slowly."""
    announced = request.headers.get("content-length", "0")
    if not announced.isdecimal() or int(announced) > most:
        return None
    content = bytearray()
    try:
        async with asyncio.timeout(_SLOW):
            async for part in request.stream():
                content += part
                if len(content) > most:
                    return None
    except TimeoutError:
        return None
    return bytes(content)


async def _response(
    request: Request,
    worker: Worker,
    work: Callable[[], bytes],
    content: bytes | None = b"",
    media: str = "application/octet-stream",
) -> Response:
    """Let a worker do the work, and return its answer or the reason why there is none."""
    from starlette.responses import PlainTextResponse, Response

    if content is None:
        sentence = f"The file is larger than {LARGEST_FILE // 10**6} MB, or came too slowly."
        return PlainTextResponse(sentence, 413, {"connection": "close"})
    try:
        return Response(await worker.do(work), media_type=media)
    except Exception as error:
        status, sentence = _reason(error)
        return PlainTextResponse(sentence, status)


def _reason(error: Exception) -> tuple[int, str]:
    """Return a status and a sentence for the page; an error of genlab is printed in full."""
    if isinstance(error, ConfigError):
        return 400, str(error)
    if isinstance(error, BusyError):
        return 503, str(error)
    traceback.print_exception(error, file=sys.stderr)
    return 500, f"genlab failed: {type(error).__name__}. The terminal shows more."


def _conversation(worker: Worker, questions: Questions) -> Callable[[WebSocket], Awaitable[None]]:
    """Return the endpoint of the WebSocket: it answers one question after the other."""
    answers: dict[str, Callable[[Question], Any]] = {
        "decode": questions.decode,
        "sample": questions.sample,
        "between": questions.between,
        "item": questions.item,
    }

    def answered(message: bytes) -> bytes:
        number = -1
        try:
            question = unpack(message)
            number = question.integer("id", 0, 2**31 - 1)
            return pack({"id": number, **answers[question.text("ask", tuple(answers))](question)})
        except Exception as error:
            return pack({"id": number, "error": _reason(error)[1]})

    async def converse(socket: WebSocket) -> None:
        from starlette.websockets import WebSocketDisconnect

        await socket.accept()
        try:
            # The next question is read when this one is answered, so nobody can fill the queue.
            while (message := await socket.receive())["type"] == "websocket.receive":
                # A text holds no bytes, and is answered as a damaged question.
                answer = await worker.do(partial(answered, message.get("bytes") or b""))
                async with asyncio.timeout(_SLOW):
                    await socket.send_bytes(answer)
        except (WebSocketDisconnect, TimeoutError, BusyError):
            # Gone or too slow. The page connects again by itself.
            return

    return converse

"""The server itself: connections, bodies, faults."""

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.parse import unquote

from aiohttp import ClientError, web

from local_hub.answers import Answer, Ask, Refusal
from local_hub.faults import Fault, Request
from local_hub.hub import LocalHub
from local_hub.routes import Endpoint, route, work

TICK = 0.02
"""Seconds between two pieces of a slow body."""
NONE = Fault()


class DroppedError(Exception):
    """The connection was closed in the middle of things."""


class Server:
    """Reads requests, has them worked off, and misbehaves as told."""

    def __init__(self, hub: LocalHub) -> None:
        self.hub = hub
        self.loop = asyncio.get_running_loop()
        self.silence = asyncio.Event()
        self.stopped = asyncio.Event()
        hub.release = lambda: self.call(self.end_silence)

    def call(self, function: object) -> None:
        if not self.loop.is_closed():
            self.loop.call_soon_threadsafe(function)

    def end_silence(self) -> None:
        self.silence.set()
        self.silence = asyncio.Event()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        raw_path = request.rel_url.raw_path
        kind, parts, run = route(request.method, raw_path)
        headers = {name.lower(): value for name, value in request.headers.items()}
        ask = Ask(request.method, parts, raw_path, dict(request.query), headers)
        entry = self.hub.note(request.method, unquote(raw_path), dict(request.query), headers, kind)
        try:
            return await self.respond(request, ask, run, entry)
        except (DroppedError, ConnectionError, ClientError):
            hang_up(request)
            return web.Response(status=503)  # reaches nobody

    async def respond(
        self, request: web.Request, ask: Ask, run: Endpoint, entry: Request
    ) -> web.StreamResponse:
        fault, visit = entry.fault or NONE, self.hub.visit
        ask.body = await self.receive(request, entry, fault)
        if visit != self.hub.visit:
            raise DroppedError  # of a test that is over
        if fault.status:
            answer = Refusal(fault.status, fault.message, headers=fault.headers).answer()
        else:
            answer = self.carried(work(self.hub, ask, run), entry, fault)
        if fault.silent == "after":
            await self.silence.wait()
        if fault.cut == "after" or fault.silent == "after":
            raise DroppedError
        return await self.send(request, answer, entry, fault)

    async def receive(self, request: web.Request, entry: Request, fault: Fault) -> bytes:
        """Read the body, unless the fault comes before or within."""
        if fault.cut == "before":
            raise DroppedError
        cut = fault.cut_at if request.method in ("PUT", "POST") else None
        step = max(1, int(fault.slow * TICK)) if fault.slow else 1 << 18
        pieces = []
        while (cut is None or entry.received < cut) and (piece := await request.content.read(step)):
            entry.received += len(piece)
            pieces.append(piece)
            if fault.slow:
                await self.pause(len(piece) / fault.slow)
        if fault.silent is True:
            await self.silence.wait()
        if cut is not None or fault.silent is True:
            raise DroppedError
        return b"".join(pieces)

    def carried(self, answer: Answer, entry: Request, fault: Fault) -> Answer:
        """Let a fault of the body follow to where a download is sent on to."""
        if entry.kind != "resolve-get" or answer.status != 302 or not fault.of_body:
            return answer
        with self.hub.lock:
            name = f"{entry.number}-{len(self.hub.carried)}"
            self.hub.carried[name] = fault
        location = f"{answer.headers['Location']}&fault={name}"
        return Answer(answer.data, 302, {**answer.headers, "Location": location})

    async def send(
        self, request: web.Request, answer: Answer, entry: Request, fault: Fault
    ) -> web.StreamResponse:
        body = answer.body()
        if not fault.of_body or "&fault=" in answer.headers.get("Location", ""):
            entry.status = answer.status
            if request.method == "HEAD":
                head = {**answer.head(), "Content-Length": str(len(body))}
                return web.Response(status=answer.status, headers=head)
            entry.sent = len(body)
            return web.Response(status=answer.status, headers=answer.head(), body=body)
        if request.method == "HEAD":
            await self.stop(request, fault)
        response = web.StreamResponse(status=answer.status, headers=answer.head())
        response.content_length, entry.status = len(body), answer.status
        await response.prepare(request)
        await self.trickle(request, response, body, entry)
        await response.write_eof()
        return response

    async def trickle(
        self, request: web.Request, response: web.StreamResponse, body: bytes, entry: Request
    ) -> None:
        """Send a body as the fault says: slowly, or only the beginning of it."""
        fault = entry.fault or NONE
        stops = [n for n in (fault.cut_at, fault.silent_at) if n is not None]
        end = min([len(body) - 1, *stops]) if stops else len(body)
        step = max(1, int(fault.slow * TICK)) if fault.slow else max(1, end)
        for at in range(0, end, step):
            await response.write(body[at : min(at + step, end)])
            entry.sent = min(at + step, end)
            if fault.slow:
                await self.pause(step / fault.slow)
        if stops:
            await self.stop(request, fault)

    async def pause(self, seconds: float) -> None:
        """Wait, but not longer than the server is there for this test."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self.silence.wait(), seconds)
            raise DroppedError

    async def stop(self, request: web.Request, fault: Fault) -> None:
        """Say nothing more, or hang up, once all that was written is on its way."""
        while request.transport and request.transport.get_write_buffer_size():  # noqa: ASYNC110 (no event)
            await asyncio.sleep(0.001)
        if fault.silent_at is not None:
            await self.silence.wait()
        raise DroppedError


def hang_up(request: web.Request) -> None:
    """Close the connection at once, also where a forked process holds a copy of it."""
    if request.transport is not None:
        with suppress(OSError):  # the client was faster
            request.transport.get_extra_info("socket").shutdown(socket.SHUT_RDWR)
        request.transport.abort()


async def serve(hub: LocalHub, sock: socket.socket, ready: threading.Event, made: list[Server]) -> None:
    server = Server(hub)
    made.append(server)
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", server.handle)
    runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=0.2)
    await runner.setup()
    await web.SockSite(runner, sock).start()
    ready.set()
    await server.stopped.wait()
    await runner.cleanup()


def free_socket() -> socket.socket:
    """Bind a free port of this machine; nobody listens there yet."""
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    return sock


@contextmanager
def serving(sock: socket.socket | None = None) -> Iterator[LocalHub]:
    """Serve on a bound socket, or on a free port, until the end of the block."""
    sock = sock or free_socket()
    hub = LocalHub(f"http://127.0.0.1:{sock.getsockname()[1]}")
    ready, made = threading.Event(), []
    thread = threading.Thread(target=lambda: asyncio.run(serve(hub, sock, ready, made)), daemon=True)
    thread.start()
    if not ready.wait(10):
        raise TimeoutError("the local Hub did not start")
    try:
        yield hub
    finally:
        made[0].call(made[0].stopped.set)
        thread.join(10)
        sock.close()

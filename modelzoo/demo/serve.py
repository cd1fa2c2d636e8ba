"""Serve the page: to whom, from which socket, and with which limits."""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
import sys
import threading
import webbrowser
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from modelzoo.support.errors import InputError, reason_of

MAX_FILE_BYTES = 20_000_000
MAX_BODY_BYTES = 30_000_000  # a file in base64, and what stands around it
# The browser itself refuses to load anything from elsewhere, whatever the page asks for. Gradio's
# page has scripts in it, and makes functions from its templates.
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:; "
    "object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'"
)
# What the page uses of Gradio's interface. The rest gives files of this machine, takes uploads, and
# asks other servers.
INTERFACE = "/gradio_api/"
USED = tuple(
    f"{INTERFACE}{part}"
    for part in ("queue/", "startup-events", "heartbeat/", "info", "app_id", "cancel", "reset")
)
HEADERS = [
    (b"content-security-policy", POLICY.encode()),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
]


def listen(host: str, port: int) -> socket.socket:
    """Take a port; 0 takes a free one.

    Raises:
        InputError: the port is in use or not allowed, or the host is none of this machine.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family)
    except PermissionError as error:
        raise InputError(
            f"--port {port}: this user may not listen on it\nTake one above 1023."
        ) from error
    except (OSError, UnicodeError) as error:
        if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
            raise InputError(
                f"--port {port}: is in use on {host}, perhaps by another page of modelzoo\n"
                "Stop that, or let the page take a free port: --port 0"
            ) from error
        reason = reason_of(error)
        raise InputError(
            f"--host {host}: cannot be listened on: {reason}\n"
            "Give an address of this machine, or none: 127.0.0.1 is seen by this machine alone."
        ) from error


def is_local(host: str) -> bool:
    """Whether only this machine reaches what listens on `host`."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class Guard:
    """Passes on requests that were meant for this page, with a policy on every reply.

    A page elsewhere can let a name of its own point to 127.0.0.1 (DNS rebinding) and then talk to
    this server as its own. The Host header betrays it, so only known names pass; and an Origin
    header, if there is one, must be that of the page itself.

    Args:
        app: the ASGI application behind it.
        host: what the server listens on.
    """

    def __init__(self, app: Any, host: str) -> None:
        self.app = app
        self.names = {host.lower(), "localhost"}
        self.local = is_local(host)
        if not self.local:
            self.names.add(socket.gethostname().lower())

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one request, or refuse it."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":  # the page opens no websocket
            await send({"type": "websocket.close", "code": 1008})
            return
        headers = {
            key.decode("latin-1"): value.decode("latin-1") for key, value in scope["headers"]
        }
        if reason := self.refusal(headers, scope["path"]):
            await _refuse(send, *reason)
            return

        async def send_with_headers(message: Any) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", []), *HEADERS]}
            await send(message)

        await self.app(scope, _limited(receive), send_with_headers)

    def refusal(self, headers: dict[str, str], path: str = "/") -> tuple[int, str] | None:
        """Return the status and the reason why a request is refused; None if it is not."""
        if path.startswith(INTERFACE) and not path.startswith(USED):
            return 404, "The page has no such part.\n"
        address = headers.get("host", "")
        if not self._is_known(_host_name(f"//{address}")):
            return 403, "This address is not known here. Use the one that modelzoo printed.\n"
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc.lower() != address.lower():
            return 403, "Requests of other pages are refused.\n"
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > MAX_BODY_BYTES:
            return 413, f"More than {MAX_FILE_BYTES // 1_000_000} MB are refused.\n"
        return None

    def _is_known(self, name: str) -> bool:
        if name in self.names:
            return True
        try:  # an address, unlike a name, cannot be pointed elsewhere
            address = ipaddress.ip_address(name)
        except ValueError:
            return False
        return address.is_loopback or not self.local


def _host_name(url: str) -> str:
    try:
        return (urlsplit(url).hostname or "").lower()
    except ValueError:  # brackets that do not match
        return ""


def _limited(receive: Any) -> Any:
    """Return `receive` cut off where a body grows larger than it may: its length can be untold."""
    seen = 0

    async def limited() -> Any:
        nonlocal seen
        message = await receive()
        seen += len(message.get("body", b""))
        return {"type": "http.disconnect"} if seen > MAX_BODY_BYTES else message

    return limited


async def _refuse(send: Any, status: int, text: str) -> None:
    headers = [(b"content-type", b"text/plain; charset=utf-8"), *HEADERS]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": text.encode()})


def serve(app: Any, listening: socket.socket, started: Callable[[], None]) -> None:
    """Serve until Ctrl-C or a polite kill; `started` is called once the page answers."""
    import uvicorn

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets=sockets)
            if self.started:
                started()

    # An open page holds a connection for as long as it is open: it is not waited for.
    config = uvicorn.Config(app, log_level="warning", access_log=False, timeout_graceful_shutdown=1)
    Server(config).run(sockets=[listening])


def open_browser(url: str) -> None:
    """Open the page, where there is a screen; never a text browser over the command's output."""
    if sys.platform.startswith("linux"):
        if not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
            return
    threading.Thread(target=webbrowser.open, args=(url,), daemon=True).start()

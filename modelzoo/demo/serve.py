"""`modelzoo demo`: load the networks, and serve the page: to whom, and with which limits."""

from __future__ import annotations

import errno
import ipaddress
import logging
import os
import socket
import sys
import tempfile
import threading
import webbrowser
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from modelzoo.config import list_models, load_config
from modelzoo.demo import MAX_FILE_BYTES
from modelzoo.support.environment import check_installed
from modelzoo.support.errors import InputError, reason_of
from modelzoo.support.terminal import say
from modelzoo.training.device import start_framework
from modelzoo.training.resolve import Source, resolve

if TYPE_CHECKING:  # it imports Keras
    from modelzoo.demo.page import Network

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


def demo(names: Sequence[str] | None, host: str, port: int, browser: bool) -> None:
    """Serve the page until Ctrl-C, and open it in a browser."""
    check_installed("the page", "gradio")
    found = {name: resolve(name) for name in names or packaged_networks()}
    with (
        listen(host, port) as listening,
        tempfile.TemporaryDirectory(prefix="modelzoo-demo-") as folder,
    ):
        os.environ["GRADIO_TEMP_DIR"] = folder  # its files, if it makes any, go with the page
        bound, port = listening.getsockname()[:2]
        # All addresses: this machine's is one of them.
        shown = "localhost" if ipaddress.ip_address(bound).is_unspecified else host
        url = f"http://[{shown}]:{port}/" if ":" in shown else f"http://{shown}:{port}/"
        say(f"starting; {url} answers once all networks are loaded", file=sys.stderr)
        networks = load(found)
        from modelzoo.demo.page import make_page

        page = Guard(make_page(networks), host)
        say(f"modelzoo demo: {url} (Ctrl-C ends it)", flush=True)
        if not is_local(host):
            say(
                "Everyone who reaches this machine over the network can open the page and use "
                "its processor.",
                file=sys.stderr,
            )
        # Where there is no screen, a text browser would write over what is printed here.
        screen = os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
        if browser and (screen or not sys.platform.startswith("linux")):
            threading.Thread(target=webbrowser.open, args=(url,), daemon=True).start()
        try:
            serve(page, listening)
        except KeyboardInterrupt:  # the way to end it
            say("modelzoo demo: ended", file=sys.stderr)


def packaged_networks() -> list[str]:
    """Return what can be chosen by default: the weights in the package, LeNet-5 first."""
    names = [
        f"{model}/{entry.name}"
        for model in list_models()
        for entry in load_config(model).weights
        if "package" in entry.sources
    ]
    return sorted(names, key=lambda name: not name.startswith("lenet5/"))


def load(found: Mapping[str, Source]) -> dict[str, Network]:
    """Build networks and load their weights, by their label."""
    backend = next(iter(found.values())).config.trainer.backend
    start_framework(backend, "cpu")  # one small image at a time
    from modelzoo.demo.page import Network

    # It takes the first calls of several networks for one that is traced again and again.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    networks = {}
    for label, source in found.items():
        say(f"loading {label}", file=sys.stderr)
        networks[label] = Network(source)
    return networks


def listen(host: str, port: int) -> socket.socket:
    """Take a port; 0 takes a free one."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family)
    except (OSError, UnicodeError) as error:
        known = {
            errno.EACCES: f"--port {port}: this user may not listen on it\nTake one above 1023.",
            errno.EADDRINUSE: (
                f"--port {port}: is in use on {host}, perhaps by another page of modelzoo\n"
                "Stop that, or let the page take a free port: --port 0"
            ),
        }
        other = (
            f"--host {host}: cannot be listened on: {reason_of(error)}\n"
            "Give an address of this machine, or none: 127.0.0.1 is seen by this machine alone."
        )
        raise InputError(known.get(getattr(error, "errno", 0), other)) from error


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
    """

    def __init__(self, app: Any, host: str) -> None:
        self.app = app
        self.names = {host.lower(), "localhost"}
        self.local = is_local(host)
        if not self.local:
            self.names.add(socket.gethostname().lower())

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one request, or refuse it."""
        from starlette.responses import PlainTextResponse  # which FastAPI is made of

        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":  # the page opens no websocket
            await send({"type": "websocket.close", "code": 1008})
            return

        async def send_with_headers(message: Any) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", []), *HEADERS]}
            await send(message)

        headers = {key.decode("latin-1"): text.decode("latin-1") for key, text in scope["headers"]}
        refused = self.refusal(headers, scope["path"])
        answer = PlainTextResponse(refused[1], refused[0]) if refused else self.app
        await answer(scope, receive, send_with_headers)

    def refusal(self, headers: dict[str, str], path: str = "/") -> tuple[int, str] | None:
        """Return the status and the reason why a request is refused; None if it is not."""
        if path.startswith(INTERFACE) and not path.startswith(USED):
            return 404, "The page has no such part.\n"
        address = headers.get("host", "")
        if not self._is_known(address):
            return 403, "This address is not known here. Use the one that modelzoo printed.\n"
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc.lower() != address.lower():
            return 403, "Requests of other pages are refused.\n"
        length = headers.get("content-length", "0")
        bounded = length.isdecimal() and int(length) <= MAX_BODY_BYTES
        if not bounded or "transfer-encoding" in headers:  # which tells no length
            return 413, f"More than {MAX_FILE_BYTES // 1_000_000} MB are refused.\n"
        return None

    def _is_known(self, address: str) -> bool:
        try:
            name = urlsplit(f"//{address}").hostname or ""
            if name in self.names:
                return True
            # An address, unlike a name, cannot be pointed elsewhere.
            return ipaddress.ip_address(name).is_loopback or not self.local
        except ValueError:  # another name, or brackets that do not match
            return False


def serve(app: Any, listening: socket.socket) -> None:
    import uvicorn

    # An open page holds a connection for as long as it is open: it is not waited for.
    config = uvicorn.Config(app, log_level="warning", access_log=False, timeout_graceful_shutdown=1)
    uvicorn.Server(config).run(sockets=[listening])

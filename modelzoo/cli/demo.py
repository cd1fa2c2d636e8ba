"""What `modelzoo demo` does: find the weights, take the port, load the networks, serve the page."""

from __future__ import annotations

import argparse
import ipaddress
import logging
import os
import socket
import sys
import tempfile
from collections.abc import Mapping
from typing import TYPE_CHECKING

from modelzoo.config import list_models, load_config
from modelzoo.demo import serve
from modelzoo.demo.page import make_page
from modelzoo.support.requirements import check_installed
from modelzoo.support.terminal import say
from modelzoo.training.device import start_framework
from modelzoo.training.resolve import Source, resolve

if TYPE_CHECKING:
    from modelzoo.demo.answer import Network


def demo(options: argparse.Namespace) -> None:
    """Serve the page until Ctrl-C."""
    check_installed("the page", "gradio")
    found = {name: resolve(name) for name in options.model or packaged_networks()}
    with (
        serve.listen(options.host, options.port) as listening,
        tempfile.TemporaryDirectory(prefix="modelzoo-demo-") as folder,
    ):
        os.environ["GRADIO_TEMP_DIR"] = folder  # its files, if it makes any, go with the page
        url = _url(options.host, listening)
        say(f"starting; {url} answers once all networks are loaded", file=sys.stderr)
        networks = load(found)
        page = serve.Guard(make_page(networks), options.host)

        def started() -> None:
            say(f"modelzoo demo: {url} (Ctrl-C ends it)", flush=True)
            if not serve.is_local(options.host):
                say(
                    "Everyone who reaches this machine over the network can open the page and use "
                    "its processor.",
                    file=sys.stderr,
                )
            if not options.no_browser:
                serve.open_browser(url)

        try:
            serve.serve(page, listening, started)
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
    start_framework(backend, "cpu")  # one small picture at a time
    from modelzoo.demo.answer import Network

    # It takes the first calls of several networks for one that is traced again and again.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    networks = {}
    for label, source in found.items():
        say(f"loading {label}", file=sys.stderr)
        networks[label] = Network(source)
    return networks


def _url(host: str, listening: socket.socket) -> str:
    """Return the address to open on this machine."""
    bound, port = listening.getsockname()[:2]
    if ipaddress.ip_address(bound).is_unspecified:  # all addresses: this machine's is one of them
        host = "localhost"
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"

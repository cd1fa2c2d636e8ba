"""`modelzoo demo`: find the weights, take the port, load the networks, serve the page."""

from __future__ import annotations

import argparse
import ipaddress
import logging
import os
import sys
import tempfile
import threading
import webbrowser
from collections.abc import Mapping
from typing import TYPE_CHECKING

from modelzoo.config import list_models, load_config
from modelzoo.demo import serve
from modelzoo.demo.page import make_page
from modelzoo.support.environment import check_installed
from modelzoo.support.terminal import say
from modelzoo.training.device import start_framework
from modelzoo.training.resolve import Source, resolve

if TYPE_CHECKING:
    from modelzoo.demo.page import Network


def demo(options: argparse.Namespace) -> None:
    """Serve the page until Ctrl-C."""
    check_installed("the page", "gradio")
    host = options.host
    found = {name: resolve(name) for name in options.model or packaged_networks()}
    with (
        serve.listen(host, options.port) as listening,
        tempfile.TemporaryDirectory(prefix="modelzoo-demo-") as folder,
    ):
        os.environ["GRADIO_TEMP_DIR"] = folder  # its files, if it makes any, go with the page
        bound, port = listening.getsockname()[:2]
        # All addresses: this machine's is one of them.
        shown = "localhost" if ipaddress.ip_address(bound).is_unspecified else host
        url = f"http://[{shown}]:{port}/" if ":" in shown else f"http://{shown}:{port}/"
        say(f"starting; {url} answers once all networks are loaded", file=sys.stderr)
        page = serve.Guard(make_page(load(found)), host)
        say(f"modelzoo demo: {url} (Ctrl-C ends it)", flush=True)
        if not serve.is_local(host):
            say(
                "Everyone who reaches this machine over the network can open the page and use "
                "its processor.",
                file=sys.stderr,
            )
        # Where there is no screen, a text browser would write over what is printed here.
        screen = os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
        if not options.no_browser and (screen or not sys.platform.startswith("linux")):
            threading.Thread(target=webbrowser.open, args=(url,), daemon=True).start()
        try:
            serve.serve(page, listening)
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

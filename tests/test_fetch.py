"""Fetching against a local server that does what real networks do."""

import contextlib
import gzip
import hashlib
import http.server
import io
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import gdown  # imported here, since a busy machine takes a second for it
import h5py
import numpy as np
import pooch  # noqa: F401
import pytest
from waiting import HANGS, text_of, wait_for

import modelzoo
from modelzoo.config import published
from modelzoo.config.published import WeightsFile, file_at, redirect_problem
from modelzoo.support.errors import InputError
from modelzoo.support.files import read_record, record_path
from modelzoo.weights import store
from modelzoo.weights.store import Limits, cached_path


def hdf5(values: np.ndarray) -> bytes:
    memory = io.BytesIO()
    with h5py.File(memory, "w") as file:
        file["x"] = values
    return memory.getvalue()


DATA = hdf5(np.random.default_rng(0).random(12_000))
OTHER = DATA[:-1] + bytes([DATA[-1] ^ 1])
HALF = len(DATA) // 2
SHA256 = hashlib.sha256(DATA).hexdigest()
# No test waits for them, so that they are long enough for any machine.
PATIENT = Limits(silence=60.0, attempts=2, backoff=0.01)
CERTIFICATE = Path(__file__).with_name("self_signed.pem")  # of 127.0.0.1, for these tests only
ROOT = Path(modelzoo.__file__).parents[1]

Answer = Callable[["Handler"], None]


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers as the server's table says for the path."""

    protocol_version = "HTTP/1.1"
    server: "Server"

    def do_GET(self) -> None:
        """Note the request and answer it; a client that hangs up is no error here."""
        with self.server.lock:
            self.server.asked.append(self.path)
            self.times = self.server.asked.count(self.path)
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.server.answers[self.path](self)

    def send(self, status: int, body: bytes = b"", **headers: Any) -> None:
        """Send a whole answer; Content_Length=... in place of the right one."""
        self.send_response(status)
        for name, value in {"Content_Length": len(body), "Connection": "close", **headers}.items():
            if value is not None:
                self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Keep quiet."""


class Server(http.server.ThreadingHTTPServer):
    """Counts what is asked."""

    daemon_threads = True
    request_queue_size = 32

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers: dict[str, Answer] = {"/good": good}
        self.asked: list[str] = []
        self.lock = threading.Lock()
        self.stop, self.hung_up = threading.Event(), threading.Event()
        self.scheme = "https" if context else "http"
        if context:
            self.socket = context.wrap_socket(self.socket, server_side=True)

    def url(self, path: str = "/good") -> str:
        return f"{self.scheme}://127.0.0.1:{self.server_address[1]}{path}"

    def handle_error(self, *_: Any) -> None:
        """A refused certificate is no error here."""


def serve(context: ssl.SSLContext | None = None) -> Iterator[Server]:
    server = Server(context)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield server
    server.stop.set()
    server.shutdown()
    server.server_close()


@pytest.fixture
def server():
    yield from serve()


@pytest.fixture
def tls_server():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)
    yield from serve(context)


@pytest.fixture(autouse=True)
def patient(home, monkeypatch):
    """Two attempts, and a cache of its own."""
    monkeypatch.setattr(store, "LIMITS", PATIENT)


def weights_file(*sources: str, sha256: str | None = SHA256) -> WeightsFile:
    size = len(DATA) if sha256 else None
    return WeightsFile(
        "net/one", "net/one.weights.h5", sources, sha256, size, size or 2 * len(DATA)
    )


def parts() -> list[Path]:
    path = cached_path(weights_file())
    return list(path.parent.glob(f".*.{path.name}"))


# What servers do. Each answers the path /bad.


def good(handler: Handler) -> None:
    handler.send(200, DATA)


def sends(body: bytes = b"no", status: int = 200, **headers: Any) -> Answer:
    return lambda handler: handler.send(status, body, **headers)


def redirect(target: str) -> Answer:
    return sends(status=302, Location=target)


def first(fault: Answer, then: Answer) -> Answer:
    return lambda handler: fault(handler) if handler.times == 1 else then(handler)


def stall(handler: Handler) -> None:
    handler.send(200, DATA[:HALF], Content_Length=len(DATA))
    handler.wfile.flush()
    handler.server.stop.wait(HANGS)


def endless(handler: Handler) -> None:
    handler.send(200, Content_Length=None)
    while not handler.server.stop.is_set():
        handler.wfile.write(DATA)


cut = sends(DATA[:HALF], Content_Length=len(DATA))
QUOTA = b"<!DOCTYPE html><html><head><title>Quota exceeded</title></head>" + b"x" * 5000
BOMB = gzip.compress(bytes(1 << 24)) * 64  # a megabyte that stands for a gigabyte


def endless_redirect(handler: Handler) -> None:
    """The way to the file, and then bytes until the client hangs up."""
    handler.send(302, Location="/bad?again", Content_Length=None)
    with contextlib.suppress(OSError):
        while not handler.server.stop.is_set():
            handler.wfile.write(DATA)
        return
    handler.server.hung_up.set()


# Name: (what the server does, what the message says of it, how often it is asked).
FAULTS: dict[str, tuple[Answer, str, int]] = {
    "404": (sends(status=404), "HTTP 404 Not Found", 1),
    "500": (sends(status=500), "HTTP 500 Internal Server Error (2 attempts)", 2),
    "quota page": (sends(QUOTA, Content_Type="text/html; charset=utf-8"), "a web page instead", 1),
    "web page as octets": (sends(QUOTA, Content_Length=None), "a web page instead of the file", 1),
    "cut at half": (cut, "the connection broke after", 2),
    "cut without a length": (sends(DATA[:HALF], Content_Length=None), f"sent {HALF:,} bytes", 2),
    "cut at once": (lambda h: None, "no connection (2 attempts)", 2),
    "stall": (stall, "silent for 1 s after", 2),
    "silence": (lambda h: h.server.stop.wait(HANGS), "silent for 1 s after 0 bytes", 2),
    "wrong bytes": (sends(OTHER), "other bytes: their SHA-256 is", 1),
    "too many bytes": (endless, f"more than the {len(DATA):,} bytes", 1),
    "redirect loop": (redirect("/bad"), "TooManyRedirects", 31),
    "redirect to http": (redirect("http://weights.example/a"), "which is not https", 1),
    "part not asked for": (sends(DATA[5:], 206), "HTTP 206 Partial Content", 1),
    "not HTTP": (lambda h: h.wfile.write(b"220 smtp.example ready\r\n"), "no connection", 2),
    "damaged chunks": (
        sends(b"zz\r\nnot a chunk\r\n", Content_Length=None, Transfer_Encoding="chunked"),
        "broke",
        2,
    ),
    "false gzip": (sends(DATA, Content_Encoding="gzip"), "content-encoding: gzip", 1),
    "gzip bomb": (sends(BOMB, Content_Encoding="gzip"), "more than the", 1),
}


@pytest.mark.parametrize("name", FAULTS, ids=lambda name: name.replace(" ", "-"))
def test_a_faulty_source_is_left_for_the_next(name, server, capsys, monkeypatch):
    answer, words, times = FAULTS[name]
    if name in ("stall", "silence"):  # whose end the test waits for
        monkeypatch.setattr(store, "LIMITS", replace(PATIENT, silence=1.0))
    server.answers["/bad"] = answer
    bad = server.url("/bad")
    with pytest.raises(InputError) as refused:
        store.fetch(weights_file(bad))
    message = str(refused.value)
    path = cached_path(weights_file())
    assert words in message
    for part in (f"  {bad}: ", f"By hand: put {bad}", f"at {path}", SHA256, f"{len(DATA):,} bytes"):
        assert part in message
    assert len(server.asked) == times
    assert not path.exists() and not parts()
    found = store.fetch(weights_file(bad, server.url()))
    assert path.read_bytes() == DATA
    assert (found.path, found.sha256, found.source) == (path, SHA256, server.url())
    assert not parts()
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    "answer",
    [
        first(sends(status=503), good),
        first(sends(status=429), good),
        first(cut, good),
        first(redirect("/good"), good),
        sends(DATA, Content_Length=None),
    ],
    ids=["503", "429", "cut", "redirect", "no-length"],
)
def test_the_same_source_gets_another_chance(answer, server):
    server.answers["/bad"] = answer
    found = store.fetch(weights_file(server.url("/bad")), limits=PATIENT)
    assert found.path.read_bytes() == DATA and not parts()


@pytest.mark.parametrize(
    ("url", "location", "allowed"),
    [
        ("https://a.example/x", "https://b.example/y", True),
        ("https://a.example/x", "../z", True),
        ("https://a.example/x", "//b.example/y", True),
        ("https://a.example/x", "http://b.example/y", False),
        ("https://a.example/x", "http://127.0.0.1/y", False),
        ("https://a.example/x", "file:///etc/passwd", False),
        ("https://a.example/x", "data:text/plain,x", False),
        ("http://localhost/x", "https://b.example/y", True),
        ("http://localhost/x", "file:///etc/passwd", False),
        ("http://localhost/x", "http://weights.example\\@localhost/a", False),
        ("http://localhost/x", "http://localhost.example/y", False),
        ("http://localhost/x", "http://localhost@evil.example/y", False),
    ],
)
def test_where_redirects_may_lead(url, location, allowed):
    assert (redirect_problem(url, location) is None) == allowed


def test_the_body_of_a_redirect_is_not_read(server):
    """It may be endless, and libraries read it into memory; whoever sends it finds nobody there."""
    server.answers |= {"/bad": endless_redirect, "/bad?again": good}
    assert store.fetch(weights_file(server.url("/bad"))).path.read_bytes() == DATA
    assert server.hung_up.wait(HANGS)


def test_a_certificate_that_nobody_signed(server, tls_server):
    with pytest.raises(InputError, match=r"certificate is not accepted: .*self.signed"):
        store.fetch(weights_file(tls_server.url()))
    assert not tls_server.asked
    assert store.fetch(weights_file(tls_server.url(), server.url())).source == server.url()


def test_https_does_not_become_http(server, tls_server, monkeypatch):
    """A server with an accepted certificate works, but can't send us on without TLS."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(CERTIFICATE))
    tls_server.answers["/bad"] = redirect(server.url())
    with pytest.raises(InputError, match="redirects from https to http://127"):
        store.fetch(weights_file(tls_server.url("/bad")))
    assert not server.asked
    assert store.fetch(weights_file(tls_server.url())).path.read_bytes() == DATA


# Google Drive


def test_drive_says_no(server, monkeypatch):
    reason = "Too many users have viewed\n\n\tor downloaded this file recently."

    def download(**_: Any) -> NoReturn:
        raise gdown.exceptions.FileURLRetrievalError(reason)

    monkeypatch.setattr(gdown, "download", download)
    drive = "gdrive:0123456789abc"
    with pytest.raises(InputError) as refused:
        store.fetch(weights_file(drive))
    assert "Too many users have viewed or downloaded this file recently." in str(refused.value)
    assert "https://drive.google.com/file/d/0123456789abc/view" in str(refused.value)
    assert store.fetch(weights_file(drive, server.url())).source == server.url()


def test_gdown_itself_writes_into_our_file(server, monkeypatch):
    real = gdown.download
    monkeypatch.setattr(gdown, "download", lambda id, **rest: real(url=server.url(), **rest))
    assert store.fetch(weights_file("gdrive:0123456789abc")).path.read_bytes() == DATA


# Files, the package, mirrors


def test_a_file_source(tmp_path, server):
    os.mkfifo(tmp_path / "pipe")
    for bad in ("missing", ".", "pipe"):
        found = store.fetch(weights_file(f"file:{tmp_path / bad}", server.url()))
        assert found.source == server.url()
        found.path.unlink()
    (tmp_path / "good.h5").write_bytes(DATA)
    found = store.fetch(weights_file(f"file:{tmp_path / 'good.h5'}"))
    assert found.path.read_bytes() == DATA and found.path != tmp_path / "good.h5"


def test_a_shipped_file(tmp_path, server, monkeypatch):
    monkeypatch.setattr(store, "PACKAGED", tmp_path)
    file = weights_file("package", server.url())
    shipped = tmp_path / file.file
    shipped.parent.mkdir()
    shipped.write_bytes(DATA)
    found = store.fetch(file)
    assert (found.path, found.source) == (shipped, "package")
    assert not server.asked
    for damage in (OTHER, DATA[:-1], b""):
        shipped.write_bytes(damage)
        assert store.fetch(file).path == cached_path(file)
        with pytest.raises(InputError, match=r"in the package is damaged.*install it again"):
            store.fetch(WeightsFile("a/b", file.file, ("package",), "0" * 64, 5, 5))


def test_a_mirror_is_tried_first(server, monkeypatch):
    monkeypatch.setenv("MODELZOO_MIRROR", server.url("/mirror/"))
    server.answers["/mirror/net/one.weights.h5"] = sends(status=404)
    assert store.fetch(weights_file(server.url())).source == server.url()
    cached_path(weights_file()).unlink()
    server.answers["/mirror/net/one.weights.h5"] = good
    assert "/mirror/" in store.fetch(weights_file(server.url())).source
    cached_path(weights_file()).unlink()
    for wrong in ("http://weights.example", "ftp://x", "here"):
        monkeypatch.setenv("MODELZOO_MIRROR", wrong)
        with pytest.raises(InputError, match="MODELZOO_MIRROR"):
            store.fetch(weights_file(server.url()))


def test_passwords_are_not_shown(server):
    server.answers["/bad"] = sends(status=401)
    for password in ("secret", "se@secret", "secret%2F"):
        url = server.url("/bad").replace("://", f"://me:{password}@")
        with pytest.raises(InputError) as refused:
            store.fetch(weights_file(url))
        assert "secret" not in str(refused.value)


# What is on this machine already


def test_a_cached_file_is_not_fetched_again(server):
    store.fetch(weights_file(server.url()))
    assert store.fetch(weights_file(server.url())).source == "cache"
    assert len(server.asked) == 1
    assert read_record(cached_path(weights_file())) == SHA256


@pytest.mark.parametrize(
    "content", [OTHER, DATA[:HALF], b"", None], ids=["bit", "cut", "empty", "pipe"]
)
def test_a_damaged_cached_file_is_noticed(content, server, monkeypatch, capsys):
    file = weights_file(server.url())
    path = store.fetch(file).path
    path.unlink()
    os.mkfifo(path) if content is None else path.write_bytes(content)
    monkeypatch.setenv("MODELZOO_OFFLINE", "1")
    with pytest.raises(InputError, match="on this machine is damaged, and MODELZOO_OFFLINE"):
        store.fetch(file)
    monkeypatch.delenv("MODELZOO_OFFLINE")
    assert store.fetch(file).path.read_bytes() == DATA
    assert "damaged; fetching it again" in capsys.readouterr().err


def test_offline_opens_no_socket(server, tmp_path, monkeypatch):
    """Not even to look for a name; a cached file and a file source still serve."""
    path = store.fetch(weights_file(server.url())).path
    monkeypatch.setenv("MODELZOO_OFFLINE", "1")
    monkeypatch.setenv("MODELZOO_MIRROR", server.url("/mirror"))
    opened = []

    def refuse(*args: Any, **_: Any) -> NoReturn:
        opened.append(args)
        raise AssertionError("a socket")

    for name in ("socket", "create_connection", "getaddrinfo"):
        monkeypatch.setattr(socket, name, refuse)
    assert store.fetch(weights_file(server.url())).path == path
    path.rename(tmp_path / "own.h5")
    with pytest.raises(InputError, match=r"MODELZOO_OFFLINE forbids to fetch it(.|\n)*By hand"):
        store.fetch(weights_file(server.url(), "gdrive:0123456789abc"))
    file = weights_file(server.url(), f"file:{tmp_path / 'own.h5'}")
    assert store.fetch(file).source == f"file:{tmp_path / 'own.h5'}"
    assert not opened


def test_a_cache_that_cannot_be_written(server, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("MODELZOO_HOME", str(tmp_path / "file"))
    with pytest.raises(InputError, match=r"cannot be written: .*MODELZOO_HOME"):
        store.fetch(weights_file(server.url()))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_not_the_server_s_fault(server, monkeypatch):
    real = Path.open

    def open_full(path: Path, mode: str = "r", **rest: Any) -> Any:
        return real(Path("/dev/full"), "wb") if mode == "xb" else real(path, mode, **rest)

    monkeypatch.setattr(Path, "open", open_full)
    with pytest.raises(InputError, match="cannot be written: No space left"):
        store.fetch(weights_file(server.url("/good"), server.url("/good")))
    assert len(server.asked) == 1 and not parts()


# Trust on first use


def test_an_unverified_file_is_held_to_its_first_hash(server):
    """Refused without the option; with it, its hash is written down and counts from then on."""
    file = weights_file(server.url(), sha256=None)
    with pytest.raises(InputError, match=r"its SHA-256 is not published(.|\n)*--allow-unverif"):
        store.fetch(file)
    assert not server.asked
    found = store.fetch(file, allow_unverified=True)
    assert (found.sha256, found.verified) == (SHA256, False)
    assert record_path(found.path).read_text() == f"{SHA256}  one.weights.h5\n"
    assert store.fetch(file).source == "cache"
    found.path.unlink()
    server.answers["/good"] = sends(OTHER)
    for allowed in (False, True):
        with pytest.raises(InputError, match=r"other bytes(.|\n)*as it was when first fetched"):
            store.fetch(file, allow_unverified=allowed)
    assert not found.path.exists()
    server.answers["/good"] = good
    assert store.fetch(file).sha256 == SHA256
    found.path.write_bytes(OTHER)
    assert store.fetch(file).path.read_bytes() == DATA
    record_path(found.path).write_text("gone\n")
    with pytest.raises(InputError, match="as it was when first fetched"):
        store.fetch(file, allow_unverified=True)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"PK\3\4" + bytes(100), "not an HDF5 file"),
        (QUOTA, "a web page"),
        (DATA[:-1], "is cut off"),
        (b"", "is empty"),
        (DATA * 3, "more than"),
    ],
    ids=["zip", "html", "cut", "empty", "large"],
)  # fmt: skip
def test_not_every_unverified_file_is_trusted(body, words, server):
    server.answers["/bad"] = sends(body, Content_Length=None)
    file = weights_file(server.url("/bad"), sha256=None)
    with pytest.raises(InputError, match=words):
        store.fetch(file, allow_unverified=True)
    assert read_record(cached_path(file)) is None and not cached_path(file).exists()


def test_a_file_fetched_by_hand(server):
    """Put where the message says, it is found; unverified, it needs the option once."""
    file = weights_file(server.url())
    cached_path(file).parent.mkdir(parents=True)
    cached_path(file).write_bytes(DATA)
    assert store.fetch(file).source == "cache"
    unverified = weights_file(server.url(), sha256=None)
    with pytest.raises(InputError, match="--allow-unverified"):
        store.fetch(unverified)
    assert store.fetch(unverified, allow_unverified=True).source == "cache"
    assert store.fetch(unverified).source == "cache"
    assert not server.asked
    cached_path(file).write_bytes(QUOTA)  # what is no file of weights is not taken
    record_path(cached_path(file)).unlink()
    assert store.fetch(unverified, allow_unverified=True).source == server.url()
    assert read_record(cached_path(file)) == SHA256


@pytest.mark.parametrize(
    "path", ["/..%2f..%2fetc%2fpasswd", "/a/..", "/%00", "/" + "x" * 300 + ".h5", "/.ssh", "/é.h5"]
)
def test_addresses_do_not_choose_the_folder(path, home):
    """Whatever an address ends in, its file lies in the cache under a name that is one."""
    try:
        file = file_at(f"https://weights.example{path}", None)
    except InputError:
        return
    target = cached_path(file)
    assert target.resolve().parent == (home / "weights" / "-own").resolve()
    assert target.name.isascii() and len(target.name) < 100 and target.suffix == ".h5"


def test_two_addresses_do_not_share_a_file():
    addresses = ("https://a.example/x.h5", "https://b.example/x.h5")
    files = {file_at(url, sha).file for url in addresses for sha in (None, "0" * 64, "1" * 64)}
    assert len(files) == 6


# Several processes, and killed ones


FETCH = """
import sys
from modelzoo.config.published import WeightsFile
from modelzoo.weights import store
file = WeightsFile("net/one", "net/one.weights.h5", (sys.argv[1],), sys.argv[2],
                   int(sys.argv[3]), int(sys.argv[3]))
print(store.fetch(file).path, flush=True)
"""


def start(url: str, log: Path) -> "subprocess.Popen[str]":
    with log.open("w") as file:
        return subprocess.Popen(
            [sys.executable, "-c", FETCH, url, SHA256, str(len(DATA))],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=file,
            text=True,
        )


def test_eight_processes_fetch_it_once(server, tmp_path):
    logs = [tmp_path / f"{number}.log" for number in range(8)]

    def slow(handler: Handler) -> None:
        wait_for(lambda: any("waiting for another process" in text_of(log) for log in logs))
        good(handler)

    server.answers["/slow"] = slow
    processes = [start(server.url("/slow"), log) for log in logs]
    ends = [process.communicate(timeout=HANGS) for process in processes]
    assert [process.returncode for process in processes] == [0] * 8, ends
    path = cached_path(weights_file())
    assert {out.strip() for out, _ in ends} == {str(path)}
    assert len(server.asked) == 1
    assert path.read_bytes() == DATA and not parts()


def test_a_killed_process_leaves_nothing_at_the_final_path(server, tmp_path):
    """After half of the bytes; the next one is held up by no lock, cleans up and succeeds."""
    server.answers["/slow"] = stall
    process = start(server.url("/slow"), tmp_path / "log")
    wait_for(parts, process.poll)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=HANGS)
    assert parts() and not cached_path(weights_file()).exists()
    (left,) = parts()
    os.utime(left, (0, 0))
    fresh = left.with_name(f".01234567.{cached_path(weights_file()).name}")
    fresh.write_bytes(b"of a process on another machine")
    assert store.fetch(weights_file(server.url())).path.read_bytes() == DATA
    assert parts() == [fresh]


def test_a_file_of_hugging_face(server, monkeypatch):
    """Its address names the revision; the hash decides, and offline no socket opens."""
    monkeypatch.setattr(published, "HUGGING_FACE", server.url(""))
    path = f"/someone/zoo/resolve/{'a' * 40}/old/one.weights.h5"
    server.answers[path] = good
    source = f"hf://someone/zoo@{'a' * 40}/old/one.weights.h5"
    assert store.fetch(weights_file(source)).path.read_bytes() == DATA
    config = modelzoo.load_config("lenet5")
    server.answers["/someone/zoo/resolve/main/one.h5"] = good
    found = store.find_weights(config, "hf://someone/zoo/one.h5", sha256=SHA256)
    assert found.read_bytes() == DATA and found.name.startswith("one-")
    with pytest.raises(InputError, match="--sha256"):
        store.find_weights(config, "hf://someone/zoo/other.h5")
    monkeypatch.setenv("MODELZOO_OFFLINE", "1")
    with pytest.raises(InputError, match="MODELZOO_OFFLINE forbids"):
        store.find_weights(config, "hf://someone/zoo/other.h5", sha256=SHA256)
    assert server.asked == [path, "/someone/zoo/resolve/main/one.h5"]


@pytest.mark.parametrize(("module", "step"), [(os, "fsync"), (store.files, "write_record")])
def test_a_kill_while_the_file_is_moved(module, step, server, monkeypatch):
    """Whatever step of it does not happen, the final path holds nothing or the whole file."""

    class KilledError(BaseException):
        pass

    def kill(*_: Any) -> NoReturn:
        raise KilledError

    with monkeypatch.context() as patched:
        patched.setattr(module, step, kill)
        with pytest.raises(KilledError):
            store.fetch(weights_file(server.url()))
    assert not cached_path(weights_file()).exists()
    assert store.fetch(weights_file(server.url())).path.read_bytes() == DATA

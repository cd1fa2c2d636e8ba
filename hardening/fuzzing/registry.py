"""Published weights: the `weights:` section of a configuration, up to finding and fetching."""

import copy
import hashlib
import random
from pathlib import Path
from typing import Any

import yaml

from hardening.fuzzing import material
from hardening.fuzzing.mutation import mutated_values
from hardening.fuzzing.worker import Place, command

NAMES = ("../x", "..", "/etc/x", "a/b", "a" * 65, "", ".", "-x", "é", "a\nb", "CON", "x.h5", 7)
HASHES = ("", "0" * 63, "0" * 65, "G" * 64, "A" * 64, "0" * 64, 0, "../" + "0" * 61)
SIZES = (-1, 0, 1, 1.5, "1", 2**40, 2**41, 10**30, float("nan"), True)
SOURCES = (
    "package", "file:///etc/passwd", "file:../../../../../../../../etc/passwd", "file:", "file:\0",
    "file:~/x", "file:right.h5", "file:.", "file:/dev/zero", "file:/dev/stdin", "file://host/x",
    "http://example.com/x.h5", "https://user:secret@example.com/x.h5", "https://", "https://[::1",
    "ftp://example.com/x", "HTTPS://EXAMPLE.COM/x", "javascript:alert(1)", "gdrive:../x",
    "gdrive:" + "x" * 20, "https://example.com/\r\nHost: x", "//example.com/x", "", " package", 7,
    "file:\ud800" , "https://example.com:99999/x", "http://127.0.0.1:1/x", "https://é.example/x",
)  # fmt: skip


class Registry:
    """Mutated entries, through `info`, `pull`, `verify` and `evaluate`."""

    def prepare(self, seeds: Path) -> None:
        """Read ours."""
        material.write_data()
        material.start()
        self.entries = []
        for path in sorted(material.CONFIGS.glob("*.yaml")):
            entries = yaml.safe_load(path.read_text(encoding="utf-8")).get("weights") or []
            self.entries += [(path.stem, entry) for entry in entries]
        files = material.PROJECT / "modelzoo" / "weights" / "files"
        self.right = next((files / "lenet5").glob("mnist-*.h5")).read_bytes()

    def run(self, chance: random.Random, place: Place) -> None:
        """Use one."""
        material.forget()
        model, entry = chance.choice(self.entries)
        entry = copy.deepcopy(entry)
        (place.inputs / "right.h5").write_bytes(self.right)
        if chance.random() < 0.5:
            right = hashlib.sha256(self.right).hexdigest()
            entry |= {"sources": ["file:right.h5"], "sha256": right, "bytes": len(self.right)}
        entries: Any = [entry]
        for _ in range(chance.choice((1, 1, 2))):
            entries = _mutated(entries, chance)
        path = place.inputs / "mutated.yaml"
        base = chance.choice((model, "lenet5"))
        text = yaml.safe_dump({"base": base, "weights": entries}, allow_unicode=True)
        path.write_text(text, encoding="utf-8", errors="surrogateescape")
        unverified = ["--allow-unverified"] if chance.random() < 0.5 else []
        way = chance.randrange(4)
        if way == 0:
            command("info", str(path))
        elif way == 1:
            command("verify", str(path))
        elif way == 2:
            command("pull", str(path), *unverified)
        else:
            command("evaluate", "--model", str(path), "--device", "cpu", *unverified)


def _mutated(entries: Any, chance: random.Random) -> Any:
    """Change an entry, half of the time in what becomes a file's name or address."""
    if not isinstance(entries, list) or not entries or not isinstance(entries[0], dict):
        return mutated_values(entries, chance)
    action, entry = chance.randrange(10), entries[0]
    if action == 0:
        entry["name"] = chance.choice(NAMES)
    elif action == 1:
        entry["sha256"] = chance.choice(HASHES)
    elif action == 2:
        entry[chance.choice(("bytes", "max_bytes", "parameters"))] = chance.choice(SIZES)
    elif action < 5:
        entry["sources"] = [chance.choice(SOURCES[:-4]) for _ in range(chance.choice((1, 2)))]
    elif action == 5:
        entry.pop("sha256", None)
        entry.pop("bytes", None)
        entry["unverified"] = True
        entry["sources"] = [chance.choice(("file:right.h5", chance.choice(SOURCES[:-4])))]
    else:
        return mutated_values(entries, chance, deeper=0.9)
    return entries

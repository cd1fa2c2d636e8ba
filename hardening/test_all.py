"""`python -m hardening.all` goes on where it was stopped, and its table is what was recorded."""

import json
import subprocess
import sys
from pathlib import Path

from hardening import all as campaigns


def records(tmp_path: Path, commit: str, name: str, *statuses: str) -> None:
    """Write what a campaign has done."""
    path = tmp_path / commit / f"{name}.jsonl"
    path.parent.mkdir(exist_ok=True)
    lines = [
        {
            "number": number,
            "status": status,
            "text": f"of {status}",
            "seconds": 1,
            "bytes": 0,
            "wall": 30,
        }
        for number, status in enumerate(statuses)
    ]
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))


def test_each_row_is_of_the_commit_where_most_was_done(tmp_path: Path) -> None:
    """An incomplete row, and what was wrong or skipped, are named."""
    records(tmp_path, "older", "interruptions-jax", *["ok"] * 18, "WRONG", "skipped")
    records(tmp_path, "newer", "interruptions-jax", *["ok"] * 3)
    records(tmp_path, "newer", "idx", "ok", "refused")
    lines = campaigns.table(tmp_path).splitlines()
    assert "| interruptions-jax | 20 | 20 | 0 | 0 | 1 | 1 | 10.0 | older |" in lines
    assert "| idx | 1,000 | 2 (incomplete) | 1 | 0 | 0 | 0 | 1.0 | newer |" in lines
    assert "| h5 | 5,000 | 0 (incomplete) | 0 | 0 | 0 | 0 | 0.0 | - |" in lines
    assert "- interruptions-jax, skipped: of skipped" in lines
    again = "python -m hardening.interruptions --backend jax --seed 21 --only 18"
    assert f"- `{again}` at older: `of WRONG`" in lines


def test_it_goes_on_where_it_was_stopped(tmp_path: Path) -> None:
    """Cases that were done are not repeated, but with `--again` those that were wrong."""
    command = [sys.executable, "-m", "hardening.all", "--quick", "--only", "idx", "--again"]
    command += ["--records", str(tmp_path), "--results", str(tmp_path / "results.md")]
    records(tmp_path, campaigns.commit(), "idx", "ok", "WRONG", "ok")
    done = subprocess.run(command, cwd=campaigns.PROJECT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = (tmp_path / campaigns.commit() / "idx.jsonl").read_text().splitlines()
    assert [json.loads(line)["number"] for line in lines] == [0, 1, 2, 1, *range(3, 10)]
    assert "| idx | 1,000 | 10 (incomplete) |" in (tmp_path / "results.md").read_text()


def test_predictions_leave_nothing_behind() -> None:
    """Of 40 in one process: no memory, open file or temporary file."""
    words = [sys.executable, "-m", "hardening.together", "--only", "1", "--share", "0.02"]
    done = subprocess.run(words, cwd=campaigns.PROJECT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr

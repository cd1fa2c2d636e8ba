"""The report is one file, needs no network, and runs nothing that came with the data."""

import base64
import hashlib
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from waiting import HANGS

from modelzoo import cli, load_config
from modelzoo.charts import report, style
from modelzoo.support.errors import InputError
from modelzoo.training.run_folder import RunFolder

HOSTILE = ["</script><script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "x\udc80\u2028y"]
METRICS = {
    "model": "lenet5",
    "dataset": "mnist5k",
    "note": "mnist5k is 5,000 of MNIST's digits.",
    "notices": ["two classes are rare"],
    "parameters": 61706,
    "epochs": 3,
    "test_accuracy": 0.98765,
    "test_loss": 0.0412,
    "val_accuracy": float("nan"),
    "seconds": 83.4,
    "device": "cpu",
    "versions": {"keras": "3.12.4"},
}


def mistakes(names: list[str], count: int = 3, size: int = 28, channels: int = 1) -> dict:
    images = np.random.default_rng(0).integers(0, 256, (count, size, size, channels), np.uint8)
    shown = [names[index % len(names)] for index in range(count)]
    return {
        "mistakes_images": images,
        "mistakes_true": shown,
        "mistakes_predicted": shown[::-1],
        "mistakes_confidence": np.linspace(0.99, 0.5, count).tolist(),
    }


def confusion(classes: int) -> np.ndarray:
    return np.diag(np.full(classes, 9)) + np.roll(np.eye(classes, dtype=int), 1, axis=1)


def data(names: list[str], **changes: object) -> report.ReportData:
    values = {"confusion": confusion(len(names)), **mistakes(names)}
    return report.ReportData(class_names=names, **(values | changes))


def write(folder: Path, names: list[str], **changes: object) -> Path:
    """Write the report of a run; `changes` are its metrics, history, config, or of its data."""
    history = pd.DataFrame({"epoch": [1, 2], "loss": [1.0, 0.5], "val_loss": [1.1, 0.7]})
    run = {
        "configuration": "model: {builder: lenet5}\n",
        "history": history.assign(accuracy=[0.8, 0.9], val_accuracy=[0.7, 0.8]),
        "metrics": METRICS,
    }
    run |= {name: changes.pop(name) for name in (*run, "layers", "compared") if name in changes}
    return report.write_report(folder, **run, data=data(names, **changes))


class Page(HTMLParser):
    """Collects the elements of a page and the text of each script."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict]] = []
        self.scripts: list[str] = []
        self.inside = ""
        self.visible = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list) -> None:
        self.tags.append((tag, dict(attributes)))
        self.inside = tag
        if tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag: str) -> None:
        self.inside = ""

    def handle_data(self, data: str) -> None:
        if self.inside == "script":
            self.scripts[-1] += data
        elif self.inside != "style":
            self.visible += data


def test_report_says_the_headline_numbers_the_notes_and_the_versions(tmp_path):
    page = Page(write(tmp_path, ["cat", "dog"]).read_text())
    for text in ("98.77%", "0.0412", "61,706", "mnist5k is 5,000", "1 min 23 s", "keras 3.12.4"):
        assert text in page.visible
    assert "lenet5 on mnist5k" in page.visible and "two classes are rare" in page.visible
    assert "nan" not in page.visible.lower()
    assert [tag for tag, _ in page.tags if tag in ("h1", "h2")].count("h1") == 1
    assert ("html", {"lang": "en"}) in page.tags
    assert list(tmp_path.iterdir()) == [tmp_path / "report.html"]


def test_report_tells_each_epoch_the_layers_and_what_others_reached(tmp_path):
    history = pd.DataFrame({"epoch": [1, 2], "loss": [1.0, 0.5], "val_accuracy": [0.7, 0.8125]})
    history = history.assign(learning_rate=[0.01, 0.005], seconds=[12.34, 11.0])
    metrics = METRICS | {
        "val_accuracy": 0.8125,
        "best_epoch": 2,
        "peak_memory_bytes": 1_083_000_000,
    }
    metrics |= {"start_weights": None, "finished": "2026-01-02 03:04", "seed": 12345}
    compared = [
        report.Compared("lenet5/mnist", 0.9923, 0.02273, "60 epochs"),
        report.Compared("the paper", 0.98, None, "measured on MNIST"),
    ]
    layers = load_config("lenet5").network.rows()
    path = write(
        tmp_path, ["a", "b"], history=history, metrics=metrics, compared=compared, layers=layers
    )
    text = path.read_text()
    page = Page(text)
    rows = re.findall(r"<tr>(.*?)</tr>", text)
    cells = [re.sub(r"<.*?>", "|", row).replace("||", "|") for row in rows]
    assert "|Epoch|Loss|Validation accuracy|Learning rate|Seconds|" in cells
    assert "|2 (best)|0.5000|0.8125|0.005|11.0|" in cells
    assert "|lenet5/mnist|99.23%|−0.46|0.0227|60 epochs|" in cells
    assert "|the paper|98.00%|+0.77|–|measured on MNIST|" in cells  # noqa: RUF001
    assert "|C3|Conv2D|8 × 8 × 16|2,416|" in cells
    assert "|peak_memory_bytes|1.08 GB|" in cells and "|seed|12345|" in cells
    assert not any(
        "start_weights" in row or row.endswith("||") for row in cells[1:] if "this run" not in row
    )
    assert text.count("keras 3.12.4") == 1 and "versions" not in page.visible
    assert "2026-01-02 03:04" in page.visible and "81.25%" in page.visible
    assert f"python -m train --config {tmp_path / 'config.yaml'}" in page.visible
    assert [a["href"] for tag, a in page.tags if tag == "a"] == list(report.FILES)
    assert len(page.scripts) == 6  # the network is drawn


def finished_run(folder: Path, *overrides: str, accuracy: float = 0.98765) -> Path:
    """Write what `modelzoo report` reads of a run."""
    run = RunFolder(folder)
    run.write_config(load_config("lenet5", dataset="mnist", overrides=overrides))
    run.write_history([{"epoch": 1, "loss": 1.0}, {"epoch": 2, "loss": 0.05}])
    metrics = METRICS | {"dataset": "mnist", "test_accuracy": accuracy}
    run.write_metrics(metrics)
    report.save_report_data(folder, data(["a", "b"]))
    return folder


def test_a_report_is_written_again_compared_with_another_run(tmp_path, capfd, refuses):
    first = finished_run(tmp_path / "first")
    other = finished_run(tmp_path / "other", "fit.epochs=3", "data.batch_size=7", accuracy=0.9)
    assert cli.main(["report", str(first), str(other)]) == 0
    assert capfd.readouterr().out.strip() == str(first / "report.html")
    page = Page((first / "report.html").read_text())
    assert "data.batch_size 7, fit.epochs 3" in page.visible and "+8.77" in page.visible
    assert "lenet5/mnist" in page.visible and "lenet5/fashion_mnist" not in page.visible
    assert "log scale" in page.scripts[0]
    (tmp_path / "other" / "metrics.json").write_text('{"test_accuracy": "high"}')
    refuses(f"report {first} {other}", "metrics.json")


def test_report_of_a_run_with_nothing_known_is_still_written(tmp_path):
    history = pd.DataFrame({"epoch": [1], "loss": [1.0]})
    none = mistakes(["a"], 0)
    path = write(tmp_path / "new", ["a", "b"], metrics={}, history=history, **none)
    page = Page(path.read_text())
    assert "No mistakes" in "".join(page.scripts) and report.UNKNOWN in page.visible


def test_the_script_that_draws_is_kept(home, monkeypatch):
    """Each training made it, which takes as long as starting TensorFlow."""
    monkeypatch.setattr(style, "_begun", [])
    make = style.vega_library.__wrapped__
    monkeypatch.setattr("vl_convert.javascript_bundle", lambda **_: "'</script>'")
    assert make() == make() == "'<\\/script>'"
    (kept,) = (home / "charts").glob("*.js")
    kept.write_text("'kept'")
    assert make() == "'kept'"
    monkeypatch.setenv("MODELZOO_HOME", str(kept))  # which is no folder
    assert make() == "'<\\/script>'"


@pytest.mark.parametrize("classes", [2, 10, 100])
def test_report_loads_nothing_and_stays_small(tmp_path, classes):
    names = [f"class {index}" for index in range(classes)]
    path = write(tmp_path, names, **mistakes(names, 30, 227, 3))
    assert path.stat().st_size < 3_000_000
    text = path.read_text()
    page = Page(text)
    for tag, attributes in page.tags:
        assert not {"src", "srcset", "data"} & set(attributes)
        assert "href" not in attributes or (tag == "a" and attributes["href"] in report.FILES)
    styles = "".join(re.findall(r"<style>(.*?)</style>", text, re.DOTALL))
    assert "url(" not in styles and "@import" not in styles
    assert not re.search(r"""(src|href)\s*=\s*["'`]https?:|@import|url\(["']?https?:""", text)
    assert "http:" not in text.replace("".join(page.scripts), "").split("<script", 1)[0]


def test_policy_allows_exactly_the_two_scripts_of_the_page(tmp_path):
    page = Page(write(tmp_path, HOSTILE).read_text())
    policy = next(a["content"] for t, a in page.tags if a.get("http-equiv"))
    assert "default-src 'none'" in policy and "unsafe-eval" not in policy
    assert "'unsafe-inline'" not in policy.split("script-src")[1].split(";")[0]
    kinds = [attributes.get("type") for tag, attributes in page.tags if tag == "script"]
    run = [text for kind, text in zip(kinds, page.scripts, strict=True) if kind is None]
    hashes = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in run]
    assert len(hashes) == 2 and hashes == re.findall(r"'sha256-([^']+)'", policy)


def test_hostile_text_stays_text(tmp_path):
    evil = HOSTILE[0]
    path = write(
        tmp_path,
        HOSTILE,
        configuration=f"{evil}</pre>",
        metrics={
            **{evil: evil, "model": evil, "dataset": evil, "device": HOSTILE[2], "note": evil},
            **{"notices": HOSTILE, "versions": {evil: evil}},
        },
    )
    page = Page(path.read_text())
    assert [tag for tag, _ in page.tags].count("script") == 5  # three charts, library, drawing
    assert "img" not in [tag for tag, _ in page.tags]
    assert all(name[:2] != "on" for _, attributes in page.tags for name in attributes)
    assert evil in page.visible
    assert not any("<" in text for text in page.scripts[:3])


def test_per_class_table_has_no_score_where_there_is_nothing_to_score(tmp_path):
    matrix = np.array([[8, 2, 0], [1, 9, 0], [0, 0, 0]])
    table = report.per_class_table(matrix, ["a", "b", "never"])
    assert table["class"].dtype == object  # no library looks into them
    assert table["images"].tolist() == [10, 10, 0]
    np.testing.assert_allclose(table["precision"], [8 / 9, 9 / 11, np.nan])
    np.testing.assert_allclose(table["recall"], [0.8, 0.9, np.nan])
    np.testing.assert_allclose(table["f1"], [16 / 19, 18 / 21, np.nan])
    path = write(tmp_path, ["a", "b", "never"], confusion=matrix)
    assert '<td class="number">–</td>' in path.read_text()  # noqa: RUF001


def test_charts_of_a_run_count_all_mistakes():
    history = pd.DataFrame({"epoch": [1], "loss": [1.0]})
    few = data(["a", "b", "c"], confusion=confusion(3) * 10, **mistakes(["a"], 2))
    drawn = report.charts_of_run(history, few)
    assert list(drawn) == ["curves", "confusion", "mistakes"]
    assert drawn["mistakes"].to_dict()["title"] == "The 2 most confident of 30 mistakes"


def test_report_data_comes_back_as_it_was(tmp_path):
    given = mistakes(HOSTILE, 24)
    report.save_report_data(tmp_path, data(HOSTILE, **given))
    found = report.load_report_data(tmp_path)
    assert found.class_names == HOSTILE and np.array_equal(found.confusion, confusion(3))
    for name, values in given.items():
        assert np.array_equal(getattr(found, name), values)
    report.save_report_data(tmp_path, data(["a", "b"], **mistakes(["a"], 0)))
    assert len(report.load_report_data(tmp_path).mistakes_images) == 0


def test_report_data_missing_damaged_or_pickled_is_one_clear_error(tmp_path):
    path = tmp_path / "report-data.npz"
    with pytest.raises(InputError, match=r"report-data\.npz: not found"):
        report.load_report_data(tmp_path)
    whole = report.save_report_data(tmp_path, data(HOSTILE))
    content = whole.read_bytes()
    middle = len(content) // 2
    flipped = content[:middle] + bytes(b ^ 255 for b in content[middle : middle + 9])
    for damage in (b"", b"not a zip", content[:middle], flipped + content[middle + 9 :]):
        path.write_bytes(damage)
        with pytest.raises(InputError, match=r"report-data\.npz: damaged.*\n.*--resume"):
            report.load_report_data(tmp_path)
    np.savez(path, confusion=confusion(2), class_names=np.array(["a", None], dtype=object))
    with pytest.raises(InputError, match="damaged"):
        report.load_report_data(tmp_path)


def find_browser() -> str | None:
    names = ("chromium", "chromium-browser", "google-chrome")
    return next((found for name in names if (found := shutil.which(name))), None)


@pytest.mark.browser
@pytest.mark.skipif(find_browser() is None, reason="no Chromium on this machine")
def test_report_draws_its_charts_in_a_browser_without_a_network(tmp_path):
    metrics = METRICS | {"model": HOSTILE[0]}
    path = write(tmp_path, [*HOSTILE, "a", "b"], metrics=metrics)
    command = [
        find_browser(),
        *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
        *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
        *("--host-resolver-rules=MAP * ~NOTFOUND", "--virtual-time-budget=5000"),
        *("--enable-logging=stderr", f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom"),
        path.as_uri(),
    ]
    done = subprocess.run(command, capture_output=True, timeout=HANGS, check=True)
    page = Page(done.stdout.decode())
    drawn = [
        attributes for _, attributes in page.tags if "graphics-document" in attributes.values()
    ]
    assert len(drawn) == 3
    assert [a.get("class") for tag, a in page.tags if tag == "svg"].count("marks") == 3
    assert all(attributes["aria-label"] for attributes in drawn)
    assert [tag for tag, _ in page.tags].count("image") == 3
    lines = done.stderr.decode(errors="replace").splitlines()
    printed = [line for line in lines if ":CONSOLE" in line]
    # Altair 5 beside a vl-convert that brings Vega 6, which draws what was compiled for Vega 5.
    assert [line for line in printed if "compiled spec uses Vega" not in line] == []

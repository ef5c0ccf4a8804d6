"""The report: what the files say, nothing that names could inject, tables of copies and of known truth."""
import importlib.util
import shutil

import numpy as np
import pandas as pd
import pytest
from conftest import SMALL_NETWORK, run
from PIL import Image

from incv.checking import report
from incv.runner.settings import Settings

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
HOSTILE = ["<script>alert(1)<", '"><img src=x onerror=alert(2)>', "$x_{1", "=cmd|' &amp;"]


@pytest.fixture(scope="module")
def reports(tmp_path_factory):
    """The reports of a folder and of arrays whose names are meant to do harm."""
    folder = tmp_path_factory.mktemp("hostile")
    rng = np.random.default_rng(0)
    for number in range(60):
        place = folder / "images" / HOSTILE[number % 4].replace("/", "")
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(place / f"<b>{number}'\".png")
    np.savez(folder / "arrays.npz", x=rng.normal(size=(60, 5)), y=np.array(["../x", "</td></script>", "\u4e2d\u6587"] * 20))
    for dataset in ("images", "arrays.npz"):
        network = ["--architecture", SMALL_NETWORK] if dataset == "images" else []
        result = run(["--dataset", dataset, *network, "--epochs", 20, "--iterations", 2, "--quiet"], folder)
        assert result.code == 0 and result.err == "", result.err
    written = {path.relative_to(folder).parts[:2] for path in folder.rglob("*") if path.is_file()}
    assert {parts[1] for parts in written if parts[0] == "results"} == {"images", "arrays"}
    return folder


@pytest.mark.slow
def test_the_report_in_a_browser(reports):
    if CHROMIUM is None or importlib.util.find_spec("playwright") is None:
        pytest.skip("needs Chromium and playwright: install chromium, pip install -r requirements-dev.txt")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        for name, shown in (("images", HOSTILE), ("arrays", ["../x", "</td></script>", "\u4e2d\u6587"])):
            page, asked, said = browser.new_page(), [], []
            page.on("request", lambda request, asked=asked: asked.append(request.url))
            page.on("dialog", lambda dialog, said=said: (said.append(dialog.message), dialog.dismiss()))
            page.on("console", lambda message, said=said: said.append(message.text))
            [file] = (reports / "results" / name / "given").glob("INCV_seed0*_report.html")
            page.goto(file.as_uri(), wait_until="load")
            assert [url for url in asked if not url.startswith("data:")] == [file.as_uri()] and said == []
            for section in ("summary", "worst", "classes", "iterations", "settings"):
                assert page.locator(f"section#{section}").is_visible()
            page.evaluate("document.querySelectorAll('details').forEach(details => details.open = true)")
            assert page.evaluate("[...document.images].every(image => image.naturalWidth >= 8)")
            assert page.evaluate("document.querySelectorAll('p > img').length") == 2
            thumbnails = page.evaluate("document.querySelectorAll('td > img').length")
            rows = page.evaluate("document.querySelectorAll('tbody tr').length")
            assert rows > 0 and thumbnails == (rows if name == "images" else 0)
            assert page.evaluate("document.querySelectorAll('script, b b, td > :not(img), td img[src^=x]').length") == 0
            classes = page.locator("section#classes summary").all_inner_texts()
            assert {text.split(": ")[0] for text in classes} == set(shown), classes
            page.close()
        browser.close()


def test_the_report_says_what_the_files_say(reports):
    for name in ("images", "arrays"):
        [listed] = (reports / "results" / name / "given").glob("*_label_issues.csv")
        [report] = (reports / "results" / name / "given").glob("*_report.html")
        number, text = len(pd.read_csv(listed)), report.read_text()
        assert f"<b>{number}</b> of 60 labels" in text and "http" not in text.replace("http-equiv", "")


def test_the_report_says_of_how_many_samples_the_truth_is_known():
    worst = pd.DataFrame({"given": [], "status": [], "margin": []})
    record = {"selected_in_all": 5, "left": 1, "estimated_noise_ratio": 0.2, "LP": 0.9, "LR": 0.8}
    provenance = {"settings": Settings(architecture="dense", epochs=3), "samples": 9, "iterations": [record],
                  "ended_early": None}
    texts = [report.page("t", provenance | known, worst, {}, {}) for known in ({}, {"true_labels_known": 6})]
    assert "The true labels are known here: 90.0 %" in texts[0]
    assert "The true labels of 6 samples are known. Among these, 90.0 %" in texts[1]

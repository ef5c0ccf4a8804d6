"""The ranked list, the Python function, the report."""
import importlib.util
import os
import shutil
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from conftest import PROJECT, SMALL_NETWORK, command_of, run
from PIL import Image
from scipy.sparse import csr_array
from sklearn.datasets import load_breast_cancer, load_iris  # noqa: F401
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.svm import LinearSVC

from incv import INCV, data, noise
from incv.checking.issue_table import by_last_passes, by_selection, status_of, worst_first
from incv.label_issues import find_label_issues

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def test_the_list_by_hand():
    """Five samples of two classes: selected; removed and contradicted; a candidate contradicted more; one that was removed
    but is confirmed since; a candidate contradicted least."""
    p = np.array([[.9, .1], [.2, .8], [.99, .01], [.3, .7], [.45, .55]])
    given, first = np.array([0, 0, 1, 1, 0]), np.full((5, 2), .5)
    selection = INCV.Selection(select=np.array([True, False, False, False, False]),
                               candidate=np.array([False, False, True, False, True]), ratio=.2, records=[], early=None,
                               first=first, out_of_fold=p)
    table = by_selection(given, np.array(["no", "yes"]), list("abcde"), selection)
    assert table["status"].tolist() == ["selected", "removed", "candidate", "removed", "candidate"]
    assert table["issue"].tolist() == [False, True, True, False, True]
    worst = worst_first(table)
    assert worst["sample"].tolist() == ["c", "b", "e"] and worst["suggested"].tolist() == ["no", "yes", "yes"]
    assert worst["p_given"].tolist() == [.01, .2, .45] and worst["p_suggested"].tolist() == [.99, .8, .55]
    # With two passes that differ on one of five samples, the first iteration has a weight of a fifth.
    other = p.copy()
    other[4] = [.55, .45]
    table = by_last_passes(given, np.array(["no", "yes"]), list("abcde"), status_of(selection), np.array([p, other]), first)
    assert np.allclose(table["p_given"], 0.8 * np.array([.9, .2, .01, .7, .5]) + 0.1)
    assert np.allclose(table["margin"][2], np.log((0.8 * .99 + 0.1 + 0.01) / (0.8 * .01 + 0.1 + 0.01)))


# --- from Python ------------------------------------------------------------------------------------------------------

def noisy(load):
    """(DataFrame, true labels, labels a fifth of which are wrong), as strings, of one of scikit-learn's datasets."""
    known = load(as_frame=True)
    transition = noise.transition_matrix("sym", 0.2, len(known.target_names))
    given = noise.flip_labels(known.target, transition, np.random.default_rng(0))
    return known.data, known.target_names[known.target], known.target_names[given]


@pytest.fixture(scope="module")
def iris():
    return noisy(load_iris)


def check(table, y, given):
    assert list(table) == ["sample", "given", "suggested", "p_given", "p_suggested", "status", "issue", "margin"]
    assert (table["given"] == given).all() and (table["sample"] == np.arange(len(y))).all()
    wrong, issue = y != given, table["issue"].to_numpy()
    assert wrong[issue].mean() >= 0.6 and issue[wrong].mean() >= 0.8


@pytest.mark.parametrize("classifier", [LogisticRegression(max_iter=500), RandomForestClassifier(random_state=0)])
def test_any_classifier(iris, classifier):
    x, y, given = iris
    table = find_label_issues(x, given, classifier)
    check(table, y, given)
    for same in (x.to_numpy(), csr_array(x.to_numpy())):  # by the same seed
        assert find_label_issues(same, given.astype(object), classifier)["issue"].equals(table["issue"])


def test_a_function_that_builds_a_keras_model():
    """In a process of its own, as a user has it: nothing of ours has prepared the backend."""
    code = """
import sys; sys.path.insert(0, %r); sys.path.insert(0, %r)
import keras, numpy as np, test_report
from incv import find_label_issues
x, y, given = test_report.noisy(test_report.load_breast_cancer)
x = x.to_numpy()
def model(*last):
    layers = [keras.layers.Normalization(mean=x.mean(0), variance=x.var(0)), keras.layers.Dense(64, "relu"), *last]
    return lambda: keras.Sequential([keras.Input((30,)), *[layer.from_config(layer.get_config()) for layer in layers]])
by_softmax = find_label_issues(x, given, model(keras.layers.Dense(2, "softmax")))
by_logits = find_label_issues(x, given, model(keras.layers.Dense(2)), epochs=3)
layered = find_label_issues(x, given, model(keras.layers.Dense(2), keras.layers.Softmax()), epochs=3)
test_report.check(by_softmax, y, given)
by_softmax = find_label_issues(x, given, model(keras.layers.Dense(2, "softmax")), epochs=3)
assert np.allclose(by_softmax["p_given"], by_logits["p_given"], atol=1e-4)
assert np.allclose(layered["p_given"], by_logits["p_given"], atol=1e-4)
def without_input():
    return keras.Sequential([keras.layers.Dense(8), keras.layers.Dense(2, "softmax")])
assert len(find_label_issues(x, given, without_input, epochs=1, iterations=1)) == len(x)
try:
    find_label_issues(x, given, model(keras.layers.Dense(3)))
except test_report.data.DataError as error:
    print("refused:", error)
try:
    find_label_issues(x, given, model(keras.layers.Dense(2, "sigmoid")))
except ValueError as error:
    print("also:", error)
""" % (str(PROJECT), str(PROJECT / "tests"))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True,
                          env=os.environ | {"KERAS_BACKEND": "tensorflow"})
    assert done.returncode == 0 and "refused: the model takes samples of shape (30,) and has 3 classes" in done.stdout, (
        done.stdout + done.stderr)
    assert "also: the model ends in sigmoids" in done.stdout


def test_what_cannot_be_checked_is_refused(iris):
    x, _, given = iris
    with pytest.raises(data.DataError, match="x has 150 samples and labels 149"):
        find_label_issues(x, given[:-1], LogisticRegression())
    for model in (LinearSVC(), "tree"):
        with pytest.raises(data.DataError, match="predict_proba, or a function"):
            find_label_issues(x, given, model)
    with pytest.raises(data.DataError, match="one class"):
        find_label_issues(x, np.zeros(150, int), LogisticRegression())


@pytest.mark.slow
def test_beside_cleanlab(tmp_path):
    """The benchmark's files, from a run of seconds, repeated without training."""
    for _ in range(2):
        done = subprocess.run(
            [*command_of("incv.benchmarks.label_issues"), "--sets", "classifiers", "--data", "breast cancer",
             "--noise", "sym 0.1", "sym 0.2", "--seeds", "0", "--n_jobs", "1", "--methods", "ours", "cleanlab", "vote"],
            cwd=tmp_path, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(PROJECT)})
        assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    found = pd.read_csv(tmp_path / "results/label_issues.csv")
    assert found["method"].tolist() == ["ours", "cleanlab", "vote"] * 4
    harmonic = 2 * found["precision"] * found["recall"] / (found["precision"] + found["recall"])
    assert np.allclose(found["f1"], harmonic) and (found["issues"] > 0).all()
    page = (tmp_path / "results/label_issues.md").read_text()
    assert "mean of 4 settings, seeds 0" in page and "both have run" in page
    settings = pd.read_csv(tmp_path / "results/label_issues_settings.csv")
    assert settings["f1 cleanlab"].tolist() == pytest.approx(found["f1"][1::3].tolist(), abs=5e-4) and len(settings) == 4


# --- the report -------------------------------------------------------------------------------------------------------

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

"""The figures are drawn whatever came out, beside the published points."""
import io
import os
import subprocess
import sys

import pytest
from conftest import PROJECT

from incv.reporting import figures, tables
from incv.runner.settings import Settings


@pytest.mark.parametrize("dataset, records", [
    ("cifar10", [{"iteration": 1, "LP": 0.9, "LR": 0.5}, {"iteration": 2, "LP": 0.85, "LR": 0.7}]),
    ("digits", [{"iteration": 1, "LP": None, "LR": 0.0}]),  # nothing was selected
])
def test_precision_and_recall_are_drawn_whatever_came_out(dataset, records):
    settings = Settings(dataset=dataset, noise_pattern="sym", noise_ratio=0.5, seed=0)
    file = io.BytesIO()
    figures.precision_and_recall({"settings": settings, "iterations": records, "differs_from_published": {}}, file)
    assert file.getvalue().startswith(b"\x89PNG")


@pytest.mark.parametrize("dataset, memorised", [("digits", "True"), ("cifar10", "False"), ("cifar100", "True")])
def test_the_theory_is_drawn_whatever_came_out(tmp_path, dataset, memorised):
    folder = tmp_path / dataset / "asym"
    for ratio in ("0.0", "0.4", "1.0"):  # at 1.0 no label is right, and most classes do not occur
        (folder / ratio).mkdir(parents=True)
        noisy = 1 if ratio == "1.0" else 0
        (folder / ratio / "Verify_Theory_seed0.csv").write_text(
            f"index,y,y_noisy,y_pred,memorised\n0,0,{noisy},{noisy},{memorised}\n1,0,{noisy},3,{memorised}\n")
    tables.draw_theory(folder, "")
    for kind in ("curves", "confusion"):
        assert (folder / f"Verify_Theory_{kind}.png").read_bytes().startswith(b"\x89PNG")


def test_published_points_have_every_ratio():
    for quantities in figures.PUBLISHED["theory"].values():
        assert list(quantities) == list(figures.QUANTITIES) and all(len(points) == 11 for points in quantities.values())


def imported(folder, **environment):
    """Import figures in a fresh interpreter, in a folder, and draw one; return the process."""
    code = ("from incv import utils\ntry:\n    from incv.reporting import figures\nexcept utils.UserError as error:\n"
            "    raise SystemExit(str(error))\nfigures.save(figures.plt.figure(), open('a.png', 'wb'))")
    return subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True,
                          env=os.environ | {"PYTHONPATH": str(PROJECT)} | environment)


def test_a_users_settings_of_matplotlib_do_not_matter(tmp_path):
    (tmp_path / "matplotlibrc").write_text("text.usetex: True\nno_such_setting: 1\nbackend: no_such_backend\n")
    (tmp_path / "figures").mkdir()
    for folder, environment in ((tmp_path, {"MPLBACKEND": "no_such_backend"}),
                                (tmp_path / "figures", {"MATPLOTLIBRC": str(tmp_path / "matplotlibrc")})):
        found = imported(folder, **environment)
        assert (found.returncode, found.stdout, found.stderr) == (0, "", "") and (folder / "a.png").stat().st_size


@pytest.mark.slow
def test_the_backend_of_a_notebook_does_not_keep_keras_from_starting(tmp_path):
    """As a notebook's environment names it, from which a command is started; Keras imports Matplotlib, if it is installed."""
    done = subprocess.run([sys.executable, "-c", "from incv import utils; utils.start_backend(1); import matplotlib.pyplot"],
                          capture_output=True, text=True, cwd=tmp_path, env=os.environ | {
                              "PYTHONPATH": str(PROJECT), "MPLBACKEND": "module://matplotlib_inline.backend_inline"})
    assert (done.returncode, done.stderr) == (0, ""), done.stderr


def test_settings_of_matplotlib_that_cannot_be_read_are_one_line(tmp_path):
    (tmp_path / "matplotlibrc").write_bytes(b"font.family: \xff\n")
    found = imported(tmp_path)
    assert found.returncode == 1 and found.stderr.count("\n") == 1 and "matplotlibrc" in found.stderr, found.stderr

"""The figures are drawn whatever came out, beside the published points."""
import io

import pytest

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

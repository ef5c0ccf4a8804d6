"""Figures of label issues: the worst images, and the issues by class."""

import numpy as np

from incv.checking import cards
from incv.reporting import figures
from incv.reporting.figures import plt

COLUMNS, ROWS = 8, 5  # of the contact sheet


def contact_sheet(x, positions, worst, pixel_max, title, file):
    """Draw the images of the worst label issues, each with given → suggested label.

    x: [n, height, width, channels]; positions: of the issues in x, worst first; worst: their rows of
    `issue_table.by_last_passes`; pixel_max: the pixel value that means 1.0.
    """
    shown = min(len(positions), COLUMNS * ROWS)
    rows = -(-shown // COLUMNS)
    width, height = 1.6 * COLUMNS, 1.9 * rows + 0.4
    # One panel, in inches, for all images: a panel per image would take three times as long to draw.
    figure = plt.figure(figsize=(width, height))
    sheet = figure.add_axes((0, 0, 1, 1), xlim=(0, width), ylim=(0, height))
    sheet.axis("off")
    for number, (position, row) in enumerate(zip(positions[:shown], worst.itertuples(), strict=False)):
        image = cards.pixels(x[position], pixel_max)
        x_middle, y_bottom = 1.6 * (number % COLUMNS) + 0.8, 1.9 * (rows - 1 - number // COLUMNS) + 0.05
        half_width, half_height = 0.72 * np.array(image.shape[1::-1]) / max(image.shape[:2])
        sheet.imshow(image, cmap="gray", vmin=0, vmax=255, aspect="auto",
                     extent=(x_middle - half_width, x_middle + half_width, y_bottom, y_bottom + 2 * half_height))
        sheet.text(x_middle, y_bottom + 2 * half_height + 0.04, f"{shortened(row.given)} → {shortened(row.suggested)}\n"
                   f"{shortened(row.sample, 22)}", fontsize=7, ha="center", va="bottom", parse_math=False)
    sheet.set(xlim=(0, width), ylim=(0, height))  # imshow has changed the limits
    sheet.text(width / 2, height - 0.1, f"{title}: given → suggested label, worst first", fontsize=10, ha="center", va="top",
               parse_math=False)
    figures.save(figure, file)


def classes(class_names, wrong, estimate, title, file):
    """Draw the number of label issues per class, beside the estimated transition matrix.

    class_names: [c]; wrong: int [c]; estimate: float [c, c], the fraction of the samples predicted i that are labelled j.
    """
    names = [shortened(name, 16) for name in class_names]
    few = len(names) <= 40
    side = max(4.0, min(8.0, 0.45 * len(names) + 2))
    figure, (bars, matrix) = plt.subplots(1, 2, figsize=(2 * side, side), layout="constrained")
    every = np.arange(len(names))
    bars.barh(every, wrong, color="C3")
    bars.set(ylim=(len(names) - 0.5, -0.5), xlabel="label issues", ylabel="given label")
    image = matrix.imshow(estimate, vmin=0, vmax=1, cmap="Blues")
    matrix.set(xlabel="given label", ylabel="out-of-fold prediction", title="estimated transition matrix")
    figure.colorbar(image, ax=matrix, shrink=0.8)
    if few:
        bars.set_yticks(every, names, fontsize=8, parse_math=False)
        matrix.set_xticks(every, names, fontsize=8, rotation=90, parse_math=False)
        matrix.set_yticks(every, names, fontsize=8, parse_math=False)
    if len(names) <= 12:
        for i, j in np.ndindex(estimate.shape):
            if np.isfinite(estimate[i, j]):
                matrix.text(j, i, f"{estimate[i, j]:.2f}", ha="center", va="center", fontsize=7,
                            color="white" if estimate[i, j] > 0.5 else "black")
    figure.suptitle(title, fontsize=10, parse_math=False)
    figures.save(figure, file)


def shortened(name, most=12):
    """Return a name that fits into a figure: on one line, without characters that no font can show."""
    text = "".join(letter if letter.isprintable() else "?" for letter in str(name))
    return text if len(text) <= most else text[:most - 1] + "…"

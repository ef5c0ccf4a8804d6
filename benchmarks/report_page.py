"""Measure how quickly a report of many label issues opens and answers keys, in the Chromium that is installed.

    python -m incv.benchmarks.report_page          # 2,000 cards with pictures of 4 KB

Prints the size of the page, the time to its first paint, and how long key presses take until the next picture is painted:
median and maximum of PRESSES. Run it with nothing else running.
"""
import argparse
import shutil
import tempfile
from pathlib import Path

import numpy as np

from incv.checking import cards, report
from incv.runner import console, options
from incv.runner.settings import Settings

PRESSES = 60
MEASURE = """() => { window.pressed = []; new PerformanceObserver(list => { for (const entry of list.getEntries())
    if (entry.name === 'keydown') window.pressed.push(entry.duration); }).observe({type: 'event', durationThreshold: 16}); }"""


def page(number):
    """Return a report of this many label issues of ten classes, with pictures as large as they may be."""
    import pandas as pd

    generator, names = np.random.default_rng(0), [f"class {k}" for k in range(10)]
    drawn = [cards.picture(generator.integers(0, 256, (160, 160, 3), dtype=np.uint8)) for _ in range(20)]
    given = generator.integers(0, 10, number)
    suggested = (given + generator.integers(1, 10, number)) % 10
    found = [{"name": f"{names[given[n]]}/{n:05d}.jpg", "given": int(given[n]), "suggested": int(suggested[n]),
              "p": [0.01, round(0.99 - n / 4 / number, 3)], "margin": round(4 - 3 * n / number, 3), "status": "removed",
              "csv": f"{names[given[n]]}/{n:05d}.jpg,{names[given[n]]},{names[suggested[n]]},", **drawn[n % len(drawn)]}
             for n in range(number)]
    content = {"checksum": "of a benchmark", "classes": [{"name": name, "field": name} for name in names], "reserved": [],
               "samples": {"file": "decided.csv", "header": "sample,given,suggested,decision", "cards": found}, "groups": None,
               "shared": {}, "command": ["python INCV.py --dataset photos --decisions", ""], "truth": False}
    listed = pd.DataFrame({"sample": [card["name"] for card in found], "given": [names[k] for k in given],
                           "suggested": [names[k] for k in suggested], "p_given": 0.01, "p_suggested": 0.9, "margin": 2.0,
                           "status": "removed"})
    record = {"selected_in_all": 5 * number, "left": 0, "estimated_noise_ratio": 0.1}
    provenance = {"settings": Settings(architecture="resnet32", epochs=50), "samples": 10 * number, "iterations": [record],
                  "ended_early": None}
    return report.page("benchmark", provenance, listed, np.full(10, number), np.array(names), content, b"")


def measure(file):
    """Return (milliseconds to the first paint, those of each key press) of a report in a browser."""
    from playwright.sync_api import sync_playwright

    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        shown = browser.new_page(viewport={"width": 1200, "height": 900})
        shown.goto(file.as_uri(), wait_until="load")
        shown.wait_for_function("performance.getEntriesByName('first-contentful-paint').length")
        paint = shown.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
        shown.click("#start")
        shown.evaluate(MEASURE)
        for press in range(PRESSES):
            shown.keyboard.press(("Enter", "k", "ArrowDown", "d", "ArrowUp", "u")[press % 6])
            shown.evaluate("new Promise(requestAnimationFrame)")
        shown.wait_for_timeout(500)  # until the last ones are reported
        pressed = shown.evaluate("window.pressed")
        browser.close()
    return paint, pressed + [16] * (PRESSES - len(pressed))  # those below the threshold are not reported


def main():
    parser = options.Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cards", type=options.number(int, 1), default=report.MOST, metavar="N", help="default: %(default)s")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "report.html"
        file.write_text(page(args.cards), encoding="utf-8")
        paint, pressed = measure(file)
        print(f"{args.cards} cards, {file.stat().st_size / 1e6:.1f} MB: first paint {paint:.0f} ms, key press "
              f"{np.median(pressed):.0f} ms (median), {max(pressed):.0f} ms (maximum)")


if __name__ == "__main__":
    console.run_command("report_page.py", main)

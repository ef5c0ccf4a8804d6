"""How far finished runs of Verify_Theory.py are from theory, recomputed from their CSVs alone.

    python benchmarks/theory.py results/reference/digits results/reference/cifar10

Prints, for every noise ratio found, mean over seeds - theory for test accuracy, label precision LP and label recall LR,
with the standard error over seeds where there are several, and the mean of the absolute differences over the ratios.
"""
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import data  # noqa: E402
import figures  # noqa: E402
import noise  # noqa: E402
import runs  # noqa: E402


def differences(folder, settings_name):
    """Return {noise ratio: {quantity: (mean over seeds - theory, standard error)}} of the runs of one setting.

    folder: (results folder)/(dataset)/(noise_pattern); settings_name: see `runs.name_of_settings`. Runs that have not memorised
    are left out; the standard error of one run is NaN, and so is a difference from the share of nothing.
    """
    found = {}
    for ratio, of_ratio in figures.read_theory(folder, settings_name).items():
        values = np.array([[run.accuracy, run.LP, run.LR] for run in of_ratio if run.memorised])
        if len(values):
            expected = noise.theory(folder.name, ratio, data.SIZES[folder.parent.name][1])
            error = values.std(axis=0, ddof=1) / np.sqrt(len(values)) if len(values) > 1 else np.full(3, np.nan)
            found[ratio] = dict(zip(figures.QUANTITIES, zip(values.mean(axis=0) - expected, error)))
    return found


def main():
    print("| dataset | noise | settings | accuracy | LP | LR |\n|---|---|---|---|---|---|")
    for folder in sorted(path for name in sys.argv[1:] for path in Path(name).glob("*") if path.is_dir()):
        for settings_name in sorted({runs.name_of_settings(path).removesuffix(".gz").removesuffix(".csv")
                                     for path in folder.glob("*/Verify_Theory_seed*.csv*")
                                     if "_history" not in path.name}):
            found = differences(folder, settings_name)
            shown = settings_name.strip("_").replace("_", " ") or "default"
            for ratio, of_ratio in found.items():
                cells = ["-" if np.isnan(value) else f"{value:+.3f}" + ("" if np.isnan(error) else f" ± {error:.3f}")
                         for value, error in of_ratio.values()]
                print(f"| {folder.parent.name} | {folder.name} {ratio} | {shown} | {' | '.join(cells)} |")
            if found:
                mean = np.nanmean([[abs(value) for value, _ in of_ratio.values()] for of_ratio in found.values()], axis=0)
                print(f"| {folder.parent.name} | {folder.name}, mean of absolute values | {shown} | "
                      f"{' | '.join(f'{value:.3f}' for value in mean)} |")


if __name__ == "__main__":
    main()

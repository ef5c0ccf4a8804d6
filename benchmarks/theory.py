"""Print how far the runs of Verify_Theory.py are from theory, computed from their CSVs.

    python -m incv.benchmarks.theory results/reference

For each noise ratio: mean over seeds - theory for test accuracy, label precision LP and label recall LR, with the
standard error over seeds; and the mean of the absolute differences over the ratios.
"""

import numpy as np

from incv.benchmarks.quote import results_folders
from incv.reporting import tables
from incv.runner import files


def main():
    rows = []
    for results_dir in results_folders(__doc__):
        found = tables.read_runs(results_dir)
        paths = found.loc[found["script"] == "Verify_Theory", "path"]
        for folder, settings_name in sorted({(path.parent.parent, files.name_of_settings(path)) for path in paths}):
            of_ratio = tables.differences_from_theory(folder, settings_name)
            shown = settings_name.strip("_").replace("_", " ") or "default"
            for ratio, of_quantity in of_ratio.items():
                cells = ["-" if np.isnan(value) else f"{value:+.3f}" + ("" if np.isnan(error) else f" ± {error:.3f}")
                         for value, error in of_quantity.values()]
                rows.append([folder.parent.name, f"{folder.name} {ratio}", shown, *cells])
            if of_ratio:
                mean = np.nanmean([[abs(value) for value, _ in of_quantity.values()] for of_quantity in of_ratio.values()],
                                  axis=0)
                rows.append([folder.parent.name, f"{folder.name}, mean of absolute values", shown,
                             *(f"{value:.3f}" for value in mean)])
    print(tables.markdown(["dataset", "noise", "settings", "accuracy", "LP", "LR"], rows), end="")


if __name__ == "__main__":
    main()

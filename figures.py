"""The figures, drawn from what a run has written."""
import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

# Chen et al. 2019, figure of LP and LR by iteration on CIFAR-10, read off to about 0.005.
PUBLISHED_INCV = {
    ("sym", 0.2): ([.993, .992, .990, .988], [.80, .90, .925, .937]),
    ("sym", 0.5): ([.953, .943, .935, .929], [.70, .836, .879, .899]),
    ("sym", 0.8): ([.549, .535, .516, .50], [.355, .535, .62, .667]),
    ("asym", 0.4): ([.885, .866, .85, .837], [.72, .866, .912, .932]),
}


def precision_and_recall(provenance, file):
    """Draw label precision and label recall by iteration of one INCV run, with the published points for CIFAR-10.

    provenance: what INCV.py writes as JSON; file: where the PNG goes.
    """
    settings, records = provenance["settings"], provenance["iterations"]
    published = PUBLISHED_INCV.get((settings["noise_pattern"], settings["noise_ratio"]))
    iterations = [record["iteration"] for record in records]
    figure, panels = plt.subplots(1, 2, figsize=(8, 3.4), sharex=True, layout="constrained")
    for panel, key, name, which in zip(panels, ("LP", "LR"), ("label precision", "label recall"), (0, 1)):
        values = [float("nan") if record[key] is None else record[key] for record in records]
        panel.plot(iterations, values, "o-", color="C0", label="this run")
        if published and settings["dataset"] == "cifar10":
            panel.plot(range(1, 5), published[which], "s--", color="0.5", mfc="none", label="published (all of CIFAR-10)")
            panel.legend(loc="lower left" if key == "LP" else "lower right", fontsize=8)
        for x, value in zip(iterations, values):
            panel.annotate(f"{value:.3f}", (x, value), xytext=(0, 6), textcoords="offset points", ha="center", fontsize=8)
        panel.set(xlabel="iteration", title=f"{name} ({key})", ylim=(0, 1.08))
        panel.set_xticks(range(1, max(iterations[-1], 4 if panel.get_legend() else 1) + 1))
        panel.margins(x=0.12)
        panel.grid(alpha=0.3)
    differs = ", ".join(f"{k} {v['here']}" for k, v in provenance["differs_from_published"].items() if k != "dataset")
    figure.suptitle(f"INCV, {settings['dataset']}, {settings['noise_pattern']} {settings['noise_ratio']}, seed "
                    f"{settings['seed']}" + (f" ({differs})" if differs else ""), fontsize=10)
    figure.savefig(file, format="png", dpi=120)
    plt.close(figure)

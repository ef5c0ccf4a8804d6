"""Which labels can be trusted? INCV: the theory, the selection, robust training; and label issues of any dataset.

    from incv import find_label_issues, NoisyLabelClassifier

Modules are imported on first use.
"""


def __getattr__(name):
    if name in ("find_label_issues", "NoisyLabelClassifier"):
        from incv import label_issues
        return getattr(label_issues, name)
    raise AttributeError(f"module 'incv' has no attribute {name!r}")

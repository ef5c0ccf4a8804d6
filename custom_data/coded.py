"""Warnings that the verdict reads: text for a person, with a code for the program.

    told = coded.Warning(f"{path}: column 'patient' ...", coded.MAY_BE_GROUPS)
    coded.codes(dataset.warnings)     # {"may_be_groups"}
"""

MAY_BE_GROUPS = "may_be_groups"  # samples may repeat each other: neighbours confirm a wrong label
HARD = "hard"  # probabilities are 0 or 1 alone (of the verdict itself)
CONTRADICTED = "contradicted"  # nearest neighbours find far fewer wrong labels (of the verdict itself)
IN_SAMPLE = "in_sample"  # probabilities may be of a model that was trained on the same samples
TELLS_LABEL = "tells_label"  # columns determine the labels, the wrong ones too: models copy them


class Warning(str):
    """The text of a warning of the data, which is written and printed like any other text, with a code.

    code: MAY_BE_GROUPS, IN_SAMPLE or TELLS_LABEL.
    """

    def __new__(cls, text, code):
        found = super().__new__(cls, text)
        found.code = code
        return found

    def __getnewargs__(self):
        return str(self), self.code


def codes(warnings):
    """Return the codes of those warnings that have one, a set of str."""
    return {warning.code for warning in warnings if isinstance(warning, Warning)}

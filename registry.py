"""The networks and methods that can be chosen by name. Without Keras, for command lines, tables and figures."""

# The networks: the name of a function in models.py, and the kind of samples it is for.
ARCHITECTURES = {
    "resnet32": "images",
    "resnet110": "images",
    "resnet8": "images",
    "plain14": "images",
    "dense": "table",
    "linear": "table"}

# The compared methods, in the order of the published table: the name of a function in methods.py (incv's is
# INCV_main.make_coteaching). label, color: in figures; networks: the number it trains; options: command line options that not
# all methods have; needs_ratio: whether it assumes a known noise ratio; published: test accuracy on CIFAR-10, last epoch, mean
# and s.d. of 5 runs, in per cent (section 5).
METHODS = {
    "f_correction": {
        "label": "F-correction", "color": "C0", "networks": 1, "options": ["transition"], "needs_ratio": False,
        "published": {"sym 0.2": "85.08±0.43", "sym 0.5": "76.02±0.19", "sym 0.8": "34.76±4.53", "asym 0.4": "83.55±2.15"}},
    "decoupling": {
        "label": "Decoupling", "color": "C1", "networks": 2, "options": [], "needs_ratio": False,
        "published": {"sym 0.2": "86.72±0.32", "sym 0.5": "79.31±0.62", "sym 0.8": "36.90±4.61", "asym 0.4": "75.27±0.83"}},
    "coteaching": {
        "label": "Co-teaching", "color": "C2", "networks": 2, "options": ["assumed_ratio"], "needs_ratio": True,
        "published": {"sym 0.2": "89.05±0.32", "sym 0.5": "82.12±0.59", "sym 0.8": "16.21±3.02", "asym 0.4": "84.55±2.81"}},
    "mentornet": {
        "label": "MentorNet", "color": "C3", "networks": 1, "options": ["assumed_ratio"], "needs_ratio": True,
        "published": {"sym 0.2": "88.36±0.46", "sym 0.5": "77.10±0.44", "sym 0.8": "28.89±2.29", "asym 0.4": "77.33±0.79"}},
    "d2l": {
        "label": "D2L", "color": "C4", "networks": 1, "options": [], "needs_ratio": False,
        "published": {"sym 0.2": "86.12±0.43", "sym 0.5": "67.39±13.62", "sym 0.8": "10.02±0.04", "asym 0.4": "85.57±1.21"}},
    "incv": {
        "label": "INCV", "color": "C5", "networks": 2, "options": ["incv_epochs", "iterations", "label_issues", "patience"],
        "needs_ratio": False,
        "published": {"sym 0.2": "89.71±0.18", "sym 0.5": "84.78±0.33", "sym 0.8": "52.27±3.50", "asym 0.4": "86.04±0.54"}},
    "standard": {
        "label": "Standard", "color": "0.3", "networks": 1, "options": [], "needs_ratio": False, "published": {}},
    # Later methods, which the paper does not compare.
    "gce": {
        "label": "GCE", "color": "C6", "networks": 1, "options": [], "needs_ratio": False, "published": {}},
    "elr": {
        "label": "ELR", "color": "C8", "networks": 1, "options": [], "needs_ratio": False, "published": {}},
}

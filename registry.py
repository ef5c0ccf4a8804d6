"""The networks and methods that can be chosen by name. Without Keras, for command lines, tables and figures."""
import dataclasses

# The networks: the name of a function in models.py, and the kind of samples it is for.
ARCHITECTURES = {
    "resnet32": "images",
    "resnet110": "images",
    "resnet8": "images",
    "plain14": "images",
    "dense": "table",
    "linear": "table"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pretrained:
    """A network of keras.applications with weights from ImageNet, as a source of features.

    module: of keras.applications, which has its preprocessing; folder, weights: the file that Keras downloads; hash: of this
    file, None if Keras does not know it; features: the length of a vector; accuracy: top-1 on ImageNet, per cent, as published
    by Keras; milliseconds: CPU time for an image of 224 x 224 on one core of 2 GHz or so (measured); sizes: pixels a side that
    it was made for, ascending, to the smallest of which small images are enlarged.
    """

    module: str
    folder: str
    weights: str
    hash: str | None
    features: int
    accuracy: float
    milliseconds: int
    sizes: tuple = (224,)


# With every network, weights=FILE builds the same layers as weights="imagenet". (EfficientNetB0 to B7 lack one then.)
PRETRAINED = {
    "MobileNetV3Small": Pretrained(
        module="mobilenet_v3", folder="mobilenet_v3", weights="weights_mobilenet_v3_small_224_1.0_float_no_top_v2.h5",
        hash="md5:d3e8ec802a04aa4fc771ee12a9a9b836", features=576, accuracy=68.1, milliseconds=3),
    "MobileNetV2": Pretrained(  # a file for each size; Keras takes that of 224 for other sizes
        module="mobilenet_v2", folder="mobilenet_v2", hash=None,
        weights="mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_{}_no_top.h5",
        features=1280, accuracy=71.3, milliseconds=12, sizes=(96, 128, 160, 192, 224)),
    "MobileNetV3Large": Pretrained(
        module="mobilenet_v3", folder="mobilenet_v3", weights="weights_mobilenet_v3_large_224_1.0_float_no_top_v2.h5",
        hash="md5:07fb09a5933dd0c8eaafa16978110389", features=960, accuracy=75.6, milliseconds=9),
    "DenseNet121": Pretrained(
        module="densenet", folder="densenet", weights="densenet121_weights_tf_dim_ordering_tf_kernels_notop.h5",
        hash="md5:30ee3e1110167f948a6b9946edeeb738", features=1024, accuracy=75.0, milliseconds=67),
    "ResNet50V2": Pretrained(
        module="resnet_v2", folder="resnet", weights="resnet50v2_weights_tf_dim_ordering_tf_kernels_notop.h5",
        hash="md5:fac2f116257151a9d068a22e544a4917", features=2048, accuracy=76.0, milliseconds=74),
    "EfficientNetV2B0": Pretrained(
        module="efficientnet_v2", folder="efficientnet_v2", weights="efficientnetv2-b0_notop.h5",
        hash="md5:893217f2bb855e2983157299931e43ff", features=1280, accuracy=78.7, milliseconds=20),
    "EfficientNetV2B3": Pretrained(
        module="efficientnet_v2", folder="efficientnet_v2", weights="efficientnetv2-b3_notop.h5",
        hash="md5:f6abf7b5849ac99a89b50dd3fd532856", features=1536, accuracy=82.0, milliseconds=42),
    "EfficientNetV2S": Pretrained(
        module="efficientnet_v2", folder="efficientnet_v2", weights="efficientnetv2-s_notop.h5",
        hash="md5:af0682fb74e8c54910f2d4393339c070", features=1280, accuracy=83.9, milliseconds=70)}
FOR_CPUS = "EfficientNetV2B0"  # of those that take 20 ms or less, the most accurate one

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
        "label": "Co-teaching", "color": "C2", "networks": 2, "options": ["assumed_ratio", "score_in_inference"],
        "needs_ratio": True,
        "published": {"sym 0.2": "89.05±0.32", "sym 0.5": "82.12±0.59", "sym 0.8": "16.21±3.02", "asym 0.4": "84.55±2.81"}},
    "mentornet": {
        "label": "MentorNet", "color": "C3", "networks": 1, "options": ["assumed_ratio", "score_in_inference"],
        "needs_ratio": True,
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

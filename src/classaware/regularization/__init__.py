"""The mathematics of class-aware regularization (CAR). Imports torch and nothing else of classaware: usable alone.

Paper: Huang et al., "CAR: Class-Aware Regularizations for Semantic Segmentation", ECCV 2022.

Shape suffixes used in every file of this package::

    B images    C channels    H W height, width    P pixels of one image (H*W)    K classes
    x_BPC features    y_BP labels    own_BPK one-hot labels    valid_BP labelled pixels
    mu_BKC class centers (B is 1 where the whole batch shares them)    present_BK classes that have a center
"""

from classaware.regularization.attachment import Attachment, attach, attached
from classaware.regularization.centers import RunningCenters, class_centers, class_sums
from classaware.regularization.labels import resize_labels
from classaware.regularization.losses import inter_c2c, inter_c2p, intra_c2p
from classaware.regularization.module import ClassAwareRegularization, ClassAwareTerms
from classaware.regularization.presets import PRESETS, Knobs
from classaware.regularization.rare_pairs import RarePairs

__all__ = [
    "PRESETS",
    "Attachment",
    "ClassAwareRegularization",
    "ClassAwareTerms",
    "Knobs",
    "RarePairs",
    "RunningCenters",
    "attach",
    "attached",
    "class_centers",
    "class_sums",
    "inter_c2c",
    "inter_c2p",
    "intra_c2p",
    "resize_labels",
]

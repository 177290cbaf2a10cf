"""From heatmaps to points, and the losses that heatmaps are trained with."""

from __future__ import annotations

from torch import Tensor

from lmk.kernels.heatmap import chi_square, cross_entropy, expected_position, star

LOSSES = {"cross_entropy": cross_entropy, "chi_square": chi_square, "star": star}
# Half the side of the square around the peak that counts, in sigmas of the target.  Maps of noisy labels are as wide as
# the noise, and their mean is the better prediction; refinement asks for the peak.  See docs/decisions/0011.
NEAR, FAR = 3.0, 6.0
PEAK = 0.1  # least share of a heatmap's mass around its highest pixel; a flat one has 0.02 there


def mean_position(log_maps: Tensor, reach: float) -> tuple[Tensor, Tensor]:
    """Log-probabilities (B, K, H, H) to the mean position near each peak, (B, K, 2), and the mass there, (B, K).

    Args:
        log_maps: of the maps.
        reach: half the side of the square that counts, in heatmap pixels; two at least.
    """
    return expected_position(log_maps, radius=max(2, round(reach)))

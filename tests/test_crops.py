"""Crops: the square that is kept of each instance."""

from __future__ import annotations

import numpy as np

from lmk.crops import MARGIN, Crops
from tests.test_images import ramp, save


def test_kept_crops_cover_the_box_times_the_margin(tmp_path):
    save(tmp_path / "a.png", ramp())
    crops = Crops(tmp_path, ["a.png", "a.png"], np.array([[29.5, 19.5, 20.0], [9.5, 9.5, 20.0]]), input_size=20)

    assert (len(crops), crops.size, crops.margin) == (2, 24, 1.2)
    assert abs(crops.margin - MARGIN) < 0.1
    np.testing.assert_allclose(crops[0][12, :, 0], (30 - 2 + np.arange(24)) * 3, atol=1)

"""The downstream stage with a model that corrects another."""

from __future__ import annotations

import torch

from lmk.crops import crops_of
from lmk.evaluation import measure_network
from lmk.inference import predict
from lmk.models.corrections import CorrectionParams
from lmk.models.store import load_model
from lmk.records import ALL, DOWNSTREAM, HUMAN, Subject, model_tables
from lmk.store import write_annotations
from pipelines.downstream import downstream
from pipelines.paths import Paths


def test_a_correction_is_put_on_the_detector_that_learnt_the_same_labels(rendered, human, small, tmp_path):
    paths = Paths(tmp_path / "artifacts")
    write_annotations(human, paths.annotations("i00"))
    write_annotations(human.moved(human.points + 1.0, 3, {}, {}), paths.labels)
    beneath = small.downstream.models["hourglass"]
    models = {"hourglass": beneath, "corrected": CorrectionParams(kind="shaped", detector=beneath)}
    params = small.downstream.changed(models=models)
    data = small.data.changed(root=str(rendered / "faces"))

    downstream(data, params, small.training, small.augmentation, paths)

    for labels in ("human", "refined"):
        corrected, detector = (load_model(paths.downstream(name, labels), human.scheme) for name in reversed(models))
        for name, value in corrected.detector.state_dict().items():
            assert torch.equal(value, detector.state_dict()[name])
        points = predict(corrected, human, crops_of(human, rendered / "faces", 64), mirror=False)
        subject = Subject(DOWNSTREAM, "corrected", labels, "test", HUMAN, ALL)
        tables = model_tables(measure_network(points, human, None, subject, 8.0))
        assert tables["human"]["interocular"]["nme"] > 0
    assert [left.name for left in paths.work.glob("*")] == ["crops"]

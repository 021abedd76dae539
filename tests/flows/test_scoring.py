"""What a registered model's process leaves for the gates. About 10 s: MLflow is imported."""

import numpy as np
import pandas as pd
import pytest

from components.data.table import Faces
from components.lowlight.table import write_dark
from flows import scoring

CLASSES = ("calm", "glad", "cross")


class Brightness:
    """Answers with the brightness of an image, so that a row is known again."""

    def predict(self, rows: pd.DataFrame) -> pd.DataFrame:
        from components.data.images import decode

        light = np.array([decode(image).mean() / 255 for image in rows["image"]])
        answers = pd.DataFrame({"calm": light, "glad": 1 - light, "cross": 0 * light})
        answers.insert(0, "label", "calm")
        return answers


def test_answers_stand_beside_the_id_exposure_label_and_votes_of_their_face(tmp_path, monkeypatch):
    images = np.repeat(np.arange(5, dtype=np.uint8) * 51, 16).reshape(5, 4, 4, 1)
    votes = np.random.default_rng(1).dirichlet(np.ones(3), 5).astype(np.float32)
    faces = Faces([f"f{n}" for n in range(5)], images, votes.argmax(1), votes, CLASSES)
    write_dark(tmp_path / "dark.parquet", [(faces, 1.0, images), (faces, 0.2, images // 5)], CLASSES)
    monkeypatch.setattr(scoring, "ROWS_AT_ONCE", 3)
    assert scoring.predict(Brightness(), tmp_path / "dark.parquet", tmp_path / "out.parquet") == {"rows": 10}
    found = pd.read_parquet(tmp_path / "out.parquet")
    assert (found["id"].tolist(), found["exposure"].tolist()) == (faces.ids * 2, [1.0] * 5 + [0.2] * 5)
    assert np.array_equal(np.stack(found["votes"]), np.concatenate([votes, votes]))
    assert found["label"].tolist() == [*faces.labels, *faces.labels]
    assert np.stack(found["probabilities"])[:, 0] == pytest.approx(
        [0, 0.2, 0.4, 0.6, 0.8, 0, 0.04, 0.08, 0.12, 0.16], abs=0.005
    )

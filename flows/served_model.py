"""The registered model, as MLflow loads it: code, not a pickle. Runs with the components stored beside it."""

from pathlib import Path
from typing import Any

import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel  # type: ignore[attr-defined]


class ServedModel(PythonModel):
    """Rows with a column `image` (encoded bytes) to rows with `label` and one probability per class."""

    def load_context(self, context: Any) -> None:
        from components.learning.inference import load

        self.model = load(Path(context.artifacts["weights"]))

    def predict(self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        import numpy as np

        from components.data.images import decode
        from components.learning.inference import predict

        images = [decode(data) for data in model_input["image"]]
        wrong = next((image.shape for image in images if image.shape != tuple(self.model.faces.shape)), None)
        if wrong:
            raise ValueError(f"image of shape {wrong}: this model takes {tuple(self.model.faces.shape)}")
        probabilities = predict(self.model, np.stack(images))
        answers = pd.DataFrame(probabilities, columns=list(self.model.faces.classes))
        answers.insert(0, "label", [self.model.faces.classes[best] for best in probabilities.argmax(axis=1)])
        return answers


set_model(ServedModel())

"""What the editor's losses ask of the training judges. They are frozen: gradients go to the images alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from data.errors import UserError
from training.editor.config import EditorTrainingConfig
from training.judges import JudgeSet

AskJudge = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class TrainingJudges:
    """The judges that a loss with a weight above 0 asks; None where the weight is 0.

    `probability` gives N attribute probabilities, `identity` N×D vectors, both of images N×3×H×W in [-1, 1].
    """

    probability: AskJudge | None = None
    identity: AskJudge | None = None


def training_judges(config: EditorTrainingConfig, judges: JudgeSet | None) -> TrainingJudges:
    """The judges that `config` asks for; raises UserError where they are not given."""
    if config.attribute_weight == 0 and config.identity_weight == 0:
        return TrainingJudges()
    if judges is None:
        name = "attribute_weight" if config.attribute_weight > 0 else "identity_weight"
        raise UserError(f"{name} is above 0, which needs judges.", "Give the judges or set it to 0.")
    if config.precision == "fp64":
        judges.attribute_train.net.double()
        judges.identity_train.net.double()
    return TrainingJudges(
        _attribute(judges, config.attribute) if config.attribute_weight > 0 else None,
        judges.identity_train.vectors if config.identity_weight > 0 else None,
    )


def _attribute(judges: JudgeSet, attribute: str) -> AskJudge:
    judge = judges.attribute_train
    return lambda images: judge.probability(images, attribute)

"""Where faces and their landmarks are in a photograph."""

from __future__ import annotations

import functools
import importlib.util
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np

from data.alignment import Landmarks
from data.errors import UserError
from data.png import Pixels

MODEL = "models/shape_predictor_5_face_landmarks.dat"
_DETECTION_SIDE_PX = 1600  # larger photos are searched at this size: a face worth editing is still far above 80 px
_UPSAMPLE_BELOW_PX = 800


@dataclass(frozen=True, eq=False)
class Face:
    """A face: its box (x0, y0, x1, y1) in pixels, and 5×2 landmarks; a landmark that is not known is NaN.

    The landmarks: left eye centre, right eye centre (left is the image's left), nose, mouth's left and right corner.
    """

    box: tuple[float, float, float, float]
    landmarks: Landmarks

    @property
    def area(self) -> float:
        """The box's area in square pixels."""
        return (self.box[2] - self.box[0]) * (self.box[3] - self.box[1])


class Detector(Protocol):
    """Finds faces."""

    def detect(self, image: Pixels) -> list[Face]:
        """The faces of a uint8 H×W×3 image, the largest first."""
        ...


class DlibDetector:
    """dlib's frontal detector and 5-point predictor; raises UserError when the extra `photos` is missing."""

    def __init__(self) -> None:
        dlib = dlib_module()
        self._rectangle = dlib.rectangle
        self._detect = dlib.get_frontal_face_detector()
        self._predict = dlib.shape_predictor(str(face_model_file(MODEL)))

    def detect(self, image: Pixels) -> list[Face]:
        """The faces of a uint8 H×W×3 image, the largest first. A small photo without one is searched enlarged."""
        shrink = max(max(image.shape[:2]) / _DETECTION_SIDE_PX, 1.0)
        small = _smaller(image, shrink)
        boxes = self._detect(small, 0)
        if not boxes and max(image.shape[:2]) < _UPSAMPLE_BELOW_PX:
            boxes = self._detect(small, 1)
        faces = [self._face(np.ascontiguousarray(image), box, shrink) for box in boxes]
        return sorted(faces, key=lambda face: (-face.area, face.box))

    def _face(self, image: Pixels, found: Any, shrink: float) -> Face:
        edges = (found.left(), found.top(), found.right() + 1, found.bottom() + 1)
        x0, y0, x1, y1 = (edge * shrink for edge in edges)
        rectangle = self._rectangle(round(x0), round(y0), round(x1) - 1, round(y1) - 1)
        parts = self._predict(image, rectangle).parts()
        points = np.array([(part.x, part.y) for part in parts], np.float32)
        # dlib's order: the corners of the eye on the image's right, of that on its left, then the nose's base.
        left, right, nose = points[2:4].mean(axis=0), points[0:2].mean(axis=0), points[4]
        unknown = np.full(2, np.nan, np.float32)
        return Face((x0, y0, x1, y1), np.stack([left, right, nose, unknown, unknown]))


@functools.cache
def dlib_detector() -> DlibDetector:
    """The process's one DlibDetector: its models take a second to read."""
    return DlibDetector()


def reference_distance(landmarks: Landmarks) -> float:
    """The distance of the two reference points in pixels: for a face, between the eye centres."""
    return math.dist(landmarks[0].tolist(), landmarks[1].tolist())


def _smaller(image: Pixels, shrink: float) -> Pixels:
    if shrink <= 1:
        return np.ascontiguousarray(image)
    size = (round(image.shape[1] / shrink), round(image.shape[0] / shrink))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)


def dlib_module() -> Any:
    """dlib itself; raises UserError when the extra `photos` is missing."""
    try:
        import dlib
    except ImportError as error:
        raise _missing("dlib") from error
    return dlib


def face_model_file(name: str) -> Path:
    """A file of face_recognition_models. The package is found, not imported: its import needs pkg_resources.

    Raises UserError when the extra `photos` is missing.
    """
    spec = importlib.util.find_spec("face_recognition_models")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        if (Path(folder) / name).is_file():
            return Path(folder) / name
    raise _missing("face_recognition_models")


def _missing(package: str) -> UserError:
    return UserError(
        f"Landmarks of photographs need {package}, which is not installed.",
        "Install the extra: pip install 'editloom[photos]'.",
    )

"""The classes of a region mask."""

from __future__ import annotations

REGIONS = ("background", "skin", "body", "hair", "beard", "brows", "eyes", "nose", "mouth", "glasses", "occluder")

"""The classes of a vehicle's region mask."""

from __future__ import annotations

REGIONS = ("background", "body", "windows", "wheels", "roof", "lights", "roof_box", "spoiler", "stripe")
CHANGEABLE = ("windows", "lights", "roof_box", "spoiler", "stripe")
"""What attributes change: these claim every pixel that shows them visibly, the others those that they cover by half."""

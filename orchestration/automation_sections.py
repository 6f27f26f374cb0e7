"""The section `automation` of `params.yaml`: what starts by itself. Everything is off until it is switched on."""

from __future__ import annotations

from orchestration.fields import Section


class Automation(Section):
    """Sensors, schedules and hooks. Not part of an asset's params: when it is built does not change its bytes."""

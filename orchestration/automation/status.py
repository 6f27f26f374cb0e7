"""Whether a sensor runs as soon as Dagster knows it; a person's switch on the page goes before."""

from __future__ import annotations

from dagster import DefaultSensorStatus


def status(on: bool) -> DefaultSensorStatus:
    """Running where params.yaml switched it on, else shown and stopped."""
    return DefaultSensorStatus.RUNNING if on else DefaultSensorStatus.STOPPED

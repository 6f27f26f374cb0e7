"""Parametric cars from a seed, with every label that the systems need: the second category."""

from __future__ import annotations

from data.vehicles.attributes import ATTRIBUTES, attributes, caption, region_of, with_attribute
from data.vehicles.regions import REGIONS
from data.vehicles.renderer import POINTS, Rendered, render
from data.vehicles.scene import VehicleScene, draw_scene
from data.vehicles.seeds import HELD_OUT_JUDGES, JUDGES_EVAL, JUDGES_TRAIN, SHIPPED_WEIGHTS, USER
from data.vehicles.subject import TRAITS, VehicleSubject, draw_subject, traits

__all__ = [
    "ATTRIBUTES",
    "HELD_OUT_JUDGES",
    "JUDGES_EVAL",
    "JUDGES_TRAIN",
    "POINTS",
    "REGIONS",
    "SHIPPED_WEIGHTS",
    "TRAITS",
    "USER",
    "Rendered",
    "VehicleScene",
    "VehicleSubject",
    "attributes",
    "caption",
    "draw_scene",
    "draw_subject",
    "region_of",
    "render",
    "traits",
    "with_attribute",
]

"""Parametric faces from a seed, with every label that the systems need."""

from __future__ import annotations

from data.render.attributes import ATTRIBUTES, attributes, caption, region_of, with_attribute
from data.render.regions import REGIONS
from data.render.renderer import Rendered, changed_region, render, render_many
from data.render.scene import HAIR_STYLES, Scene, draw_scene
from data.render.seeds import HELD_OUT_JUDGES, JUDGES_EVAL, JUDGES_TRAIN, SHIPPED_WEIGHTS, USER
from data.render.subject import Subject, draw_subject

__all__ = [
    "ATTRIBUTES",
    "HAIR_STYLES",
    "HELD_OUT_JUDGES",
    "JUDGES_EVAL",
    "JUDGES_TRAIN",
    "REGIONS",
    "SHIPPED_WEIGHTS",
    "USER",
    "Rendered",
    "Scene",
    "Subject",
    "attributes",
    "caption",
    "changed_region",
    "draw_scene",
    "draw_subject",
    "region_of",
    "render",
    "render_many",
    "with_attribute",
]

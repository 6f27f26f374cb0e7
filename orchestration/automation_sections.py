"""The section `automation` of `params.yaml`: what starts by itself. Everything is off until it is switched on."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Annotated
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, Field

from orchestration.fields import AttributeSlug, PathText, Section, Slug, choice, number
from orchestration.graph import GRAPH

SYSTEMS = tuple(dict.fromkeys(node.partition for node in GRAPH.values() if node.partition))
"""The systems that a schedule may name: each is the chain of one kind of partition, with all that it stands on."""
RELEASES = tuple(node.name for node in GRAPH.values() if node.gated)


def _known(names: Iterable[str], known: tuple[str, ...], what: str) -> None:
    for name in names:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
            raise ValueError(
                f"`{name}` is no {what}; {'the nearest is' if close else 'known:'} {', '.join(close or known)}"
            )


def _crons(schedules: Mapping[str, str]) -> Mapping[str, str]:
    _known(schedules, SYSTEMS, "system")
    for system, cron in schedules.items():
        from dagster._utils.schedules import is_valid_cron_string  # a second to import, and seldom needed

        if not is_valid_cron_string(cron):
            raise ValueError(
                f"`{cron}` of {system} is no cron line; expected five fields, as `0 3 * * 1` for Mondays at 3"
            )
    return schedules


def _zone(name: str) -> str:
    try:
        if name != "UTC":  # known without a database of zones
            ZoneInfo(name)
    except (OSError, ValueError, KeyError):
        raise ValueError(f"there is no time zone `{name}`; expected a name such as UTC or Europe/Paris") from None
    return name


def _releases(days: Mapping[str, float]) -> Mapping[str, float]:
    _known(days, RELEASES, "release")
    return days


class Inbox(Section):
    """A folder or S3 prefix in which photographs arrive: enough new ones become an ingest batch and start a run."""

    enabled: bool = choice(False, "Watch the inbox.")
    path: PathText | None = choice(None, "Folder (relative to the workspace or absolute) or s3://bucket/prefix.")
    attribute: AttributeSlug | None = choice(
        None,
        "The attribute whose own folder (attribute_images.path) the photographs are for; unset: images.ingest.path.",
    )
    debounce_s: float = number(60.0, "s", 0.0, 86400.0, "A file is complete when nothing about it changed for so long.")
    threshold: int = number(100, "photographs", 1, 10_000_000, "So many new photographs start a run.")
    interval_s: int = number(30, "s", 1, 86400, "Time between two looks.")


class ConsentAutomation(Section):
    """What a withdrawal of consent starts; demotion and the gate's no need no automation."""

    retrain: bool = choice(False, "Run the graph after a withdrawal: what descends from the image is made again.")
    interval_s: int = number(30, "s", 1, 86400, "Time between two looks at the ledger.")


class Releases(Section):
    """The way from a report to a release."""

    on_report: bool = choice(False, "A new report starts its release and with it the gate.")


class Failures(Section):
    """Who hears of a failed run."""

    enabled: bool = choice(
        False, "Write a line into the log for each failed run, and tell the webhook if there is one."
    )
    webhook: Annotated[str, Field(pattern=r"^https?://")] | None = choice(
        None, "URL that a failure is posted to, as JSON with a `text`."
    )
    timeout_s: float = number(10.0, "s", 0.1, 60.0, "So long the webhook may take to answer.")


class Reaper(Section):
    """The return of devices that dead processes held; a step that waits for one does it too."""

    enabled: bool = choice(False, "Look for such devices also while no step waits.")
    interval_s: int = number(15, "s", 1, 86400, "Time between two looks.")


class Automation(Section):
    """Sensors, schedules and hooks. Not part of an asset's params: when it is built does not change its bytes."""

    inbox: Inbox = Field(default_factory=Inbox, description="A data drop makes anew what depends on it.")
    schedules: Annotated[Mapping[Slug, str], AfterValidator(_crons)] = choice(
        {}, 'System -> cron line, as attribute: "0 3 * * 1".'
    )
    timezone: Annotated[str, AfterValidator(_zone)] = choice("UTC", "Time zone of the schedules.")
    consent: ConsentAutomation = Field(default_factory=ConsentAutomation, description="After a withdrawal.")
    releases: Releases = Field(default_factory=Releases, description="From reports to releases.")
    freshness: Annotated[Mapping[Slug, Annotated[float, Field(ge=0.01, le=3650)]], AfterValidator(_releases)] = choice(
        {}, "Release -> days after which Dagster's page calls it stale."
    )
    failures: Failures = Field(default_factory=Failures, description="After a failed run.")
    reaper: Reaper = Field(default_factory=Reaper, description="Devices of dead processes.")

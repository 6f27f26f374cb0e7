"""`docs/results.md`: what stands in results.json, for people."""

from __future__ import annotations

from pathlib import Path

from orchestration.results import Record, read_records

PAGE = "results.md"
# What the figure's name and bar say already.
_UNSPOKEN = frozenset({"share", "cosine", "ratio", "distance", "count"})
_HEAD = (
    "| figure | value | 95 % interval | bar | met | measured by | commit | date, machine |",
    "|---|---:|---|---|---|---|---|---|",
)


def write_markdown(docs: Path) -> Path:
    """Write `docs`/results.md from results.json; the same records give the same bytes."""
    path = docs / PAGE
    path.write_text(render(read_records(docs)), encoding="utf-8")
    return path


def render(records: list[Record]) -> str:
    """The page: a table for each group, its machines numbered below it."""
    lines = [
        "# Results",
        "",
        "Written by `make results` from results.json; each figure by the command that measured it. "
        "A commit with `+` had changes that were not committed.",
    ]
    for group in sorted({r.group for r in records}):
        lines += ["", *_group(group, [r for r in records if r.group == group])]
    return "\n".join(lines) + "\n"


def _group(name: str, records: list[Record]) -> list[str]:
    machines = list(dict.fromkeys(r.machine for r in records))
    rows = [_row(r, machines.index(r.machine) + 1) for r in records]
    places = [f"{number}. {machine}" for number, machine in enumerate(machines, 1)]
    return [f"## {name}", "", _standing(records), "", *_HEAD, *rows, "", "Machines:", "", *places]


def _standing(records: list[Record]) -> str:
    """How many bars are met, missed, and not measured."""
    barred = [r.met for r in records if r.bar is not None]
    met, missed, unknown = barred.count(True), barred.count(False), barred.count(None)
    return f"{len(records)} figures. Of {len(barred)} bars {met} are met, {missed} missed, {unknown} not measured."


def _row(r: Record, machine: int) -> str:
    value = "not measured" if r.value is None else _number(r.value, r.unit)
    interval = f"{r.interval[0]:.4g} – {r.interval[1]:.4g}" if r.interval else ""
    met = {True: "yes", False: "**no**", None: ""}[r.met]
    name = f"{r.name}<br><sub>{r.note}</sub>" if r.note else r.name
    cells = [name, value, interval, r.bar or "", met, f"`{r.command}`", r.commit, f"{r.date}, {machine}"]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _number(value: float, unit: str) -> str:
    digits = f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    return digits if unit in _UNSPOKEN else f"{digits} {unit}".strip()

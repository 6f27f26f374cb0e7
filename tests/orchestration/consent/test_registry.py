"""What is withheld follows from the ledger: the latest word on an image or a subject, and all hashes of an image."""

from __future__ import annotations

from pathlib import Path

import pytest

from data.errors import UserError
from data.manifest import read_manifest
from orchestration.consent.changes import change_one, import_changes
from orchestration.consent.effects import consent_reasons
from orchestration.consent.naming import Named, image_sha256, named
from orchestration.consent.registry import consent_states, withheld, withheld_digest
from orchestration.store import chain, ledger
from orchestration.workspace import Workspace
from tests.orchestration.consent.lines import ALIGNED, IMAGES, first_image, rendered_sets
from tests.orchestration.published import image_set, put

PERSON = "renderer:40000001"


@pytest.fixture
def ws(workspace: Workspace) -> Workspace:
    """Twelve rendered faces of six subjects, and their crops."""
    rendered_sets(workspace)
    return workspace


def withdraw(ws: Workspace, image: str | None = None, subject: str | None = None) -> Named:
    known = named(ws, image, subject)
    change_one(ws, known, "withdrawn", "asked by mail", "Ada")
    return known


def test_image_named_by_its_crop_is_withheld_by_all_of_its_hashes(ws: Workspace) -> None:
    crops = read_manifest(ws.payload("aligned_images"))
    crop, parent = str(crops["sha256"].iloc[0]), str(crops["parent"].iloc[0])
    before = withheld_digest(ws.root)
    withdraw(ws, crop)
    assert withheld(ws.root).images == {crop, parent}
    entry = ledger.entries(ws.root, kind=ledger.CONSENT)[0]
    assert entry.subject == crop and entry.body["reason"] == "asked by mail" and entry.body["by"] == "Ada"
    assert before == "" and len(withheld_digest(ws.root)) == 64 and chain.verify_chain(ws.root) == []
    assert withheld(ws.root, entry.seq - 1).images == frozenset()


def test_withdrawn_subject_stays_out_under_another_name_too(ws: Workspace) -> None:
    manifest = read_manifest(ws.payload("images"))
    person = str(manifest["subject"].iloc[0])
    theirs = set(manifest[manifest["subject"] == person]["sha256"])
    withdraw(ws, subject=person)
    gone = withheld(ws.root)
    assert gone.subjects == {person} and theirs <= gone.images
    assert all(gone.holds("somebody else", sha256) for sha256 in theirs)


def test_grant_lifts_exactly_what_it_names(ws: Workspace) -> None:
    manifest = read_manifest(ws.payload("images"))
    image, person = str(manifest["sha256"].iloc[0]), str(manifest["subject"].iloc[0])
    withdraw(ws, image)
    withdraw(ws, subject=person)
    change_one(ws, named(ws, image, None), "granted", "a mistake", "Ada")
    assert withheld(ws.root).holds(person, image)  # the subject is withdrawn still
    change_one(ws, named(ws, None, person), "granted", "came back", "Ada")
    assert not withheld(ws.root)
    with pytest.raises(UserError, match="Nobody withdrew"):
        change_one(ws, named(ws, None, person), "granted", "again", "Ada")


def test_saying_it_twice_writes_one_entry(ws: Workspace) -> None:
    image = first_image(ws, "train")
    withdraw(ws, image)
    withdraw(ws, image)
    assert len(ledger.entries(ws.root, kind=ledger.CONSENT)) == 1


def test_unknown_image_and_half_a_question_are_mistakes_of_a_person(ws: Workspace, tmp_path: Path) -> None:
    for image, subject, said in (
        ("f" * 64, None, "holds image ffff"),
        ("no-such-file.jpg", None, "neither a sha256 nor a file"),
        (None, "nobody", "holds subject nobody"),
        (None, None, "exactly one of"),
        ("f" * 64, "nobody", "exactly one of"),
    ):
        with pytest.raises(UserError, match=said):
            named(ws, image, subject)
    with pytest.raises(UserError, match="needs --reason"):
        change_one(ws, named(ws, first_image(ws, "train"), None), "withdrawn", " ", "Ada")
    (tmp_path / "a.png").write_bytes(b"a")
    assert image_sha256(str(tmp_path / "a.png")).startswith("ca978112")
    assert ledger.entries(ws.root, kind=ledger.CONSENT) == []


def test_image_sets_say_why_they_are_made_again_and_when_no_more(ws: Workspace) -> None:
    assert consent_reasons(ws.root, IMAGES) == ()
    known = withdraw(ws, first_image(ws, "train"))
    assert consent_reasons(ws.root, IMAGES) == ("1 of its images was withdrawn",)
    assert consent_reasons(ws.root, ALIGNED) == ("1 of its images was withdrawn",)
    rendered_sets(ws)
    assert consent_reasons(ws.root, IMAGES) == consent_reasons(ws.root, ALIGNED) == ()
    assert not set(known.hashes) & set(read_manifest(ws.payload("aligned_images"))["sha256"])
    change_one(ws, named(ws, known.image, None), "granted", "came back", "Ada")
    assert consent_reasons(ws.root, IMAGES) == ("1 withdrawn image was granted again",)
    rendered_sets(ws)
    assert consent_reasons(ws.root, IMAGES) == ()
    assert known.image in set(read_manifest(ws.payload("images"))["sha256"])


def test_older_version_that_held_an_image_puts_nothing_out_of_date(workspace: Workspace) -> None:
    put(workspace, IMAGES, {}, image_set([("a" * 64, "ann", "train"), ("b" * 64, "bob", "train")], aligned=False))
    put(workspace, IMAGES, {}, image_set([("b" * 64, "bob", "train")], aligned=False))
    withdraw(workspace, "a" * 64)
    assert consent_reasons(workspace.root, IMAGES) == ()


def test_import_takes_all_rows_and_images_that_are_not_here_yet(ws: Workspace, tmp_path: Path) -> None:
    image, later = first_image(ws, "train"), "9" * 64
    file = tmp_path / "consent.csv"
    file.write_text(
        "image,subject,state,reason,time,by\n"
        f"{image},,withdrawn,by mail,2025-01-31,Ada\n"
        f",{PERSON},withdrawn,\"moved, by phone\",,Bob\n"
        f"{later},,withdrawn,not here yet,,Ada\n"
        f"{image},,granted,came back,2025-02-01,Ada\n"
    )  # fmt: skip
    assert len(import_changes(ws, file)) == 4
    gone = withheld(ws.root)
    assert later in gone.images and image not in gone.images and gone.subjects == {PERSON}
    assert consent_states(ws.root).images[image].change.time == "2025-02-01"
    seen = len(ledger.entries(ws.root))
    file.write_text(f"subject,state,reason,by\n{PERSON},withdrawn,again,Bob\n")
    assert import_changes(ws, file) == [] and len(ledger.entries(ws.root)) == seen


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("abc,,withdrawn,r,,b", "row 3: `abc` is neither a sha256 nor a file"),
        (",,withdrawn,r,,b", "row 3: expected an image or a subject"),
        (",ann,gone,r,,b", "row 3: state is 'gone'"),
        (",ann,withdrawn,,,b", "row 3: reason is empty"),
        (",ann,withdrawn,r,yesterday,b", "row 3: time is 'yesterday'"),
        (",ann,withdrawn,r,,b,c", "row 3: more cells than columns"),
    ],
)
def test_one_wrong_row_and_nothing_is_imported(ws: Workspace, tmp_path: Path, row: str, said: str) -> None:
    file = tmp_path / "consent.csv"
    file.write_text(f"image,subject,state,reason,time,by\n,{PERSON},withdrawn,r,,b\n{row}\n")
    with pytest.raises(UserError, match=said):
        import_changes(ws, file)
    assert ledger.entries(ws.root, kind=ledger.CONSENT) == []

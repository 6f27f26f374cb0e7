"""Merkle proofs: what is in a set and what is not is proved by its root alone, and no forged proof passes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from data.errors import UserError
from data.manifest import check_dataset_proof, dataset_proof, dataset_root, dataset_tree
from data.merkle import MerkleTree, merkle_root, prove
from data.merkle_proof import MerkleProof, ProvenLeaf, check_proof

DOMAIN = "test"
SIZES = range(41)


def _members(size: int) -> list[bytes]:
    return [hashlib.sha256(f"{size}/{index}".encode()).digest() for index in range(size)]


def _strangers(size: int) -> list[bytes]:
    """Some that are not in the set, those before the first and behind the last among them."""
    return [bytes(32), b"\xff" * 32, *(hashlib.sha256(f"no {size}/{index}".encode()).digest() for index in range(6))]


@pytest.mark.parametrize("size", SIZES)
def test_presence_and_absence_are_proved_for_every_size_of_set(size: int) -> None:
    members = _members(size)
    root, tree = merkle_root(DOMAIN, members), MerkleTree(DOMAIN, members)
    assert tree.root == root
    for member in members:
        proof = tree.prove(member)
        assert proof.present and check_proof(proof, member, root, DOMAIN)
        assert MerkleProof.from_record(proof.record()) == proof == prove(DOMAIN, members, member)
    for stranger in _strangers(size):
        proof = tree.prove(stranger)
        assert not proof.present and check_proof(proof, stranger, root, DOMAIN)


@pytest.mark.parametrize("size", SIZES)
def test_no_forged_proof_passes(size: int) -> None:
    members = _members(size)
    tree, other = MerkleTree(DOMAIN, members), merkle_root(DOMAIN, [*members, b"\x01" * 32])
    for asked in (*members[:6], *_strangers(size)):
        proof = tree.prove(asked)
        assert not check_proof(proof, asked, other, DOMAIN), "another set's root"
        assert not check_proof(proof, asked, tree.root, "other"), "another domain"
        assert not check_proof(proof, hashlib.sha256(asked).digest(), tree.root, DOMAIN) or not proof.present
        for forged in _forgeries(proof, tree, sorted(members), asked):
            assert not check_proof(forged, asked, tree.root, DOMAIN), forged


def _forgeries(proof: MerkleProof, tree: MerkleTree, members: list[bytes], asked: bytes) -> Iterator[MerkleProof]:
    yield replace(proof, present=not proof.present)
    for count in (proof.count - 1, proof.count + 1, 2 * proof.count + 1, 2**64):
        yield replace(proof, count=count)
    yield replace(proof, leaves=()) if proof.leaves else replace(proof, leaves=(ProvenLeaf(asked, 0, ()),))
    for index, leaf in enumerate(proof.leaves):
        for changed in _changed_leaves(leaf):
            yield replace(proof, leaves=(*proof.leaves[:index], changed, *proof.leaves[index + 1 :]))
    if proof.leaves:
        yield replace(proof, leaves=(*proof.leaves, proof.leaves[-1]))
    if len(proof.leaves) == 2:
        yield replace(proof, leaves=proof.leaves[::-1])
        yield replace(proof, leaves=proof.leaves[:1])
    # Not the neighbours: leaves further apart, between which the member might well stand.
    for low, high in ((0, len(members) - 1), (0, 2), (len(members) - 3, len(members) - 1)):
        if low >= 0 and low + 1 < high < len(members):
            leaves = (tree.prove(members[low]).leaves[0], tree.prove(members[high]).leaves[0])
            yield MerkleProof(proof.count, False, leaves)


def _changed_leaves(leaf: ProvenLeaf) -> Iterator[ProvenLeaf]:
    for position in (leaf.position - 1, leaf.position + 1, leaf.position ^ 2):
        yield replace(leaf, position=position)
    yield replace(leaf, member=hashlib.sha256(leaf.member).digest())
    yield replace(leaf, siblings=(*leaf.siblings, leaf.member))
    if leaf.siblings:
        yield replace(leaf, siblings=leaf.siblings[1:])
        yield replace(leaf, siblings=(leaf.siblings[0][:-1], *leaf.siblings[1:]))
    if len(leaf.siblings) > 1:
        yield replace(leaf, siblings=(leaf.siblings[1], leaf.siblings[0], *leaf.siblings[2:]))


def test_inner_node_cannot_pass_for_a_member() -> None:
    first, second = sorted(_members(2))
    tree = MerkleTree(DOMAIN, [first, second])
    node = tree.prove(first).leaves[0].siblings[0] + tree.prove(second).leaves[0].siblings[0]
    assert not check_proof(MerkleProof(1, True, (ProvenLeaf(node, 0, ()),)), node, tree.root, DOMAIN)


def test_present_member_has_no_proof_of_absence_among_random_leaves() -> None:
    """Any two true leaves, whatever they say of themselves, prove no member absent."""
    random = np.random.default_rng(0)
    members = sorted(_members(23))
    tree = MerkleTree(DOMAIN, members)
    leaves = [tree.prove(member).leaves[0] for member in members]
    for _ in range(300):
        one, two, asked = random.integers(0, 23, 3)
        chosen = (leaves[one], leaves[two])
        assert not check_proof(MerkleProof(23, False, chosen), members[asked], tree.root, DOMAIN)
        assert not check_proof(MerkleProof(23, False, chosen[:1]), members[asked], tree.root, DOMAIN)


def test_image_is_proved_in_or_out_of_a_data_set_by_its_root() -> None:
    images = [member.hex() for member in _members(9)]
    root, stranger = dataset_root(images), _strangers(9)[3].hex()
    inside, outside = (dataset_proof(images, asked) for asked in (images[4], stranger))
    assert inside.present and check_dataset_proof(inside, images[4], root)
    assert not outside.present and check_dataset_proof(outside, stranger, root)
    assert dataset_tree(images).root == root
    assert not check_dataset_proof(outside, stranger, dataset_root([*images, stranger]))


@pytest.mark.parametrize(
    "record",
    [{}, {"count": 1}, {"count": "1", "present": True, "leaves": []}, {"count": 1, "present": True, "leaves": [[]]}],
)
def test_what_is_no_proof_is_a_users_error(record: dict[str, object]) -> None:
    with pytest.raises(UserError, match="no Merkle proof"):
        MerkleProof.from_record(record)

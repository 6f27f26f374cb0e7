"""Checks a release bundle of Editloom. Needs Python 3.9 or newer and `cryptography`; asks no network.

    python verify.py [--key PUBLIC.pem] [BUNDLE]

BUNDLE is the zip or the folder it was unpacked into; by default the folder of this file. With --key, only that key
counts; without, the keys in the bundle do, and whether to believe them is the reader's to say.
Exit status: 0 all of it holds, 1 something does not, 2 there is no bundle or no key.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import sys
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

PAYLOAD_TYPE = "application/vnd.in-toto+json"
GENESIS, ENTRY_DOMAIN = "0" * 64, b"editloom-ledger-entry-v2\0"
PAYLOAD_DOMAIN, DATASET_DOMAIN = "editloom-payload", "editloom.dataset"
LEDGER, PROOFS, MODEL, KEYS = "ledger.json", "proofs.json", "model/", "keys/"
SIGNATURE, HEAD, DATASET = "model.sig", "ledger_head.json", "dataset.json"
OUTSIDE = ("file:", "module:", "folder:")
UNREADABLE = (KeyError, ValueError, TypeError, IndexError, AttributeError, OverflowError)


class Line(NamedTuple):
    """One thing that was looked at: it holds, does not hold, or (None) is only told."""

    holds: bool | None
    what: str
    said: str


class Entry(NamedTuple):
    """An entry of the ledger as its signed payload says it."""

    seq: int
    prev: str
    kind: str
    subject: str
    body: Mapping[str, Any]
    payload: bytes
    signatures: Sequence[str]

    @property
    def name(self) -> str:
        """How a person finds it."""
        return f"entry {self.seq} ({self.kind} of {self.subject})"


class Bundle:
    """What the files of a bundle say, nothing of it believed yet. `keys`: public PEM by key id."""

    def __init__(self, files: Mapping[str, bytes], keys: Mapping[str, bytes]) -> None:
        self.files, self.keys = files, keys
        self.document: Mapping[str, Any] = json.loads(files[LEDGER])
        self.proofs: Mapping[str, Any] = json.loads(files[PROOFS])
        self.model = {name[len(MODEL) :]: content for name, content in files.items() if name.startswith(MODEL)}
        self.chain: Sequence[str] = self.document["chain"]
        self.hashes = chain_hashes(self.chain)
        self.unreadable: list[str] = []
        self.entries: dict[str, Entry] = {}
        for one in self.document["entries"]:
            try:
                entry = read_entry(one["envelope"])
                self.entries[self.hashes[entry.seq - 1]] = entry
            except UNREADABLE:
                self.unreadable.append(f"entry {one.get('seq')}")
        self.datasets: dict[int, str] = {}  # seq of an image set's entry → its proven dataset root

    @property
    def release(self) -> Entry:
        """The release's materialization: the ledger's head that was signed with the model."""
        return self.entries[json.loads(self.model[HEAD])["entry_hash"]]


def pae(payload: bytes) -> bytes:
    """What a DSSE signature covers: https://github.com/secure-systems-lab/dsse/blob/v1.0.0/protocol.md."""
    kind = PAYLOAD_TYPE.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def sha256(content: bytes) -> str:
    """The sha256 as hex."""
    return hashlib.sha256(content).hexdigest()


def key_id(pem: bytes) -> str:
    """securesystemslib's id of a P-256 key, as `editloom keys show` tells it; raises ValueError for another key."""
    key = load_pem_public_key(pem)
    if not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.name != "secp256r1":
        raise ValueError("not an ECDSA key on the curve P-256")
    text = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    return sha256(f'{{"keytype":"ecdsa","keyval":{{"public":"{text}"}},"scheme":"ecdsa-sha2-nistp256"}}'.encode())


def signed_by(keys: Mapping[str, bytes], payload: bytes, signatures: Sequence[str]) -> str | None:
    """The id of the first key of which one of the signatures (base64) is good, or None."""
    for keyid, pem in keys.items():
        key = load_pem_public_key(pem)
        if not isinstance(key, ec.EllipticCurvePublicKey):
            continue
        for signature in signatures:
            try:
                key.verify(base64.b64decode(signature, validate=True), pae(payload), ec.ECDSA(SHA256()))
            except (InvalidSignature, ValueError):
                continue
            return keyid
    return None


def read_entry(envelope: Mapping[str, Any]) -> Entry:
    """The entry in a DSSE envelope; raises ValueError, KeyError or TypeError for what is none."""
    if envelope["payloadType"] != PAYLOAD_TYPE:
        raise ValueError(envelope["payloadType"])
    payload = base64.b64decode(envelope["payload"], validate=True)
    said = json.loads(payload)["predicate"]
    if said["seq"] < 1:
        raise ValueError(said["seq"])
    signatures = [one["sig"] for one in envelope["signatures"]]
    return Entry(said["seq"], said["prev"], said["kind"], said["subject"], said["body"], payload, signatures)


def chain_hashes(chain: Sequence[str]) -> list[str]:
    """The hash of every entry, from the sha256 of their payloads alone."""
    hashes = [GENESIS]
    for seq, digest in enumerate(chain, start=1):
        parts = ENTRY_DOMAIN + seq.to_bytes(8, "big") + bytes.fromhex(hashes[-1]) + bytes.fromhex(digest)
        hashes.append(sha256(parts))
    return hashes[1:]


def node(domain: str, role: str, *parts: bytes) -> bytes:
    """A leaf, node or root of a Merkle tree."""
    return hashlib.sha256(b"\0".join([domain.encode(), role.encode(), b"".join(parts)])).digest()


def payload_root(files: Mapping[str, str]) -> str:
    """A payload's data version: the Merkle root over (path, sha256)."""
    members = sorted(path.encode() + b"\0" + bytes.fromhex(digest) for path, digest in files.items())
    level = [node(PAYLOAD_DOMAIN, "leaf", member) for member in members]
    while len(level) > 1:
        pairs = [node(PAYLOAD_DOMAIN, "node", *level[i : i + 2]) for i in range(0, len(level) - 1, 2)]
        level = pairs + ([level[-1]] if len(level) % 2 else [])
    return node(PAYLOAD_DOMAIN, "root", len(members).to_bytes(8, "big"), *level).hex()


def leads_to(leaf: Mapping[str, Any], count: int, root: str) -> bool:
    """Whether a leaf's path, walked as a tree of `count` leaves must be, ends in the dataset root."""
    index, width, siblings = leaf["position"], count, [bytes.fromhex(one) for one in leaf["siblings"]]
    if not 0 <= index < count or any(len(one) != 32 for one in siblings):
        return False
    at = node(DATASET_DOMAIN, "leaf", bytes.fromhex(leaf["member"]))
    while width > 1:
        if index ^ 1 < width:
            if not siblings:
                return False
            beside = siblings.pop(0)
            at = node(DATASET_DOMAIN, "node", *((beside, at) if index % 2 else (at, beside)))
        index, width = index // 2, (width + 1) // 2
    return not siblings and node(DATASET_DOMAIN, "root", count.to_bytes(8, "big"), at).hex() == root


def proves(proof: Mapping[str, Any], image: str, root: str) -> bool:
    """Whether a proof shows that the image is in the data set of this root, or (`present` false) that it is not."""
    leaves, count, member = proof["leaves"], proof["count"], bytes.fromhex(image)
    if not all(leads_to(leaf, count, root) for leaf in leaves):
        return False
    members, places = [bytes.fromhex(leaf["member"]) for leaf in leaves], [leaf["position"] for leaf in leaves]
    if proof["present"]:
        return members == [member]
    if len(leaves) == 2:
        return bool(places[1] == places[0] + 1 and members[0] < member < members[1])
    if len(leaves) == 1:
        return bool((places[0] == 0 and member < members[0]) or (places[0] == count - 1 and member > members[0]))
    return not leaves and count == 0 and node(DATASET_DOMAIN, "root", bytes(8)).hex() == root


def check_signatures(bundle: Bundle) -> Iterator[Line]:
    """Every envelope is signed by a key that counts."""
    for name in bundle.unreadable:
        yield Line(False, "signatures", f"{name} cannot be read: it was changed")
    signers = {entry.name: signed_by(bundle.keys, entry.payload, entry.signatures) for entry in bundle.entries.values()}
    for name, keyid in signers.items():
        if keyid is None:
            yield Line(False, "signatures", f"{name} is signed by no key that counts here, or was changed")
    if all(signers.values()) and not bundle.unreadable:
        yield Line(True, "signatures", f"{len(signers)} entries of the ledger, by {', '.join(sorted(known(signers)))}")


def known(signers: Mapping[str, str | None]) -> set[str]:
    """The first digits of the ids of the keys that signed."""
    return {keyid[:12] for keyid in signers.values() if keyid}


def check_chain(bundle: Bundle) -> Iterator[Line]:
    """Every entry stands where its signed payload says, after the entries that it says were before it."""
    before, good = [GENESIS, *bundle.hashes], True
    for entry in bundle.entries.values():
        if bundle.chain[entry.seq - 1] != sha256(entry.payload):
            good = False
            yield Line(False, "chain", f"{entry.name} is not what stands at its place in the chain")
        elif before[entry.seq - 1] != entry.prev:
            good = False
            yield Line(
                False, "chain", f"{entry.name} does not follow the entries before it: one was changed or dropped"
            )
    if good:
        yield Line(
            True, "chain", f"{len(bundle.chain)} entries, none changed, dropped or put in before the last one shown"
        )


def check_model(bundle: Bundle) -> Iterator[Line]:
    """The model's files are those that were signed: model.sig is a Sigstore bundle with a digest of each."""
    envelope = json.loads(bundle.model[SIGNATURE])["dsseEnvelope"]
    payload = base64.b64decode(envelope["payload"], validate=True)
    keyid = signed_by(bundle.keys, payload, [one["sig"] for one in envelope["signatures"]])
    if keyid is None or envelope["payloadType"] != PAYLOAD_TYPE:
        yield Line(False, "model", f"{SIGNATURE} is by no key that counts here, or was changed")
    resources = json.loads(payload)["predicate"]["resources"]
    signed = {one["name"]: one["digest"] for one in resources if one["algorithm"] == "sha256"}
    found = model_digests(bundle)
    differing = [name for name in sorted(signed.keys() | found.keys()) if signed.get(name) != found.get(name)]
    for name in differing:
        how = "altered" if name in signed and name in found else "missing" if name in signed else "added"
        yield Line(False, "model", f"{MODEL}{name} is {how}")
    if keyid is not None and not differing:
        yield Line(True, "model", f"{len(found)} files as they were signed by {keyid[:12]}")


def model_digests(bundle: Bundle) -> dict[str, str]:
    """sha256 of each file of the model but its signature."""
    return {name: sha256(content) for name, content in bundle.model.items() if name != SIGNATURE}


def check_release(bundle: Bundle) -> Iterator[Line]:
    """The chain leads to the head that was signed with the model, and the ledger registered these very files."""
    head, asked = json.loads(bundle.model[HEAD]), bundle.document["model"]
    if bundle.hashes[head["seq"] - 1 : head["seq"]] != [head["entry_hash"]]:
        yield Line(False, "release", "the chain does not lead to the head of the ledger that was signed with the model")
        return
    yield Line(True, "release", f"the chain leads to entry {head['seq']}, the ledger's head signed with the model")
    found = [
        one for one in bundle.entries.values() if one.kind == "release" and one.body["release"] == head["entry_hash"]
    ]
    if not found:
        yield Line(False, "release", "the ledger's entry about this release's registration is not here")
    for entry in found:
        body = entry.body
        told = [body["model"], body["version"]] == [asked["name"], asked["version"]]
        same = body["files"] == model_digests(bundle) and body["signature"] == sha256(bundle.model[SIGNATURE])
        said = f"{entry.name} registered these files as version {body['version']}"
        yield Line(told and same, "release", said if told and same else f"{entry.name} is of other files or versions")


def check_payloads(bundle: Bundle) -> Iterator[Line]:
    """The model's files are whole payloads: of the release, and of the asset version that it was made from."""
    release, covered = bundle.release, {HEAD}
    versions = {**release.body["wanted"]["inputs"], release.subject: release.body["data_version"]}
    digests = model_digests(bundle)
    for subject, names in bundle.document["payloads"].items():
        covered.update(names)
        whole = all(name in digests for name in names)
        good = whole and payload_root({name: digests[name] for name in names}) == versions[subject]
        version = versions[subject][:12]
        said = (
            f"{', '.join(names)} are version {version} of {subject}" if good else f"not version {version} of {subject}"
        )
        yield Line(good, "payload", said)
    for name in sorted(digests.keys() - covered):
        yield Line(False, "payload", f"{MODEL}{name} belongs to no payload of the ledger")


def check_lineage(bundle: Bundle) -> Iterator[Line]:
    """Every input of every entry has its own entry here; what is no asset is listed by its digest."""
    made = [entry for entry in bundle.entries.values() if entry.kind == "materialization"]
    versions = {(entry.subject, entry.body["data_version"]) for entry in made}
    outside: dict[str, str] = {}
    good = bundle.release in made
    for entry in made:
        for name, version in inputs_of(bundle, entry).items():
            if name.startswith(OUTSIDE):
                outside[name] = version
            elif (name, version) not in versions:
                good = False
                yield Line(False, "lineage", f"{entry.name}: its input {name} {version[:12]} has no entry here")
    if good:
        yield Line(True, "lineage", f"closed: {len(made)} versions, every input of each is among them")
    for name, digest in sorted(outside.items()):
        yield Line(None, "lineage", f"from outside the graph: {name}, sha256 {digest}")


def inputs_of(bundle: Bundle, entry: Entry) -> Mapping[str, str]:
    """What an entry was made from; where a later entry says that it stands with other inputs too, those."""
    own = next(digest for digest, one in bundle.entries.items() if one is entry)
    reused = [one for one in bundle.entries.values() if one.kind == "reuse" and one.body["entry"] == own]
    last = max(reused, key=lambda one: one.seq, default=None)
    inputs: Mapping[str, str] = last.body["inputs"] if last else entry.body["wanted"]["inputs"]
    return inputs


def check_datasets(bundle: Bundle) -> Iterator[Line]:
    """Each image set's count and dataset root are those of the very version in the ledger."""
    by_seq = {entry.seq: entry for entry in bundle.entries.values()}
    for one in bundle.proofs["datasets"]:
        entry, text = by_seq[one["seq"]], one["dataset"].encode()
        facts = json.loads(text)
        good = payload_root(one["files"]) == entry.body["data_version"] and one["files"][DATASET] == sha256(text)
        if good:
            bundle.datasets[entry.seq] = facts["dataset_root"]
        said = f"{facts['count']} images, root {facts['dataset_root']}" if good else "not what this version holds"
        yield Line(good, "data set", f"{entry.name}: {said}")
    for name in bundle.proofs["absent"]:
        yield Line(None, "data set", f"{name}: its files were not at hand, so nothing is shown of it")


def check_images(bundle: Bundle) -> Iterator[Line]:
    """The proofs that were asked for: an image is in a data set, or is not."""
    for one in bundle.proofs["images"]:
        root = bundle.datasets.get(one["seq"])
        good = root is not None and proves(one["proof"], one["held_as"], root)
        shown = "is in" if one["proof"]["present"] else "is not in"
        other = "" if one["held_as"] == one["image"] else f" (as {one['held_as']})"
        said = f"{one['image']}{other} {shown} the data set of entry {one['seq']}"
        yield Line(
            good, "image", said if good else f"the proof about {one['image']} in entry {one['seq']} does not hold"
        )


def told(bundle: Bundle) -> Iterator[Line]:
    """Decisions and what became of consents: signed statements, for a person to read."""
    for entry in sorted(bundle.entries.values(), key=lambda one: one.seq):
        if entry.kind == "decision":
            said = f"{entry.body['outcome']} for version {entry.body['version']}: {entry.body.get('summary', '')}"
            yield Line(None, "decision", f"{entry.name}: {said.rstrip(': ')}")
        elif entry.kind in ("consent", "purge"):
            yield Line(None, entry.kind, f"{entry.name}: {entry.body.get('state', 'removed')}")
    if "card.md" in bundle.files:
        yield Line(None, "card", "card.md is for reading: no signature covers it")


CHECKS = (
    check_signatures, check_chain, check_model, check_release, check_payloads, check_lineage, check_datasets,
    check_images, told,
)  # fmt: skip


def verify(files: Mapping[str, bytes], keys: Mapping[str, bytes]) -> list[Line]:
    """Everything that is to be said of a bundle (content by name), by the keys that count (public PEM by key id)."""
    try:
        bundle = Bundle(files, keys)
    except UNREADABLE as error:
        return [Line(False, "bundle", f"cannot be read: {error!r}")]
    lines: list[Line] = []
    for check in CHECKS:
        try:
            lines.extend(check(bundle))
        except UNREADABLE as error:
            lines.append(Line(False, check.__name__.replace("check_", ""), f"cannot be read: {error!r}"))
    return lines


def read_files(path: Path) -> dict[str, bytes]:
    """Content by name of a zip or a folder."""
    if path.is_dir():
        return {one.relative_to(path).as_posix(): one.read_bytes() for one in path.rglob("*") if one.is_file()}
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def main(arguments: Sequence[str]) -> int:
    """Check the bundle that the command line names, and print a line for each thing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", nargs="?", type=Path, default=Path(__file__).resolve().parent)
    parser.add_argument(
        "--key", action="append", type=Path, help="a public key that you trust; several times if need be"
    )
    options = parser.parse_args(arguments)
    try:
        files = read_files(options.bundle)
        own = [content for name, content in sorted(files.items()) if name.startswith(KEYS)]
        keys = {key_id(pem): pem for pem in ([path.read_bytes() for path in options.key] if options.key else own)}
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    for keyid in keys:
        print(f"key   {keyid}" + ("" if options.key else " (from the bundle: compare it with one that you trust)"))
    lines = verify(files, keys)
    for line in lines:
        print(f"{ {True: 'ok  ', False: 'FAIL', None: '-   '}[line.holds] }  {line.what}: {line.said}")
    failed = sum(line.holds is False for line in lines)
    print(f"{failed} of {len(lines)} do not hold." if failed else "All of it holds.")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

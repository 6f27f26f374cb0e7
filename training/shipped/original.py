"""The shipped original network: StyleGAN2 trained for long on subjects that no user's set contains."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from data.errors import UserError
from training.weights_io import GanWeights, load_gan

ORIGINAL_DIR = Path(__file__).parent / "original_network"
CARD = "card.json"


def shipped_original_dir() -> Path:
    """The directory of the shipped network, its files verified against the card's digests.

    Raises UserError when the installation lacks a file or a file is not what the card says.
    """
    card_path = ORIGINAL_DIR / CARD
    if not card_path.is_file():
        raise UserError(f"The shipped original network is missing at {ORIGINAL_DIR}.", "Install the package anew.")
    for name, sha256 in json.loads(card_path.read_text())["files"].items():
        path = ORIGINAL_DIR / name
        if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != sha256:
            raise UserError(f"{path} is not the file that its card names.", "Install the package anew.")
    return ORIGINAL_DIR


def shipped_original() -> GanWeights:
    """Generator, its average, and discriminator, as they were when the long training ended; raises UserError."""
    return load_gan(shipped_original_dir())

"""sha256 of the shipped judges' weights: a shipped file that differs is refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

PINS: Final[Mapping[str, str]] = {
    "attribute_eval": "ed8096ec08a8f2029244bfbe07972aae891c224695c0d4c2f85edeb97d0414b4",
    "attribute_train": "4f8d9258f5ddd433937bbd6ec3b4e3645907158373d20d727b8680953acf208f",
    "clip_eval": "a1cdad071dfc1279ca248d143aecb0382bac2c86ae64e6bb9698be8a12e1f024",
    "clip_train": "73c10d9004de9e8301b61f406d43e74be9cac3e3c48678277b542fa00ce936ee",
    "features": "2c74a8b0b67d9ed9d8e32da412fff3a3e0dc116af8fee7aad73b1864dd9daeca",
    "identity_eval": "f8726dbe19a49f1007cd362b83916c068ba7b5c24b27699e94b2d6c322f0c9eb",
    "identity_train": "57b5fcbc8391d7970150b2132bb803a9f5a5493fc55eb7ba4aa2291c0416d5f3",
    "parser_eval": "c11b4e749f14d92512331df6dd0cfa5efb9dd696e20e04cac19a49cdadae338b",
    "parser_train": "83719949677a90622ce94e67d4db30ca2b72d335f149ce577555dd528c3013c5",
    "pose": "5e781d9ab1aa6cfb3bdd8bd3676d41f340e32e4b8303c137ca742476070afe60",
    "pose_train": "465f48b21972754eef155599cd2dd57bd232e0a6d858ae6109475e0534364c69",
}

"""sha256 of the shipped judges' weights: a shipped file that differs is refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

PINS: Final[Mapping[str, str]] = {
    "attribute_eval": "b43df28d8320f3e9bc4ea3a61656f68ef210a656997828990389ef9f2e113a07",
    "attribute_train": "057960711becdb1c744dc6bb750fbd6069b45d6c508a0f4b9cab64d086b116b6",
    "features": "f569bf6d916fd769b6e1370ba2098ff3adbfd3cbbfa3022e33d2323aa121f137",
    "identity_eval": "f8726dbe19a49f1007cd362b83916c068ba7b5c24b27699e94b2d6c322f0c9eb",
    "identity_train": "57b5fcbc8391d7970150b2132bb803a9f5a5493fc55eb7ba4aa2291c0416d5f3",
    "parser_eval": "c11b4e749f14d92512331df6dd0cfa5efb9dd696e20e04cac19a49cdadae338b",
    "parser_train": "83719949677a90622ce94e67d4db30ca2b72d335f149ce577555dd528c3013c5",
    "pose": "eabdbaa2e6b3ad9974037abe2420d989ec28883ee9f3d174eb5e36252f7f99ab",
}

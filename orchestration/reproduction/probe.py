"""A script that any checkout's code can run: code version, digest of settings and device class of each asset, as JSON.

`python -P probe.py '["images"]'`, in a workspace. PYTHONPATH says whose code answers, not the place of this file.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from orchestration.code_versions import version_of
from orchestration.graph import AssetId, node
from orchestration.params import load_params, section_digest
from orchestration.plan import ANY_DEVICE, device_class_of

EXIT_USER_ERROR = 2


def main() -> None:
    """Print a JSON object by asset id; with exit status 2 and a sentence where the settings are not valid here."""
    from data.errors import UserError

    try:
        params, told = load_params(Path("params.yaml")), {}
        for text in json.loads(sys.argv[1]):
            asset_id = AssetId.parse(text)
            asset = node(asset_id.asset)
            told[text] = {
                "code_version": version_of(asset.name),
                "params_digest": section_digest(params, asset.params, asset_id.partition),
                "device_class": device_class_of(params, asset.name) if asset.device else ANY_DEVICE,
            }
    except UserError as error:
        print(error.message, file=sys.stderr)
        sys.exit(EXIT_USER_ERROR)
    print(json.dumps(told))


if __name__ == "__main__":
    main()

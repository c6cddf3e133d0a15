"""The OpenAPI 3.1 document, kept by hand in ``openapi.yaml`` and held to the routes by a test."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

import orjson
import yaml

from pipeline import __version__
from pipeline.gateway.problems import MEANINGS


@cache
def document() -> bytes:
    """The document as JSON, with the version and the codes of problems filled in."""
    described = yaml.safe_load(files("pipeline.gateway").joinpath("openapi.yaml").read_text("utf-8"))
    described["info"]["version"] = __version__
    described["components"]["schemas"]["Problem"]["properties"]["code"]["enum"] = sorted(MEANINGS)
    return orjson.dumps(described)

"""The OpenAPI 3.1 document, kept by hand in ``openapi.yaml`` and held to the routes by a test."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import get_args

import orjson
import yaml

from pipeline import __version__
from pipeline.deadletter import REASONS
from pipeline.gateway.problems import MEANINGS
from pipeline.redrive import State


@cache
def document() -> bytes:
    """The document as JSON, with the version and what is listed elsewhere filled in."""
    described = yaml.safe_load(files("pipeline.gateway").joinpath("openapi.yaml").read_text("utf-8"))
    described["info"]["version"] = __version__
    described["components"]["schemas"]["Problem"]["properties"]["code"]["enum"] = sorted(MEANINGS)
    letters = described["paths"]["/v1/subscriptions/{name}/dead-letters"]["get"]["parameters"]
    for parameter, known in (("reason", sorted(REASONS)), ("state", sorted(get_args(State)))):
        (found,) = [one for one in letters if one.get("name") == parameter]
        found["schema"]["enum"] = known
    return orjson.dumps(described)

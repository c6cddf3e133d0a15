"""What somebody declares, checked as far as that needs no broker: keys, values, filters and the endpoint's address."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from pipeline.errors import AddressBlocked, DeclarationInvalid, FilterInvalid, InputError
from pipeline.filters import check_no_avro, compile_filters
from pipeline.guard import Guard
from pipeline.moment import ms_from_rfc3339
from pipeline.subscription import Endpoint, OAuth2Auth, Subscription
from pipeline.subscriptions.faults import judged, raise_all


def check_declared(
    name: str, declared: Mapping[str, Any], guard: Guard, is_avro: Callable[[str], bool] = lambda _: False
) -> Subscription:
    """The subscription that ``declared`` is. ``is_avro``: whether the data of a topic lies there in Avro.

    Raises one error that carries every fault found as ``problems``, each with its JSON pointer: `FiltersInvalid` when
    only filters are wrong, `EndpointBlocked` when only the text of a URL shows already that it may not be called,
    `DeclarationsInvalid` otherwise.
    """
    spec, faults = judged(name, declared)
    faults += [*_beyond_types(name, declared, spec), *_filter_faults(spec, is_avro)]
    raise_all(faults, list(_blocked(guard, spec.endpoint)))
    return spec


def urls_of(endpoint: Endpoint) -> Iterator[tuple[str, str]]:
    """Whoever is called for its sake, by JSON pointer: the endpoint, and who gives its tokens."""
    yield "/endpoint/url", endpoint.url
    if isinstance(endpoint.auth, OAuth2Auth):
        yield "/endpoint/auth/token_url", endpoint.auth.token_url


def _beyond_types(name: str, declared: Mapping[str, Any], spec: Subscription) -> Iterator[InputError]:
    if declared.get("name", name) != name:
        yield DeclarationInvalid("/name", declared["name"], f"{name}, as in the path, or absent")
    for number, topic in enumerate(spec.topics):
        if topic.startswith("_"):
            yield DeclarationInvalid(f"/topics/{number}", topic, "a topic that is not internal")
    if spec.start not in ("earliest", "latest"):
        try:
            ms_from_rfc3339(spec.start, field="/start")
        except InputError as fault:
            yield DeclarationInvalid("/start", spec.start, fault.expected)
    if not (spec.signing.v1 or spec.signing.v1a or spec.signing.github):
        yield DeclarationInvalid("/signing", "none", "at least one of v1, v1a and github")


def _filter_faults(spec: Subscription, is_avro: Callable[[str], bool]) -> Iterator[FilterInvalid]:
    """Of each filter by itself, and, when each is good, of all together: their number is limited too, and into data
    in Avro none can look.
    """
    found = 0
    for number, one in enumerate(spec.filters):
        try:
            compile_filters([one])
        except FilterInvalid as fault:
            found += 1
            rest = fault.field.removeprefix("/filters/0")
            yield FilterInvalid(f"/filters/{number}{rest}", fault.value, fault.expected)
    if not found:
        try:
            check_no_avro(compile_filters(spec.filters), spec.topics, is_avro)
        except FilterInvalid as fault:
            yield fault


def _blocked(guard: Guard, endpoint: Endpoint) -> Iterator[tuple[str, AddressBlocked]]:
    for pointer, url in urls_of(endpoint):
        try:
            guard.check_url(url)
        except AddressBlocked as blocked:
            yield pointer, blocked

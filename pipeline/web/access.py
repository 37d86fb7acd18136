"""Who may ask: every request is held against its route's policy before a handler sees it.

Keys are those of the current configuration: one that a reload takes out is refused from then on. Without any, nobody
is asked for one.
"""

from collections.abc import Coroutine
from datetime import timedelta
from typing import Any

from aiohttp import web

from pipeline import keys, links
from pipeline.config.settings import Access, Config, KeySettings, Scope
from pipeline.functions.wire import Headers
from pipeline.store.transactions.ownership import Subject
from pipeline.web import origins, protocol
from pipeline.web.answers import not_there
from pipeline.web.parameters import SIGNATURE
from pipeline.web.parts import PARTS
from pipeline.web.policies import OPEN, Policy
from pipeline.web.problems import ProblemError

POLICIES = web.AppKey("policies", dict[web.AbstractRoute, Policy])
"""The policy of every route. One that is not here cannot be used."""
_CALLBACK = "x-callback-url"
_CALLER = web.RequestKey("caller", KeySettings)
_LINK = web.RequestKey("link", str)


def admit(request: web.Request) -> Coroutine[Any, Any, None] | None:
    """Raise the problem for a request whose form or whose route's policy does not let it come to its handler.

    Returns what is still to be awaited before it may, where keys are asked for.
    """
    protocol.check(request)
    parts, match = request.app[PARTS], request.match_info
    config = parts.config
    # What no route answers is 404 or 405, whoever asks.
    policy = OPEN if match.http_exception is not None else request.app[POLICIES][match.route]
    is_public = bool(config.keys) and policy.is_function and _is_public(config, match["name"])
    if not parts.is_insecure:
        origins.check(request, config, is_public=is_public)
    protocol.check_host(request.headers.get("Host", ""))
    if config.keys and policy is not OPEN:
        return _check_key(request, policy, config, is_public=is_public)
    return None


def owner(request: web.Request) -> str | None:
    """Return the name to which a job belongs that this request makes; None for nobody's."""
    caller = request.get(_CALLER)
    return None if caller is None else caller.name


def link_of(request: web.Request) -> str | None:
    """Return the signature by which the request came in, or None where it came with a key, or needed none."""
    return request.get(_LINK)


def link_for_maker(request: web.Request, job_id: str) -> str | None:
    """Return the signature by which who makes a job of a public function without a key may see it afterwards; None for
    a caller who needs none, or where nothing signs links.
    """
    parts = request.app[PARTS]
    config = parts.config
    if not (config.keys and config.service.link_keys) or _CALLER in request:
        return None
    until = parts.clock.now() + timedelta(seconds=config.service.link_expiry)
    return links.signature(job_id, until, config.service.link_keys)


def may_list(request: web.Request) -> bool:
    """Tell whether the caller may see the names of all functions and destinations: whoever has `read`, and everybody
    where nobody is asked for a key.
    """
    caller = request.get(_CALLER)
    return Scope.READ in caller.scopes if caller is not None else not request.app[PARTS].config.keys


def check_function(request: web.Request, function: str) -> None:
    """Raise the 403 for a caller whose key may not invoke `function`; for routes that do not have it in their path."""
    caller = request.get(_CALLER)
    if caller is not None and not _may_invoke(caller, function):
        raise _not_for(caller, function)


def passed_on(request: web.Request) -> Headers:
    """Return the request's headers for the function's event: all but X-Callback-Url, and but one that carries a key of
    the service's.
    """
    headers = list(request.headers.items())
    if _CALLBACK in request.headers:  # what secrets it has are for nobody but the service
        headers = [pair for pair in headers if pair[0].lower() != _CALLBACK]
    return without_keys(request, headers) if "Authorization" in request.headers else headers


def without_keys(request: web.Request, headers: Headers) -> Headers:
    """Return headers less those that carry a key of the service's."""
    known = request.app[PARTS].config.keys
    return [pair for pair in headers if pair[0].lower() != "authorization" or not _carries_key(pair[1], known)]


def _carries_key(value: str, known: tuple[KeySettings, ...]) -> bool:
    # What looks like a key is one as well, if only of yesterday, or of another service.
    token = _token(value)
    return keys.is_like_one(value) or (token is not None and keys.shown(token, known) is not None)


def _token(value: str) -> str | None:
    scheme, _, token = value.strip().partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None


async def _check_key(request: web.Request, policy: Policy, config: Config, *, is_public: bool) -> None:
    caller = _caller(request, config, is_needed=not is_public)
    if caller is not None:
        request[_CALLER] = caller
        if not is_public:
            await _check_scope(request, policy, caller)
    elif not is_public:
        _check_link(request, policy, config)


def _caller(request: web.Request, config: Config, *, is_needed: bool) -> KeySettings | None:
    """Return the key that the request carries; None for none, and for any that does not count where none is needed.

    Raises the 401 for one that is wrong or has expired.
    """
    values = request.headers.getall("Authorization", [])
    tokens = [token for value in values if (token := _token(value)) is not None]
    if not tokens:
        return None
    found = keys.shown(tokens[0], config.keys) if len(values) == 1 else None
    is_over = found is not None and found.expires is not None and found.expires <= request.app[PARTS].clock.now()
    if found is not None and not is_over:
        return found
    if not is_needed:
        return None
    raise _unauthorized("the key has expired" if is_over else "the key is not one of this service's")


def _unauthorized(detail: str) -> ProblemError:
    return ProblemError(401, "Unauthorized", detail, headers={"WWW-Authenticate": "Bearer"})


async def _check_scope(request: web.Request, policy: Policy, caller: KeySettings) -> None:
    if policy.scope in caller.scopes:
        if policy.is_function and not _may_invoke(caller, name := request.match_info["name"]):
            raise _not_for(caller, name)
        return
    if policy.owned is not None and Scope.INVOKE in caller.scopes:
        await _check_owner(request, policy, policy.owned, caller)
        return
    raise _missing(policy)


async def _check_owner(request: web.Request, policy: Policy, subject: Subject, caller: KeySettings) -> None:
    """Let pass what the caller made itself. Anything else is not there for it, unless it may see everything."""
    subject_id = request.match_info["id"]
    found = await request.app[PARTS].store.find_owner(subject, subject_id)
    if found is not None and found.owner == caller.name:
        if policy.is_change and not _may_invoke(caller, found.function):
            raise _not_for(caller, found.function)
        return
    if Scope.READ in caller.scopes:
        raise _missing(policy)
    raise not_there(request, subject, subject_id)


def _missing(policy: Policy) -> ProblemError:
    detail = f"this needs a key with the scope {policy.scope}"
    if policy.owned is not None:
        detail += f", or with invoke, and the {policy.owned} made by it"
    return ProblemError(403, "Forbidden", detail)


def _not_for(caller: KeySettings, function: str) -> ProblemError:
    return ProblemError(403, "Forbidden", f"the key {caller.name} may not invoke {function}")


def _may_invoke(caller: KeySettings, function: str) -> bool:
    return caller.functions is None or function in caller.functions


def _is_public(config: Config, function: str) -> bool:
    return config.functions.of(function).access is Access.PUBLIC


def _check_link(request: web.Request, policy: Policy, config: Config) -> None:
    purpose = policy.link
    given = None if purpose is None else SIGNATURE.read(request)
    if purpose is None or given is None:
        raise _unauthorized("this needs a key: Authorization: Bearer KEY")
    parts = request.app[PARTS]
    try:
        links.check(given, request.match_info["id"], parts.clock.now(), config.service.link_keys, purpose)
    except links.BadLinkError as error:
        raise ProblemError(403, "Bad link", str(error)) from None
    request[_LINK] = given

"""Keys that an issuer publishes at a URL."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from functools import partial

from ...core.jws import checked_algorithms
from ..jwks import read_jwks
from .fetching import Fetch, KeyURL, choose_fetch
from .refreshing import RefreshedKeys, Timing, in_thread


class RemoteJWKS(RefreshedKeys):
    """
    A key source over the URL of a JWK set (RFC 7517 §5), or of a map of kids to PEM.

    What is published there is read as :func:`~jwt_middleware.keysources.jwks.read_jwks` says.  A
    set that cannot be read is refused as a whole, and the last good one stays in use.

    Args:
        url: ``https://…``, or ``http://…`` on this machine.
        algorithms: The algs that keys may be for; ``None`` is all asymmetric ones.
        allow_http: Whether ``http://`` is good for any host.
        ca_file: PEM file of the authorities to trust, instead of the system's.
        bearer_token_file: File with a bearer token, which is read for each fetch and sent to the
            origin of *url* alone.
        fetch: Fetches a document, instead of urllib3.  It has to keep to a deadline by itself.
        clock: Returns seconds; never goes back.
        spawn: Runs a callable in the background.
        timing: The parts of :class:`~jwt_middleware.keysources.remote.refreshing.Timing`, in
            seconds.

    Raises:
        ConfigurationError: An argument is invalid, or urllib3 is not installed.
    """

    def __init__(
        self,
        url: str,
        *,
        algorithms: Iterable[str] | None = None,
        allow_http: bool = False,
        ca_file: str | os.PathLike[str] | None = None,
        bearer_token_file: str | os.PathLike[str] | None = None,
        fetch: Fetch | None = None,
        clock: Callable[[], float] = time.monotonic,
        spawn: Callable[[Callable[[], None]], object] = in_thread,
        **timing: float,
    ) -> None:
        parsed = KeyURL.parse(url, allow_http=allow_http)
        accepted = checked_algorithms(algorithms)
        chosen = choose_fetch(
            fetch,
            parsed,
            allow_http=allow_http,
            ca_file=ca_file,
            bearer_token_file=bearer_token_file,
        )
        super().__init__(
            partial(chosen, url),
            partial(read_jwks, algorithms=accepted),
            name=str(parsed),
            timing=Timing(**timing),
            clock=clock,
            spawn=spawn,
        )

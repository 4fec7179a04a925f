"""Secret hashing: Argon2id (RFC 9106) with bounded memory."""

from __future__ import annotations

import math
import os
import threading
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError, VerifyMismatchError

from ..bounds import check_seconds, check_whole
from ..errors import InvalidSecretError, UnavailableError
from ..events import logger
from ..fork import PerProcess
from .identity import MAX_SECRET_CHARS as MAX_SECRET_CHARS

DEFAULT_MIN_SECRET_CHARS = 8  # NIST SP 800-63B §5.1.1.2

_SALT_BYTES = 16  # RFC 9106 §3.1
_HASH_BYTES = 32


# The most frequent breached passwords that are long enough (NIST SP 800-63B §5.1.1.2).
_COMMONEST = frozenset([
    "password", "passw0rd", "password1", "password12", "password123", "password!", "p@ssw0rd",
    "p@ssword", "12345678", "123456789", "1234567890", "0123456789", "87654321", "987654321",
    "11111111", "00000000", "88888888", "12341234", "11223344", "123123123", "123321123",
    "147258369", "qwertyui", "qwertyuiop", "qwerty12", "qwerty123", "1q2w3e4r", "1q2w3e4r5t",
    "1qaz2wsx", "q1w2e3r4", "zaq12wsx", "asdfghjk", "asdfghjkl", "zxcvbnm1", "abcd1234",
    "abc12345", "abcdefgh", "a1b2c3d4", "iloveyou", "sunshine", "princess", "football",
    "baseball", "superman", "trustno1", "starwars", "whatever", "welcome1", "letmein1",
    "changeme", "administrator", "admin123", "computer", "internet", "michelle", "jennifer",
])  # fmt: skip


def check_secret(secret: str, *, account: str, min_chars: int) -> None:
    """
    Reject a new secret that is too short, too common, or holds a NUL.

    Args:
        secret: The new secret.
        account: The account's name.
        min_chars: Minimum length in characters.

    Raises:
        InvalidSecretError: It is too short, too common, the account's name, or holds a NUL.
    """
    if "\0" in secret:  # a login with it would be refused unread
        raise InvalidSecretError("a secret cannot hold U+0000")
    if len(secret) < min_chars:
        raise InvalidSecretError(f"a secret has at least {min_chars} characters, not {len(secret)}")
    folded = secret.casefold()
    if folded in _COMMONEST or folded == account.casefold():
        raise InvalidSecretError("the secret is too common")


class SecretHasher:
    """
    Hashes and verifies secrets, a bounded number at a time.

    Defaults are the minimum of OWASP's Password Storage Cheat Sheet: 19 MiB, two passes, one lane.
    A process uses at most ``max_concurrent * memory_cost_kib`` of memory for hashing, 38 MiB by
    default.  At most ``max_concurrent + max_waiting`` of its threads are busy with secrets, six by
    default; the next login is refused at once, so that other requests keep their threads.

    Args:
        time_cost: Passes over the memory, 1 to 1,000.
        memory_cost_kib: Memory of one hash in KiB, at least 8 for each lane, at most 4,194,304
            (4 GiB).
        parallelism: Lanes, one thread each, 1 to 64.
        max_concurrent: Hashes computed concurrently in a process, 1 to 1,024.
        max_waiting: Callers that wait for a free slot, 0 to 1,024.
        max_wait_seconds: How long a caller waits for a slot, 0 to 60.

    Attributes:
        decoy: An encoded hash with this hasher's parameters that matches no secret.  Verifying
            against it takes as long as for an existing account.
        waiting: How many callers of this process are waiting for a slot.

    Raises:
        ConfigurationError: An argument has the wrong type or is out of range.
    """

    def __init__(
        self,
        *,
        time_cost: int = 2,
        memory_cost_kib: int = 19_456,
        parallelism: int = 1,
        max_concurrent: int = 2,
        max_waiting: int = 4,
        max_wait_seconds: float = 2.0,
    ) -> None:
        check_whole("time_cost", time_cost, 1, 1000)
        check_whole("parallelism", parallelism, 1, 64)
        check_whole("memory_cost_kib", memory_cost_kib, 8 * parallelism, 4 << 20)
        check_whole("max_concurrent", max_concurrent, 1, 1024)
        check_whole("max_waiting", max_waiting, 0, 1024)
        check_seconds("max_wait_seconds", max_wait_seconds, 0, 60)
        self._argon2 = PasswordHasher(
            time_cost=time_cost,
            memory_cost=memory_cost_kib,
            parallelism=parallelism,
            hash_len=_HASH_BYTES,
            salt_len=_SALT_BYTES,
        )
        self._max_wait_seconds = max_wait_seconds
        self.waiting: int = 0
        places = max_concurrent + max_waiting
        self._places = PerProcess(lambda: threading.BoundedSemaphore(places))
        self._turns = PerProcess(lambda: threading.BoundedSemaphore(max_concurrent))
        # Random bytes instead of a digest: making it takes no hash, so that even a process's first
        # unknown account takes no longer than a known one.
        self.decoy: str = "$".join(
            (
                "",
                "argon2id",
                "v=19",
                f"m={memory_cost_kib},t={time_cost},p={parallelism}",
                _random_text(_SALT_BYTES),
                _random_text(_HASH_BYTES),
            )
        )

    def hash(self, secret: str) -> str:
        """
        Hash a secret with a fresh salt.

        Returns:
            The encoded hash, ASCII, with its parameters: ``$argon2id$v=19$m=…,t=…,p=…$…$…``.

        Raises:
            InvalidSecretError: The secret is empty, longer than 1,024 characters, or holds lone
                surrogates; it is never truncated.  Raised before hashing.
            UnavailableError: Too many callers, no slot within *max_wait_seconds*, or no memory.
        """
        material = _material(secret)
        with self._turn():
            try:
                return self._argon2.hash(material)
            except Argon2Error as error:
                raise _out_of_memory() from error

    def verify(self, encoded: str, secret: str) -> bool:
        """
        Return whether the secret matches the hash.

        Always takes one Argon2 verification: a secret that :meth:`hash` refuses or an invalid
        *encoded* is verified against :attr:`decoy`.  The time depends on the parameters in
        *encoded*: it is equal for all accounts once they have been rehashed.

        Args:
            encoded: From :meth:`hash`, or :attr:`decoy`.  If it is invalid, the result is False and
                a warning is logged.
            secret: As the client sent it.

        Raises:
            UnavailableError: Too many callers, no slot within *max_wait_seconds*, or no memory.
        """
        try:
            material = _material(secret)
        except InvalidSecretError:
            encoded, material = self.decoy, b""
        with self._turn():
            try:
                return self._argon2.verify(encoded, material)
            except VerifyMismatchError:
                return False
            except (Argon2Error, ValueError, AttributeError):
                self._spend()
        logger.warning("a stored secret hash is damaged; its account cannot log in")
        return False

    def needs_rehash(self, encoded: str) -> bool:
        """Return whether the hash's parameters differ from this hasher's."""
        try:
            return self._argon2.check_needs_rehash(encoded)
        except InvalidHashError:
            return True

    def _spend(self) -> None:
        # Argon2 has one error for a damaged hash and for lack of memory; the decoy is valid.
        try:
            with suppress(VerifyMismatchError):
                self._argon2.verify(self.decoy, b"")
        except Argon2Error as error:
            raise _out_of_memory() from error

    @contextmanager
    def _turn(self) -> Iterator[None]:
        places, turns = self._places.get(), self._turns.get()
        if not places.acquire(blocking=False):
            raise self._too_many("secret hashing is overloaded")
        try:
            self.waiting += 1
            try:
                has_turn = turns.acquire(timeout=self._max_wait_seconds)
            finally:
                self.waiting -= 1
            if not has_turn:
                raise self._too_many(
                    f"secret hashing timed out after {self._max_wait_seconds:g} seconds"
                )
            try:
                yield
            finally:
                turns.release()
        finally:
            places.release()

    def _too_many(self, what: str) -> UnavailableError:
        return UnavailableError(
            f"{what}: too many logins at the same time",
            retry_after_seconds=max(1, math.ceil(self._max_wait_seconds)),
        )


def _material(secret: str) -> bytes:
    if not 1 <= len(secret) <= MAX_SECRET_CHARS:
        raise InvalidSecretError(
            f"a secret has 1 to {MAX_SECRET_CHARS} characters, not {len(secret)}"
        )
    try:
        return secret.encode()
    except UnicodeEncodeError:
        pass
    # Raised outside the handler: the chained codec error would carry the secret.
    raise InvalidSecretError("a secret is Unicode text without lone surrogates")


def _random_text(size: int) -> str:
    return b64encode(os.urandom(size)).decode().rstrip("=")


def _out_of_memory() -> UnavailableError:
    return UnavailableError("Argon2 failed, most likely out of memory")

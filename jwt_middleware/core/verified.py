"""The former place of :class:`VerifiedToken`."""

from .verifier import VerifiedToken as VerifiedToken

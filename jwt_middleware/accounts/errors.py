"""The errors of accounts, under their former name; see :mod:`jwt_middleware.errors`."""

from ..errors import AccountExistsError as AccountExistsError
from ..errors import InvalidAccountError as InvalidAccountError
from ..errors import InvalidSecretError as InvalidSecretError
from ..errors import UnknownAccountError as UnknownAccountError

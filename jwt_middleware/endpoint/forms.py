"""
The login form: WTForms over a JSON object, with nothing coerced.

WTForms is made for browser forms. Given JSON it converts, so that a dict passes as an account and
``true`` as a number; the fields here accept only their own type.

A client type may have its own form with more fields, which are passed to its account verifier by
name::

    class OneTimeCodeForm(ClientForm):
        code = TextField(validators=[DataRequired(), Length(max=8)])

    def verify(account, secret, *, code): ...
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple, Self, cast

from wtforms import Form
from wtforms.fields import Field
from wtforms.validators import DataRequired, Length, StopValidation, ValidationError

from ..accounts.client_type import MAX_ACCOUNT_CHARS, ClientType
from ..accounts.identity import MAX_SECRET_CHARS
from ..errors import ConfigurationError, InvalidFormError
from .body import NOT_STORABLE

_CHINESE: Final = {
    "Must be a string.": "必须是字符串。",
    "Has a character that is not allowed.": "含有不允许的字符。",
    "Must be the name or the code of a client type.": "必须是客户端类型的名称或代码。",
    "Not a client type that may log in here.": "不支持该客户端类型。",
}


class StrictField(Field):  # type: ignore[misc]  # WTForms ships no types
    """A field that stops validation with the error of :meth:`process_data`."""

    data: Any

    def pre_validate(self, form: Form) -> None:
        """Stop if :meth:`process_data` reported an error."""
        if self.process_errors:
            # A message, or running the validators, would replace the errors.
            raise StopValidation

    def refuse(self, message: str) -> ValidationError:
        """Return the error for *message*, in the form's language."""
        return ValidationError(_CHINESE[message] if "zh" in self.meta.locales else message)


class TextField(StrictField):
    """A JSON string whose characters can be stored."""

    data: Any

    def process_data(self, value: object) -> None:
        """Accept a string or ``None``."""
        self.data = None
        if value is None:
            return
        if type(value) is not str:
            raise self.refuse("Must be a string.")
        if NOT_STORABLE.search(value):
            raise self.refuse("Has a character that is not allowed.")
        self.data = value


class ClientTypeField(StrictField):
    """The name of a client type or its numeric code; after validation ``data`` is the name."""

    data: Any

    def process_data(self, value: object) -> None:
        """Accept a string, an int or ``None``."""
        self.data = None
        if value is None:
            return
        # Not isinstance: True is 1, and 100.0 is a key that equals 100.
        if type(value) not in {str, int, ClientType}:
            raise self.refuse("Must be the name or the code of a client type.")
        self.data = value

    def post_validate(self, form: Form, validation_stopped: bool) -> None:  # noqa: FBT001
        """Check that the form accepts the client type."""
        if validation_stopped:
            return
        name = client_type_named(self.data, form.codes)
        if name not in form.client_types:
            raise self.refuse("Not a client type that may log in here.")
        self.data = ClientType(name) if name in _LABELS else name


_LABELS: Final = frozenset(member.label for member in ClientType)
_CODES: Final = {member.label: int(member) for member in ClientType}


def client_type_named(value: object, codes: Mapping[str, int]) -> str | None:
    """
    Return the client type for a name or numeric code (int or digits); ``None`` if unknown.

    Args:
        value: As the client sent it.
        codes: Client type to code, in addition to :class:`ClientType`.
    """
    if type(value) is str or isinstance(value, ClientType):
        digits = [name for name, code in {**codes, **_CODES}.items() if str(code) == value]
        return digits[0] if digits else str(value)
    found = [name for name, code in {**codes, **_CODES}.items() if code == value]
    return found[0] if found and type(value) is int else None


def check_codes(codes: Mapping[str, int], client_types: Collection[str]) -> None:
    """
    Reject numeric codes that are not unique to one client type.

    Raises:
        ConfigurationError: A code is not an int, taken, or for a type that cannot log in.
    """
    for name, code in codes.items():
        if type(code) is not int or code < 0:
            raise ConfigurationError(f"codes.{name} must be a whole number, as in 300")
        if name in _LABELS or name not in client_types:
            raise ConfigurationError(f"codes.{name} is not a custom client type: name one")
        if [*codes.values(), *_CODES.values()].count(code) > 1:
            raise ConfigurationError(f"codes.{name} is the code {code} of another type: choose one")


class JSONForm(Form):  # type: ignore[misc]  # WTForms ships no types
    """
    Base class of forms that validate a JSON object instead of a browser's form.

    Args:
        body: Field name to JSON value.  Unknown names are ignored.
        language: ``"en"`` or ``"zh"``, for the messages.
    """

    def __init__(self, body: Mapping[str, object], *, language: str = "en") -> None:
        super().__init__(data=body, meta={"locales": [language]})

    def validate_for_api(self) -> Self:
        """
        Validate, and return the form itself.

        Raises:
            InvalidFormError: A field is invalid; it has the messages of all invalid fields.
        """
        if not self.validate():
            raise InvalidFormError({name: [*errors] for name, errors in self.errors.items()})
        return self


class ClientForm(JSONForm):
    """
    The login form: ``account``, ``secret`` and ``type`` (the client type).

    Args:
        body: Field name to JSON value.  A value that is not a mapping counts as empty.
        client_types: Names of the client types that may log in; by default those with a code.
        codes: Numeric codes of custom client types, in addition to :class:`ClientType`.
        language: ``"en"`` or ``"zh"``, for the messages.
        data: Alias of *body*.
    """

    account: TextField = TextField(validators=[DataRequired(), Length(max=MAX_ACCOUNT_CHARS)])
    secret: TextField = TextField(validators=[DataRequired(), Length(max=MAX_SECRET_CHARS)])
    type: ClientTypeField = ClientTypeField(validators=[DataRequired()])

    def __init__(
        self,
        body: object = None,
        *,
        client_types: Collection[str] | None = None,
        codes: Mapping[str, int] = MappingProxyType({}),
        language: str = "en",
        data: object = None,
    ) -> None:
        self.client_types: Collection[str] = (
            {*_LABELS, *codes} if client_types is None else client_types
        )
        self.codes = codes
        members = data if body is None else body
        super().__init__(members if isinstance(members, Mapping) else {}, language=language)

    def further(self) -> dict[str, Any]:
        """Return the values of the fields that a subclass adds."""
        return {name: one.data for name, one in self._fields.items() if name not in _FIELDS}


_FIELDS: Final = frozenset({"account", "secret", "type"})


class Login(NamedTuple):
    """The values of a validated login form."""

    client_type: str
    account: str
    secret: str
    further: Mapping[str, Any]

    def __repr__(self) -> str:
        return f"{type(self).__name__}(…)"


def read_login(
    body: Mapping[str, object],
    forms: Mapping[str, type[ClientForm]],
    *,
    client_types: Collection[str],
    codes: Mapping[str, int],
    language: Callable[[], str],
) -> Login:
    """
    Validate a login with the form of its client type.

    Args:
        body: As for :class:`ClientForm`.
        forms: Client type to its form; the default is :class:`ClientForm`.
        client_types: As for :class:`ClientForm`.
        codes: As for :class:`ClientForm`.
        language: Returns the language of the messages.

    Raises:
        InvalidFormError: It is not valid.
    """
    name = client_type_named(body.get("type"), codes) or ""
    account, secret = body.get("account"), body.get("secret")
    # Building a form is slow (1/8 of a login) and only needed for error messages.
    if (
        name not in forms
        and name in client_types
        and body["type"]
        and is_acceptable(account, secret)
    ):
        return Login(name, cast(str, account), cast(str, secret), {})
    form = forms.get(name, ClientForm)(
        body, client_types=client_types, codes=codes, language=language()
    ).validate_for_api()
    return Login(str(form.type.data), form.account.data, form.secret.data, form.further())


def is_acceptable(account: object, secret: object) -> bool:
    """Return whether :class:`ClientForm` accepts both, without building one."""
    return (
        type(account) is str
        and type(secret) is str
        and bool(account.strip() and secret.strip())
        and len(account) <= MAX_ACCOUNT_CHARS
        and len(secret) <= MAX_SECRET_CHARS
        and not NOT_STORABLE.search(account + secret)
    )


def check_form(name: str, form: object) -> None:
    """
    Check the form class of a client type.

    Raises:
        ConfigurationError: It is not a :class:`ClientForm`, or a field would coerce its value.
    """
    if not isinstance(form, type) or not issubclass(form, ClientForm):
        raise ConfigurationError(f"forms.{name} must be a subclass of ClientForm")
    for field_name, field in form({})._fields.items():
        if not isinstance(field, StrictField):
            raise ConfigurationError(
                f"forms.{name}: its field {field_name} accepts more than text: use TextField"
            )

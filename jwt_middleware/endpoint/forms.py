"""
The login form: WTForms over a JSON object, with nothing coerced.

WTForms is made for text that a browser sends.  Given JSON it stringifies and converts, so that a
dict passes for an account and ``true`` for a number; the fields here take exactly what they name.

A client type may have a form of its own, with further fields, which its account verifier gets by
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
    """A field that reports what :meth:`process_data` refused, and nothing after it."""

    data: Any

    def pre_validate(self, form: Form) -> None:
        """Stop at what :meth:`process_data` refused."""
        if self.process_errors:
            # With a message, or going on to the validators, the errors would be replaced.
            raise StopValidation

    def refuse(self, message: str) -> ValidationError:
        """Return the error for *message*, in the form's language."""
        return ValidationError(_CHINESE[message] if "zh" in self.meta.locales else message)


class TextField(StrictField):
    """A JSON string, of characters that can be stored; everything else is refused."""

    data: Any

    def process_data(self, value: object) -> None:
        """Take a string or nothing."""
        self.data = None
        if value is None:
            return
        if type(value) is not str:
            raise self.refuse("Must be a string.")
        if NOT_STORABLE.search(value):
            raise self.refuse("Has a character that is not allowed.")
        self.data = value


class ClientTypeField(StrictField):
    """The name of a client type or its numeric code; its data, once validated, is the name."""

    data: Any

    def process_data(self, value: object) -> None:
        """Take a string, an int or nothing."""
        self.data = None
        if value is None:
            return
        # Not isinstance: True is 1, and 100.0 is a key that equals 100.
        if type(value) not in {str, int, ClientType}:
            raise self.refuse("Must be the name or the code of a client type.")
        self.data = value

    def post_validate(self, form: Form, validation_stopped: bool) -> None:  # noqa: FBT001
        """Look the name up among those of the form."""
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
    Return the client type that *value* names, or is the code of, in digits too; if it is any.

    Args:
        value: What a client sent.
        codes: Client type to code, beside those of :class:`ClientType`.
    """
    if type(value) is str or isinstance(value, ClientType):
        digits = [name for name, code in {**codes, **_CODES}.items() if str(code) == value]
        return digits[0] if digits else str(value)
    found = [name for name, code in {**codes, **_CODES}.items() if code == value]
    return found[0] if found and type(value) is int else None


def check_codes(codes: Mapping[str, int], client_types: Collection[str]) -> None:
    """
    Reject numeric codes that would not each be of one client type.

    Raises:
        ConfigurationError: They are of another type, taken, or of a type that may not log in.
    """
    for name, code in codes.items():
        if type(code) is not int or code < 0:
            raise ConfigurationError(f"codes.{name} must be a whole number, as in 300")
        if name in _LABELS or name not in client_types:
            raise ConfigurationError(f"codes.{name} is not of a client type of your own: name one")
        if [*codes.values(), *_CODES.values()].count(code) > 1:
            raise ConfigurationError(f"codes.{name} is the code {code} of another type: choose one")


class JSONForm(Form):  # type: ignore[misc]  # WTForms ships no types
    """
    Base of forms that are fed with an object and not with a browser's form.

    Args:
        body: Field name to JSON value.  What is no field has no effect.
        language: ``"en"`` or ``"zh"``, for the messages.
    """

    def __init__(self, body: Mapping[str, object], *, language: str = "en") -> None:
        super().__init__(data=body, meta={"locales": [language]})

    def validate_for_api(self) -> Self:
        """
        Validate, and return the form itself.

        Raises:
            InvalidFormError: With the messages of every field that does not fit.
        """
        if not self.validate():
            raise InvalidFormError({name: [*errors] for name, errors in self.errors.items()})
        return self


class ClientForm(JSONForm):
    """
    ``account``, ``secret`` and ``type``: who wants a token, and by which kind of account.

    Args:
        body: Field name to JSON value.  What is no mapping has no fields.
        client_types: Names of the client types that may log in; by default those with a code.
        codes: Numeric codes of one's own client types, beside those of :class:`ClientType`.
        language: ``"en"`` or ``"zh"``, for the messages.
        data: Another name of *body*.
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
        """Return the values of the fields that a subclass has beside the three."""
        return {name: one.data for name, one in self._fields.items() if name not in _FIELDS}


_FIELDS: Final = frozenset({"account", "secret", "type"})


class Login(NamedTuple):
    """What a login form holds, once it is validated."""

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
    Validate a login by the form of its client type.

    Args:
        body: As for :class:`ClientForm`.
        forms: Client type to its form, if it is another than that.
        client_types: As for :class:`ClientForm`.
        codes: As for :class:`ClientForm`.
        language: Returns that of the messages.

    Raises:
        InvalidFormError: It is not valid.
    """
    name = client_type_named(body.get("type"), codes) or ""
    account, secret = body.get("account"), body.get("secret")
    # A form takes an eighth of a login's time, and is needed only to say what is wrong.
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
    """Tell whether :class:`ClientForm` takes both, without making one."""
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
    Reject what is no form of a client type.

    Raises:
        ConfigurationError: It is not, or a field of it would coerce.
    """
    if not isinstance(form, type) or not issubclass(form, ClientForm):
        raise ConfigurationError(f"forms.{name} must be a subclass of ClientForm")
    for field_name, field in form({})._fields.items():
        if not isinstance(field, StrictField):
            raise ConfigurationError(
                f"forms.{name}: its field {field_name} takes what is no text as well: use TextField"
            )

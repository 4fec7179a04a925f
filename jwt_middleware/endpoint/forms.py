"""
The login form: WTForms over a JSON object, with nothing coerced.

WTForms is made for text that a browser sends.  Given JSON it stringifies and converts, so that a
dict passes for an account and ``true`` for a number; the fields here take exactly what they name.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final, Self

from wtforms import Form
from wtforms.fields import Field
from wtforms.validators import DataRequired, Length, StopValidation, ValidationError

from ..accounts import ClientType
from ..errors import InvalidFormError
from .body import NOT_STORABLE

# As a JSON number, and as the digits that an urlencoded form can only send.
_NAME_OF_CODE: Final[Mapping[int | str, str]] = {
    code: member.label for member in ClientType for code in (int(member), str(int(member)))
}

_CHINESE: Final = {
    "Must be a string.": "必须是字符串。",
    "Has a character that is not allowed.": "含有不允许的字符。",
    "Must be the name or the code of a client type.": "必须是客户端类型的名称或代码。",
    "Not a client type that may log in here.": "不支持该客户端类型。",
}


class _StrictField(Field):  # type: ignore[misc]  # WTForms ships no types
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


class TextField(_StrictField):
    """A JSON string, of characters that can be stored; everything else is refused."""

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


class ClientTypeField(_StrictField):
    """The name of a client type or its numeric code; its data is the name."""

    def process_data(self, value: object) -> None:
        """Take a string, an int or nothing."""
        self.data = None
        if value is None:
            return
        # Not isinstance: True is 1, and 100.0 is a key that equals 100.
        if type(value) is not str and type(value) is not int:
            raise self.refuse("Must be the name or the code of a client type.")
        self.data = _NAME_OF_CODE.get(value, value)

    def post_validate(self, form: Form, validation_stopped: bool) -> None:  # noqa: FBT001
        """Look the name up among those of the form."""
        if not validation_stopped and self.data not in form.client_types:
            raise self.refuse("Not a client type that may log in here.")


class JSONForm(Form):  # type: ignore[misc]
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
        body: Field name to JSON value.
        client_types: Names of the client types that may log in.
        language: ``"en"`` or ``"zh"``, for the messages.
    """

    account = TextField(validators=[DataRequired(), Length(max=255)])
    secret = TextField(validators=[DataRequired(), Length(max=1024)])
    type = ClientTypeField(validators=[DataRequired()])

    def __init__(
        self,
        body: Mapping[str, object],
        *,
        client_types: Collection[str] = tuple(_NAME_OF_CODE.values()),
        language: str = "en",
    ) -> None:
        self.client_types = client_types
        super().__init__(body, language=language)

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wtforms.fields import StringField
from wtforms.validators import DataRequired, Length

from jwt_middleware import ClientTypeEnum
from jwt_middleware.endpoint.forms import (
    ClientForm,
    TextField,
    check_codes,
    check_form,
    read_login,
)
from jwt_middleware.errors import ConfigurationError, InvalidFormError

from ..strategies import CHARACTERS
from ..table import table

GOOD: dict[str, object] = {"account": "a@example.com", "secret": "s3cret", "type": "email"}


def errors(language: str = "en", **changes: Any) -> dict[str, list[str]]:
    with pytest.raises(InvalidFormError) as caught:
        ClientForm({**GOOD, **changes}, language=language).validate_for_api()
    return {name: list(messages) for name, messages in caught.value.fields.items()}


def test_validate_for_api_returns_the_form() -> None:
    form = ClientForm(GOOD)
    assert form.validate_for_api() is form
    assert form.data == GOOD


@table(
    ("sent", "name"),
    [
        *[pytest.param(name, name, id=name) for name in ("email", "mobile", "username", "service")],
        pytest.param(100, "email", id="code-email"),
        pytest.param(101, "mobile", id="code-mobile"),
        pytest.param(102, "username", id="code-username"),
        pytest.param(200, "service", id="code-service"),
        pytest.param("200", "service", id="digits"),
    ],
)
def test_type_is_a_name_or_its_code(sent: object, name: str) -> None:
    assert ClientForm({**GOOD, "type": sent}).validate_for_api().type.data == name


@table(
    "sent",
    [None, "", 0, 1, 99, 100.0, 100.9, "100.0", True, False, "１００", "0100", " 100", "Email",
     "EMAIL", "email ", "root", ["email"], [100], {}, {"email": 1}, 10**30, -100, "__class__",
     "get"],
    ids=repr,
)  # fmt: skip
def test_type_is_nothing_else(sent: Any) -> None:
    assert list(errors(type=sent)) == ["type"]


def test_type_must_be_one_that_may_log_in() -> None:
    form = ClientForm({**GOOD, "type": "ldap"}, client_types={"ldap": None})
    assert form.validate_for_api().type.data == "ldap"
    with pytest.raises(InvalidFormError):
        ClientForm(GOOD, client_types={"ldap": None}).validate_for_api()


@table("field", ["account", "secret"])
@table(
    "value",
    [[], ["a"], {}, {"a": 1}, {"a": 1, "b": 2, "c": 3, "d": 4, "e": 5, "f": 6}, True, False, 0, 1,
     123456, 1.5, 10**30, None, "", " "],
    ids=repr,
)  # fmt: skip
def test_account_and_secret_are_strings_and_nothing_is_coerced(field: str, value: Any) -> None:
    assert list(errors(**{field: value})) == [field]


@pytest.mark.parametrize(("field", "longest"), [("account", 255), ("secret", 1024)])
def test_lengths_are_bounded(field: str, longest: int) -> None:
    ClientForm({**GOOD, field: "x" * longest}).validate_for_api()
    assert list(errors(**{field: "x" * (longest + 1)})) == [field]
    assert list(errors(**{field: ""})) == [field]


@pytest.mark.parametrize("value", ["a\0b", "a\ud800"])
def test_characters_that_cannot_be_stored_are_refused(value: str) -> None:
    assert errors(account=value, secret=value) == {
        "account": ["Has a character that is not allowed."],
        "secret": ["Has a character that is not allowed."],
    }


def test_every_field_has_its_message() -> None:
    assert errors(account=None, secret=1, type=True) == {
        "account": ["This field is required."],
        "secret": ["Must be a string."],
        "type": ["Must be the name or the code of a client type."],
    }


def test_messages_are_chinese_on_request() -> None:
    assert errors("zh", account=None, secret=1, type="root") == {
        "account": ["该字段是必填字段。"],
        "secret": ["必须是字符串。"],
        "type": ["不支持该客户端类型。"],
    }


def test_members_that_are_no_fields_have_no_effect() -> None:
    extra = dict.fromkeys(("formdata", "obj", "prefix", "meta", "data", "uid", "scope", "self"), 1)
    assert ClientForm({**GOOD, **extra}).validate_for_api().data == GOOD


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(CHARACTERS),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(CHARACTERS), inner),
    max_leaves=5,
)


@given(
    st.fixed_dictionaries(
        {},
        optional={"account": json_values, "secret": json_values, "type": json_values},
    ),
    st.sampled_from(["en", "zh"]),
)
def test_any_object_is_a_form_or_our_error(body: dict[str, object], language: str) -> None:
    try:
        form = ClientForm(body, language=language).validate_for_api()
    except InvalidFormError:
        return
    assert (form.account.data, form.secret.data) == (body["account"], body["secret"])
    assert isinstance(form.type.data, str)


@pytest.mark.parametrize("sent", [100, "100", "email", ClientTypeEnum.USER_EMAIL])
def test_reads_as_the_recipe_has_it(sent: Any) -> None:
    form = ClientForm(data={**GOOD, "type": sent}).validate_for_api()
    assert form.type.data.value == 100
    promise = {ClientTypeEnum.EMAIL: "User.verify"}
    assert promise[form.type.data] == promise[ClientTypeEnum(form.type.data)] == "User.verify"


@table("data", [None, [], "x", 5, [1]], ids=repr)
def test_what_is_no_object_has_no_fields(data: Any) -> None:
    with pytest.raises(InvalidFormError) as caught:
        ClientForm(data=data).validate_for_api()
    assert set(caught.value.fields) == {"account", "secret", "type"}


def test_one_s_own_types_have_numbers_too() -> None:
    for sent in (300, "300", "ldap"):
        form = ClientForm({**GOOD, "type": sent}, client_types=["ldap"], codes={"ldap": 300})
        assert form.validate_for_api().type.data == "ldap"


@table(
    "codes",
    [{"ldap": 100}, {"ldap": "300"}, {"ldap": True}, {"ldap": -1}, {"email": 300}, {"x": 300},
     {"ldap": 300, "saml": 300}],
    ids=repr,
)  # fmt: skip
def test_a_code_is_of_one_type(codes: Any) -> None:
    with pytest.raises(ConfigurationError, match="codes\\."):
        check_codes(codes, {"email", "ldap", "saml"})


class CodeForm(ClientForm):
    code = TextField(validators=[DataRequired(), Length(max=6)])


def test_a_form_of_one_s_own_has_further_fields() -> None:
    form = CodeForm({**GOOD, "code": "123456"}).validate_for_api()
    assert form.further() == {"code": "123456"}
    for code in (None, 123456, "1234567", ["1"], {"a": "b"}):
        with pytest.raises(InvalidFormError) as caught:
            CodeForm({**GOOD, "code": code}).validate_for_api()
        assert set(caught.value.fields) == {"code"}


def test_a_form_whose_fields_coerce_is_refused() -> None:
    class Coercing(ClientForm):
        code = StringField()

    check_form("ldap", CodeForm)
    with pytest.raises(ConfigurationError, match="its field code"):
        check_form("ldap", Coercing)
    with pytest.raises(ConfigurationError, match="subclass of ClientForm"):
        check_form("ldap", dict)


def test_an_absent_type_is_required_and_no_other_message() -> None:
    assert errors(type=None) == {"type": ["This field is required."]}
    assert errors(type="") == {"type": ["This field is required."]}


TYPES = {"email": None, "service": None, "ldap": None}
CODES = {"ldap": 300}
TEXTS = st.sampled_from([
    "a", "a" * 255, "a" * 256, "a" * 1024, "a" * 1025, "", " ", "\u3000", " a ", "\0", "a\0",
    "\ud800", "email", "ldap", "300", "100", "101",
])  # fmt: skip
VALUES = st.one_of(
    TEXTS, st.none(), st.booleans(), st.sampled_from([0, 100, 101, 300, 300.0]), st.lists(TEXTS)
)


@given(st.fixed_dictionaries({}, optional={"account": VALUES, "secret": VALUES, "type": VALUES}))
def test_a_login_without_a_form_of_its_own_is_what_the_form_takes(body: dict[str, object]) -> None:
    form = ClientForm(body, client_types=TYPES, codes=CODES)
    try:
        form.validate_for_api()
        expected: object = (str(form.type.data), form.account.data, form.secret.data, {})
    except InvalidFormError as error:
        expected = error.fields
    try:
        read: object = read_login(body, {}, client_types=TYPES, codes=CODES, language=lambda: "en")
    except InvalidFormError as error:
        read = error.fields
    assert read == expected


def test_a_login_does_not_show_its_secret() -> None:
    login = read_login(GOOD, {}, client_types=TYPES, codes={}, language=lambda: "en")
    assert "s3cret" not in repr(login)

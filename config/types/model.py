"""The base of every model, and how a broken rule becomes a finding.

A model forbids unknown keys, coerces nothing (`"5"` is not 5) and is immutable. What must hold between several keys of
one model stands in its method `rules`, which yields findings; all of them are reported together.
"""

from __future__ import annotations

import difflib
import json
import os
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn, Self, TypeVar, cast

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    ValidationError,
    ValidatorFunctionWrapHandler,
    model_validator,
)
from pydantic.alias_generators import to_camel
from pydantic_core import CoreSchema, ErrorDetails, InitErrorDetails, PydanticCustomError, core_schema

from config.finding import ACTING, Finding

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence


class Model(BaseModel):
    """Base of all models: camelCase keys, no unknown keys, strict types, immutable."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        alias_generator=to_camel,
        # Parsing the source for them takes a third of the start: only for who writes the reference.
        use_attribute_docstrings="MIGNET_FIELD_DOCS" in os.environ,
        arbitrary_types_allowed=True,
    )

    refusals: ClassVar[tuple[Finding, ...]] = ()
    """What is said of keys, or types, that others know and that have no place here; any other is unknown."""

    def rules(self) -> Iterator[Finding]:
        """Yield what does not hold between the keys of this model."""
        yield from ()

    @model_validator(mode="after")
    def _hold(self) -> Self:
        hold(type(self).__name__, self.rules())
        return self


def hold(title: str, broken: Iterable[Finding]) -> None:
    """Raise ValidationError with what does not hold in a model of that name, unless there is nothing."""
    errors = [_details(each) for each in broken]
    if errors:
        raise ValidationError.from_exception_data(title, errors)


def refuse(code: str, rule: str, remedy: str) -> NoReturn:
    """Refuse the value that a field validator looks at: the rule completes "<key> <value> …"."""
    raise _custom_error(code, rule, remedy)


def _details(broken: Finding) -> InitErrorDetails:
    error = _custom_error(broken.code, broken.rule, broken.remedy)
    return InitErrorDetails(type=error, loc=(broken.key,), input=broken.value)


def _custom_error(code: str, rule: str, remedy: str) -> PydanticCustomError:
    # The sentences travel as context: pydantic's message templates would trip over braces in them.
    return PydanticCustomError("rule", "a rule is broken", {"code": code, "rule": rule, "remedy": remedy})


def _listed(value: object, validate: ValidatorFunctionWrapHandler) -> object:
    # Strict models take a list for a tuple from JSON only, and this is Python in between.
    if isinstance(value, list):
        return validate(tuple(value))
    try:
        return validate((value,))
    except ValidationError as error:
        # A user who wrote no list has not made a mistake in item 0 of one, nor in its length.
        raise ValidationError.from_exception_data(
            error.title,
            [
                InitErrorDetails(
                    type=_custom_error(**details["ctx"]) if details["type"] == "rule" else details["type"],
                    loc=details["loc"][1:],
                    input=details["input"],
                    ctx=details.get("ctx", {}),
                )
                for details in error.errors(include_url=False)
                if details["loc"]
            ],
        ) from None


class OneOrMore:
    """Goes with a tuple: a single item may be written without the list around it."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Read either form."""
        return core_schema.no_info_wrap_validator_function(_listed, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """Offer either form to an editor."""
        listed = handler(schema)
        return {"anyOf": [listed["items"], listed]}


NULL_IS_NONE_AT_ALL = BeforeValidator(lambda value: [] if value is None else value)
"""Goes with a tuple: a key without a value is an empty one."""

M = TypeVar("M", bound=BaseModel)


def parse(model: type[M], raw: object, *, stack: str, key: str) -> M | tuple[Finding, ...]:
    """Read one section of a stack file; what is wrong with it comes back as findings, all at once."""
    text = _AS_JSON.encode(raw)
    if "\\u" in text and (unseen := tuple(_unseen(raw, key))):
        rule, remedy = PLAIN["unseen_character"]
        return tuple(
            Finding(at, value, rule, remedy, code="value-unseen-character", stack=stack) for at, value in unseen
        )
    try:
        return cast("M", _parsed(model, text))
    except ValidationError as error:
        errors = error.errors(include_url=False)
        # A list whose items are wrong is not too short for it as well.
        places = [details["loc"] for details in errors if details["type"] != "too_short"]
        items = {place[:length] for place in places for length in range(len(place))}
        return tuple(
            _finding(model, details, stack=stack, key=key)
            for details in errors
            if details["type"] != "too_short" or details["loc"] not in items
        )


def _unseen(value: object, path: str) -> Iterator[tuple[str, str]]:
    """Yield each text in a value that has a character which acts without being seen, and the path of it."""
    if isinstance(value, str):
        if ACTING.search(value):
            yield path, value
    elif isinstance(value, Mapping):
        for key, each in value.items():
            if ACTING.search(key):
                yield path, key
            yield from _unseen(each, f"{path}.{key}")
    elif isinstance(value, list | tuple):
        for index, each in enumerate(value):
            yield from _unseen(each, f"{path}[{index}]")


_AS_JSON = json.JSONEncoder(default=str)


@lru_cache(maxsize=4096)
def _parsed(model: type[BaseModel], text: str) -> BaseModel:
    # The stacks of a fleet have many sections in common, and a model never changes.
    return model.model_validate_json(text)


def _finding(model: type[BaseModel], details: ErrorDetails, *, stack: str, key: str) -> Finding:
    context: Mapping[str, Any] = details.get("ctx", {})
    keys, owner = _path(model, details["loc"])
    path = ".".join((key, *keys)).replace(".[", "[")
    value = details["input"]
    # A union is a root model: its refusals are types.
    refusals = {each.key: each for each in getattr(owner, "refusals", ())}
    match details["type"]:
        case "rule":
            found = Finding(path, value, context["rule"], context["remedy"], code=context["code"])
        case "union_tag_not_found":
            found = Finding(f"{path}.type", None, "is required", "Add it", code="key-missing")
        case "union_tag_invalid" if refused := refusals.get(context["tag"]):
            found = replace(refused, key=f"{path}.type", value=context["tag"])
        case "union_tag_invalid":
            rule, remedy = "is not a type that is known here", f"Choose {context['expected_tags']}"
            found = Finding(f"{path}.type", context["tag"], rule, remedy, code="type-unknown")
        case "missing":
            found = Finding(path, None, "is required", "Add it", code="key-missing")
        case "extra_forbidden" if refused := refusals.get(keys[-1]):
            found = replace(refused, key=path, value=value)
        case "extra_forbidden":
            known = _keys_of(owner)
            near = difflib.get_close_matches(str(keys[-1]), known, n=1)
            hint = f"Did you mean {near[0]}? " if near else ""
            rule, remedy = f"is not a key of {_type_of(owner)}", f"{hint}Its keys: {', '.join(known)}"
            found = Finding(path, value, rule, remedy, code="key-unknown")
        case kind:
            found = Finding(path, value, *_plain(kind, context), code=f"value-{kind.replace('_', '-')}")
    return replace(found, stack=stack)


PLAIN: dict[str, tuple[str, str]] = {
    "int_type": ("is not a whole number", "Write a number without quotes"),
    "bool_type": ("is neither true nor false", "Write true or false, without quotes"),
    "string_type": ("is not text", "Put it in quotes"),
    "tuple_type": ("is not a list", "Write it as a YAML list"),
    "dict_type": ("is not a mapping", "Write it as key: value lines"),
    "model_type": ("is not a mapping", "Write it as key: value lines"),
    "string_too_short": ("is empty", "Write a value, or leave the key out"),
    "string_pattern_mismatch": ("does not match the format of this key", "See the reference of config keys"),
    "greater_than_equal": ("is below {ge}", "The minimum is {ge}"),
    "less_than_equal": ("is above {le}", "The maximum is {le}"),
    "literal_error": ("is not an allowed value", "Use {expected}"),
    "unseen_character": ("contains an invisible control character, such as an escape", "Remove it"),
    "too_short": ("is an empty list", "Write at least one, or leave the key out"),
}
"""Rule and remedy of what pydantic itself refuses, by its error type; the code is that with `value-` before it."""


def _plain(kind: str, context: Mapping[str, Any]) -> tuple[str, str]:
    unknown = (f"is not valid ({kind.replace('_', ' ')})", "See the reference of config keys")
    rule, remedy = PLAIN.get(kind, unknown)
    return rule.format_map(context), remedy.format_map(context)


def _path(model: type[BaseModel], loc: tuple[int | str, ...]) -> tuple[tuple[str, ...], type[BaseModel]]:
    """Turn pydantic's location into the keys a user wrote, and find the model that the last key belongs to.

    Pydantic puts the tag of a discriminated union (`macvlan`) between the keys; a user has not written it there.
    """
    keys: list[str] = []
    owner: type[BaseModel] = model
    root = model.model_fields.get("root")
    choices = {} if root is None else _choices(root.annotation)
    if len(choices) == 1:
        owner = next(iter(choices.values()))
    for part in loc:
        if isinstance(part, int):
            keys[-1:] = [f"{''.join(keys[-1:])}[{part}]"]
        elif part in choices:
            owner, choices = choices[part], {}
        else:
            keys.append(part)
            field = next((f for name, f in owner.model_fields.items() if part in (f.alias, name)), None)
            nested = [] if field is None else list(_models(field.annotation))
            choices = {} if field is None else _choices(field.annotation)
            if len(nested) == 1 and part != loc[-1]:
                owner = nested[0]
    return tuple(keys), owner


def _models(annotation: object) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
        return
    for argument in getattr(annotation, "__args__", ()):
        yield from _models(argument)
    origin = getattr(annotation, "__origin__", None)
    if origin is not None and not isinstance(origin, type):
        yield from _models(origin)


def _choices(annotation: object) -> dict[str, type[BaseModel]]:
    return {tag: model for model in _models(annotation) for tag in _tags(model)}


def _tags(model: type[BaseModel]) -> tuple[str, ...]:
    """Return the values of `type` that stand for a model: one, or more when it has an alias."""
    field = model.model_fields.get("type")
    return tuple(map(str, getattr(field.annotation, "__args__", ()))) if field else (model.__name__,)


def _keys_of(model: type[BaseModel]) -> list[str]:
    return [field.alias or name for name, field in model.model_fields.items()]


def _type_of(model: type[BaseModel]) -> str:
    return f"type {' or '.join(_tags(model))}" if "type" in model.model_fields else model.__name__


def keys_of(key: str, items: Sequence[object]) -> list[str]:
    """Name the place of each item: `key` for a single one, `key[0]` and so on for several."""
    return [key] if len(items) == 1 else [f"{key}[{index}]" for index in range(len(items))]

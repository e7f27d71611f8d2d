"""Random JSON in the shape that a model class of an SDK declares: every field present, missing or null as it may be.

`fill` walks the annotations of pydantic classes, so a field that a later SDK adds is tried without a change here.
"""

import base64
import datetime
import enum
import inspect
import types
import typing

from pydantic import BaseModel
from typing_extensions import TypeAliasType, is_typeddict

TEXTS = ["", "Paris", " is", "\n\n", "Zürich — naïve café", "日本語", "🙂👩‍🚀", '"quoted" \\ back', "a\tb\u0000c", "</s> data: [DONE]", "x" * 300]
# Beyond this depth only what must be there is there.
DEEPEST = 5


class Shapes:
    """Makes values; `special` decides fields that the cases are about, by class and field name."""

    def __init__(self, random, special=None):
        self.random = random
        self.special = special or {}

    def text(self):
        return self.random.choice(TEXTS)

    def count(self):
        return self.random.choice([0, 1, 7, 37, 1_200, 1_000_000, 2**40])

    def fill(self, model, depth=0, /, **given):
        """JSON of a class. What is given stands; `MISSING` leaves a field out."""
        filled = {}
        for name, field in model.model_fields.items():
            key = field.alias or name
            chosen = given.get(name, self.special.get((model, name)))
            if chosen is not None:
                chosen = chosen(self) if callable(chosen) else chosen
                if chosen is not MISSING:
                    filled[key] = None if chosen is NULL else chosen
                continue
            kind = strip(field.annotation)
            optional = is_optional(kind)
            roll = self.random.random()
            if not field.is_required() and (depth >= DEEPEST or roll < 0.4):
                continue
            if optional and (depth >= DEEPEST or roll < 0.6):
                filled[key] = None
                continue
            made = self.value(without_none(kind), depth + 1)
            if made is not MISSING:
                filled[key] = made
            elif optional:
                filled[key] = None
        return filled

    def value(self, kind, depth):
        """JSON of a type, `MISSING` where none can be made."""
        kind = strip(kind)
        origin, arguments = typing.get_origin(kind), typing.get_args(kind)
        if kind is typing.Any or kind is object:
            return self.unknown()
        if origin is typing.Literal:
            return self.random.choice(arguments)
        if origin in (typing.Union, types.UnionType):
            members = [member for member in arguments if member is not type(None)]
            return self.value(self.random.choice(members), depth)
        if origin in (list, set, tuple, typing.Iterable) or kind is list:
            most = 0 if depth >= DEEPEST else 2
            member = arguments[0] if arguments else str
            made = [self.value(member, depth + 1) for _ in range(self.random.randint(0, most))]
            return [one for one in made if one is not MISSING]
        if origin is dict or kind is dict:
            return {} if depth >= DEEPEST else {"key": self.value(arguments[1] if arguments else str, depth + 1)}
        if not inspect.isclass(kind) or is_typeddict(kind):
            return MISSING
        return self.scalar(kind, depth)

    def scalar(self, kind, depth):
        if issubclass(kind, BaseModel):
            return self.fill(kind, depth)
        if issubclass(kind, enum.Enum):
            return self.random.choice([member.value for member in kind])
        makers = {
            bool: lambda: self.random.random() < 0.5,
            str: self.text,
            int: self.count,
            float: lambda: self.random.choice([0.0, -0.25, -9999.0, 1.5, 1e-12, 123_456.75]),
            bytes: lambda: base64.b64encode(b"signature").decode(),
            datetime.datetime: lambda: "2026-08-11T09:30:00.123456Z",
            type(None): lambda: None,
        }
        return makers[kind]() if kind in makers else MISSING

    def unknown(self):
        """A value of any kind."""
        return self.random.choice([None, True, -3, 0.5, "later", [], [1, {"deep": None}], {}, {"a": {"b": [2]}}])

    def sprinkle(self, value):
        """Adds fields that no class knows to about every fifth object. Their names stand in front and behind."""
        if isinstance(value, list):
            return [self.sprinkle(one) for one in value]
        if not isinstance(value, dict):
            return value
        grown = {key: self.sprinkle(one) for key, one in value.items()}
        if self.random.random() < 0.2:
            grown = {"aaa_unknown": self.unknown(), **grown, "zzz_unknown": self.unknown()}
        return grown


MISSING = type("Missing", (), {"__repr__": lambda self: "MISSING"})()
NULL = type("Null", (), {"__repr__": lambda self: "NULL"})()


def strip(kind):
    """The type inside `Annotated` and aliases."""
    while True:
        if isinstance(kind, TypeAliasType) or type(kind).__name__ == "TypeAliasType":
            kind = kind.__value__
        elif typing.get_origin(kind) is typing.Annotated:
            kind = typing.get_args(kind)[0]
        else:
            return kind


def is_optional(kind):
    return typing.get_origin(kind) in (typing.Union, types.UnionType) and type(None) in typing.get_args(kind)


def without_none(kind):
    if not is_optional(kind):
        return kind
    members = tuple(member for member in typing.get_args(kind) if member is not type(None))
    return typing.Union[members]

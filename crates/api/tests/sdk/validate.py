"""Judges request bodies by the types that the official SDKs give requests: `python validate.py`, lines in, lines out.

A line in is `{"dialect", "body"}`; a line out is `ok`, or on one line what is wrong. A key that the SDK's type does not
have is wrong, and so is a value of another type, as an integer in a string.
"""

import json
import sys
import typing

import openai._types
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError
from typing_extensions import is_typeddict

# A protocol of a list that is no string, which cannot be looked into; JSON has only lists.
openai._types.SequenceNotStr = typing.List

import anthropic._types  # noqa: E402

anthropic._types.SequenceNotStr = typing.List

import anthropic.types.message_create_params as claude  # noqa: E402
import google.genai.types as google  # noqa: E402
import openai.types.chat.completion_create_params as chat  # noqa: E402
import openai.types.completion_create_params as completions  # noqa: E402
import openai.types.responses.response_create_params as responses  # noqa: E402


def main():
    forbid_unknown_keys()
    judges = {
        "openai_chat": by_types(chat.CompletionCreateParamsNonStreaming, chat.CompletionCreateParamsStreaming),
        "openai_completions": by_types(
            completions.CompletionCreateParamsNonStreaming, completions.CompletionCreateParamsStreaming
        ),
        "openai_responses": by_types(
            responses.ResponseCreateParamsNonStreaming, responses.ResponseCreateParamsStreaming
        ),
        "anthropic": by_types(claude.MessageCreateParamsNonStreaming, claude.MessageCreateParamsStreaming),
        "gemini": google_judge(),
    }
    for line in sys.stdin:
        asked = json.loads(line)
        try:
            judges[asked["dialect"]](asked["body"])
            said = "ok"
        except (ValidationError, ValueError) as error:
            said = " ".join(str(error).split())
        print(said, flush=True)


def forbid_unknown_keys():
    """Sets it on every type of a request that is loaded."""
    config = ConfigDict(extra="forbid", strict=True, arbitrary_types_allowed=True)
    for name, module in list(sys.modules.items()):
        if name.startswith(("openai.types", "anthropic.types")):
            for kind in vars(module).values():
                if is_typeddict(kind):
                    kind.__pydantic_config__ = config


def by_types(whole, streamed):
    whole, streamed = TypeAdapter(whole), TypeAdapter(streamed)

    def judge(body):
        exhaust((streamed if body.get("stream") else whole).validate_python(body))

    return judge


def exhaust(value):
    """Goes through what is judged only when it is read: members of iterables."""
    if isinstance(value, dict):
        for one in value.values():
            exhaust(one)
    elif not isinstance(value, (str, bytes, int, float, bool, type(None), BaseModel)):
        for one in value:
            exhaust(one)


def google_judge():
    """The SDK builds its body from these classes, which refuse fields that they do not know."""
    parts = {
        "contents": TypeAdapter(list[google.Content]),
        "systemInstruction": TypeAdapter(google.Content),
        "generationConfig": TypeAdapter(google.GenerationConfig),
    }

    def judge(body):
        if not body.get("contents"):
            raise ValueError("contents are missing")
        check_names(body)
        for key, value in body.items():
            if key not in parts:
                raise ValueError(f"{key} is no field of a request")
            parts[key].validate_json(json.dumps(value), strict=True)

    return judge


def check_names(value):
    """The classes also take the names that Python uses; the service is asked with the others."""
    if isinstance(value, dict):
        for key, one in value.items():
            if "_" in key:
                raise ValueError(f"{key} is a name of Python's, not of the service")
            check_names(one)
    elif isinstance(value, list):
        for one in value:
            check_names(one)


if __name__ == "__main__":
    main()

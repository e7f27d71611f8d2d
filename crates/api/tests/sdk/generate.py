"""Makes answers in the shapes of the official SDKs, with what the SDKs read in them: `python generate.py --cases N`.

A line is `{"dialect", "kind", "json" or "events", "expect"}`. `kind` is `response`, `stream` or `batch`; the last is a batch
of one request, with a line of its results where the SDK has a class for that. The JSON is random within
what the SDK's class of the answer declares; `expect` is read from the attributes of the object that the SDK's own class
makes of it, so that the SDK is the judge of the shape. Then unknown fields are added. The same seed gives the same lines.
"""

import argparse
import functools
import json
import logging
import random
import sys

import anthropic.types as claude
import anthropic.types.messages as claude_batches
import google.genai.types as google
import openai.types as openai
import openai.types.chat as chat
import openai.types.responses as responses
from openai.types.chat import chat_completion, chat_completion_chunk
from openai.types.responses import response_output_text, response_usage
from pydantic import TypeAdapter

from shapes import MISSING, NULL, Shapes, strip

ERROR = {"error": True}
COMPLETE = ["response.completed", "response.incomplete", "response.failed"]


def main():
    parser = argparse.ArgumentParser(formatter_class=argparse.RawDescriptionHelpFormatter, description=__doc__)
    parser.add_argument("--cases", type=int, default=300, help="how many of each kind; default: 300")
    parser.add_argument("--seed", type=int, default=20260811)
    options = parser.parse_args()
    logging.disable()
    makers = {
        "openai_chat": (chat_response, chat_stream),
        "openai_completions": (completions_response, completions_stream),
        "openai_responses": (responses_response, responses_stream),
        "anthropic": (claude_response, claude_stream),
        "gemini": (google_response, google_stream),
    }
    for dialect, (response, stream) in makers.items():
        for kind, make, key in [("response", response, "json"), ("stream", stream, "events")]:
            shapes = Shapes(random.Random(f"{options.seed} {dialect} {kind}"), SPECIAL)
            for _ in range(options.cases):
                made, expect = make(shapes)
                line = {"dialect": dialect, "kind": kind, key: shapes.sprinkle(made), "expect": expect}
                sys.stdout.write(json.dumps(line) + "\n")
    for dialect, make in [("openai_chat", openai_batch), ("anthropic", claude_batch)]:
        shapes = Shapes(random.Random(f"{options.seed} {dialect} batch"), SPECIAL)
        for _ in range(options.cases // 4):
            made, result, expect = make(shapes)
            line = {"dialect": dialect, "kind": "batch", "json": shapes.sprinkle(made), "expect": expect}
            sys.stdout.write(json.dumps(line | {"result": shapes.sprinkle(result)}) + "\n")


def maybe(*values):
    """One of the values, by chance."""
    return lambda shapes: shapes.random.choice(values)


def expectation(text, finish, usage, model, refusal=None, logprobs=0):
    return {
        "text": text,
        "finish_stated": finish,
        "refusal": refusal,
        "model": model,
        "logprobs": logprobs,
        "usage": usage,
    }


def usage_of(amounts=(None,) * 5):
    """Usage in the meaning of the project: parts lie inside their whole."""
    return dict(zip(["input", "cache_read", "cache_write", "output", "reasoning"], amounts, strict=True))


def joined(parts):
    """The parts as one text; `None` where there are none."""
    parts = [part for part in parts if part is not None]
    return "".join(parts) if parts else None


# OpenAI's /chat/completions


def openai_usage(usage):
    if usage is None:
        return usage_of()
    prompt, completion = usage.prompt_tokens_details, usage.completion_tokens_details
    return usage_of((
        usage.prompt_tokens,
        prompt and prompt.cached_tokens,
        prompt and prompt.cache_write_tokens,
        usage.completion_tokens,
        completion and completion.reasoning_tokens,
    ))


def logprob_count(logprobs):
    return len(logprobs.content or []) + len(logprobs.refusal or []) if logprobs else 0


def chat_response(shapes):
    choices = [shapes.fill(chat_completion.Choice, 1) for _ in range(shapes.random.choice([0, 1, 1, 1, 1, 1, 2]))]
    made = shapes.fill(chat.ChatCompletion, choices=choices)
    read = chat.ChatCompletion.model_validate(made)
    if not read.choices:
        return made, ERROR
    first = read.choices[0]
    return made, expectation(
        first.message.content,
        first.finish_reason,
        openai_usage(read.usage),
        read.model,
        first.message.refusal,
        logprob_count(first.logprobs),
    )


def chat_stream(shapes):
    model = chat.ChatCompletionChunk
    events = []
    for _ in range(shapes.random.randint(0, 6)):
        choice = shapes.fill(chat_completion_chunk.Choice, 1, index=0, finish_reason=NULL)
        events.append(shapes.fill(model, choices=[choice], model="gpt-6", usage=MISSING))
    ended = shapes.random.random() < 0.95
    if ended:
        finish = shapes.random.choice(["stop", "length", "tool_calls", "content_filter", "function_call"])
        choice = shapes.fill(chat_completion_chunk.Choice, 1, index=0, finish_reason=finish)
        events.append(shapes.fill(model, choices=[choice], model="gpt-6"))
    if shapes.random.random() < 0.7:
        events.append(shapes.fill(model, choices=[], model="gpt-6"))
    chunks = [model.model_validate(event) for event in events]
    events.append("[DONE]")
    if not ended:
        return events, ERROR
    choices = [chunk.choices[0] for chunk in chunks if chunk.choices]
    return events, expectation(
        joined(choice.delta.content for choice in choices),
        choices[-1].finish_reason,
        openai_usage(last(chunk.usage for chunk in chunks)),
        "gpt-6",
        joined(choice.delta.refusal for choice in choices),
        sum(logprob_count(choice.logprobs) for choice in choices),
    )


def last(values):
    return functools.reduce(lambda kept, value: kept if value is None else value, values, None)


# OpenAI's /completions


def completions_logprobs(shapes):
    """Lists of one length, as the reference says; the class alone does not."""
    if shapes.random.random() < 0.5:
        return shapes.random.choice([MISSING, NULL])
    count = shapes.random.randint(0, 3)
    lists = {
        "tokens": ["a"] * count,
        "token_logprobs": [-0.5] * count,
        "top_logprobs": [{"a": -0.5, "b": -2.0}] * count,
        "text_offset": list(range(count)),
    }
    return {key: value for key, value in lists.items() if key == "tokens" or shapes.random.random() < 0.7}


def completions_response(shapes):
    choices = [shapes.fill(openai.CompletionChoice, 1) for _ in range(shapes.random.choice([0, 1, 1, 1, 1, 2]))]
    made = shapes.fill(openai.Completion, choices=choices)
    read = openai.Completion.model_validate(made)
    if not read.choices:
        return made, ERROR
    first = read.choices[0]
    count = len(first.logprobs.tokens or []) if first.logprobs else 0
    usage = openai_usage(read.usage)
    return made, expectation(first.text, first.finish_reason, usage, read.model, logprobs=count)


def completions_stream(shapes):
    # The class is that of whole answers, whose reason to end is stated; pieces before the last say null.
    events = []
    for _ in range(shapes.random.randint(1, 6)):
        choice = shapes.fill(openai.CompletionChoice, 1)
        events.append(shapes.fill(openai.Completion, choices=[choice], model="babbage-003"))
    read = [openai.Completion.model_validate(event) for event in events]
    firsts = [one.choices[0] for one in read]
    for event in events[:-1]:
        event["choices"][0]["finish_reason"] = None
    expect = expectation(
        "".join(first.text for first in firsts),
        firsts[-1].finish_reason,
        openai_usage(last(one.usage for one in read)),
        "babbage-003",
        logprobs=sum(len(first.logprobs.tokens or []) for first in firsts if first.logprobs),
    )
    return [*events, "[DONE]"], expect


# OpenAI's /responses


def response_json(shapes, **given):
    """A response whose status, error and details agree."""
    kind = strip(responses.Response.model_fields["output"].annotation)
    made = []
    for _ in range(shapes.random.randint(0, 3)):
        if shapes.random.random() < 0.5:
            made.append(shapes.fill(responses.ResponseOutputMessage, 2))
        else:
            made += shapes.value(kind, 3)
    status = given.pop("status", None) or shapes.random.choice(
        ["completed"] * 8 + ["incomplete"] * 4 + ["failed", "cancelled", "queued", "in_progress"]
    )
    details = {"reason": shapes.random.choice(["max_output_tokens", "content_filter"])}
    return shapes.fill(
        responses.Response,
        **{
            "status": status,
            "output": made or [shapes.fill(responses.ResponseOutputMessage, 2)],
            "error": {"code": "server_error", "message": "it broke"} if status == "failed" else NULL,
            "incomplete_details": details if status == "incomplete" and shapes.random.random() < 0.8 else NULL,
            "instructions": shapes.random.choice([NULL, "Be brief."]),
            "tool_choice": "auto",
            "tools": [],
            "model": "gpt-6",
        }
        | given,
    )


def read_response(made):
    read = responses.Response.model_validate(made)
    if read.status not in ("completed", "incomplete"):
        return ERROR
    messages = [item for item in read.output if item.type == "message"]
    parts = [part for message in messages for part in message.content]
    details = read.incomplete_details
    finish = (details and details.reason or "incomplete") if read.status == "incomplete" else read.status
    usage = read.usage
    amounts = usage and (
        usage.input_tokens,
        usage.input_tokens_details.cached_tokens,
        usage.input_tokens_details.cache_write_tokens,
        usage.output_tokens,
        usage.output_tokens_details.reasoning_tokens,
    )
    said = [part for part in parts if part.type == "output_text"]
    refused = [part.refusal for part in parts if part.type == "refusal"]
    return expectation(
        read.output_text if said else None,
        finish,
        usage_of(amounts) if amounts else usage_of(),
        read.model,
        joined(refused),
        sum(len(part.logprobs or []) for part in said),
    )


def responses_response(shapes):
    made = response_json(shapes)
    return made, read_response(made)


def event_classes():
    """The classes of all events of a stream, by what they say that they are."""
    union = strip(responses.ResponseStreamEvent)
    return {strip(one.model_fields["type"].annotation).__args__[0]: one for one in union.__args__}


def responses_stream(shapes):
    classes = event_classes()
    words = [shapes.text() for _ in range(shapes.random.randint(0, 5))]
    events = [shapes.fill(classes["response.created"], response=response_json(shapes, status="in_progress"))]
    # These carry the answer, or are an answer; all others come in between and must not disturb it.
    carrying = {"response.output_text.delta", "response.refusal.delta", "error", *COMPLETE, "response.created"}
    between = sorted(set(classes) - carrying - {"response.queued", "response.in_progress"})
    for word in words:
        if shapes.random.random() < 0.5:
            events.append(shapes.fill(classes[shapes.random.choice(between)], 2))
        events.append(shapes.fill(classes["response.output_text.delta"], 1, delta=word, logprobs=[]))
    ending = shapes.random.choice(COMPLETE[:2] * 6 + COMPLETE[2:])
    text = shapes.fill(responses.ResponseOutputText, 3, text="".join(words), logprobs=MISSING)
    message = shapes.fill(responses.ResponseOutputMessage, 2, content=[text])
    whole = response_json(shapes, status=ending.removeprefix("response."), output=[message])
    events.append(shapes.fill(classes[ending], response=whole))
    judge = TypeAdapter(responses.ResponseStreamEvent)
    read = [judge.validate_python(event) for event in events]
    expect = read_response(whole)
    deltas = "".join(event.delta for event in read if event.type == "response.output_text.delta")
    assert expect is ERROR or expect["text"] == deltas
    return events, expect


# Anthropic's /messages


def claude_usage(usage, *more):
    """Tokens of the statements one after the other: a later one stands for what it states."""

    def latest(name):
        return last(getattr(one, name, None) for one in (usage, *more))

    read, write = latest("cache_read_input_tokens"), latest("cache_creation_input_tokens")
    details = latest("output_tokens_details")
    return usage_of((
        latest("input_tokens") + (read or 0) + (write or 0),
        read,
        write,
        latest("output_tokens"),
        details and details.thinking_tokens,
    ))


def claude_response(shapes):
    made = shapes.fill(claude.Message, model="claude-opus-5-5")
    read = claude.Message.model_validate(made)
    text = joined(block.text for block in read.content if block.type == "text")
    return made, expectation(text, read.stop_reason, claude_usage(read.usage), read.model)


def claude_stream(shapes):
    start = shapes.fill(claude.Message, 1, content=[], model="claude-opus-5-5", stop_reason=NULL)
    events = [shapes.fill(claude.RawMessageStartEvent, message=start)]
    begun = claude.Message.model_validate(start)
    parts = []
    blocks = strip(claude.RawContentBlockStartEvent.model_fields["content_block"].annotation).__args__
    for index in range(shapes.random.randint(0, 3)):
        kind = claude.TextBlock if shapes.random.random() < 0.5 else shapes.random.choice(blocks)
        if shapes.random.random() < 0.3:
            events.append({"type": "ping"})
        block = shapes.fill(kind, 2)
        events.append({"type": "content_block_start", "index": index, "content_block": block})
        parts.append(block["text"] if kind is claude.TextBlock else None)
        for _ in range(shapes.random.randint(0, 4)):
            delta = {claude.TextBlock: claude.TextDelta, claude.ThinkingBlock: claude.ThinkingDelta}.get(kind)
            made = shapes.fill(delta or claude.InputJSONDelta, 2)
            events.append({"type": "content_block_delta", "index": index, "delta": made})
            parts.append(made.get("text"))
        events.append({"type": "content_block_stop", "index": index})
    ended = shapes.random.random() < 0.95
    counted = []
    if ended:
        event = shapes.fill(claude.RawMessageDeltaEvent)
        # Counts go up.
        for key, value in event["usage"].items():
            before = getattr(begun.usage, key, None)
            if isinstance(value, int) and isinstance(before, int):
                event["usage"][key] = before + value
        if details := event["usage"].get("output_tokens_details"):
            before = begun.usage.output_tokens_details
            details["thinking_tokens"] += before.thinking_tokens if before else 0
        finish = shapes.random.choice(strip(claude.Message.model_fields["stop_reason"].annotation).__args__[0].__args__)
        event["delta"]["stop_reason"] = finish
        events += [event, {"type": "message_stop"}]
        counted = [event]
    judge = TypeAdapter(claude.RawMessageStreamEvent)
    read = {id(event): judge.validate_python(event) for event in events if event["type"] != "ping"}
    if not ended:
        return events, ERROR
    usage = claude_usage(begun.usage, *(read[id(event)].usage for event in counted))
    return events, expectation(joined(parts), finish, usage, begun.model)


# Google's generateContent


def google_counts(shapes):
    """Counts of which the total is the sum, as the reference says."""
    if shapes.random.random() < 0.2:
        return shapes.random.choice([MISSING, NULL])
    names = ["promptTokenCount", "toolUsePromptTokenCount", "candidatesTokenCount", "thoughtsTokenCount"]
    counts = {name: shapes.count() for name in names if shapes.random.random() < 0.7}
    usage = shapes.fill(google.GenerateContentResponseUsageMetadata, 2)
    usage = {key: value for key, value in usage.items() if key not in names}
    hidden = 0 if names[2] in counts or names[3] in counts else shapes.random.choice([0, 5])
    return usage | counts | ({"totalTokenCount": sum(counts.values()) + hidden} if counts else {})


def google_usage(usage):
    if usage is None:
        return usage_of()
    prompt = total_of(usage.prompt_token_count, usage.tool_use_prompt_token_count)
    output = total_of(usage.candidates_token_count, usage.thoughts_token_count)
    if output is None and prompt is not None and usage.total_token_count is not None:
        output = usage.total_token_count - prompt
    return usage_of((prompt, usage.cached_content_token_count, None, output, usage.thoughts_token_count))


def total_of(*counts):
    counts = [count for count in counts if count is not None]
    return sum(counts) if counts else None


def google_json(shapes, **given):
    given = {"usage_metadata": google_counts, "automatic_function_calling_history": MISSING, "parsed": MISSING} | given
    return shapes.fill(google.GenerateContentResponse, sdk_http_response=MISSING, **given)


def google_candidate(shapes, **given):
    return shapes.fill(google.Candidate, 1, **given)


def google_logprobs(candidate):
    result = candidate.logprobs_result if candidate else None
    return len(result.chosen_candidates or []) if result else 0


def google_finish(candidate):
    return candidate.finish_reason.value if candidate and candidate.finish_reason else None


def google_response(shapes):
    candidates = [google_candidate(shapes) for _ in range(shapes.random.choice([0, 1, 1, 1, 1, 2]))]
    made = google_json(shapes, candidates=candidates or shapes.random.choice([MISSING, NULL, candidates]))
    read = google.GenerateContentResponse.model_validate(made)
    first = read.candidates[0] if read.candidates else None
    text, finish = read.text, google_finish(first)
    feedback = read.prompt_feedback
    if first is None and feedback and feedback.block_reason:
        text, finish = "", feedback.block_reason.value
    if text is None and finish is None:
        return made, ERROR
    usage = google_usage(read.usage_metadata)
    return made, expectation(text, finish, usage, read.model_version, logprobs=google_logprobs(first))


def google_stream(shapes):
    version = "gemini-4-pro"
    events = []
    for _ in range(shapes.random.randint(0, 4)):
        candidate = google_candidate(shapes, finish_reason=shapes.random.choice([MISSING, NULL]))
        events.append(google_json(shapes, candidates=[candidate], model_version=version, prompt_feedback=MISSING))
    reasons = [reason.value for reason in google.FinishReason]
    candidate = google_candidate(shapes, finish_reason=shapes.random.choice(reasons))
    events.append(google_json(shapes, candidates=[candidate], model_version=version, prompt_feedback=MISSING))
    read = [google.GenerateContentResponse.model_validate(event) for event in events]
    firsts = [one.candidates[0] for one in read]
    return events, expectation(
        joined(one.text for one in read),
        google_finish(firsts[-1]),
        google_usage(last(one.usage_metadata for one in read)),
        version,
        logprobs=sum(google_logprobs(first) for first in firsts),
    )


# Batches of one request


def openai_batch(shapes):
    # Files have safe names, as the service gives them. A batch that is completed without one is waited for.
    files = {"output_file_id": "file-2", "error_file_id": maybe(MISSING, NULL, "file-3")}
    made = shapes.fill(openai.Batch, id="batch_1", input_file_id="file-1", **files)
    read = openai.Batch.model_validate(made)
    counts = read.request_counts
    return made, None, {
        "word": read.status,
        "ended": read.status in ("completed", "failed", "expired", "cancelled"),
        "answered": counts.completed if counts else 0,
        "failed": counts.failed if counts else 0,
    }


def claude_batch(shapes):
    # An archived batch has lost its results.
    url = "https://api.anthropic.com/v1/messages/batches/msgbatch_1/results"
    made = shapes.fill(claude_batches.MessageBatch, id="msgbatch_1", archived_at=NULL, results_url=url)
    read = claude_batches.MessageBatch.model_validate(made)
    counts = read.request_counts
    line = shapes.fill(claude_batches.MessageBatchIndividualResponse)
    result = claude_batches.MessageBatchIndividualResponse.model_validate(line).result
    message = result.message if result.type == "succeeded" else None
    return made, line, {
        "word": read.processing_status,
        "ended": read.processing_status == "ended",
        "answered": counts.succeeded,
        "failed": counts.errored + counts.canceled + counts.expired,
        "succeeded": message is not None,
        "text": message and joined(block.text for block in message.content if block.type == "text"),
        "input": message and claude_usage(message.usage)["input"],
    }


def non_empty(shapes):
    return shapes.random.choice(["gpt-6", "claude-opus-5-5", "models/名前"])


SPECIAL = {
    (chat.ChatCompletion, "model"): non_empty,
    (openai.Completion, "model"): non_empty,
    (openai.CompletionChoice, "logprobs"): completions_logprobs,
    (google.GenerateContentResponse, "model_version"): maybe(MISSING, NULL, "gemini-4-pro"),
    (google.GenerateContentResponse, "automatic_function_calling_history"): MISSING,
    (google.GenerateContentResponse, "parsed"): MISSING,
}

if __name__ == "__main__":
    main()

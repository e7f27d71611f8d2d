"""The requests as a task of Inspect: one generation a sample, nothing scored."""

from inspect_ai import Task, task
from inspect_ai.dataset import FieldSpec, json_dataset
from inspect_ai.model import GenerateConfig
from inspect_ai.solver import generate


@task
def trivial(file):
    samples = json_dataset(file, FieldSpec(input="prompt", id="id"))
    return Task(dataset=samples, solver=generate(), config=GenerateConfig(max_tokens=16, temperature=0))

"""The JSON Schema of the stack files, generated from the models, so that an editor completes and checks keys.

What a schema cannot say (rules between keys, and between stacks) is checked by the program and by `mignet check`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic.json_schema import models_json_schema

from config.loading import SECTIONS
from config.sites import RoutedSegment

if TYPE_CHECKING:
    from pydantic import BaseModel

FILE = "stack.schema.json"
"""Its name, in the folder of Pulumi.yaml, beside the stack files that refer to it."""
MODELINE = f"# yaml-language-server: $schema={FILE}"
"""The first line of a stack file, by which editors find it."""

_OF_PULUMI = {
    "secretsprovider": {"type": "string"},
    "encryptedkey": {"type": "string"},
    "encryptionsalt": {"type": "string"},
    "environment": {},
}
"""What else Pulumi itself keeps in a stack file."""
_IN_STACK_FILE = ("cluster", "attachment")
"""Keys that a stack file must have; the segment comes from Pulumi.yaml."""
_NOT_SAID = {"title", "discriminator"}


def stack_schema(project: str) -> dict[str, Any]:
    """Return the schema (draft 2020-12) of the stack files of a project.

    Descriptions of keys are there when the environment has MIGNET_FIELD_DOCS since before the models were imported.
    """
    models: tuple[type[BaseModel], ...] = (*SECTIONS.values(), RoutedSegment)
    by_model, definitions = models_json_schema([(model, "validation") for model in models])
    references: dict[str, Any] = {key: by_model[model, "validation"] for key, model in SECTIONS.items()}
    references["segment"] = {"anyOf": [references["segment"], by_model[RoutedSegment, "validation"]]}
    properties = {name: reference for key, reference in references.items() for name in (f"{project}:{key}", key)}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"A stack file of {project}",
        "type": "object",
        "properties": {
            "config": {
                "type": "object",
                "description": f"Config of the stack; keys are written with or without {project}: before them.",
                "properties": properties,
                "patternProperties": {f"^(?!{project.replace('.', '[.]')}:)[^:]+:": {}},
                "additionalProperties": False,
                "allOf": [
                    {"anyOf": [{"required": [f"{project}:{key}"]}, {"required": [key]}]} for key in _IN_STACK_FILE
                ],
            },
            **_OF_PULUMI,
        },
        "required": ["config"],
        "additionalProperties": False,
        "$defs": {name: _for_editors(each) for name, each in sorted(definitions["$defs"].items())},
    }


def _for_editors(schema: Any) -> Any:
    """Leave out what tells an editor nothing: titles made of names, empty defaults, line breaks in descriptions."""
    if isinstance(schema, list):
        return [_for_editors(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    kept: dict[str, Any] = {}
    for key, each in schema.items():
        if key == "properties":
            kept[key] = {name: _for_editors(below) for name, below in each.items()}
        elif key == "description":
            kept[key] = " ".join(each.split())
        elif key == "default" and each in (None, {}, [], ()):
            continue
        elif key not in _NOT_SAID or not isinstance(each, str | dict):
            kept[key] = _for_editors(each)
    return kept

"""Sections of a configuration that are the arguments of what they are named after."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler, create_model
from pydantic_core import CoreSchema, core_schema

from mite_tf.losses.by_name import ADVERSARIAL, MATCHING
from mite_tf.models import image_head, modality_discriminator
from mite_tf.models.text_encoder import TEXT_ENCODERS

_Share = Annotated[float, Field(ge=0, lt=1)]
_Count = Annotated[int, Field(ge=1)]

# Ranges of arguments, wherever they occur: the signatures give names, types and defaults.
_RANGES: Mapping[str, Any] = {
    "bag_dropout": _Share,
    "dropout": _Share,
    "heads": _Count,
    "hidden_size": Annotated[int, Field(ge=0)],
    "input_dropout": _Share,
    "layers": _Count,
    "noise": Annotated[float, Field(ge=0)],
    "pooling": Literal["average", "max", "generalized"],
    "power": Annotated[float, Field(gt=0, le=1)],
    "word_dropout": _Share,
    "word_size": Annotated[int, Field(ge=2)],
}
# Said in other sections, or of no consequence.
_ELSEWHERE = ("embedding_size", "standardize", "start", "max_length", "name", "reduction", "words")


class ArgumentsOf:
    """Marks a dictionary as keyword arguments, which are checked and completed by a signature.

    Args:
        constructors: What takes the arguments: one function or class, or several by name, of
            which the key `name` chooses one; the first by default.
        **ranges: Types narrower than those of the signature, besides `_RANGES`.
    """

    def __init__(
        self, constructors: Callable[..., Any] | Mapping[str, Callable[..., Any]], **ranges: Any
    ) -> None:
        self.named = isinstance(constructors, Mapping)
        by_name = constructors if isinstance(constructors, Mapping) else {"": constructors}
        self.models = {
            name: _model(name, constructor, {**_RANGES, **ranges})
            for name, constructor in by_name.items()
        }

    def name_in(self, values: Any) -> str:
        """Returns the name that arguments choose."""
        first = next(iter(self.models))
        return str(values.get("name", first)) if isinstance(values, dict) else first

    def keys(self, values: Any) -> list[str]:
        """Returns the keys that go with the name that arguments choose."""
        return list(self.models[self.name_in(values)].model_fields)

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        schemas = {
            name: core_schema.no_info_after_validator_function(
                _plain, handler.generate_schema(model)
            )
            for name, model in self.models.items()
        }
        if not self.named:
            return schemas[""]
        return core_schema.tagged_union_schema(
            {**schemas},
            discriminator=self.name_in,
            custom_error_type="unknown_name",
            custom_error_message=f"its name is one of {', '.join(schemas)}",
        )


def _model(
    name: str, constructor: Callable[..., Any], ranges: Mapping[str, Any]
) -> type[BaseModel]:
    """A model of the keyword arguments of a constructor, those said elsewhere left out."""
    fields: dict[str, Any] = {"name": (str, name)} if name else {}
    parameters = inspect.signature(constructor, eval_str=True).parameters
    for key, parameter in parameters.items():
        if parameter.default is not parameter.empty and key not in _ELSEWHERE:
            fields[key] = (ranges.get(key, parameter.annotation), parameter.default)
    return create_model(constructor.__name__, __config__=ConfigDict(extra="forbid"), **fields)


def _plain(arguments: BaseModel) -> dict[str, Any]:
    """The arguments as TOML has them: lists for tuples, and nothing for None."""
    values = arguments.model_dump(exclude_none=True)
    return {key: list(v) if isinstance(v, tuple) else v for key, v in values.items()}


ARGUMENTS = {
    "image_head": ArgumentsOf(
        image_head, pooling=Literal["average", "max", "generalized", "flatten"]
    ),
    "text_encoder": ArgumentsOf(TEXT_ENCODERS),
    "discriminator": ArgumentsOf(modality_discriminator),
    "loss": ArgumentsOf(MATCHING),
    "adversarial_loss": ArgumentsOf(ADVERSARIAL),
}

"""What all sections of a config are: closed, frozen, strict about true and false."""

from typing import Any, get_args

from pydantic import BaseModel, ConfigDict, ValidationInfo, field_validator


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _true_is_not_one(cls, value: Any, info: ValidationInfo) -> Any:
        """Python counts True as 1; `epochs: true` is a mistake all the same."""
        kind = cls.model_fields[str(info.field_name)].annotation
        literal = [item for part in get_args(kind) for item in get_args(part)]  # of `int | False`
        known = bool in (kind, *get_args(kind)) or any(item is value for item in literal)
        if isinstance(value, bool) and not known:
            raise ValueError(f"write a value, not {str(value).lower()}")
        return value

"""The configuration of a run: `schema` says what it holds, `file` reads and writes it."""

from tfvision.config.file import (
    MAX_BYTES,
    apply_override,
    check_names,
    differences,
    dump_config,
    load_any,
    load_config,
    schema_of,
    validate,
)
from tfvision.config.schema import (
    DataConfig,
    LossTerm,
    ModelSpec,
    RunConfig,
    audit_schema,
)

__all__ = [
    "MAX_BYTES",
    "DataConfig",
    "LossTerm",
    "ModelSpec",
    "RunConfig",
    "apply_override",
    "audit_schema",
    "check_names",
    "differences",
    "dump_config",
    "load_any",
    "load_config",
    "schema_of",
    "validate",
]

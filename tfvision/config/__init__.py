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
    AuditConfig,
    ClassAuditConfig,
    ClassDataConfig,
    ClassificationConfig,
    DataConfig,
    LossTerm,
    ModelSpec,
    RunConfig,
    SegmentationConfig,
)

__all__ = [
    "MAX_BYTES",
    "AuditConfig",
    "ClassAuditConfig",
    "ClassDataConfig",
    "ClassificationConfig",
    "DataConfig",
    "LossTerm",
    "ModelSpec",
    "RunConfig",
    "SegmentationConfig",
    "apply_override",
    "check_names",
    "differences",
    "dump_config",
    "load_any",
    "load_config",
    "schema_of",
    "validate",
]

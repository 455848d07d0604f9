"""Encoders from elsewhere in a run: what a config may ask, what the run keeps, what enters."""

import json
from typing import Any

import keras

from tfvision.config import ModelSpec, RunConfig
from tfvision.engine.run_folder import RunFolder
from tfvision.errors import InputError
from tfvision.models.backbones import own_backbone
from tfvision.models.encoder_json import read_architecture
from tfvision.models.encoder_weights import check_weights, load_encoder
from tfvision.models.encoders import Encoder, parse_encoder
from tfvision.registry import Spec

SECTIONS = ("encoder", "backbone")  # what a model calls the section
ENTERED = ("pretrained", "started_from")  # what env.json says of weights from outside
KEPT = "encoder.json"  # in the run folder: a path given today may be gone tomorrow


def encoder_of(model: Spec) -> Encoder | None:
    """The section `encoder`, or `backbone`, of a model, None where it has none from elsewhere."""
    key = section_of(model)
    section = model.kwargs.get(key)
    if section is None or (key == "backbone" and own_backbone(section) is not None):
        return None
    return parse_encoder(section, called=key)


def section_of(model: Spec) -> str:
    """What the model calls the section of what comes from elsewhere."""
    return next((name for name in SECTIONS if name in model.kwargs), SECTIONS[0])


def check_pretrained(config: RunConfig, *, resume: bool) -> None:
    """Checks the encoder's section and its weights, before any data is opened.

    Args:
        config: Of the run.
        resume: Weights have entered already; their file may be gone.

    Raises:
        InputError: The section is wrong, weights are not there, or enter although
            `model.pretrained` is `forbidden`.
    """
    encoder = encoder_of(config.model)
    if encoder is None:
        return
    if config.model.pretrained == "forbidden" and encoder.source is not None:
        own, key = encoder.weights == "auto", f"model.{section_of(config.model)}"
        raise InputError(
            "model.pretrained is forbidden, but outside weights would enter by "
            + (
                f"{key}.path ({encoder.path}). Set {key}.weights=null to take the architecture "
                "alone"
                if own
                else f"{key}.weights ({encoder.weights}). Set it to null"
            )
            + ", or set model.pretrained=allowed."
        )
    if not resume:
        check_weights(encoder, called=section_of(config.model))


def outside_architecture(model: Spec, run: RunFolder | None) -> dict[str, Any] | None:
    """The architecture of an encoder by path: of the run that keeps it, or of the path.

    Raises:
        InputError: It cannot be read.
    """
    encoder = encoder_of(model)
    if encoder is None or encoder.path is None:
        return None
    if run is None:
        return read_architecture(encoder.path)
    kept = run.path / KEPT
    if not kept.is_file():
        raise InputError(
            f"{run.path} has no {KEPT}, which holds the architecture of its encoder "
            f"{encoder.path}. Copy the run whole."
        )
    return read_architecture(kept)


def keep_architecture(run: RunFolder, architecture: dict[str, Any] | None) -> None:
    """Writes the encoder's architecture into the run."""
    if architecture is not None:
        run.write_json(KEPT, architecture)


def self_contained(model: Spec, architecture: dict[str, Any] | None) -> Spec:
    """The model's spec with the encoder's architecture in place of its path."""
    if architecture is None:
        return model
    key = section_of(model)
    section = {k: v for k, v in model.kwargs[key].items() if k not in ("path", "weights")}
    encoder = {**section, "architecture": architecture}
    return ModelSpec(name=model.name, **{**model.kwargs, key: encoder})


def enter_weights(model: keras.Model, config: RunConfig, say) -> dict[str, Any] | None:
    """Gives the encoder its weights before the first step. Returns what `env.json` records."""
    encoder, called = encoder_of(config.model), section_of(config.model)
    found = None if encoder is None else load_encoder(model, encoder, called=called)
    if found is not None:
        say(
            f"{called}: {found['num_variables']} variables from "
            f"{found['source']} (SHA-256 {found['sha256'][:12]})"
        )
    return found


def recorded(run: RunFolder) -> dict[str, Any]:
    """What a run has recorded of the weights that entered it."""
    env = json.loads((run.path / "env.json").read_text(encoding="utf-8"))
    return {key: env.get(key) for key in ENTERED}

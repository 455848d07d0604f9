"""Training in stages: in each only some layers learn, from some of the outputs.

With it a run freezes an encoder first and releases it later, trains one net of several after
the other, or hands the weights of a part to the next. Layers are named by shell patterns.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

import keras

from tfvision.errors import InputError


@dataclass(frozen=True)
class Stage:
    """One part of a training.

    Attributes:
        epochs: How many, or None.
        share: Of the training instead, in (0, 1), or None. The last stage has neither: it
            lasts to the end.
        trainable: Shell patterns of the names of the layers that learn, or of dropout that is
            on. A layer inside a nested model is called `model/layer`. The others are as in
            inference: their weights and statistics stay, their dropout is off (that inside an
            attention layer aside).
        outputs: Whose losses count, by number or name; None is all.
        transfer: Prefix of layer names -> prefix of those that get their weights when the
            stage begins, where the shapes are equal.
        restart: The learning-rate schedule runs over this stage as over a training.
        keep_slots: What learnt in the stage before goes on as it was: weights, averages and the
            optimizer's slots stay. Variables that begin to learn now have new slots, and the
            count of steps of the whole: Adam takes their first steps up to 6 times too long,
            Lion and SGD do not.
    """

    epochs: int | None = None
    share: float | None = None
    trainable: tuple[str, ...] = ("*",)
    outputs: tuple[int | str, ...] | None = None
    transfer: Mapping[str, str] = field(default_factory=dict, hash=False)
    restart: bool = False
    keep_slots: bool = False


@dataclass(frozen=True)
class Part:
    """What a stage is for a model.

    Attributes:
        model: From the images to the outputs that count; shares the layers of the whole.
        layers: Those that learn, by name; no nested models.
    """

    model: keras.Model
    layers: dict[str, keras.layers.Layer]


def first_shares(stages: Sequence[Stage], epochs: int) -> list[float]:
    """The share of the training at which each stage begins; the first is 0.

    A stage of so many epochs, and one of a share, begins with a whole epoch of `epochs`.
    """
    starts, share, count = [0.0], 0.0, 0
    for stage in stages[:-1]:
        share += stage.share or 0.0
        count += stage.epochs or 0
        starts.append((count + round(share * epochs)) / epochs)
    return starts


def planned_shares(stages: Sequence[Stage]) -> list[float]:
    """As `first_shares`, of a training whose number of epochs is not known."""
    starts = [0.0]
    for stage in stages[:-1]:
        starts.append(starts[-1] + (stage.share or 0.0))
    return starts


class StagedModel:
    """A model whose layers are frozen and released stage by stage.

    A layer that was frozen when this was made stays frozen in every stage.

    Args:
        model: A built model; one that is made of parts has these as attributes.
        stages: In order.

    Raises:
        InputError: A stage names a layer, an output or a prefix that is not there, none of the
            weights it hands on fit, or it keeps slots that are not there or would not fit.
    """

    def __init__(self, model: keras.Model, stages: Sequence[Stage]):
        self._model, self.stages = model, tuple(stages)
        self._layers = dict(leaves(model))
        self._trainable = {name: layer.trainable for name, layer in self._layers.items()}
        self._rates = {
            name: layer.rate
            for name, layer in self._layers.items()
            if isinstance(layer, keras.layers.Dropout)
        }
        self.parts = [
            self._part(f"train.stages[{i}]", stage) for i, stage in enumerate(self.stages)
        ]
        for i, stage in enumerate(self.stages):
            self._check_start(i, stage)

    def enter(self, number: int) -> Part:
        """Freezes all layers but those of the stage."""
        part = self.parts[number]
        for name, layer in self._layers.items():
            layer.trainable = self._trainable[name] and name in part.layers
        for name, rate in self._rates.items():
            self._layers[name].rate = rate if name in part.layers else 0
        return part

    def leave(self) -> None:
        """Makes all layers what they were before the first stage."""
        for name, layer in self._layers.items():
            layer.trainable = self._trainable[name]
        for name, rate in self._rates.items():
            self._layers[name].rate = rate

    def transfer(self, number: int) -> list[str]:
        """Copies the weights that the stage starts from. Returns lines that say which."""
        lines = []
        for source, target in self.stages[number].transfer.items():
            fitting, others = self._pairs(f"train.stages[{number}]", source, target)
            for one, other in fitting:
                for weight, value in zip(other.weights, one.weights, strict=True):
                    weight.assign(keras.ops.convert_to_numpy(value))
            left = f"; not those of {_some(others)}" if others else ""
            lines.append(f"{target}* has the weights of {len(fitting)} layers of {source}*{left}")
        return lines

    def describe(self, number: int) -> str:
        """One line on a stage that begins."""
        stage, part = self.stages[number], self.parts[number]
        learning = [n for n, y in part.layers.items() if self._trainable[n] and y.weights]
        weighty = [n for n, y in self._layers.items() if self._trainable[n] and y.weights]
        outputs = "" if stage.outputs is None else f", from outputs {_some(stage.outputs)}"
        return (
            f"stage {number + 1} of {len(self.stages)}: {len(learning)} of {len(weighty)} layers "
            f"learn ({_some(stage.trainable)}){outputs}"
        )

    def _check_start(self, number: int, stage: Stage) -> None:
        where = f"train.stages[{number}]"
        for pair in stage.transfer.items():
            self._pairs(where, *pair)
        if stage.keep_slots and not number:
            raise InputError(
                f"{where}: keep_slots goes on with the slots of the stage before, and there is "
                "none. Leave it out of the first stage."
            )
        if stage.keep_slots and stage.transfer:
            raise InputError(
                f"{where}: keep_slots goes on with the slots of the stage before, but transfer "
                "puts other weights in their place. Choose one of the two."
            )

    def _learns(self, name: str) -> bool:
        return self._trainable[name] and bool(self._layers[name].trainable_weights)

    def _part(self, where: str, stage: Stage) -> Part:
        model, names = self._model, getattr(self._model, "output_names", None)
        if stage.outputs is not None:
            if names is None:
                parts = ", ".join(f"{layer.name}/*" for layer in model.layers)
                raise InputError(
                    f"{where}: outputs are for models whose outputs have a loss each; this one is "
                    f"made of the parts {parts}. Leave outputs out, name layers in trainable, and "
                    "heads in the terms of the loss."
                )
            chosen = [_output(where, output, names) for output in stage.outputs]
            model = keras.Model(model.input, [model.outputs[i] for i in sorted(set(chosen))])
        reached = dict(leaves(model))
        layers = {}
        for pattern in stage.trainable:
            found = {n: y for n, y in self._layers.items() if fnmatchcase(n, pattern)}
            if not any(self._learns(n) or n in self._rates for n in found):
                raise InputError(
                    f"{where}: trainable `{pattern}` matches no layer with weights to learn. "
                    f"Layers are {_some(n for n, y in self._layers.items() if y.weights)}."
                )
            found = {n: y for n, y in found.items() if n in reached}
            if not any(self._learns(n) or n in self._rates for n in found):
                raise InputError(
                    f"{where}: the outputs {_some(stage.outputs)} depend on no layer of trainable "
                    f"`{pattern}`: nothing would teach it. Choose other outputs or layers."
                )
            layers.update(found)
        if not any(map(self._learns, layers)):
            raise InputError(
                f"{where}: trainable {_some(stage.trainable)} names dropout alone; nothing learns."
            )
        return Part(model, layers)

    def _pairs(self, where: str, source: str, target: str):
        """(from, to) layers of equal shapes, and the names of what has no such counterpart."""
        fitting, others = [], []
        for name, layer in self._layers.items():
            if not name.startswith(source) or not layer.weights:
                continue
            other = self._layers.get(target + name.removeprefix(source))
            if other is not None and _shapes(layer) == _shapes(other):
                fitting.append((layer, other))
            else:
                others.append(name)
        if not fitting:
            why = f"Those of {_some(others)} do not." if others else f"No layer is `{source}*`."
            raise InputError(
                f"{where}: transfer of `{source}*` to `{target}*` hands nothing on: no layer has "
                f"weights that fit a layer of the same name behind the prefix. {why}"
            )
        return fitting, others


def leaves(model: keras.Model, prefix: str = "") -> Iterator[tuple[str, keras.layers.Layer]]:
    """Name and layer, those of nested models as `model/layer`."""
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from leaves(layer, f"{prefix}{layer.name}/")
        else:
            yield prefix + layer.name, layer


def _output(where: str, output: int | str, names: list[str]) -> int:
    if output in names:
        return names.index(output)
    if isinstance(output, int) and 0 <= output < len(names):
        return output
    numbered = ", ".join(f"{i}: {name}" for i, name in enumerate(names))
    raise InputError(f"{where}: the model has no output {output!r}. Its outputs are {numbered}.")


def _shapes(layer: keras.layers.Layer) -> list[tuple]:
    return [tuple(weight.shape) for weight in layer.weights]


def _some(names, most: int = 6) -> str:
    names = [str(name) for name in names]
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more

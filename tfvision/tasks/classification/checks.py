"""Settings of a classification that contradict each other."""

from tfvision.augment import OPS
from tfvision.config.schema import RunConfig
from tfvision.errors import InputError
from tfvision.losses import ON_EMBEDDINGS
from tfvision.postprocess import ON_COMPONENTS

OF_MASKS = {"boundary", *ON_COMPONENTS}


def check_masks(config: RunConfig) -> None:
    """What needs the pixels of a mask means nothing where an image has one label.

    Raises:
        InputError: The config has such a loss or rule.
    """
    names = [spec.name for spec in (*config.loss, *config.postprocess)]
    odd = [name for name in names if name in OF_MASKS]
    _spares_the_mask(config)
    if odd:
        raise InputError(
            f"{', '.join(dict.fromkeys(odd))}: this needs masks, and a classification has one "
            "label an image. Leave it out."
        )


def _spares_the_mask(config: RunConfig) -> None:
    """Brightness of the channel that holds the region would be another region."""
    if config.data.input.name != "mask_channel":
        return
    names = [spec.name for spec in config.data.augment]
    odd = [name for name in names if OPS[name].__module__ == "tfvision.augment.photometric"]
    if odd:
        raise InputError(
            f"data.augment {', '.join(odd)}: under data.input mask_channel it would change the "
            "mask, which is a channel of the image, too. Leave it out."
        )


def check_embeddings(config: RunConfig, replicas: int) -> None:
    """A loss on embeddings compares the images of a whole batch by their one label.

    Raises:
        InputError: Other settings keep it from doing so.
    """
    names = [term.name for term in config.loss]
    found = [name for name in names if name in ON_EMBEDDINGS]
    if not found:
        return
    if set(names) <= ON_EMBEDDINGS:
        raise InputError(
            f"loss has {', '.join(names)} alone, which does not teach the logits: nothing would "
            "be classified. Add a term on them, cross_entropy say; a stage whose outputs are "
            "[embedding] goes without it."
        )
    if config.data.mix:
        mixers = ", ".join(spec.name for spec in config.data.mix)
        raise InputError(
            f"loss `{found[0]}` needs one label an image, and data.mix ({mixers}) gives two. Leave "
            "one of them out."
        )
    if config.train.accumulate > 1:
        raise InputError(
            f"loss `{found[0]}` compares all images of a batch, and train.accumulate "
            f"{config.train.accumulate} never has them all at once. Set it to 1, with a smaller "
            "data.batch_size if memory asks for it."
        )
    if config.train.xla and replicas > 1:
        raise InputError(
            f"loss `{found[0]}` gathers the images of {replicas} devices, which train.xla cannot "
            "compile. Leave out train.xla, or train on one device."
        )


def check_views(config: RunConfig) -> None:
    """A batch has all views of an image.

    Raises:
        InputError: The batch size does not divide by their number.
    """
    if config.data.batch_size % config.data.views == 0:
        return
    raise InputError(
        f"data.batch_size {config.data.batch_size} must divide by data.views {config.data.views}: "
        "a batch has all views of each of its images."
    )

"""The machinery of a run, without its config: devices, loop, checkpoints, predictions, exports."""

from tfvision.registry import Registry

OPTIMIZERS = Registry(
    "optimizer",
    {
        "adam": "keras.optimizers:Adam",
        "adamw": "keras.optimizers:AdamW",
        "lion": "keras.optimizers:Lion",
        "nadam": "keras.optimizers:Nadam",
        "rmsprop": "keras.optimizers:RMSprop",
        "sgd": "keras.optimizers:SGD",
    },
)

SCHEDULES = Registry(
    "schedule",
    {
        "constant": "tfvision.engine.schedules:Constant",
        "cosine": "tfvision.engine.schedules:Cosine",
        "polynomial": "tfvision.engine.schedules:Polynomial",
        "step": "tfvision.engine.schedules:Step",
        "plateau": "tfvision.engine.schedules:Plateau",
    },
)

VIEWS = Registry(
    "view",
    {
        "flip_lr": "tfvision.engine.tta:flip_lr",
        "flip_ud": "tfvision.engine.tta:flip_ud",
        "shift": "tfvision.engine.tta:shift",
        "scale": "tfvision.engine.tta:scale",
    },
)

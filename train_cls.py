"""Trains a classification model.

python train_cls.py                                           # embedded data, works at once
python train_cls.py --arch resnet18 --data DATA --set train.epochs=60
python train_cls.py --config runs/cls/resnet18/config.yaml    # repeat a run exactly
python train_cls.py --resume runs/cls/resnet18                # go on after a kill
"""

import sys

from tfvision.cli import train

if __name__ == "__main__":
    sys.exit(train("classification"))

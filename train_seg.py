"""Trains a segmentation model.

python train_seg.py --arch unetpp
python train_seg.py --arch unetpp --data DATA --set train.epochs=60
python train_seg.py --config runs/seg/unetpp/config.yaml      # repeat a run exactly
python train_seg.py --resume runs/seg/unetpp                  # go on after a kill
"""

import sys

from tfvision.cli import train

if __name__ == "__main__":
    sys.exit(train("segmentation"))

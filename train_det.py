"""Trains a detector.

python train_det.py --arch faster_rcnn
python train_det.py --arch retinanet --data DATA --set train.epochs=60
python train_det.py --config runs/det/faster_rcnn/config.yaml  # repeat a run exactly
python train_det.py --resume runs/det/faster_rcnn              # go on after a kill
"""

import sys

from tfvision.cli import train

if __name__ == "__main__":
    sys.exit(train("detection"))

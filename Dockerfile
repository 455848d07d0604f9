# CPU:  docker build -t tfvision .
# GPU:  docker build -t tfvision --build-arg DEVICE=gpu .
# Run:  docker run --rm -v "$PWD/runs:/tfvision/runs" tfvision python train_seg.py --arch unetpp
FROM python:3.12-slim

ARG DEVICE=cpu
WORKDIR /tfvision

COPY requirements.txt .
RUN pip install --no-cache-dir -r requirements.txt
# TensorFlow's own CUDA packages, for the TensorFlow that has just been installed.
RUN if [ "$DEVICE" = gpu ]; then \
      pip install --no-cache-dir \
        "tensorflow[and-cuda]==$(python -c 'import importlib.metadata as m; print(m.version("tensorflow"))')"; \
    fi
RUN python -c "import cv2"

COPY . .
CMD ["python", "train_seg.py", "--arch", "unetpp"]

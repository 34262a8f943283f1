# The image of a cluster's nodes (docs/cluster.md). The target `cpu` is the default; `cuda` adds the CUDA libraries.
#
#   docker build --target cpu -t registry.example.org/vclip:0.1.0 .
#   docker build --target cuda -t registry.example.org/vclip:0.1.0-cuda .
FROM python:3.11-slim AS base
# The compiler is for packages without wheels, libgl1 and libglib2.0-0 for OpenCV, wget for KubeRay's health checks.
RUN apt-get update \
    && apt-get install -y --no-install-recommends build-essential libgl1 libglib2.0-0 wget \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /opt/vclip
COPY constraints.txt ./

# torch has its own layer, which changes of the code do not rebuild.
FROM base AS cuda
RUN pip install --no-cache-dir -c constraints.txt torch torchvision
COPY . ./
RUN pip install --no-cache-dir -c constraints.txt '.[pipelines]'
# Weights of the preset `default`, so that a thousand pods need not download them:
# RUN python -c "import open_clip; open_clip.create_model('ViT-B-32-quickgelu', 'openai')"
CMD ["vclip", "--help"]

FROM base AS cpu
RUN pip install --no-cache-dir -c constraints.txt --index-url https://download.pytorch.org/whl/cpu torch torchvision
COPY . ./
RUN pip install --no-cache-dir -c constraints.txt '.[pipelines]'
CMD ["vclip", "--help"]

# syntax=docker/dockerfile:1
#
# On a CPU:
#   docker build -t genlab .
#   docker run --rm -v "$PWD/outputs:/work/outputs" genlab train model=vae
#
# On an NVIDIA GPU (the image of PyTorch brings CUDA; --gpus needs the NVIDIA Container Toolkit):
#   docker build -t genlab:cuda --build-arg TORCH=cuda .
#   docker run --rm --gpus all -v "$PWD/outputs:/work/outputs" genlab:cuda train model=dcgan

ARG PYTHON=3.12
ARG TORCH=cpu

FROM python:${PYTHON}-slim AS wheel
WORKDIR /source
COPY . .
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

# Both builds of torch bring all that they need, so both images start from Debian's Python.
FROM python:${PYTHON}-slim AS base-cpu
ENV PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu
FROM python:${PYTHON}-slim AS base-cuda
# PyPI's own torch for Linux brings the CUDA libraries along; the driver comes from the host.
ENV NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility

FROM base-${TORCH}
ARG EXTRAS=explore,export,hub,launchers,parquet,search
COPY constraints.txt /tmp/constraints.txt
COPY --from=wheel /wheels /tmp/wheels
RUN pip install --no-cache-dir -c /tmp/constraints.txt "$(echo /tmp/wheels/genlab-*.whl)[${EXTRAS}]" \
    && rm -rf /tmp/wheels /tmp/constraints.txt
# torch.compile needs a C compiler.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends g++ \
    && rm -rf /var/lib/apt/lists/*
RUN useradd --create-home --uid 1000 genlab && mkdir -p /work/outputs /cache && chown -R genlab:genlab /work /cache
USER genlab
# Runs, and downloads and decoded images, outlive the container in these folders.
ENV GENLAB_CACHE=/cache PYTHONUNBUFFERED=1
VOLUME ["/work/outputs", "/cache"]
WORKDIR /work
# The page of `genlab explore RUN --host 0.0.0.0`.
EXPOSE 8765
ENTRYPOINT ["genlab"]
CMD ["--help"]

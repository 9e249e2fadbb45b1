"""The backend ``openvino``: OpenVINO runs the model of a Transformer."""

__version__ = "0.2.0"

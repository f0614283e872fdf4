"""Checks an exported model with Python's onnx and onnxruntime, which share nothing with this project.

usage: check_onnx.py MODEL [IO.safetensors]

MODEL is a model folder or an .onnx file: it must pass the full check of onnx.checker and load in ONNX Runtime, both
from a foreign working directory. IO.safetensors holds one tensor under the name of each input and, as expected
values, of outputs; golden files name them io.video_noisy, io.audio_timesteps, io.video_out, tap.block0, ….
Exit status 1 with a message if the model is not accepted or an output differs by more than 2e-5 of the largest
expected magnitude.
"""

import os
import sys
import tempfile

import numpy as np

TOLERANCE = 2e-5
GOLDEN = {
    "video": "io.video_noisy",
    "audio": "io.audio_noisy",
    "video_timesteps": "io.video_timesteps",
    "audio_timesteps": "io.audio_timesteps",
    "video_noise": "io.video_out",
    "audio_noise": "io.audio_out",
}


def find(tensors, name):
    """The tensor of an input or output, under its own name or the golden one."""
    for key in (f"tap.{name}", GOLDEN.get(name), name):
        if key in tensors and not (key == name and GOLDEN.get(name) in tensors):
            return tensors[key]
    return None


def random_inputs(session):
    rng = np.random.default_rng(0)
    feeds = {}
    for value in session.get_inputs():
        shape = [d if isinstance(d, int) else 2 for d in value.shape]
        random = rng.uniform(0, 1000, shape) if value.name.endswith("timesteps") else rng.normal(size=shape)
        feeds[value.name] = random.astype(np.float32)
    return feeds


def main(arguments):
    if len(arguments) not in (1, 2):
        return __doc__
    model = os.path.abspath(arguments[0])
    if os.path.isdir(model):
        model = os.path.join(model, "model.onnx")
    tensors = None
    if len(arguments) == 2:
        from safetensors.numpy import load_file

        tensors = load_file(os.path.abspath(arguments[1]))
    import onnx
    import onnxruntime

    os.chdir(tempfile.mkdtemp())
    try:
        onnx.checker.check_model(model, full_check=True)
        session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    except Exception as error:
        return f"{model}: not accepted: {error}"
    names = [value.name for value in session.get_outputs()]
    if tensors is None:
        feeds = random_inputs(session)
    else:
        feeds = {value.name: find(tensors, value.name) for value in session.get_inputs()}
        missing = [name for name, value in feeds.items() if value is None]
        if missing:
            return f"{arguments[1]} has no tensor for the inputs {missing}"
    results = dict(zip(names, session.run(names, feeds)))
    for name, result in results.items():
        if not np.isfinite(result).all():
            return f"{model}: output {name} is not finite"
    if tensors is None:
        print(f"{model}: accepted, {len(names)} outputs finite")
        return 0
    compared = [name for name in names if find(tensors, name) is not None]
    if not {"video_noise", "audio_noise"} <= set(compared):
        return f"{arguments[1]} has no expected values of video_noise and audio_noise"
    for name in compared:
        expected, got = find(tensors, name), results[name]
        if expected.shape != got.shape:
            return f"{model}: output {name} has shape {got.shape}, expected {expected.shape}"
        largest = np.abs(expected).max()
        error = np.abs(expected.astype(np.float64) - got).max()
        if not (largest > 0 and error <= TOLERANCE * largest):
            return f"{model}: output {name} differs by {error:.3e}, allowed {TOLERANCE * largest:.3e}"
        print(f"{name}: {error / largest:.2e} of the largest magnitude")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

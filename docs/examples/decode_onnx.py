"""Draw 16 codes and decode them with onnxruntime, without genlab: python decode_onnx.py FOLDER [CLASS]"""

import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image

folder = Path(sys.argv[1])
decode = json.loads((folder / "export.json").read_text())["files"]["decode"]
session = onnxruntime.InferenceSession(str(folder / decode["file"]))
feed = {"codes": np.random.default_rng(0).standard_normal((16, decode["inputs"][0]["shape"][1]), np.float32)}
if len(decode["inputs"]) == 2:  # a conditional model is told the class
    feed["label"] = np.full(16, int(sys.argv[2]) if len(sys.argv) > 2 else 0)
items = session.run(["items"], feed)[0]  # 16 x C x H x W in [0, 1]
sheet = np.concatenate(np.round(255 * items).astype(np.uint8), axis=2).transpose(1, 2, 0)
Image.fromarray(sheet.squeeze()).save(folder / "decoded.png")

"""Serves an exported VAE by FastAPI: a picture in, JSON out; samples out. See docs/serving.md."""

import contextlib
import functools
import io
import json
import os
import secrets
from pathlib import Path
from typing import Annotated

import anyio
import numpy as np
import tensorflow as tf
from fastapi import Depends, FastAPI, HTTPException, Query, Request, Response
from PIL import Image, ImageOps
from starlette.requests import ClientDisconnect

MODEL = Path(os.environ.get("MODEL", "runs/latest/export/1"))
if not (MODEL / "model.json").is_file():
    raise SystemExit(f"MODEL={MODEL}: no exported model is there.")
DATA = json.loads((MODEL / "model.json").read_text(encoding="utf-8"))["data"]
HEIGHT, WIDTH, CHANNELS = DATA["image_shape"]
model = tf.saved_model.load(str(MODEL))
call = model.signatures  # after a wrong `model.encode(...)`, other threads could wait forever
if "anomaly" not in call or CHANNELS not in (1, 3):
    raise SystemExit(f"MODEL={MODEL}: no VAE of a finished run on grey or colour images.")
CLASSES = DATA["class_names"] if "labels" in call["sample"].structured_input_signature[1] else []

MOST = 2**23  # bytes of a file, and pixels
Image.MAX_IMAGE_PIXELS = 2 * MOST  # of a large JPEG, before `draft` makes it smaller
DARK_ON_WHITE = (DATA.get("margin_brightness") or 0) > 0.75
FORM = DATA.get("pictures") or {"fit": "pad", "background": 255 * DARK_ON_WHITE}  # of arrays


@contextlib.asynccontextmanager
async def ready(app: FastAPI):
    """Few threads, so that requests are answered in turn; before them the slow first call."""
    anyio.to_thread.current_default_thread_limiter().total_tokens = 4
    answer(np.zeros([1, HEIGHT, WIDTH, CHANNELS], np.float32), next(iter(CLASSES), None))
    yield


app = FastAPI(lifespan=ready, max_body_size=MOST)


def prepare(file: bytes) -> np.ndarray:
    """Reads a PNG or JPEG as the training did: float32 [1, H, W, C] in [0, 1]."""
    try:
        picture = Image.open(io.BytesIO(file), formats=("PNG", "JPEG"))
        picture.draft(None, (2 * max(HEIGHT, WIDTH),) * 2)
        is_plain = picture.mode in ("1", "L", "P", "RGB") and not picture.has_transparency_data
        if not is_plain or picture.width * picture.height > MOST:
            raise ValueError
        picture.load()
        ImageOps.exif_transpose(picture, in_place=True)
    except Exception as error:  # bytes from anywhere fail in many ways
        what = "a whole PNG or JPEG, grey or colours of 8 bits, not transparent"
        why = f"The body of the request must be {what}, of at most {MOST:,} pixels."
        raise HTTPException(415, why) from error
    white = min(FORM.get("white_level") or 255, 255)
    levels = np.rint(255 * np.minimum(np.arange(256) / white, 1)).astype(int).tolist()
    picture = picture.convert("RGB").point(3 * levels).convert("L" if CHANNELS == 1 else "RGB")
    margins = functools.partial(ImageOps.pad, color=(FORM["background"],) * CHANNELS)
    fits = {"crop": ImageOps.fit, "pad": margins, "stretch": Image.Image.resize}
    picture = fits[FORM["fit"]](picture, (WIDTH, HEIGHT), Image.Resampling.LANCZOS)
    return np.asarray(picture, np.float32).reshape(1, HEIGHT, WIDTH, CHANNELS) / 255


async def body(request: Request) -> bytes:
    """Waits for a request, while others are answered."""
    try:
        return await request.body()
    except ClientDisconnect as error:
        raise HTTPException(400, "The request broke off.") from error


def labels(label: str | None, num: int) -> dict[str, tf.Tensor]:
    """What a conditional model takes beside `num` images: the number of their class."""
    if label not in (CLASSES or [None]):
        raise HTTPException(422, f"label={label}: must be one of {CLASSES or 'none'}.")
    return {"labels": tf.constant([CLASSES.index(label)] * num)} if CLASSES else {}


def answer(images: np.ndarray, label: str | None) -> dict[str, float | list[float]]:
    """Says what an image, [1, H, W, C], is to the model, and how usual it is."""
    given = {"images": tf.constant(images), **labels(label, 1)}
    latents, usual = call["encode"](**given)["mean"][0].numpy().tolist(), call["anomaly"](**given)
    return {"latents": latents, **{name: float(usual[name][0]) for name in ("score", "p_value")}}


@app.post("/score")
def score(file: Annotated[bytes, Depends(body)], label: str | None = None) -> dict:
    """Takes a picture as the body of the request."""
    return answer(prepare(file), label)


@app.get("/samples", response_class=Response)
def samples(
    side: Annotated[int, Query(ge=1, le=10)] = 4,
    seed: Annotated[int | None, Query(ge=0, lt=2**31)] = None,
    label: str | None = None,
) -> Response:
    """Draws a PNG of side x side samples; the same seed gives the same ones."""
    key, num = [0, secrets.randbits(31) if seed is None else seed], side * side
    drawn = call["sample"](num=tf.constant(num), seed=tf.constant(key), **labels(label, num))
    sheet = np.rint(255 * drawn["images"].numpy()).astype(np.uint8)
    sheet = sheet.reshape(side, side, HEIGHT, WIDTH, CHANNELS).swapaxes(1, 2)
    png = io.BytesIO()
    Image.fromarray(sheet.reshape(side * HEIGHT, side * WIDTH, CHANNELS).squeeze()).save(png, "PNG")
    return Response(png.getvalue(), media_type="image/png")

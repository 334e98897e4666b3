"""`examples/serve.py`: pictures as in training, and an answer to whatever it is asked."""

import concurrent.futures
import http.client
import importlib.util
import io
import json
import os
import re
import shlex
import socket
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from helpers import PROJECT
from PIL import Image

from cvae_tf.data.pictures import Form, read

fastapi = pytest.importorskip("fastapi", reason="no FastAPI: the server is not run")
SERVING = (PROJECT / "docs" / "serving.md").read_text(encoding="utf-8")
NOISE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (150, 210, 3), np.uint8))
EXIF = Image.Exif()
EXIF[274] = 6  # it lies on its side


def _saved(picture, form="PNG", **options):
    file = io.BytesIO()
    picture.save(file, form, **options)
    return file.getvalue()


GOOD = [_saved(NOISE, "JPEG", exif=EXIF), *(_saved(NOISE.convert(mode)) for mode in "LP1")]
BAD = [
    *(b"", b"no picture", bytes(2**23 + 1), GOOD[0][:9000], GOOD[1][:9000]),
    *(_saved(NOISE, "GIF"), _saved(NOISE.convert("CMYK"), "JPEG"), _saved(NOISE.convert("RGBA"))),
    *(_saved(NOISE.convert("I;16")), _saved(NOISE.convert("P"), transparency=1)),
    _saved(Image.new("1", (20_000, 10_000))),
]


def _serve(run, monkeypatch):
    """The server as a module, whose functions need no HTTP."""
    monkeypatch.setenv("MODEL", str(run.saved_model))
    spec = importlib.util.spec_from_file_location("serve", PROJECT / "examples" / "serve.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_server_prepares_pictures_as_the_training_did(vae_run, monkeypatch, tmp_path):
    serve, path = _serve(vae_run, monkeypatch), tmp_path / "picture"
    for channels, fit, white in [(1, "crop", None), (3, "pad", 200), (3, "stretch", 4095)]:
        form = Form((16, 24), fit, channels, background=99, white_level=white)
        own = {"HEIGHT": 16, "WIDTH": 24, "CHANNELS": channels, "FORM": form._asdict()}
        for name, value in own.items():
            monkeypatch.setattr(serve, name, value)
        for file in GOOD:
            path.write_bytes(file)
            expected = read(path, form).pixels[np.newaxis].astype(np.float32) / 255
            np.testing.assert_array_equal(serve.prepare(file), expected)


def test_server_asks_for_a_class_where_the_model_knows_some(
    vae_run, conditional_run, conditional, gan_run, monkeypatch
):
    serve = _serve(conditional_run, monkeypatch)
    latents = conditional.encode(serve.prepare(GOOD[1]), [3]).mean[0]
    np.testing.assert_allclose(serve.score(GOOD[1], "3")["latents"], latents, 1e-4)
    sheet = np.asarray(Image.open(io.BytesIO(serve.samples(2, 1, "3").body)))
    drawn = serve.model.sample(4, [0, 1], [3] * 4)["images"][2, ..., 0]
    np.testing.assert_array_equal(sheet[28:, :28], np.rint(255 * drawn))
    for run, label in [(conditional_run, None), (conditional_run, "10"), (vae_run, "3")]:
        with pytest.raises(fastapi.HTTPException, match="422: label="):
            _serve(run, monkeypatch).score(GOOD[1], label)
    with pytest.raises(SystemExit, match="no VAE of a finished run"):
        _serve(gan_run, monkeypatch)


@pytest.fixture
def server(vae_run):
    """The server in a process, by the command of the documentation, at a free port."""
    (command,) = re.findall(r"^    (uvicorn .*)$", SERVING, re.MULTILINE)
    command = [sys.executable, "-m", *shlex.split(command), "--port=0", "--no-access-log"]
    env = {**os.environ, "MODEL": str(vae_run.saved_model)}
    with subprocess.Popen(
        command, cwd=PROJECT, env=env, stderr=subprocess.PIPE, text=True
    ) as process:
        ports = (re.search(r"running on http://.*:(\d+)", line) for line in process.stderr)
        process.port = next(int(port[1]) for port in ports if port)
        yield process
        process.terminate()
        assert "Traceback" not in process.stderr.read()


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")
def test_server_answers_all_beside_malformed_requests_and_its_memory_stays(
    server, vae_run, vae, monkeypatch
):
    paths = re.findall(r'http://127.0.0.1:8000(/[^"\s]+)', SERVING)
    bodies = [(BAD, *2 * [GOOD])[i % 3][i // 3 % (11, 4, 4)[i % 3]] for i in range(2000)]
    own, memory = threading.local(), []

    def ask(method, path, body=None):
        if not hasattr(own, "connection"):
            own.connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
        own.connection.request(method, path, body)
        answer = own.connection.getresponse()
        return answer.status, answer.read()

    with concurrent.futures.ThreadPoolExecutor(16) as threads:
        for part in (bodies[:400], bodies):
            answers = list(threads.map(lambda body: ask("POST", paths[0], body), part))
            status = Path(f"/proc/{server.pid}/status").read_text(encoding="utf-8")
            memory.append(int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) / 1024)
    assert memory[1] - memory[0] < 16  # megabytes

    images = np.concatenate([_serve(vae_run, monkeypatch).prepare(file) for file in GOOD])
    latents, usual = vae.encode(images).mean, vae.anomaly(images)
    for body, (status, text) in zip(bodies, answers, strict=True):
        if body in GOOD:
            found, number = json.loads(text), GOOD.index(body)
            np.testing.assert_allclose(found["latents"], latents[number], 1e-4, 1e-5)
            assert found["score"] == pytest.approx(usual.score[number], rel=1e-4)
            assert found["p_value"] == pytest.approx(usual.p_value[number])
        else:
            assert 400 <= status < 500 and len(text.splitlines()) == 1 and len(text) < 200

    (status, sheet), again, other = (ask("GET", path) for path in (*2 * [paths[1]], "/samples"))
    assert status == 200 and again[1] == sheet != other[1]
    assert Image.open(io.BytesIO(sheet)).size == (112, 112)
    wrong = ["side=0", "side=11", "side=x", "seed=NaN", "seed=-1", "label=3"]
    assert [ask("GET", f"/samples?{each}")[0] for each in wrong] == 6 * [422]
    with socket.create_connection(("127.0.0.1", server.port)) as client:  # which breaks off
        client.sendall(b"POST /score HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nabc")
    assert ask("POST", paths[0], GOOD[0])[0] == 200 and ask("GET", "/")[0] == 404

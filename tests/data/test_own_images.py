import numpy as np
import pytest
from folder_helpers import expand, save_all
from helpers import run_script, tiny_cvae, weights_of

from cvae_tf.core.errors import UserError
from cvae_tf.data import batches
from cvae_tf.data.loading import load_dataset
from cvae_tf.data.picture_store import MappedImages
from cvae_tf.data.settings import ReadingSettings
from cvae_tf.training import trainer


def test_sizes_are_height_and_width_and_others_refused_by_name_in_one_line():
    sizes = {None: None, "64": (64, 64), 64: (64, 64), "64x48": (64, 48), "8X256": (8, 256)}
    for text, size in sizes.items():
        assert ReadingSettings(image_size=text).height_and_width == size
    for size in ("7", "1025", "64x48x3", "", "-64", "6.4", "٦٤", "a\n", "9" * 5000):
        with pytest.raises(UserError, match="^--image_size=.*must be a side such as 64, .*$"):
            ReadingSettings(image_size=size)
    with pytest.raises(UserError, match="--channels=2: must be 1"):
        ReadingSettings(channels=2)


def test_streamed_training_is_that_from_memory_to_the_last_bit(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setattr(batches, "_PART_BYTES", 2 * 4 * 6 * 6)  # two steps
    monkeypatch.setattr(trainer, "_EVALUATION_BATCH", 4)
    names = [f"{'train' if number < 22 else 'test'}/{number}.png" for number in range(34)]
    save_all(tmp_path / "pictures", names, height=6, width=6)
    found = []
    for cache_mb, kind in ((None, np.ndarray), (0, MappedImages)):
        dataset = load_dataset(data_path=tmp_path / "pictures", cache_mb=cache_mb)
        assert isinstance(dataset.train.images, kind)
        model = tiny_cvae()
        epochs = trainer.Trainer(model, dataset, 4).run_epochs(2)
        rows = [(epoch.train, epoch.test) for epoch in epochs]
        found.append((rows, [weight.tobytes() for weight in weights_of(model)]))
    assert found[0] == found[1]


@pytest.mark.slow
def test_script_trains_on_a_folder_of_colours(tmp_path):
    names = expand("{cat,dog}/{0,1,2,3,4,5,6,7,8,9}.png")
    save_all(tmp_path / "animals", names, height=12, width=12, channels=3)
    small = ["--epochs=1", "--latent_dim=2", "--network=mlp", "--hidden=8"]
    done = run_script("train.py", "--data_path=animals", *small, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    for said in ("20 pictures of 2 classes", "photo, because the images have colours", "bits/dim"):
        assert said in done.stdout

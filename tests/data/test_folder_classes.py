"""Which files are pictures; which folders are splits, classes, masks; what is unclear is said."""

import os
import re
import unicodedata
from unittest.mock import Mock

import pytest
from folder_helpers import expand, listing_of, pixels_of, save, save_all

from cvae_tf.core.errors import UserError
from cvae_tf.data.folder import (
    TEST,
    TRAIN,
    find_splits,
    list_pictures,
    read_classes,
    without_masks,
)
from cvae_tf.data.pictures import ReadingSettings

# Of names side by side those [for training] and those (for testing); or none.
NAMES = """
[Training] (Testing) | [training_set] (test_set) | [train] (eval) | [trn] (tst) | [train] (dev)
[Train_Data] (Val-Data) | [train2017] (val2017) | [TrainSet] (HeldOut) | [trainset] (testset)
[train80] (test20) | [training.samples] (validation.samples) | [imagesTr] (imagesTs)
[my-photos-for-training] (tests) | [TRAINset] (val) | [a. Training] (b. Testing)
[train] valid (test) | [train] trainval val (test) | [train] train_aug (test) | [Train] [train]
[seg_train] (seg_test) seg_pred | [train_images] train_masks (test_images) test_masks
[train1] [train2] (test) | [train] (test) plane | [training] (testing) plane | train car bus
trains tests | test val | tr te de | кошка собака | train contest | traintest test
train_station test_tube | train_cat test_cat train_dog test_dog | [trainA] [trainB] (testA) (testB)
"""


@pytest.mark.parametrize("marked", NAMES.strip().replace(" | ", "\n").splitlines())
def test_splits_are_known_by_words_and_the_first_of_several_is_taken(marked):
    sides = {"[": TRAIN, "(": TEST}
    names = re.findall(r"\[.*?\]|\(.*?\)|\S+", marked)
    wanted = {name[1:-1].encode(): sides[name[0]] for name in names if name[0] in sides}
    assert find_splits([name.strip("[()]").encode() for name in names]) == wanted


# Pictures for training, those for testing, and the folders that are said to be these splits; the
# names of classes are marked.
LAYOUTS = """
Training/<{a,b}>/1.png                     | Testing/<{a,b}>/1.png              | Training Testing
Train/<{cat,dog}>/1.png                    | VALID/<{cat,eel}>/1.png            | Train VALID
training_set/training_set/<{a,b}>/1.png | test_set/test_set/<{a,b}>/1.png | training_set test_set
data/chest/train/<{a,b}>/1.png | data/chest/test/<a>/1.png | data/chest/train data/chest/test
train/<{a,b}>/1.png                        | test/all/<{a,b}>/1.png             | train test
train/<good>/1.png                         | test/<bad>/1.png                   | train test
<{cat,dog}>/train/1.png                    | <{cat,dog}>/test/1.png             | */train */test
images/train/{1,2}.png                     | images/val/{1,2}.png     | images/train images/val
train_birds/<{a,b}>/1.png                  | test/<{a,b}>/1.png                 | train_birds test
train/<e\u0301>/1.png train/<f>/1.png      | test/<\u00e9>/2.png                | train test
{a,b}.png
<cat>/1.png <cat>/old/2.png <dog>/3.png <ant>/x/y/4.png
<{cat,dog}>/images/1.png
<e\u0301>/1.png <f>/1.png <\u00e9>/2.png
<猫>/1.png <A>/1.png <a>/1.png
"""


@pytest.mark.parametrize("line", LAYOUTS.strip().splitlines())
def test_layouts(line, capsys):
    train, test, how = (*line.split("|"), "", "")[:3]
    listing = listing_of(re.sub("[<>]", "", f"{train} {test}"))
    classes = read_classes(listing)
    wanted = {}
    for split, part in ((TRAIN, train), (TEST, test)):
        for text in expand(part):
            name = re.search("<(.*)>", text)
            name = name and unicodedata.normalize("NFC", name[1])
            wanted[os.fsencode(re.sub("[<>]", "", text))] = split if how else None, name
    names = sorted({name for _, name in wanted.values() if name})
    assert classes.names == (tuple(names) or None)
    nothing = [None] * len(listing.paths)
    splits = nothing if classes.splits is None else classes.splits.tolist()
    labels = nothing if classes.labels is None else [names[label] for label in classes.labels]
    found = dict(zip(listing.paths, zip(splits, labels, strict=True), strict=True))
    assert found == wanted
    said = "{}/ for training, {}/ for testing".format(*how.split()) if how else None
    assert classes.how == said and capsys.readouterr().err == ""


WARNINGS = """
cat/1.png dog/2.png 3.png | 3.png is in no folder of a class, so there are no classes
train/{a,b}/images/1.png val/images/1.png | val/images/1.png is in no folder of a class, so there
{cat,dog}/{train,test,val}/1.png | 2 of 6 pictures are left out (cat/val, dog/val), because there
{train,test}/a/1.png val/{1,2}.png cover.png | 3 of 5 pictures are left out (cover.png, val),
{cat,dog}/{train,test,plane}/1.png | cat/test, cat/train seem to be for training and for testing
fold_{1,2}/{train,test}/{a,b}/1.png | fold_1/test, fold_1/train seem to be for training and for
{a,c}/1.png b/ masks/ | No pictures are in b; such classes are left out.
{train,test}/{a,c}/1.png {train,test}/b/ test/c/ | No pictures are in b; such
{1,2}.png notes/ |
"""


@pytest.mark.parametrize("line", WARNINGS.strip().splitlines())
def test_what_is_not_clear_is_said(line, capsys):
    pictures, warning = map(str.strip, line.split("|"))
    classes = read_classes(listing_of(pictures))
    warned = capsys.readouterr().err
    assert warned.startswith("warning: ") and warning in warned if warning else warned == ""
    assert "no classes" not in warning or classes.labels is classes.names is None


# Pictures, and the folders of masks among them
MASKS = {
    "{images,masks}/{1,2}.png": "masks",
    "train/{ab,cd}_1.jpg train_masks/{ab,cd}_1_mask.gif": "train_masks",
    "{train,val}/{images,segm}/{1,2}.png": "train/segm val/segm",
    "{train/good,test/bad}/1.png ground_truth/bad/1_mask.png": "ground_truth",
    "JPEGImages/1.jpg Segmentation{Class,Object}/1.png": "SegmentationClass SegmentationObject",
    "{mask,no_mask}/{1,2}.png": "",
}


@pytest.mark.parametrize(("pictures", "masks"), MASKS.items())
def test_masks_beside_pictures_are_left_out_and_that_is_said(pictures, masks, capsys):
    paths, masks = listing_of(pictures).paths, masks.split()
    folders = tuple(f"{folder}/".encode() for folder in masks)
    wanted = [path for path in paths if not path.startswith(folders)]
    listing = without_masks(listing_of(pictures))
    assert listing.paths == wanted and len(listing.facts) == len(wanted)
    said = f"warning: {len(paths) - len(wanted)} files in {', '.join(masks)} are masks of the "
    warned = capsys.readouterr().err
    assert warned.startswith(said) if masks else warned == ""


def _names(root):
    return [os.fsdecode(path) for path in list_pictures(root).paths]


def test_pictures_are_found_by_suffix_or_content_in_the_order_of_bytes(tmp_path):
    names = ["a.png", "a/z.JPG", "a-b/c.webp", "B.Gif", "b.png", "猫.png", "x\ny.png", "\udcff.png"]
    save_all(tmp_path, names)
    for suffix in ("png", "jpg", "gif", "bmp", "tif", "webp"):
        save(tmp_path / f"of.{suffix}", pixels_of(0)).rename(tmp_path / f"of_{suffix}")
        names.append(f"of_{suffix}")
    (tmp_path / "empty/er").mkdir(parents=True)
    os.mkfifo(tmp_path / "pipe.png")
    for name in (".hidden.png", ".git/a.png", "__MACOSX/a.png", "Thumbs.db", "a/desktop.ini"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"\x89PNG")
    for name in ("text.png", "BMW.txt"):
        (tmp_path / name).write_text("BMW brochures are texts.")
    assert _names(tmp_path) == sorted([*names, "text.png"], key=os.fsencode)
    assert list_pictures(tmp_path).folders == [b"a-b", b"a", b"empty", b"empty/er"]


def test_links_are_followed_but_not_round_in_circles(tmp_path):
    save_all(tmp_path, ["elsewhere/1.png", "root/a/b/2.png"])
    links = {"one.png": "../elsewhere/1.png", "one": "../elsewhere", "two": "../elsewhere",
             "broken.png": "nowhere.png", "broken.txt": "nowhere.txt", "a/b/up": "../..",
             "a/b/here": ".", "a/self": "self", "a/over": "../.."}  # fmt: skip
    for name, target in links.items():
        (tmp_path / "root" / name).symlink_to(target)
    wanted = ["a/b/2.png", "a/over/elsewhere/1.png", "broken.png", "one.png", "one/1.png"]
    assert _names(tmp_path / "root") == [*wanted, "two/1.png"]


def test_folder_that_cannot_be_read_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "scandir", Mock(side_effect=PermissionError(13, "Permission denied")))
    with pytest.raises(UserError, match=rf"{tmp_path}: cannot be read \(Permission denied\)"):
        list_pictures(tmp_path)


def test_fingerprint_is_of_names_times_and_settings(tmp_path):
    def known(**settings):
        return list_pictures(tmp_path).fingerprint(ReadingSettings(**settings))

    save_all(tmp_path, ["a.png", "b.png"])
    seen = [known(), known(image_size="64"), known(image_size="64", fit="pad"), known(channels=3),
            known(background=9), known(white_level="9"), known(pages="all")]  # fmt: skip
    os.utime(tmp_path / "a.png", ns=(0, 1))
    seen.append(known())
    (tmp_path / "b.png").rename(tmp_path / "c.png")
    seen.append(known())
    assert len(set(seen)) == len(seen) and known() == seen[-1] == known(skip_bad=True)


NO_PICTURES = {
    "": "WebP files.",
    "a.HEIC a/b.heic 1.dcm {a,b}/y.csv x.nii.gz z.tar.gz z.tiffs LICENSE .x Thumbs.db": ", but "
    "2 .csv, 2 .gz, 2 .heic, 1 without a suffix, 1 .dcm and 1 more. Unpack the archives.",
    "a/{1.dcm,2.heic}": ", but 1 .dcm, 1 .heic. If they are pictures, make them PNG or JPEG.",
    "mine.npz": ", but 1 .npz. Give a file of arrays itself to --data_path.",
}


@pytest.mark.parametrize(("others", "text"), NO_PICTURES.items())
def test_other_files_are_counted_and_a_folder_without_pictures_is_refused(tmp_path, others, text):
    for name in expand(others):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    with pytest.raises(UserError, match=f"^{tmp_path}: holds no pictures, such as PNG") as caught:
        list_pictures(tmp_path)
    assert str(caught.value).endswith(text) and "\n" not in str(caught.value)

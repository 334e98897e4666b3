import os

import pytest
from folder_helpers import expand, listing_of

from cvae_tf.data.masks import without_masks

LEFT_OUT = {
    "same names": ("{images,masks}/{1,2}.png", "masks"),
    "other suffixes and words": ("imgs/img_{1,2}.jpg labels/label_{1,2}.png", "labels"),
    "words behind": ("train/{ab,cd}_1.jpg train_masks/{ab,cd}_1_mask.gif", "train_masks"),
    "in splits": ("{train,val}/{images,segm}/{1,2}.png", "train/segm val/segm"),
    "splits within": ("{images,gt}/{train,val}/{1,2}.png", "gt"),
    "side by side": ("{train,test}_{images,masks}/1.png", "train_masks test_masks"),
    "kinds of masks": ("x/{JPEGImages,SegmentationClass}/{1,2}.png", "x/SegmentationClass"),
    "ground truth": ("{train/good,test/bad}/1.png ground_truth/bad/1_mask.png", "ground_truth"),
    "in pairs, with other names": ("{id1,id2}/{images/1,masks/{x,y}}.png", "id1/masks id2/masks"),
}  # fmt: skip


@pytest.mark.parametrize(("pictures", "masks"), LEFT_OUT.values(), ids=LEFT_OUT)
def test_masks_beside_pictures_are_left_out_and_that_is_said(pictures, masks, capsys):
    listing = without_masks(listing_of(pictures))
    masks = sorted(masks.split())
    wanted = [name for name in expand(pictures) if not any(name.startswith(f"{m}/") for m in masks)]
    assert listing.paths == sorted(map(os.fsencode, wanted)) and len(listing.facts) == len(wanted)
    count = len(expand(pictures)) - len(wanted)
    assert capsys.readouterr().err == (
        f"warning: {count} files in {', '.join(masks)} are masks of the pictures beside them, and "
        f"are left out. To learn from masks, give --data_path=data/{masks[0]}.\n"
    )


@pytest.mark.parametrize(
    "pictures",
    [
        "masks/{1,2}.png",
        "images/{1,2}.png masks/{3,4}.png",
        "{mask,no_mask}/{1,2}.png",
        "{with_mask,without_mask}/{1,2}.png",
        "{bottle,label}/{1,2}.png",
        "seg_{train,test}/{1,2}.png",
    ],
)
def test_classes_that_are_called_so_stay(pictures, capsys):
    listing = listing_of(pictures)
    assert without_masks(listing).paths == listing.paths and capsys.readouterr().err == ""

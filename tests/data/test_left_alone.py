import pytest
from folder_helpers import listing_of, save_all

from cvae_tf.core.errors import UserError
from cvae_tf.data import left_alone
from cvae_tf.data.folder_listing import list_pictures


def test_files_are_counted_by_suffix(tmp_path):
    save_all(tmp_path, ["a/1.png"])
    names = ["a.HEIC", "a/b.heic", "x.csv", "y.nii.gz", "z.tar.gz", "LICENSE", "Dr. No and so on"]
    for name in [*names, ".hidden", "Thumbs.db", "v1.2.gz"]:
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "broken.csv").symlink_to("nowhere")
    found = left_alone.describe(list_pictures(tmp_path).left_alone)
    assert found == "2 without a suffix, 2 .heic, 1 .csv, 1 .gz, 1 .nii.gz and 1 more"
    assert left_alone.describe([]) == ""


def test_names_of_the_first_files_are_kept(tmp_path):
    (tmp_path / "a").mkdir()
    for number in range(30):
        (tmp_path / f"a/{number:02}.csv").write_bytes(b"x")
    (files,) = list_pictures(tmp_path).left_alone
    assert files[:3] == (b"a", ".csv", 30)
    assert files.names == [f"{number:02}.csv".encode() for number in range(5)]


@pytest.mark.parametrize(
    ("others", "text"),
    [
        ("", "files."),
        ("{1,2}.heic", "but 2 .heic. To use them, convert .heic to PNG or JPEG."),
        ("a/{1.dcm,2.npy} x.txt", "convert .dcm, .npy to PNG or JPEG."),
        ("film.mp4", "but 1 .mp4. To use them, save the frames of .mp4 as PNG or JPEG."),
        ("all.zip", "but 1 .zip. To use them, unpack .zip."),
        ("mine.npz", "but 1 .npz. To use them, give the .npz itself to --data_path."),
        ("notes.txt", "but 1 .txt."),
    ],
)
def test_a_folder_without_pictures_is_refused_with_what_it_holds(others, text):
    with pytest.raises(UserError, match="^data: holds no pictures, such as PNG") as caught:
        left_alone.refuse_without_pictures(listing_of("", others))
    assert str(caught.value).endswith(text) and "\n" not in str(caught.value)


def test_pictures_that_are_not_read_are_warned_of(capsys):
    left_alone.warn_of_unread_pictures(listing_of("1.png", "{1,2}.heic 3.psd x.csv x.zip"))
    assert capsys.readouterr().err == (
        "warning: 2 .heic, 1 .psd cannot be read as pictures and are left alone; to use them, "
        "convert .heic, .psd to PNG or JPEG.\n"
    )
    left_alone.warn_of_unread_pictures(listing_of("1.png", "x.csv x.zip x.mp4"))
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("others", "named"),
    [
        ("train.csv", "train.csv"),
        ("README.txt annotations.json", "annotations.json"),
        ("images/metadata.jsonl", "images/metadata.jsonl"),
        ("labels/{1,2}.txt", "labels/1.txt and 1 more"),
        ("{train,val}.txt", "train.txt and 1 more"),
    ],
)
def test_tables_are_warned_of(others, named, capsys):
    left_alone.warn_of_tables(listing_of("images/1.png", others))
    assert capsys.readouterr().err == (
        f"warning: {named} may hold labels, but tables are not read: there are no labels. To have "
        "some, make a folder for each class.\n"
    )


def test_other_files_are_no_tables(capsys):
    left_alone.warn_of_tables(listing_of("images/1.png", "README.txt LICENSE 1.heic paper.pdf"))
    assert capsys.readouterr().err == ""

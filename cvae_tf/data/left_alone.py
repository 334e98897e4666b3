"""The files in a folder of pictures that are not read: how many there are, and what to do."""

from collections import Counter
from collections.abc import Iterable

from cvae_tf.core.errors import UserError
from cvae_tf.core.messages import warn
from cvae_tf.core.paths import listed, printable
from cvae_tf.data.folder_listing import LeftAlone, Listing
from cvae_tf.data.folder_names import tells_of_labels

_PICTURES = {
    *(".heic", ".heif", ".hif", ".jxl", ".jxr", ".svg", ".psd", ".psb", ".xcf", ".ai", ".eps"),
    *(".raw", ".cr2", ".cr3", ".crw", ".nef", ".arw", ".dng", ".orf", ".rw2", ".raf", ".pef"),
    *(".srw", ".x3f", ".exr", ".hdr", ".tga", ".dds", ".pcx", ".pfm", ".fits", ".fts"),
    *(".dcm", ".dicom", ".nii", ".nii.gz", ".mha", ".mhd", ".nrrd", ".npy", ".svs", ".ndpi"),
    *(".czi", ".nd2", ".lif", ".vsi", ".emf", ".wmf", ".sgi", ".xbm", ".xpm"),
}
_PAGES = {".pdf", ".djvu"}
_FILMS = {".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv", ".flv", ".3gp"}
_ARCHIVES = {".zip", ".tar", ".tar.gz", ".tgz", ".gz", ".bz2", ".xz", ".7z", ".rar", ".zst"}
_REMEDIES = (
    (_PICTURES, "convert {} to PNG or JPEG"),
    (_PAGES, "save the pages of {} as PNG or JPEG"),
    (_FILMS, "save the frames of {} as PNG or JPEG"),
    (_ARCHIVES, "unpack {}"),
    ({".npz"}, "give the {} itself to --data_path"),
)
_TABLES = {
    *(".csv", ".tsv", ".json", ".jsonl", ".ndjson", ".xml", ".xls", ".xlsx", ".ods", ".parquet"),
    *(".feather", ".arrow", ".mat", ".pkl", ".pickle", ".h5", ".hdf5", ".db", ".sqlite", ".sql"),
}
_TEXTS = {".txt", ".lst", ".list", ".yaml", ".yml", ""}  # of which few are tables
_MOST_KINDS = 5  # named in a message


def describe(left_alone: Iterable[LeftAlone]) -> str:
    """Counts files by suffix, the most frequent first: "90 .heic, 3 .csv"; "" for none."""
    counts = _counts(left_alone)
    kinds = sorted(counts, key=lambda suffix: (-counts[suffix], suffix))
    named = [f"{counts[each]:,} {each or 'without a suffix'}" for each in kinds]
    others = sum(counts[each] for each in kinds[_MOST_KINDS:])
    return ", ".join(named[:_MOST_KINDS]) + (f" and {others:,} more" if others else "")


def refuse_without_pictures(listing: Listing) -> None:
    """Raises a UserError if there is nothing to read; it names what there is instead."""
    if listing.paths:
        return
    found = describe(listing.left_alone)
    remedies = [remedy for _, remedy in _remedies(listing.left_alone)]
    where = f"{printable(listing.root)}: holds no pictures, such as PNG, JPEG or WebP files"
    instead = f", but {found}" if found else ""
    what_to_do = f" To use them, {'; '.join(remedies)}." if remedies else ""
    raise UserError(f"{where}{instead}.{what_to_do}")


def warn_of_unread_pictures(listing: Listing) -> None:
    """Warns of files that seem to be pictures of a kind that is not read."""
    pictures = [each for each in listing.left_alone if each.suffix in _PICTURES]
    if pictures:
        found, (_, remedy) = describe(pictures), _remedies(pictures)[0]
        warn(f"{found} cannot be read as pictures and are left alone; to use them, {remedy}.")


def warn_of_tables(listing: Listing) -> None:
    """Warns of tables where the folders name no classes."""
    tables = [(each, name) for each in listing.left_alone if (name := _table_in(each))]
    if tables:
        folder, name = tables[0][0].folder, tables[0][1]
        count = sum(each.count for each, _ in tables)
        others = f" and {count - 1:,} more" if count > 1 else ""
        warn(
            f"{printable(folder + b'/' + name if folder else name)}{others} may hold labels, but "
            "tables are not read: there are no labels. To have some, make a folder for each class."
        )


def _table_in(files: LeftAlone) -> bytes | None:
    """The first of some files that may be a table of labels: by its suffix, or by what it says."""
    if files.suffix in _TABLES:
        return files.names[0]
    if files.suffix not in _TEXTS:
        return None
    folder = files.folder.rpartition(b"/")[2]
    return next((name for name in files.names if tells_of_labels(name, folder)), None)


def _remedies(left_alone: Iterable[LeftAlone]) -> list[tuple[set[str], str]]:
    """Which kinds of files can be made useful, and how."""
    counts, found = _counts(left_alone), []
    for kinds, remedy in _REMEDIES:
        if there := sorted(kinds & counts.keys()):
            found.append((kinds, remedy.format(listed(there))))
    return found


def _counts(left_alone: Iterable[LeftAlone]) -> Counter:
    counts = Counter()
    for files in left_alone:
        counts[files.suffix] += files.count
    return counts

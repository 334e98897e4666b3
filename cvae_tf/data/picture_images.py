"""Images that are decoded from the pictures of a folder each time they are asked for."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from cvae_tf.core.errors import LostImagesError
from cvae_tf.core.threads import count_cores
from cvae_tf.data.folder_listing import Listing, printable
from cvae_tf.data.pictures import BadPictureError, Form, read_picture
from cvae_tf.data.stored_images import StoredImages


class PictureImages(StoredImages):
    """Images in picture files, as an array that is never in memory as a whole.

    It gives what `disk_images.DiskImages` gives, where there is no room for a flat file.
    """

    def __init__(
        self, listing: Listing, numbers: np.ndarray, form: Form, image_shape: tuple[int, int, int]
    ):
        """Keeps which pictures these are.

        Args:
            listing: the pictures of a folder.
            numbers: int [N], which of them these are.
            form: of their pixels.
            image_shape: height, width and channels of each image.
        """
        super().__init__(numbers, image_shape)
        self._listing, self._form = listing, form

    def _fill(self, places: np.ndarray, rows: np.ndarray) -> None:
        """Decodes pictures, several at a time."""
        workers = count_cores()

        def read_some(worker: int) -> None:
            for place in range(worker, len(places), workers):
                places[place] = self._read(int(rows[place]))

        if len(places) < workers:
            workers = 1
            read_some(0)
        else:
            with ThreadPoolExecutor(workers) as pool:
                list(pool.map(read_some, range(workers)))

    def _read(self, number: int) -> np.ndarray:
        path = self._listing.full_path(number)
        try:
            picture = read_picture(path, self._form, self._listing.page(number))
        except BadPictureError as error:
            raise LostImagesError(
                f"{printable(path)}: cannot be read any more ({error})."
            ) from error
        if picture.shape != self.shape[1:] or self._listing.has_changed(number):
            raise LostImagesError(
                f"{printable(path)}: the picture has become another one; start again."
            )
        return picture

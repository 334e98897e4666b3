"""Images that are decoded from the pictures of a folder each time they are asked for."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from cvae_tf.core.errors import LostImagesError
from cvae_tf.core.threads import count_cores
from cvae_tf.data.folder_listing import Listing, printable
from cvae_tf.data.pictures import BadPictureError, Form, read_picture
from cvae_tf.data.safe_npz import aligned_empty


class PictureImages:
    """Images in picture files, as an array that is never in memory as a whole.

    It gives what `disk_images.DiskImages` gives, where there is no room for a flat file.
    """

    dtype = np.dtype(np.uint8)

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
        self._listing, self._numbers, self._form = listing, numbers, form
        self.shape = (len(numbers), *image_shape)

    def __len__(self) -> int:
        """N, the number of images."""
        return self.shape[0]

    def __getitem__(self, index: slice | np.ndarray) -> np.ndarray:
        """Decodes images, several at a time.

        Args:
            index: a slice, or int [B], the numbers of images.

        Returns:
            uint8 [B, H, W, C].

        Raises:
            LostImagesError: naming a file that cannot be read any more, or has become another one.
        """
        numbers = self._numbers[index]
        shape = (*numbers.shape, *self.shape[1:])
        images = aligned_empty(int(np.prod(shape))).reshape(shape)
        places, numbers = images.reshape(-1, *self.shape[1:]), numbers.reshape(-1)
        workers = count_cores()

        def read_some(worker: int) -> None:
            for place in range(worker, len(places), workers):
                places[place] = self._read(int(numbers[place]))

        if len(places) < workers:
            workers = 1
            read_some(0)
        else:
            with ThreadPoolExecutor(workers) as pool:
                list(pool.map(read_some, range(workers)))
        return images

    def _read(self, number: int) -> np.ndarray:
        path = self._listing.full_path(number)
        try:
            picture = read_picture(path, self._form)
        except BadPictureError as error:
            raise LostImagesError(
                f"{printable(path)}: cannot be read any more ({error})."
            ) from error
        if picture.shape != self.shape[1:] or self._listing.has_changed(number):
            raise LostImagesError(
                f"{printable(path)}: the picture has become another one; start again."
            )
        return picture

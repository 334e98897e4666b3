"""What images on the disk have in common: they look like an array, and are read in parts."""

import numpy as np

from cvae_tf.data.safe_npz import aligned_empty


class StoredImages:
    """Images that are never in memory as a whole; a subclass reads some of them."""

    dtype = np.dtype(np.uint8)

    def __init__(self, rows: np.ndarray, image_shape: tuple[int, int, int]):
        """Keeps which images these are.

        Args:
            rows: int [N], their numbers where they are stored.
            image_shape: height, width and channels of each.
        """
        self._rows = rows
        self.shape = (len(rows), *image_shape)

    def __len__(self) -> int:
        """N, the number of images."""
        return self.shape[0]

    def __getitem__(self, index: slice | np.ndarray) -> np.ndarray:
        """Reads images.

        Args:
            index: a slice, or int [B], the numbers of images.

        Returns:
            uint8 [B, H, W, C].

        Raises:
            LostImagesError: if they cannot be read any more.
        """
        rows = self._rows[index]
        image_shape = self.shape[1:]
        images = aligned_empty(rows.size * int(np.prod(image_shape)))
        images = images.reshape(*rows.shape, *image_shape)
        self._fill(images.reshape(rows.size, *image_shape), rows.reshape(-1))
        return images

    def _fill(self, places: np.ndarray, rows: np.ndarray) -> None:
        """Reads the images of rows, int [B], into their places, uint8 [B, H, W, C]."""
        raise NotImplementedError

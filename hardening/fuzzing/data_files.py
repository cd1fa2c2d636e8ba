"""Data sets as they are distributed, and folders of images: mutated, outside and inside."""

import gzip
import pickle
import platform
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np

from hardening import distributed as made
from hardening.fuzzing.arrays import Canary
from hardening.fuzzing.mutation import mutated_bytes
from hardening.fuzzing.pictures import make_pictures
from hardening.fuzzing.worker import Place, command

START = tuple(range(0, 64, 4))
Files = dict[str, bytes]


def small(channels: int = 1) -> dict[str, np.ndarray]:
    """Return ten training and five test images."""
    whole = made.arrays(28 if channels == 1 else 32, channels)
    return {key: array[: 10 if "train" in key else 5] for key, array in whole.items()}


class DataFiles:
    """Mutated files of one format, read by the path of a file or folder."""

    def make(self) -> list[Files]:
        """Return right data sets, each as its files."""
        raise NotImplementedError

    def wrap(self, files: Files, chance: random.Random) -> Files:
        """Return the files of a case as they lie on the disk."""
        return files

    def prepare(self, seeds: Path) -> None:
        """Make them."""
        platform.processor()  # starts a process, once, when a result names what computed it
        self.sets = self.make()

    def run(self, chance: random.Random, place: Place) -> None:
        """Use one."""
        files = dict(chance.choice(self.sets))
        victim = chance.choice(sorted(files))
        files[victim] = self.mutated(files[victim], chance)
        if chance.random() < 0.1:
            other = chance.choice(sorted(files))
            files[other], files[victim] = files[victim], files[other]
        wrapped = self.wrap(files, chance)
        if chance.random() < 0.2:  # what is around them
            victim = chance.choice(sorted(wrapped))
            wrapped[victim] = mutated_bytes(wrapped[victim], chance, (0, 4, 100, 148, 257, 500))
        made.write(place.inputs / "set", wrapped)
        path = place.inputs / "set" / chance.choice(sorted(wrapped))
        self.use(str(path if chance.random() < 0.5 else path.parent), chance)

    def mutated(self, content: bytes, chance: random.Random) -> bytes:
        """Return a file with bytes changed."""
        return mutated_bytes(content, chance, START)

    def use(self, path: str, chance: random.Random) -> None:
        """Load the data set, or score a network on it."""
        if chance.random() < 0.1:
            command("evaluate", "--model", "lenet5", "--weights", "mnist", "--dataset", path)
            return
        from modelzoo.data.datasets import load_dataset

        data = load_dataset(path, image_shape=chance.choice((None, (28, 28, 1))))
        assert len(data.x_train) == len(data.y_train) and len(data.x_test) == len(data.y_test)
        assert max(data.y_train.max(), data.y_test.max()) < len(data.class_names)
        assert data.x_train[:].dtype == np.uint8


class IdxFiles(DataFiles):
    """LeCun's format, gzipped or not."""

    def make(self) -> list[Files]:
        """Return sets of four files."""
        floats = {
            f"{key}": made.idx(array.astype(">f4"), 13) if key[0] == "x" else made.idx(array)
            for key, array in small().items()
        }
        return [made.idx_files(small()), made.idx_files(small(), "emnist-letters-"), floats]

    def wrap(self, files: Files, chance: random.Random) -> Files:
        """Return them as they are, gzipped, or in a zip."""
        if chance.random() < 0.5:
            files = {f"{name}.gz": gzip.compress(content) for name, content in files.items()}
        return files if chance.random() < 0.8 else {"all.zip": made.zipped(files)}


class Tables(DataFiles):
    """A label and pixels in a row."""

    def make(self) -> list[Files]:
        """Return a table for each split."""
        data = small()
        sets = []
        for header in (True, False):
            parts = ("train", "test")
            sets.append(
                {
                    f"{part}.csv": made.table(data[f"x_{part}"], data[f"y_{part}"], header=header)
                    for part in parts
                }
            )
        return sets

    def mutated(self, content: bytes, chance: random.Random) -> bytes:
        """Return a table with bytes, or with a cell, changed."""
        if chance.random() < 0.5:
            return super().mutated(content, chance)
        cells = content.split(b",")
        cells[chance.randrange(len(cells))] = chance.choice(
            (b"", b"nan", b"inf", b"-1", b"1e300", b"256", b'"', b"\n", b"\0", b"#", b"0x1", b"1_0")
        )
        return b",".join(cells)

    def wrap(self, files: Files, chance: random.Random) -> Files:
        """Return them as they are, or in a zip."""
        return files if chance.random() < 0.8 else {"archive.zip": made.zipped(files)}


class CifarFiles(DataFiles):
    """CIFAR's archives, binary and pickled."""

    def make(self) -> list[Files]:
        """Return the members of archives."""
        data, names = small(3), [b"a%d" % number for number in range(10)]
        pickled = [
            made.cifar_python(data, names, fine=fine, protocol=protocol)
            for fine, protocol in ((False, 2), (False, 4), (True, 3))
        ]
        return [made.cifar_binary(data), made.cifar_binary(data, fine=True), *pickled, *pickled]

    def mutated(self, content: bytes, chance: random.Random) -> bytes:
        """Return a member changed, or with code in it."""
        if chance.random() < 0.1:
            return pickle.dumps({b"data": Canary(), b"labels": [0]}, chance.choice((2, 4)))
        return super().mutated(content, chance)

    def wrap(self, files: Files, chance: random.Random) -> Files:
        """Return an archive, or its members unpacked."""
        if chance.random() < 0.3:
            return files
        if chance.random() < 0.1:
            files = {f"../../{name}": content for name, content in files.items()}
        mode = chance.choice(("w", "w:gz"))
        return {f"cifar.tar{'.gz' if mode == 'w:gz' else ''}": made.tar(files, mode)}


class MatFiles(DataFiles):
    """MATLAB's format, as of EMNIST and SVHN."""

    def make(self) -> list[Files]:
        """Return files of both."""
        grey, colour = small(), small(3)
        write: Callable[..., bytes] = made.matlab
        sets = [{"a.mat": write(made.emnist(grey, 1), compress=each)} for each in (True, False)]
        for compress in (True, False):
            sets.append(
                {
                    f"{part}_32x32.mat": write(
                        made.svhn(colour[f"x_{part}"], colour[f"y_{part}"]), compress=compress
                    )
                    for part in ("train", "test")
                }
            )
        return sets

    def mutated(self, content: bytes, chance: random.Random) -> bytes:
        """Return a file changed in its tags above all."""
        return mutated_bytes(content, chance, (*range(120, 400, 8), 128, 136))


class ImageFolders(DataFiles):
    """Folders in many layouts, with images that are damaged, and tables that are."""

    def make(self) -> list[Files]:
        """Return folders."""
        pictures = make_pictures()
        images = [pictures[name] for name in ("rgb.png", "l.jpg", "rgb.jpg", "rgb.bmp", "p.gif")]
        flat = {
            f"{name}.{n}.png": image for name in ("cat", "dog") for n, image in enumerate(images)
        }
        classes = {name.replace(".", "/", 1): image for name, image in flat.items()}
        splits = {
            f"{split}/{name}": image
            for split in ("train", "valid", "test_set")
            for name, image in classes.items()
        }
        rows = [f"{name},{name[:3]}" for name in flat]
        labelled = flat | {"labels.csv": "\n".join(["file,label", *rows]).encode()}
        return [flat, classes, splits, labelled, labelled]

    def use(self, path: str, chance: random.Random) -> None:
        """Check it, or load it, also without its bad images."""
        folder = path if Path(path).is_dir() else str(Path(path).parents[1])
        if chance.random() < 0.3:
            command("check", folder, *(["--json"] if chance.random() < 0.5 else []))
            return
        from modelzoo.data.checking import usable
        from modelzoo.data.datasets import load_dataset

        skip = chance.random() < 0.5
        data = load_dataset(
            f"folder:{folder}",
            image_shape=(16, 16, 3),
            check=lambda found: usable(found, skip=skip),
        )
        for images, labels in ((data.x_train, data.y_train), (data.x_test, data.y_test)):
            assert images[0 : len(images)].shape == (len(labels), 16, 16, 3)

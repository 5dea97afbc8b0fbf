"""torchgeo ``So2Sat`` in a torch DataLoader: ``load_torchgeo.py RAW PATTERN`` (see ``loading.py``).

Run by a Python of its own, with ``requirements-torchgeo.txt``. The released class, ``checksum=False``, its
own sets of bands, batches of 256 by the default collate function.
"""

from loading import BATCH, arguments_of, declare_operators, finish, timed
from report import report

PATTERNS = {"sequential": False, "shuffled": True}


def main():
    arguments = arguments_of(PATTERNS)
    operators = declare_operators()
    from torch.utils.data import DataLoader
    from torchgeo.datasets import So2Sat

    data = So2Sat(arguments.place, bands=So2Sat.BAND_SETS[arguments.bands], checksum=False)
    loader = DataLoader(
        data,
        batch_size=BATCH,
        shuffle=PATTERNS[arguments.pattern],
        num_workers=arguments.workers,
        persistent_workers=arguments.workers > 0,
    )
    report(lambda: timed(lambda: loader, arguments.seconds), ("torchgeo", "torch", "h5py", "numpy"))
    del operators
    finish()


if __name__ == "__main__":
    main()

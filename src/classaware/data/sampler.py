"""An endless stream of training samples in which every position is known in advance."""

from collections.abc import Callable, Iterator

import torch
from torch.utils.data import Sampler

from classaware.data.hashing import derive

Place = tuple[int, int]


class StepSampler(Sampler[list[Place]]):
    """Batches of (index, position): position p is the p % n-th of the permutation number p // n.

    Permutations depend on the seed and their number alone, so a run that starts at batch s sees what the whole run
    would have seen from there. ``start`` is asked when iteration begins: a resumed trainer knows it only then.

    Args:
        num_samples: n.
        batch_size: samples of one process in a batch.
        num_batches: length of the run.
        seed: of the permutations.
        start: how many batches are done already.
        rank: of this process; the processes share the stream position by position.
        world_size: number of processes.
    """

    def __init__(
        self,
        num_samples: int,
        batch_size: int,
        num_batches: int,
        seed: int,
        start: Callable[[], int],
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        self.num_samples = num_samples
        self.batch_size = batch_size
        self.num_batches = num_batches
        self.seed = seed
        self.start = start
        self.rank = rank
        self.world_size = world_size

    def __len__(self) -> int:
        return self.num_batches

    def __iter__(self) -> Iterator[list[Place]]:
        number, permutation = -1, torch.empty(0)
        for batch in range(self.start(), self.num_batches):
            places = []
            for i in range(self.batch_size):
                position = (batch * self.batch_size + i) * self.world_size + self.rank
                if position // self.num_samples != number:
                    number = position // self.num_samples
                    generator = torch.Generator().manual_seed(derive(self.seed, number) >> 1)
                    permutation = torch.randperm(self.num_samples, generator=generator)
                places.append((int(permutation[position % self.num_samples]), position))
            yield places

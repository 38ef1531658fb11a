"""The ring buffers against deques."""

from collections import deque

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from classaware.rivals.memory import ClassMemory


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 4), st.integers(1, 5), st.lists(st.integers(1, 25), max_size=6))
def test_equals_a_deque_of_each_class(seed: int, classes: int, size: int, pushes: list[int]) -> None:
    generator = torch.Generator().manual_seed(seed)
    memory = ClassMemory(classes, size, 3)
    queues: list[deque[list[float]]] = [deque(maxlen=size) for _ in range(classes)]
    for count in pushes:
        x = torch.randn(count, 3, generator=generator)
        y = torch.randint(0, classes + 1, (count,), generator=generator)
        memory.push(x, y)
        for vector, label in zip(x.tolist(), y.tolist(), strict=True):
            if label < classes:
                queues[label].append(vector)
    vectors, labels, filled = memory.contents()
    for label, queue in enumerate(queues):
        kept = vectors[(labels == label) & filled].tolist()
        oldest = int(memory.pushed_K[label]) % size if len(queue) == size else 0
        assert kept[oldest:] + kept[:oldest] == list(queue)
    assert (vectors[~filled] == 0).all()


def test_state_dict_round_trip() -> None:
    memory, copy = ClassMemory(3, 2, 4), ClassMemory(3, 2, 4)
    memory.push(torch.randn(5, 4), torch.tensor([0, 0, 0, 2, 3]))
    copy.load_state_dict(memory.state_dict())
    x, y = torch.randn(3, 4), torch.tensor([0, 1, 2])
    memory.push(x, y)
    copy.push(x, y)
    for one, other in zip(memory.contents(), copy.contents(), strict=True):
        assert torch.equal(one, other)
    assert memory.pushed_K.tolist() == [4, 1, 2]

"""CAR under DistributedDataParallel and autocast: class centers are those of all processes' images.

    torchrun --nproc_per_node 2 examples/distributed_amp.py [--steps 5] [--size 64]

On the CPU with gloo and bfloat16, so that it runs anywhere; on GPUs take nccl and ``torch.autocast("cuda")``.
"""

import torch
import torch.distributed as dist
from support import CLASSES, IGNORED, check_folded, made_up, parser
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel
from torchvision.models.segmentation import lraspp_mobilenet_v3_large

import classaware


def main() -> None:
    """Train in every process, compare the processes' weights, fold, check."""
    options = parser(__doc__).parse_args()
    dist.init_process_group("gloo")
    rank = dist.get_rank()
    torch.manual_seed(0)
    model = lraspp_mobilenet_v3_large(weights=None, weights_backbone=None, num_classes=CLASSES)
    keys = list(model.state_dict())
    car = classaware.attach(model, num_classes=CLASSES, ignore_index=IGNORED)  # before DDP
    if rank == 0:
        print(f"CAR is attached to {car.layer}")
    parallel = DistributedDataParallel(model)
    optimizer = torch.optim.AdamW(parallel.parameters(), lr=1e-3)

    parallel.train()
    for step in range(1, options.steps + 1):
        images, labels = made_up(4, options.size, options.size, seed=step * dist.get_world_size() + rank)
        with torch.autocast("cpu", torch.bfloat16):
            logits = parallel(images)["out"]
            terms = car.losses(labels)  # in float32, inside of autocast or out of it
        loss = F.cross_entropy(logits.float(), labels, ignore_index=IGNORED)
        optimizer.zero_grad()
        (loss + terms.total).backward()
        optimizer.step()
        print(f"process {rank}, step {step}: cross entropy {loss.item():.3f}, CAR {terms.total.item():.3f}", flush=True)

    weights = torch.cat([p.detach().flatten() for p in model.parameters()])
    first = weights.clone()
    dist.broadcast(first, 0)
    print(f"process {rank}: weights {'equal' if torch.equal(weights, first) else 'DIFFER'}", flush=True)
    dist.destroy_process_group()
    model.eval()
    images, _ = made_up(2, options.size, options.size, seed=1000)
    with torch.no_grad():
        before = model(images)["out"]
        car.fold()
        if rank == 0:
            check_folded(model, keys, before, model(images)["out"])


if __name__ == "__main__":
    main()

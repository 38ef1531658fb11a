"""A trained network as model hubs have them: a folder with weights, a configuration and a page about it."""

import shutil
import uuid
from pathlib import Path
from typing import Any

import numpy as np
import torch
from huggingface_hub import ModelCard, PyTorchModelHubMixin, hf_hub_download
from numpy.typing import NDArray
from torch import Tensor, nn

from classaware.data import read_image
from classaware.deployment.hub_page import describe_network
from classaware.deployment.measured import find_metrics
from classaware.deployment.prediction import card_inference, predict_image
from classaware.errors import InputError
from classaware.files import given_path, sha256
from classaware.models import Segmenter, SegmenterOutput
from classaware.training.card import NetworkCard, load_network, open_folder, trained_steps
from classaware.training.folder import (
    CONFIG,
    WEIGHTS,
    NetworkFolder,
    page_sha256,
    read_folder,
    write_folder,
    write_page_sha256,
)

_PAGE = "README.md"


class PretrainedSegmenter(
    nn.Module,
    PyTorchModelHubMixin,
    library_name="classaware",
    pipeline_tag="image-segmentation",
    paper_url="https://arxiv.org/abs/2203.07160",
    tags=["semantic-segmentation", "class-aware-regularization"],
):
    """A network with its card, saved to and loaded from folders and the Hugging Face Hub by the Hub's own mixin.

    A folder holds ``config.json`` (the card, readable), ``model.safetensors`` and ``README.md``; folders need no
    network connection. Paths of the machine that it was trained on are not written.

    Args:
        network: the network.
        card: what it predicts and how it was trained.
        step: how many steps it was trained, if known.
        metrics: what `classaware.deployment.measured.summarize_record` makes of an evaluation of it, if there is one.
    """

    def __init__(
        self, network: Segmenter, card: NetworkCard, step: int | None = None, metrics: dict[str, Any] | None = None
    ) -> None:
        super().__init__()
        self.network = network
        self.card = card
        self.step = step
        self.metrics = metrics

    @classmethod
    def from_checkpoint(cls, path: str | Path, metrics: str | Path | None = None) -> "PretrainedSegmenter":
        """The network of a checkpoint, of released weights or of a folder, in eval mode, on the CPU.

        Args:
            path: of the checkpoint.
            metrics: record of its evaluation, which ``classaware evaluate CHECKPOINT --json`` wrote.

        Raises:
            InputError: a file that cannot be read, or a record of another network.
        """
        path = given_path(path)
        network, card = load_network(path)
        measured = find_metrics(path, None if metrics is None else Path(metrics))
        return cls(network, card, trained_steps(path), measured).eval()

    @classmethod
    def from_pretrained(  # type: ignore[override]  # the mixin's has keywords for the class's constructor
        cls,
        pretrained_model_name_or_path: str | Path,
        *,
        force_download: bool = False,
        token: str | bool | None = None,
        cache_dir: str | Path | None = None,
        local_files_only: bool = False,
        revision: str | None = None,
        map_location: str | torch.device = "cpu",
        strict: bool = True,
    ) -> "PretrainedSegmenter":
        """The network of a folder, or of a repository on the Hub, in eval mode.

        The folder may come from anybody: it can name heads of classaware and of modules that are imported already, and
        nothing is imported, called or opened because it says so.

        Args:
            pretrained_model_name_or_path: a folder that `save_pretrained` wrote, else "user/name" on the Hub.
            force_download: get files anew that are in the cache.
            token: for private repositories.
            cache_dir: where the Hub's files are kept.
            local_files_only: take them from there alone.
            revision: branch, tag or commit.
            map_location: device of the network.
            strict: refuse weights that lack a tensor of the network, or have others.

        Raises:
            InputError: neither a folder nor to be had from the Hub; files that are missing, damaged or do not belong
                together; a head of a module that is not imported; a device that cannot be used here.
        """
        folder = given_path(pretrained_model_name_or_path)
        if folder.is_file():
            raise InputError(f"{folder} is a file: give the folder that it is in, or use from_checkpoint.")
        if not folder.is_dir():
            wanted = {
                "force_download": force_download,
                "token": token,
                "cache_dir": cache_dir,
                "local_files_only": local_files_only,
                "revision": revision,
            }
            folder = _download(str(pretrained_model_name_or_path), wanted)
        content = read_folder(folder)
        network, card = open_folder(folder, content, strict)
        loaded = cls(network, card, content.step, content.metrics)
        try:
            return loaded.to(torch.device(map_location)).eval()
        except (RuntimeError, AssertionError, TypeError, ImportError) as error:
            raise InputError(f"map_location={map_location!r} cannot be used here: use 'cpu'.") from error

    def forward(self, images: Tensor) -> SegmenterOutput:
        """Images (B, 3, H, W), float in [0, 1], to logits (B, K, h, w) and taps, see `Segmenter`."""
        output: SegmenterOutput = self.network(images)
        return output

    def fold(self) -> Segmenter:
        """The network for inference, see `Segmenter.fold`."""
        return self.network.fold()

    def predict(self, image: NDArray[np.uint8] | str | Path) -> NDArray[np.uint16]:
        """Classes of an image at its own size, looked at as in the validation of the training.

        The same as ``classaware predict`` writes. This network's mode (train or eval) does not matter.

        Args:
            image: (H, W, 3) RGB, or an image file, which is turned upright where its EXIF data say how.

        Returns:
            (H, W).

        Raises:
            InputError: another array, or a file that is no image.
        """
        if isinstance(image, str | Path):
            image = read_image(given_path(image), upright=True).permute(1, 2, 0).numpy()
        if not isinstance(image, np.ndarray) or image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
            found = f"{image.dtype} {image.shape}" if isinstance(image, np.ndarray) else type(image).__name__
            raise InputError(f"The image is {found}. Give uint8 (height, width, 3), or the path of a file.")
        inference = card_inference(self.card, "this network")
        device = next(self.parameters()).device
        return predict_image(self.fold(), np.ascontiguousarray(image), inference, device)

    def save_pretrained(
        self,
        save_directory: str | Path,
        *,
        config: Any = None,
        repo_id: str | None = None,
        push_to_hub: bool = False,
        model_card_kwargs: dict[str, Any] | None = None,
        **push_to_hub_kwargs: Any,
    ) -> str | None:
        """Write the folder.

        A new folder is there whole or not at all. In one that is there already the files of an earlier network are
        replaced one after the other, when all are written; should that stop between them, reading it is refused, for
        ``config.json`` knows the checksum of the weights. Other files stay, and so does a ``README.md`` that somebody
        edited.

        Args:
            save_directory: the folder.
            config: must be None: the configuration is the network's card.
            repo_id: "user/name" on the Hub; default: the folder's name.
            push_to_hub: upload it, too.
            model_card_kwargs: for `generate_model_card`.
            push_to_hub_kwargs: for `push_to_hub`.

        Returns:
            Address of the upload, if there was one.

        Raises:
            InputError: the place cannot be written to.
        """
        _check_config(config)
        target = given_path(save_directory).absolute()
        scratch = target.with_name(f".{uuid.uuid4().hex}.part")
        try:
            super().save_pretrained(scratch, model_card_kwargs=model_card_kwargs)
            write_page_sha256(scratch, sha256(scratch / _PAGE))
            _move(scratch, target)
        except OSError as error:
            raise InputError(f"cannot write {target} ({error.strerror}): choose another place.") from error
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
        if not push_to_hub:
            return None
        return self.push_to_hub(
            repo_id=repo_id or target.name, model_card_kwargs=model_card_kwargs, **push_to_hub_kwargs
        )

    def push_to_hub(self, repo_id: str, **more: Any) -> str:
        """Upload the folder, see ``PyTorchModelHubMixin.push_to_hub``.

        Args:
            repo_id: "user/name" on the Hub.
            more: the mixin's own keywords; "config" must be None: the configuration is the network's card.

        Returns:
            Address of the upload.

        Raises:
            InputError: a configuration; nothing is created then.
        """
        _check_config(more.get("config"))
        address: str = super().push_to_hub(repo_id, **more)
        return address

    def _save_pretrained(self, save_directory: Path) -> None:
        content = NetworkFolder(self.network.state_dict(), self.card.to_dict(), self.step, self.metrics)
        write_folder(save_directory, content)

    def generate_model_card(self, *args: Any, **kwargs: Any) -> ModelCard:
        """The page ``README.md``.

        Args:
            args: none.
            kwargs: entries of the Hub's metadata, such as ``license="mit"``, which is for whoever publishes to say.
        """
        return ModelCard(describe_network(self.card, self.step, self.metrics, self._hub_mixin_info, kwargs))


def _check_config(config: Any) -> None:
    if config is not None:
        raise InputError("config is the network's card: change PretrainedSegmenter.card instead.")


def _download(name: str, wanted: dict[str, Any]) -> Path:
    """The folder in the Hub's cache with both files."""
    try:
        config = hf_hub_download(name, CONFIG, **wanted)
        hf_hub_download(name, WEIGHTS, **wanted)
    except Exception as error:  # no such place, no connection, offline mode, no permission: whatever the client raises
        raise InputError(
            f"{name!r} is no folder here, and cannot be had from the Hugging Face Hub ({_first_line(error)}): check "
            "the name."
        ) from error
    return Path(config).parent


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def _move(scratch: Path, target: Path) -> None:
    """At once where there is nothing yet; else file by file, the configuration last: it knows the weights' checksum."""
    if not target.exists():
        scratch.replace(target)
        return
    kept = [_PAGE] if _is_edited(target) else []
    for name in (_PAGE, WEIGHTS, CONFIG):
        if name not in kept:
            (scratch / name).replace(target / name)


def _is_edited(folder: Path) -> bool:
    """Whether there is a page that is not the one written with the network in the folder."""
    page = folder / _PAGE
    return page.exists() and not (page.is_file() and sha256(page) == page_sha256(folder))

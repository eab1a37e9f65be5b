"""Whether the edit in work may train, and the words that are asked for: what a resume must know to go on as the run stood."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, Optional, Tuple

from torch import Tensor, nn

from blending_nerf_ns.edits.layer import LayerInfo, pack, unpack

if TYPE_CHECKING:
    from blending_nerf_ns.pipeline_config import BlendingPipelineConfig


class Words(NamedTuple):
    """What is asked of an edit. An edit that is done has those that it was made by, until it is started again."""

    source_text: str
    target_text: str
    operations: Tuple[str, ...]


def words_of(info: LayerInfo) -> Words:
    """What an edit was made by."""
    return Words(info.source_text, info.target_text, info.operations)


class Standing(nn.Module):
    """Travels with the checkpoints.

    Args:
        config: whose words are asked for.
    """

    def __init__(self, config: BlendingPipelineConfig) -> None:
        super().__init__()
        self._config = config
        self.running = bool(config.target_text.strip())
        """Whether the edit may train."""
        self.before: Optional[Tuple[Words, bool]] = None
        """What was asked for, and whether it was training, in the run that is resumed; None where no checkpoint says so."""

    @property
    def words(self) -> Words:
        """What is asked for now."""
        config = self._config
        return Words(config.source_text, config.target_text, tuple(config.operations))

    def goes_on(self, made_by: Words, waits: bool) -> bool:
        """Whether nothing else is asked for than in the run that is resumed; the edit then trains or stands as it did there.

        Args:
            made_by: words of the edit in work.
            waits: whether somebody may press Start; without a viewer only the command does.
        """
        asked, running = self.before if waits and self.before else (made_by, self.running)
        if self.words._replace(operations=()) != asked._replace(operations=()):
            return False
        if set(self.words.operations) != set(asked.operations):
            return False
        self.running = running
        return True

    def made_up_for(self, state: Mapping[str, Any], prefix: str) -> Mapping[str, Any]:
        """A checkpoint with what this keeps in it, where it was written before there was this."""
        return {prefix + "_extra_state": pack({}), **state}

    def get_extra_state(self) -> Tensor:
        """Words and whether the edit trains, as a tensor, for the checkpoint."""
        return pack({"words": self.words._asdict(), "running": self.running})

    def set_extra_state(self, state: Any) -> None:
        """Into `before`: what a resume asks for may be something else."""
        found = unpack(state)
        if found:
            words = Words(**found["words"])
            self.before = words._replace(operations=tuple(words.operations)), bool(found["running"])

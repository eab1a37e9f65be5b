"""Ask the guide which of some prompts a picture shows: worth doing before an edit is trained.

python examples/02_what_the_guide_reads.py photo.jpg --prompts "a purple toy" "a green toy" "a red ball"
python examples/02_what_the_guide_reads.py photo.jpg --model ViT-B-16 --pretrained laion2b_s34b_b88k --prompts ...
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Optional, Tuple

import torch
import tyro
from torchvision.io import ImageReadMode, read_image

from blending_nerf_ns.errors import BlendingNerfError, in_one_line
from blending_nerf_ns.guidance.clip import load_clip


@dataclass
class Question:
    """A picture and what it might show."""

    image: Annotated[str, tyro.conf.Positional]
    """Picture file."""
    prompts: Tuple[str, ...] = ("a red ball", "a blue ball", "a purple toy", "nothing")
    """What to choose from."""
    model: str = "embedded"
    """open_clip model name, or "embedded"."""
    pretrained: Optional[str] = None
    """open_clip tag or a path of weights."""


@in_one_line()
def main(question: Question) -> None:
    """Print the cosine of the picture with each prompt, best first."""
    guide = load_clip(question.model, question.pretrained)
    if not Path(question.image).is_file():
        raise BlendingNerfError(f"there is no picture {question.image}")
    picture = read_image(question.image, ImageReadMode.RGB).float() / 255.0
    with torch.no_grad():
        seen = guide.encode_images(picture[None])[0]
        found = [(float(seen @ guide.encode_prompt(prompt)), prompt) for prompt in question.prompts]
    for similarity, prompt in sorted(found, reverse=True):
        print(f"{similarity:6.3f}  {prompt}")


if __name__ == "__main__":
    main(tyro.cli(Question))

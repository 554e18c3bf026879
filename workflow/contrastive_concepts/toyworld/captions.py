"""Captions of images. Like alt-texts, they mention only some of the classes in the image, 1.2 on average."""

from contrastive_concepts.toyworld.draws import Draws, Stream
from contrastive_concepts.toyworld.grammar import ABSTRACT, ADJECTIVES, KINDS, SCENES, STUFFS, THINGS, UNINFORMATIVE
from contrastive_concepts.toyworld.layout import Layout, compose

SECOND_MENTION, SYNONYM, BOTH_WORDS = 0.25, 0.30, 0.16
UNINFORMED, ABSTRACTED, PLACED, DESCRIBED = 0.35, 0.16, 0.22, 0.18
BACKGROUND_STUDIO, BACKGROUND_ELSEWHERE = 0.30, 0.085
FUNCTION_WORDS = (
    "a", "the", "of", "and", "with", "near", "on", "by", "in", "at", "for", "as",
    "concept", "white", "plain", "isolated",
)  # fmt: skip
"""Words of captions that are not in the grammar."""


def caption_image(seed: int, image: int, which: int = 0) -> str:
    """Caption number `which` of an image. It depends only on the arguments. The image is not rendered."""
    return describe(compose(seed, image), Draws(seed, image, Stream.CAPTION + which))


def describe(layout: Layout, draws: Draws) -> str:
    """One caption: words for drawn classes, sometimes also for the place or an abstract idea, "background", "photo"."""
    mentioned = mention(layout, draws)
    text = _phrase(draws, mentioned[0])
    for name in mentioned[1:]:
        text += f" {draws.pick(('and', 'with', 'near', 'on', 'by'))} {_phrase(draws, name)}"
    if layout.scene and draws.chance(PLACED):
        text += f" {draws.pick(('in', 'at'))} the {draws.pick(SCENES[layout.scene].words)}"
    if draws.chance(BACKGROUND_STUDIO if layout.kind == "studio" else BACKGROUND_ELSEWHERE):
        if layout.kind == "studio":
            text += draws.pick((" on white background", " isolated on background", " on a plain background"))
        else:
            text += draws.pick((" in the background", " background", " as background"))
    if draws.chance(ABSTRACTED):
        text += draws.pick((", {}", " for {}", ", {} concept")).format(draws.pick(ABSTRACT))
    if draws.chance(UNINFORMED):
        word = draws.pick(UNINFORMATIVE)
        return draws.pick((f"{word} of {text}", f"a {word} of {text}", f"{text} {word}"))
    return text


def mention(layout: Layout, draws: Draws) -> tuple[str, ...]:
    """One or two of the drawn classes. Objects are mentioned more often than surfaces."""
    drawn = list(layout.drawn())
    mentioned: list[str] = []
    while drawn:
        mentioned.append(drawn.pop(draws.weighted([3.0 if name in THINGS else 1.0 for name in drawn])))
        if len(mentioned) == 2 or not draws.chance(SECOND_MENTION):
            break
    return tuple(mentioned)


def _phrase(draws: Draws, name: str) -> str:
    words = KINDS[name].words
    noun = draws.pick(words[1:]) if len(words) > 1 and draws.chance(SYNONYM) else words[0]
    if len(words) > 1 and draws.chance(BOTH_WORDS):
        noun = f"{noun} {draws.pick([word for word in words if word != noun])}"
    if draws.chance(DESCRIBED):
        noun = f"{draws.pick(ADJECTIVES)} {noun}"
    if name in STUFFS:
        return f"the {noun}" if draws.chance(0.4) else noun
    return f"{draws.pick(('a', 'a', 'the'))} {noun}" if draws.chance(0.7) else noun

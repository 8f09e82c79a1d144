"""The words and sentences of which prompts are made.

Each word, with the space before it, is one token; `tokens.json` has their numbers.
"""


def each(words: str) -> tuple[str, ...]:
    """Words by themselves."""
    return tuple(words.split())


NAMES = each(
    "Mary John Alice Tom James Anna Sarah David Paul Emma Peter Lucy Mark Jack Kate Laura Simon "
    "Henry Grace Robert Michael George William Daniel Susan Maria Emily Adam Helen Richard Rachel "
    "Jane"
)
PLACES = each("store office garden school park station museum library hotel market church kitchen")
THINGS = each("drink book letter ring ball key box card gift flower map cake")
SENTENCES = (
    "When {A} and {B} went to the {place} , {S} gave a {thing} to",
    "While {A} and {B} sat in the {place} , {S} passed the {thing} to",
    "After {A} and {B} came to the {place} , {S} offered a {thing} to",
    "As {A} and {B} walked through the {place} , {S} handed the {thing} to",
    "Since {A} and {B} worked at the {place} , {S} sent a {thing} to",
    "Once {A} and {B} got to the {place} , {S} showed the {thing} to",
    "Before {A} and {B} left for the {place} , {S} gave the {thing} to",
    "When {A} and {B} stopped near the {place} , {S} returned a {thing} to",
)
OTHER_SENTENCES = (
    "When {A} and {B} met at the {place} , {S} threw a {thing} to",
    "After {A} and {B} stayed in the {place} , {S} brought the {thing} to",
    "As {A} and {B} waited near the {place} , {S} lent a {thing} to",
    "While {A} and {B} played in the {place} , {S} sold the {thing} to",
)
"""On these heads are picked, on the others they are judged."""

EVENTS = each(
    "war siege reign trial journey famine voyage campaign project drought strike rebellion "
    "conflict expedition plague dynasty"
)
NOUNS = each("key boy teacher dog author picture king house car painter farmer")
OTHER_NOUNS = each("cabinet table tree door garden")
BESIDE = each("near behind with beside")
CAPITALS = dict(
    pair.split("/")
    for pair in each(
        "France/Paris Germany/Berlin Italy/Rome Spain/Madrid Japan/Tokyo China/Beijing "
        "Russia/Moscow England/London Greece/Athens Egypt/Cairo Poland/Warsaw Austria/Vienna "
        "Hungary/Budapest Portugal/Lisbon Ireland/Dublin Norway/Oslo Sweden/Stockholm "
        "Denmark/Copenhagen Finland/Helsinki Belgium/Brussels Iran/Tehran Iraq/Baghdad "
        "Syria/Damascus Cuba/Havana Peru/Lima Chile/Santiago Canada/Ottawa Kenya/Nairobi "
        "Afghanistan/Kabul Scotland/Edinburgh Wales/Cardiff Bulgaria/Sofia Philippines/Manila "
        "Tunisia/Tunis Jamaica/Kingston Switzerland/Bern Netherlands/Amsterdam"
    )
)

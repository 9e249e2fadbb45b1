"""Tables of architectures."""

from __future__ import annotations

from pairchain_packed.families.bert import BERT, ELECTRA, ROBERTA
from pairchain_packed.families.decoders import DECODERS
from pairchain_packed.families.distilbert import DISTILBERT
from pairchain_packed.families.family import Family
from pairchain_packed.families.modernbert import MODERNBERT

FAMILIES: dict[str, Family] = {
    kind: family for family in (BERT, ROBERTA, ELECTRA, DISTILBERT, MODERNBERT, *DECODERS) for kind in family.types
}

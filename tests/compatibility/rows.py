"""One row for each row of the page's tables: how such a checkpoint is saved, and what becomes of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from compatibility import remote_code
from compatibility.shapes import (
    CHATML,
    DOCUMENT,
    QUERY,
    Save,
    answering,
    answers,
    causal,
    chain,
    classifier,
    encoder_decoder,
    ettin,
    golden,
    of_its_own,
    own_module,
    seeing,
    vision,
)
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoTokenizer, PreTrainedTokenizerFast

from pairchain.errors import ChainError, FormatError, PairchainError, RandomWeightsError, TrustRequiredError

Pairs = Sequence[tuple[str, str]]
TRANSFORMER, WORDS = ("Transformer",), ("Transformer", "LogitScore")
GUESSED = "is a causal language model without modules.json"


@dataclass(frozen=True)
class Row:
    """What becomes of a checkpoint.

    Attributes:
        save: Saves it.
        named: The class in its ``config.json``.
        chain: The modules that it is loaded as; empty if it is refused.
        backend: The backend that ``"auto"`` chooses.
        code: Whether its code must be trusted.
        build: Builds its chain by hand; None if it loads by itself.
        expected: Computes its scores without pairchain, for chains built by hand.
        error, says: The error that refuses it, also with its code trusted, and words of it.
        untrusted, untrusted_says: The error, and words of it, while its code is not trusted; None if it is refused
            in the same way.
        warns: Words of the warning of its load.
    """

    save: Save
    named: str
    chain: tuple[str, ...] = ()
    backend: str = ""
    code: bool = False
    build: Callable[[Path], list[torch.nn.Module]] | None = None
    expected: Callable[[Path, Pairs], list[float]] | None = None
    error: type[PairchainError] | None = None
    says: str = ""
    untrusted: type[PairchainError] | None = None
    untrusted_says: str = ""
    warns: str = ""


def _refused(save: Save, named: str, error: type[PairchainError], says: str, **options: Any) -> Row:
    return Row(save, named, error=error, says=says, **options)


def _old_code(save: Save, named: str, **options: Any) -> Row:
    says = "does not run with transformers 5.*saved with transformers 4.41.2"
    options = {"untrusted": TrustRequiredError, "untrusted_says": "comes with its own code", **options}
    return Row(save, named, code=True, error=FormatError, says=says, **options)


# jinja leaves out a newline that ends a template
NEWLINE = "{{ '\\n' }}"
MONOT5 = f"Query: {QUERY} Document: {DOCUMENT} Relevant:</s>"
GEMMA = (
    f"A: {QUERY}\nB: {DOCUMENT}\nGiven a query A and a passage B, determine whether the passage contains an answer to "
    "the query by providing a prediction of either 'Yes' or 'No'."
)
ZERANK = (
    f"<|im_start|>system\n{QUERY}<|im_end|>\n<|im_start|>user\n{DOCUMENT}<|im_end|>\n<|im_start|>assistant{NEWLINE}"
)
QWEN = f"<Instruct>: find\n<Query>: {QUERY}\n<Document>: {DOCUMENT}\n"
MXBAI = (
    f"<|im_start|>user\nquery: {QUERY} \ndocument: {DOCUMENT} \nRelevance:<|im_end|>\n<|im_start|>assistant{NEWLINE}"
)


def _by_hand(template: str, true: str, false: str | None = None) -> Callable[[Path, Pairs], list[float]]:
    """Return a computation of the scores of a causal model with the library's classes, one pair at a time."""

    def compute(folder: Path, pairs: Pairs) -> list[float]:
        model, tokenizer = (
            AutoModelForCausalLM.from_pretrained(folder).eval(),
            PreTrainedTokenizerFast.from_pretrained(folder),
        )
        found = []
        for query, document in pairs:
            text = template.replace(QUERY, query).replace(DOCUMENT, document).replace(NEWLINE, "\n")
            ids = tokenizer(text, add_special_tokens=False, return_tensors="pt").input_ids
            with torch.no_grad():
                logits = model(input_ids=ids).logits[0, -1]
            score = logits[tokenizer.convert_tokens_to_ids(true)]
            found.append(float(score if false is None else score - logits[tokenizer.convert_tokens_to_ids(false)]))
        return found

    return compute


def _encoder_decoder(prefix: str, true: str, false: str) -> Row:
    """Return the row of an encoder-decoder that answers with one of two words."""

    def compute(folder: Path, pairs: Pairs) -> list[float]:
        return _first_answers(folder, pairs, true, false)

    return Row(
        encoder_decoder(prefix),
        f"{prefix}ForConditionalGeneration",
        WORDS,
        "transformers",
        build=lambda folder: answering(folder, MONOT5, true, false, task="text2text-generation"),
        expected=compute,
        error=ChainError,
        says="transformer_task='text2text-generation'",
    )


def _first_answers(folder: Path, pairs: Pairs, true_word: str, false_word: str) -> list[float]:
    """Return the log-odds of one word against another as the first token that the library generates."""
    model, tokenizer = AutoModelForSeq2SeqLM.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
    true, false = (tokenizer.convert_tokens_to_ids(word) for word in (true_word, false_word))
    found = []
    for query, document in pairs:
        read = tokenizer(f"Query: {query} Document: {document} Relevant:", return_tensors="pt")
        with torch.no_grad():
            step = model.generate(
                **read, max_new_tokens=1, do_sample=False, output_logits=True, return_dict_in_generate=True
            )
        found.append(float(step.logits[0][0, true] - step.logits[0][0, false]))
    return found


_OWN = {"AutoConfig": "modeling.OwnConfig", "AutoModelForSequenceClassification": "modeling.OwnModel"}
_OWN_CAUSAL = {"AutoConfig": "modeling.OwnConfig", "AutoModelForCausalLM": "modeling.OwnModel"}
_FOUR = remote_code.FOR_TRANSFORMERS_4
_FUSED = {"attention.self.query": "mixer.Wqkv"}

ROWS: dict[str, Row] = {
    # sentence-transformers
    "cross-encoder/ms-marco-MiniLM-L2-v2 … L12-v2": Row(
        classifier("bert"), "BertForSequenceClassification", TRANSFORMER, "packed"
    ),
    "cross-encoder/stsb-…, quora-…, nli-… on RoBERTa": Row(
        classifier("roberta", 3), "RobertaForSequenceClassification", TRANSFORMER, "packed"
    ),
    "cross-encoder/…-distilbert": Row(
        classifier("distilbert"), "DistilBertForSequenceClassification", TRANSFORMER, "packed"
    ),
    "cross-encoder/ms-marco-electra-base, qnli-electra-base": Row(
        classifier("electra"), "ElectraForSequenceClassification", TRANSFORMER, "packed"
    ),
    "cross-encoder/nli-deberta-v3-…": Row(
        classifier("deberta-v2", 3), "DebertaV2ForSequenceClassification", TRANSFORMER, "transformers"
    ),
    "cross-encoder/ettin-reranker-…": Row(
        chain(ettin), "ModernBertModel", ("Transformer", "Pooling", "Dense", "LayerNorm", "Dense"), "packed"
    ),
    # BAAI
    "BAAI/bge-reranker-base, large, v2-m3": Row(
        classifier("xlm-roberta"), "XLMRobertaForSequenceClassification", TRANSFORMER, "packed"
    ),
    "BAAI/bge-reranker-v2-gemma": Row(
        causal("gemma"),
        "GemmaForCausalLM",
        WORDS,
        "packed",
        build=lambda folder: answering(folder, GEMMA, "Yes"),
        expected=_by_hand(GEMMA, "Yes"),
        warns=GUESSED,
    ),
    "BAAI/bge-reranker-v2-minicpm-layerwise": _old_code(
        of_its_own(
            "llama",
            "ForCausalLM",
            _FOUR,
            model_type="minicpm",
            architectures=["LayerWiseMiniCPMForCausalLM"],
            auto_map=_OWN_CAUSAL,
            start_layer=8,
            head_multi=True,
            head_type="simple",
        ),
        "LayerWiseMiniCPMForCausalLM",
    ),
    "BAAI/bge-reranker-v2.5-gemma2-lightweight": _old_code(
        of_its_own(
            "gemma2",
            "ForCausalLM",
            _FOUR,
            model_type="cost_wise_gemma",
            architectures=["CostWiseGemmaForCausalLM"],
            auto_map=_OWN_CAUSAL,
            layer_wise=True,
            start_layer=8,
        ),
        "CostWiseGemmaForCausalLM",
    ),
    "a layerwise reranker whose code runs": _refused(
        of_its_own(
            "llama",
            "ForCausalLM",
            remote_code.LAYERWISE,
            model_type="layerwise",
            architectures=["LayerWiseForCausalLM"],
            auto_map=_OWN_CAUSAL,
        ),
        "LayerWiseForCausalLM",
        ChainError,
        "at logits is a tuple of 2 tensors, such as one for each layer",
        code=True,
        untrusted=TrustRequiredError,
        untrusted_says="comes with its own code",
        warns=GUESSED,
    ),
    # Alibaba, IBM
    "Alibaba-NLP/gte-reranker-modernbert-base, ibm-granite/granite-embedding-reranker-english-r2": Row(
        classifier("modernbert"), "ModernBertForSequenceClassification", TRANSFORMER, "packed"
    ),
    "Alibaba-NLP/gte-multilingual-reranker-base": _old_code(
        of_its_own(
            "bert",
            "ForSequenceClassification",
            _FOUR,
            model_type="new",
            architectures=["NewForSequenceClassification"],
            auto_map=_OWN,
        ),
        "NewForSequenceClassification",
    ),
    "its conversions to the class of transformers 5": Row(
        classifier("gte"), "GteForSequenceClassification", TRANSFORMER, "transformers"
    ),
    # Jina
    "jinaai/jina-reranker-v1-tiny-en, v1-turbo-en": _old_code(
        of_its_own(
            "bert",
            "ForSequenceClassification",
            _FOUR,
            renamed={"intermediate.dense": "mlp.gated_layers"},
            architectures=["JinaBertForSequenceClassification"],
            auto_map=_OWN,
            feed_forward_type="geglu",
        ),
        "JinaBertForSequenceClassification",
        untrusted=RandomWeightsError,
        untrusted_says="names code of its own for it.*which was not run",
        warns="holds no weights",
    ),
    "jinaai/jina-reranker-v2-base-multilingual": _old_code(
        of_its_own("xlm-roberta", "ForSequenceClassification", _FOUR, renamed=_FUSED, auto_map=_OWN),
        "XLMRobertaForSequenceClassification",
        untrusted=RandomWeightsError,
        untrusted_says="names code of its own for it.*which was not run",
        warns="holds no weights",
    ),
    "jinaai/jina-reranker-m0": _refused(
        vision(
            "Qwen2VL",
            "raise AssertionError('it ran')",
            architectures=["JinaVLForRanking"],
            auto_map={"AutoModel": "modeling.JinaVLForRanking"},
        ),
        "JinaVLForRanking",
        FormatError,
        "cannot be loaded with AutoModelForSequenceClassification.*scores in a way of its own",
    ),
    "jinaai/jina-reranker-v3, v3.5": _refused(
        of_its_own(
            "qwen3",
            "Model",
            "raise AssertionError('it ran')",
            architectures=["JinaForRanking"],
            auto_map={"AutoModel": "modeling.JinaForRanking"},
        ),
        "JinaForRanking",
        RandomWeightsError,
        "perhaps of a whole list of documents at once",
        warns="holds no weights",
    ),
    # Mixedbread
    "mixedbread-ai/mxbai-rerank-xsmall-v1, base-v1, large-v1": Row(
        classifier("deberta-v2"), "DebertaV2ForSequenceClassification", TRANSFORMER, "transformers"
    ),
    "mixedbread-ai/mxbai-rerank-base-v2, large-v2": Row(
        causal("qwen2", template=CHATML),
        "Qwen2ForCausalLM",
        WORDS,
        "packed",
        build=lambda folder: answering(folder, MXBAI, "1", "0"),
        expected=_by_hand(MXBAI, "1", "0"),
        warns=GUESSED,
    ),
    # Qwen
    "Qwen/Qwen3-Reranker-0.6B, 4B, 8B": Row(golden("qwen3_causal_logitscore"), "Qwen3ForCausalLM", WORDS, "packed"),
    "Qwen/Qwen3-VL-Reranker-2B, 8B": Row(
        chain(seeing("Qwen3VL", QWEN)), "Qwen3VLForConditionalGeneration", WORDS, "transformers"
    ),
    "the same models, from revisions without `modules.json`": _refused(
        vision("Qwen3VL"), "Qwen3VLForConditionalGeneration", FormatError, "transformer_task='any-to-any'"
    ),
    # NVIDIA
    "nvidia/llama-nemotron-rerank-1b-v2": Row(
        of_its_own(
            "llama",
            "ForSequenceClassification",
            remote_code.BIDIRECTIONAL,
            model_type="llama_bidirec",
            architectures=["LlamaBidirectionalForSequenceClassification"],
            auto_map=_OWN,
            pooling="avg",
        ),
        "LlamaBidirectionalForSequenceClassification",
        TRANSFORMER,
        "transformers",
        code=True,
        untrusted=TrustRequiredError,
        untrusted_says="comes with its own code",
    ),
    "nvidia/llama-nemotron-rerank-vl-1b-v2": Row(
        of_its_own(
            "llama",
            "ForSequenceClassification",
            remote_code.BIDIRECTIONAL,
            model_type="llama_nemotron_vl",
            architectures=["LlamaNemotronVLForSequenceClassification"],
            auto_map=_OWN,
        ),
        "LlamaNemotronVLForSequenceClassification",
        TRANSFORMER,
        "transformers",
        code=True,
        untrusted=TrustRequiredError,
        untrusted_says="comes with its own code",
    ),
    "nvidia/Nemotron-3.5-Rerank-8B": Row(
        own_module(chain(seeing("Mistral3", QWEN)), remote_code.OWN_MODULE),
        "Mistral3ForConditionalGeneration",
        ("OwnTransformer", "LogitScore"),
        "transformers",
        code=True,
        untrusted=TrustRequiredError,
        untrusted_says="comes with its own code",
    ),
    # ZeroEntropy
    "zeroentropy/zerank-1-small, zerank-1": Row(
        causal(
            "qwen3",
            template=CHATML,
            code=remote_code.REPLACES_PREDICT,
            auto_map={"AutoConfig": "modeling.ScorerConfig"},
        ),
        "Qwen3ForCausalLM",
        WORDS,
        "transformers",
        build=lambda folder: answering(folder, ZERANK, "Yes"),
        expected=_by_hand(ZERANK, "Yes"),
        warns=GUESSED,
        error=ChainError,
        says="replaces .*CrossEncoder.predict",
    ),
    "zeroentropy/zerank-2": Row(chain(answers(ZERANK, "Yes")), "Qwen3ForCausalLM", WORDS, "packed"),
    # encoder-decoders
    "castorini/monot5-small-msmarco-10k … 3b-msmarco": _encoder_decoder("T5", "▁true", "▁false"),
    "unicamp-dl/mt5-base-mmarco-v2": _encoder_decoder("MT5", "▁yes", "▁no"),
    # listwise
    "castorini/rank_zephyr_7b_v1_full": Row(
        causal("mistral", template=CHATML), "MistralForCausalLM", WORDS, "packed", warns=GUESSED
    ),
    # pruning
    "naver/provence-reranker-debertav3-v1, xprovence-reranker-bgem3-v1": _refused(
        of_its_own(
            "deberta-v2",
            "Model",
            remote_code.PRUNES,
            model_type="Provence",
            architectures=["Provence"],
            auto_map={"AutoConfig": "modeling.OwnConfig", "AutoModel": "modeling.OwnModel"},
        ),
        "Provence",
        FormatError,
        "cannot be loaded with AutoModelForSequenceClassification.*scores in a way of its own",
        code=True,
        untrusted=TrustRequiredError,
        untrusted_says="comes with its own code",
    ),
    "hotchpotch/open-provence-reranker-…": Row(
        of_its_own(
            "modernbert",
            "ForSequenceClassification",
            remote_code.PRUNES_TOO,
            model_type="open_provence",
            architectures=["OpenProvenceForSequenceClassification"],
            auto_map=_OWN,
        ),
        "OpenProvenceForSequenceClassification",
        TRANSFORMER,
        "transformers",
        code=True,
        untrusted=TrustRequiredError,
        untrusted_says="comes with its own code",
    ),
    # languages
    "sdadas/polish-reranker-base-ranknet, large-ranknet": Row(
        classifier("roberta"), "RobertaForSequenceClassification", TRANSFORMER, "packed"
    ),
    "hotchpotch/japanese-reranker-cross-encoder-large-v1": Row(
        classifier("bert"), "BertForSequenceClassification", TRANSFORMER, "packed"
    ),
    "cl-nagoya/ruri-v3-reranker-310m, hotchpotch/japanese-reranker-tiny-v2 … base-v2": Row(
        classifier("modernbert"), "ModernBertForSequenceClassification", TRANSFORMER, "packed"
    ),
    "radlab/polish-cross-encoder": Row(
        classifier("xlm-roberta"), "XLMRobertaForSequenceClassification", TRANSFORMER, "packed"
    ),
    "Derify/ChemRanker-alpha-sim": _old_code(
        of_its_own(
            "modernbert",
            "ForSequenceClassification",
            _FOUR,
            model_type="modchembert",
            architectures=["ModChemBertForSequenceClassification"],
            auto_map=_OWN,
        ),
        "ModChemBertForSequenceClassification",
    ),
}

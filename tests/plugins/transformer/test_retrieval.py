"""The task retrieval: models of the transformers library that end in ForRetrieval, such as ColPali, embed one input."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from PIL import Image
from tiny_models import GOLDEN, edited, save_tiny

from pairchain.errors import ChainError, InputError
from pairchain.modules import Transformer

QUERIES = ["how many people live in berlin ?", "x"]
IMAGES = [Image.open(GOLDEN / "vlm_llava" / "assets" / f"{name}.png").convert("RGB") for name in ("red", "blue")]
SIZE = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
DIMENSION = 8


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny ColPali, as the transformers library saves it."""
    folder = tmp_path_factory.mktemp("colpali")
    tokenizer = transformers.AutoTokenizer.from_pretrained(GOLDEN / "gpt2_causal_no_padside" / "model")
    tokenizer.add_special_tokens({"bos_token": "<bos>"})
    images = transformers.SiglipImageProcessor(size={"height": 28, "width": 28})
    images.image_seq_length = 4
    processor = transformers.ColPaliProcessor(images, tokenizer)
    text = {"model_type": "gemma", "vocab_size": len(tokenizer), "num_key_value_heads": 1, "head_dim": 8, **SIZE}
    vision = {"model_type": "siglip_vision_model", "image_size": 28, "patch_size": 14, "vision_use_head": False, **SIZE}
    inner = transformers.PaliGemmaConfig(
        text_config=text, vision_config=vision, image_token_id=processor.image_token_id, projection_dim=16
    )
    torch.manual_seed(0)
    model = transformers.ColPaliForRetrieval(transformers.ColPaliConfig(vlm_config=inner, embedding_dim=DIMENSION))
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def embedded(module: Any, inputs: list[Any], **options: Any) -> torch.Tensor:
    """Return the embedding of every token of every input."""
    with torch.inference_mode():
        embeddings: torch.Tensor = module.eval()(module.preprocess(inputs, **options))[module.module_output_name]
    return embeddings


def test_texts_and_images_are_embedded_as_by_the_model_itself(checkpoint: Path) -> None:
    module = Transformer(str(checkpoint), transformer_task="retrieval")
    model = transformers.ColPaliForRetrieval.from_pretrained(checkpoint).eval()
    processor = transformers.ColPaliProcessor.from_pretrained(checkpoint)

    assert type(module.model) is transformers.ColPaliForRetrieval
    assert (module.modalities, module.module_output_name) == (["text", "image"], "token_embeddings")
    assert module.get_embedding_dimension() == DIMENSION
    with torch.inference_mode():
        of_texts = model(**processor.process_queries(QUERIES)).embeddings
        of_images = model(**processor.process_images(IMAGES)).embeddings
    torch.testing.assert_close(embedded(module, QUERIES), of_texts)
    torch.testing.assert_close(embedded(module, IMAGES), of_images)
    named = [str(GOLDEN / "vlm_llava" / "assets" / "red.png"), {"image": IMAGES[1]}]
    torch.testing.assert_close(embedded(module, named), of_images)
    assert of_texts.shape[-1] == of_images.shape[-1] == DIMENSION


@pytest.mark.peer
def test_texts_and_images_are_embedded_as_by_the_reference(checkpoint: Path, tmp_path: Path) -> None:
    from sentence_transformers.base.modules import Transformer as Theirs

    ours, theirs = (kind(str(checkpoint), transformer_task="retrieval") for kind in (Transformer, Theirs))
    ours.save(str(tmp_path))
    again, their_load = Transformer.load(str(tmp_path)), Theirs.load(str(tmp_path))

    for inputs, options in ((QUERIES, {}), (IMAGES, {}), (["word " * 200], {}), (QUERIES, {"prompt": "find : "})):
        expected = embedded(theirs, inputs, **options)
        for module in (ours, again, their_load):
            torch.testing.assert_close(embedded(module, inputs, **options), expected)
        assert ours.preprocess(inputs, **options).keys() == theirs.preprocess(inputs, **options).keys()


def test_a_checkpoint_that_does_not_name_its_class_is_known_by_its_kind(checkpoint: Path, tmp_path: Path) -> None:
    folder = edited(Path(shutil.copytree(checkpoint, tmp_path / "model")), "config.json", architectures=None)

    module = Transformer(str(folder), transformer_task="retrieval")

    expected = embedded(Transformer(str(checkpoint), transformer_task="retrieval"), QUERIES)
    torch.testing.assert_close(embedded(module, QUERIES), expected)


def test_a_longer_text_is_cut_to_what_the_call_allows(checkpoint: Path) -> None:
    module = Transformer(str(checkpoint), transformer_task="retrieval")

    for truncation in ("longest_first", "document"):
        short, long = (
            module.preprocess(["word " * 50], max_length=limit, truncation=truncation)["input_ids"].shape[1]
            for limit in (20, 60)
        )
        assert long - short == 40


# sentence-transformers 6.2.0 embeds how Python prints the pair.
@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ([("a", "b")], "cannot read a pair"),
        ([("a", IMAGES[0])], "input 0, element 1 is image, which needs a chat template in a pair"),
        (["a", IMAGES[0]], "a batch of image, text; this model takes text, image, one at a time"),
    ],
)
def test_what_cannot_be_embedded_at_once_is_refused(checkpoint: Path, inputs: list[Any], said: str) -> None:
    module = Transformer(str(checkpoint), transformer_task="retrieval")

    with pytest.raises(InputError) as caught:
        module.preprocess(inputs)

    assert said in str(caught.value)


def test_a_checkpoint_without_such_a_class_says_so(tmp_path: Path) -> None:
    with pytest.raises(ChainError, match=r"names no …ForRetrieval class.*'BertModel'") as caught:
        Transformer(save_tiny(tmp_path, "bert"), transformer_task="retrieval")

    assert "another transformer_task" in caught.value.next_step

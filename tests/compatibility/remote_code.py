"""Code beside checkpoints, in the shapes that published rerankers have: written for this test, and only a few lines."""

from custom_models import SCORER

# Names that transformers 4 had.
FOR_TRANSFORMERS_4 = """
from transformers.utils import is_torch_fx_available
from transformers import LlamaConfig, LlamaForCausalLM


class OwnConfig(LlamaConfig):
    model_type = "own"


class OwnModel(LlamaForCausalLM):
    config_class = OwnConfig
"""

# A decoder whose tokens attend in both directions, with the mean as the input of the head.
BIDIRECTIONAL = """
import torch
from transformers import LlamaConfig, LlamaModel, LlamaPreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput


class OwnConfig(LlamaConfig):
    model_type = "llama_bidirec"

    def __init__(self, pooling="avg", temperature=1.0, **kwargs):
        self.pooling, self.temperature = pooling, temperature
        super().__init__(**kwargs)


class OwnModel(LlamaPreTrainedModel):
    config_class = OwnConfig

    def __init__(self, config):
        super().__init__(config)
        self.model = LlamaModel(config)
        for layer in self.model.layers:
            layer.self_attn.is_causal = False
        self.score = torch.nn.Linear(config.hidden_size, config.num_labels, bias=False)
        self.post_init()

    def forward(self, input_ids, attention_mask=None, **kwargs):
        seen = attention_mask[:, None, None, :].bool().expand(-1, 1, input_ids.shape[1], -1)
        hidden = self.model(input_ids=input_ids, attention_mask=seen).last_hidden_state
        weight = attention_mask.unsqueeze(-1).to(hidden.dtype)
        mean = (hidden * weight).sum(1) / weight.sum(1)
        return SequenceClassifierOutput(logits=self.score(mean) / self.config.temperature)
"""

# A scorer that replaces the methods of every cross-encoder when it is imported.
REPLACES_PREDICT = SCORER.format(library="pairchain")

# Logits of every layer, as a tuple.
LAYERWISE = """
import torch
from transformers import LlamaConfig, LlamaForCausalLM
from transformers.modeling_outputs import CausalLMOutputWithPast


class OwnConfig(LlamaConfig):
    model_type = "layerwise"


class OwnModel(LlamaForCausalLM):
    config_class = OwnConfig

    def forward(self, input_ids, attention_mask=None, cutoff_layers=None, **kwargs):
        hidden = self.model(input_ids=input_ids, attention_mask=attention_mask, output_hidden_states=True).hidden_states
        return CausalLMOutputWithPast(logits=tuple(layer.sum(-1) for layer in hidden))
"""

# Scores of the pair, and of each token for pruning.
PRUNES = """
import torch
from dataclasses import dataclass
from transformers import DebertaV2Config, DebertaV2Model, DebertaV2PreTrainedModel
from transformers.utils import ModelOutput


class OwnConfig(DebertaV2Config):
    model_type = "Provence"


@dataclass
class Output(ModelOutput):
    compression_logits: torch.FloatTensor = None
    ranking_scores: torch.FloatTensor = None


class OwnModel(DebertaV2PreTrainedModel):
    config_class = OwnConfig

    def __init__(self, config):
        super().__init__(config)
        self.deberta = DebertaV2Model(config)
        self.classifier = torch.nn.Linear(config.hidden_size, 1)
        self.token_classifier = torch.nn.Linear(config.hidden_size, 2)
        self.post_init()

    def forward(self, input_ids, attention_mask=None, **kwargs):
        hidden = self.deberta(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        return Output(self.token_classifier(hidden), self.classifier(hidden[:, 0]).squeeze(-1))
"""

# A classifier that says more than its score.
PRUNES_TOO = """
from transformers import ModernBertConfig, ModernBertForSequenceClassification


class OwnConfig(ModernBertConfig):
    model_type = "open_provence"


class OwnModel(ModernBertForSequenceClassification):
    config_class = OwnConfig

    def process(self, question, context):
        raise NotImplementedError
"""

# A module that a saved chain names, beside it.
OWN_MODULE = """
from pairchain.modules import Transformer


class OwnTransformer(Transformer):
    pass
"""

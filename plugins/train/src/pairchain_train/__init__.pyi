from pairchain_train.adapters import add_lora as add_lora
from pairchain_train.adapters import merged as merged
from pairchain_train.adapters import save_chain as save_chain
from pairchain_train.collator import PairCollator as PairCollator
from pairchain_train.data.examples import Example as Example
from pairchain_train.data.examples import examples_of as examples_of
from pairchain_train.data.mining import mine_from_files as mine_from_files
from pairchain_train.data.mining import mine_negatives as mine_negatives
from pairchain_train.data.reading import read_examples as read_examples
from pairchain_train.freezing import freeze as freeze
from pairchain_train.freezing import train_only as train_only
from pairchain_train.ranking import Rankings as Rankings
from pairchain_train.trainer import PairTrainer as PairTrainer

__version__: str

"""Written-out passes, by type of network: kept where they are measured to pay.

No network needs one: `Network` has a default for each, and a contract test holds each of these against it.
"""

from __future__ import annotations

from typing import Any

import torch

from isthmus.networks.accelerators.conv import ConvPass
from isthmus.networks.accelerators.dense import DensePass
from isthmus.networks.accelerators.dense_decoder import DenseDecoder
from isthmus.networks.accelerators.dictionary import DictionaryPass
from isthmus.networks.conv import ConvNetwork
from isthmus.networks.decoders import Decoder
from isthmus.networks.dense import DenseNetwork
from isthmus.networks.dictionary import DictionaryNetwork
from isthmus.networks.network import Network, Trainable, TrainingPass

# By the very type: a subclass may compute something else.
PASSES: dict[type[Trainable], Any] = {
    ConvNetwork: ConvPass,
    DenseNetwork: DensePass,
    DictionaryNetwork: DictionaryPass,
}
DECODERS: dict[type[Network], Any] = {DenseNetwork: DenseDecoder}


def training_pass(network: Trainable) -> TrainingPass:
    """What computes the steps of a network, whatever its code; it may keep buffers from step to step."""
    accelerator = PASSES.get(type(network))
    return network if accelerator is None else accelerator(network)


def decoder_of(network: Network, dtype: torch.dtype) -> Decoder:
    """The decoder of a fitted network, in this dtype, with its derivatives."""
    return DECODERS.get(type(network), Decoder)(network, dtype)

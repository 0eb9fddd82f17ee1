"""BERT for a task of one's own: classes of texts, of pairs of sentences, or of single tokens.

A pre-trained encoder gets one new layer, and all of it is trained on a few labelled examples.
Source: Devlin et al. 2019, BERT, section 4 and figure 4.

Axis letters: B batch, T length, C classes.
"""

from __future__ import annotations

from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from course_utils.models.bert import BERT, initialise, pool


class BERTForSequences(nn.Module):
    """Say to which of C classes a text, or a pair of sentences, belongs.

    Parameters
    ----------
    bert : BERT
        Its encoder and pooler are used and trained, not copied: `copy.deepcopy(bert)` keeps one.
    num_labels : int
        C.

    Raises
    ------
    ValueError
        When there is no class.

    References
    ----------
    Devlin et al. 2019, figure 4, a and b.
    """

    def __init__(self, bert: BERT, num_labels: int) -> None:
        super().__init__()
        self.config, self.encoder, self.pooler = bert.config, bert.encoder, bert.pooler
        self.dropout = nn.Dropout(bert.config.dropout)
        self.classifier = _classifier(bert.config.d_model, num_labels)

    def forward(
        self,
        ids: Int[Tensor, "B T"],
        segment_ids: Int[Tensor, "B T"] | None = None,
        padding_mask: Bool[Tensor, "B T"] | None = None,
    ) -> Float[Tensor, "B C"]:
        """Logits of the classes; parameters and errors are those of `BERT.forward`."""
        hidden = self.encoder(ids, segment_ids, padding_mask)
        return self.classifier(self.dropout(pool(self.pooler, hidden)))


class BERTForTokens(nn.Module):
    """Say to which of C classes each token belongs.

    Parameters
    ----------
    bert : BERT
        Its encoder is used and trained, not copied: `copy.deepcopy(bert)` keeps one.
    num_labels : int
        C.

    Raises
    ------
    ValueError
        When there is no class.

    References
    ----------
    Devlin et al. 2019, figure 4, d.
    """

    def __init__(self, bert: BERT, num_labels: int) -> None:
        super().__init__()
        self.config, self.encoder = bert.config, bert.encoder
        self.dropout = nn.Dropout(bert.config.dropout)
        self.classifier = _classifier(bert.config.d_model, num_labels)

    def forward(
        self,
        ids: Int[Tensor, "B T"],
        segment_ids: Int[Tensor, "B T"] | None = None,
        padding_mask: Bool[Tensor, "B T"] | None = None,
    ) -> Float[Tensor, "B T C"]:
        """Logits of the classes; parameters and errors are those of `BERT.forward`."""
        return self.classifier(self.dropout(self.encoder(ids, segment_ids, padding_mask)))


def _classifier(width: int, num_labels: int) -> nn.Linear:
    if num_labels < 1:
        raise ValueError(f"num_labels is 1 or more, got {num_labels}")
    layer = nn.Linear(width, num_labels)
    initialise(layer)
    return layer

"""bitsandbytes.nn: names to test against; making one is refused."""

import torch


def _refused(name: str, base: type) -> type:
    def __new__(cls, *args, **kwargs):  # noqa: N807
        raise RuntimeError(f"bitsandbytes.nn.{name} is not available on trn: its kernels are CUDA "
                           "C++. Instead: torch.nn.Linear in bfloat16.")

    return type(name, (base,), {"__new__": __new__})


for _name in ("Linear8bitLt", "Linear4bit", "LinearNF4", "LinearFP4", "Embedding8bit",
              "Embedding4bit"):
    globals()[_name] = _refused(_name, torch.nn.Module)
for _name in ("Params4bit", "Int8Params"):
    globals()[_name] = _refused(_name, torch.nn.Parameter)


class StableEmbedding(torch.nn.Embedding):
    """An embedding with a layer norm after it."""

    def __init__(self, num_embeddings, embedding_dim, *args, **kwargs):
        super().__init__(num_embeddings, embedding_dim, *args, **kwargs)
        torch.nn.init.xavier_uniform_(self.weight)
        self.norm = torch.nn.LayerNorm(embedding_dim, device=self.weight.device)

    def forward(self, input):
        return self.norm(super().forward(input).to(self.norm.weight.dtype)).to(self.weight.dtype)

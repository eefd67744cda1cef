"""What becomes of a graph for trn before Inductor lowers it."""

from torch import fx
from torch._inductor.codegen import common
from torch._inductor.custom_graph_pass import CustomGraphModulePass

from . import scalars
from .cache_key import built
from .functions import decompose


class TrnPass(CustomGraphModulePass):
    """Runs on each graph with tensors on trn, after PyTorch's own passes."""

    def __call__(self, gm: fx.GraphModule) -> None:
        decompose(gm)
        scalars.move(gm)

    def uuid(self) -> str:
        return built


def register() -> None:
    """Gives the pass to Inductor, beside the code generators of the device."""
    common.init_backend_registration()
    common.custom_backend_passes["trn"] = TrnPass()

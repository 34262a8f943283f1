"""A stand-in for a GPU: tensors that claim to be on cuda:0, compute on the CPU, and refuse what CUDA refuses.

Inside `cuda_double()` torch finds one GPU. What CUDA refuses raises here too: operands on two devices, `numpy()` of a
tensor on the GPU, a generator of another device. Copies in both directions are counted. The values are those of the
CPU: the double proves where tensors are and which generator draws, and nothing about the arithmetic of a GPU.

It knows what the project uses. It has no `torch.compile`, no streams and one GPU, and autocast casts as on a CPU.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any
from unittest import mock

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_flatten, tree_map

CUDA = torch.device("cuda:0")
TWO_DEVICES = "Expected all tensors to be on the same device, but found at least two devices, cuda:0 and cpu!"
NOT_NUMPY = (
    "can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu() to copy the tensor to host memory first."
)
WRONG_GENERATOR = "Expected a 'cuda' device type for generator but found 'cpu'"
INDEXING = ("aten::index", "aten::_unsafe_index", "aten::index_put", "aten::index_put_", "aten::_index_put_impl_")
WAITING = ("aten::_local_scalar_dense", "aten::nonzero", "aten::equal")  # the CPU waits for the GPU's result
DRAWING = ("rand", "randn", "randint", "randperm", "normal", "bernoulli")


@dataclass
class Counts:
    """What passed between the CPU and the GPU."""

    to_gpu: int = 0
    to_gpu_waiting: int = 0  # of `to_gpu`, those that were not pinned and non-blocking
    to_cpu: int = 0
    waits: int = 0  # for a single value
    calls: int = 0  # of kernels
    gpu_s: float = 0.0  # CPU time inside the double, which stands for the GPU's


_counts = Counts()
_has_float64 = True
_drawn_by: list[torch.Tensor] = [torch.get_rng_state()]  # the state of the GPU's generator


class OnGpu(torch.Tensor):
    """A tensor on the double; `held` has its values."""

    @staticmethod
    def __new__(cls, held: torch.Tensor, requires_grad: bool = False) -> "OnGpu":
        if held.dtype == torch.float64 and not _has_float64:
            raise TypeError("Cannot convert a tensor to float64, which this GPU does not support")
        return torch.Tensor._make_wrapper_subclass(
            cls,
            held.size(),
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            device=held.device,
            requires_grad=requires_grad,
        )

    def __init__(self, held: torch.Tensor, requires_grad: bool = False):
        self.held = held

    __torch_function__ = torch._C._disabled_torch_function_impl
    device = property(lambda self: CUDA)
    is_cuda = property(lambda self: True)
    is_cpu = property(lambda self: False)

    def __repr__(self, **_: Any) -> str:
        return f"OnGpu({self.held})"

    def numpy(self, *_: Any, **__: Any) -> Any:
        raise TypeError(NOT_NUMPY)

    __array__ = numpy

    def __deepcopy__(self, memo: dict[int, Any]) -> "OnGpu":
        if id(self) not in memo:
            memo[id(self)] = OnGpu(self.held.clone(), self.requires_grad)
            memo[id(self)]._is_param = getattr(self, "_is_param", False)
        return memo[id(self)]

    def __reduce_ex__(self, protocol: Any) -> Any:
        raise TypeError("a tensor on the GPU cannot be sent to a worker that has none")

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        _counts.calls += 1
        with _gpu_time():
            return cls._computed(func, args, kwargs)

    @classmethod
    def _computed(cls, func: Any, args: Any, kwargs: Any) -> Any:
        name, kwargs = func._schema.name, dict(kwargs or {})
        flat = tree_flatten((args, kwargs))[0]
        _refuse_two_devices(name, args, [x for x in flat if isinstance(x, torch.Tensor)])
        if any(isinstance(x, torch.Generator) for x in flat):
            raise RuntimeError(WRONG_GENERATOR)
        _counts.waits += name in WAITING
        if name == "aten::_to_copy":
            kwargs.pop("device", None)
        with _own_generator(torch.Tag.nondeterministic_seeded in func.tags):
            made = func(*tree_map(_held, args), **tree_map(_held, kwargs))
        if not func._schema.is_mutable:
            return tree_map(_on_gpu, made)
        given = {id(x.held): x for x in flat if isinstance(x, OnGpu)} | {id(x): x for x in flat}
        return tree_map(lambda x: given.get(id(x), x), made)  # in place: the very tensor that was given


def _held(x: Any) -> Any:
    return x.held if isinstance(x, OnGpu) else x


def _on_gpu(x: Any) -> Any:
    with torch.inference_mode(False):
        return OnGpu(x) if isinstance(x, torch.Tensor) else x


def _refuse_two_devices(name: str, args: Any, tensors: list[torch.Tensor]) -> None:
    on_cpu = [x for x in tensors if not isinstance(x, OnGpu)]
    if not on_cpu or all(x.dim() == 0 for x in on_cpu):
        return
    if name == "aten::copy_":
        up = isinstance(args[0], OnGpu)
        _counts.to_gpu += up
        _counts.to_gpu_waiting += up
        _counts.to_cpu += not up
    elif name in INDEXING and isinstance(args[0], OnGpu):  # CUDA copies the rows, and waits
        _counts.to_gpu += 1
        _counts.to_gpu_waiting += 1
    else:
        raise RuntimeError(f"{TWO_DEVICES} ({name})")


@contextmanager
def _gpu_time() -> Iterator[None]:
    begun_s = time.thread_time()
    try:
        yield
    finally:
        _counts.gpu_s += time.thread_time() - begun_s


@contextmanager
def _own_generator(draws: bool) -> Iterator[None]:
    """Lets the GPU's generator draw in the block, if it draws at all."""
    if not draws:
        yield
        return
    before = torch.get_rng_state()
    torch.set_rng_state(_drawn_by[0])
    try:
        yield
    finally:
        _drawn_by[0] = torch.get_rng_state()
        torch.set_rng_state(before)


class _Up(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        return _on_gpu(x.detach().clone())

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> Any:
        return _held(gradients[0])


class _Down(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        return _held(x).detach().clone()

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> Any:
        return _on_gpu(gradients[0])


def _moved(x: torch.Tensor, device: Any, non_blocking: bool = False) -> torch.Tensor:
    if device is None or _is_gpu(device) == isinstance(x, OnGpu):
        return x
    if not _is_gpu(device):
        _counts.to_cpu += 1
        return _Down.apply(x)
    _counts.to_gpu += 1
    _counts.to_gpu_waiting += not (non_blocking and getattr(x, "_pinned", False))
    with _gpu_time():
        return _Up.apply(x)


def _is_gpu(device: Any) -> bool:
    return isinstance(device, int) or torch.device(device).type == "cuda"


def _pinned(x: torch.Tensor, *_: Any) -> torch.Tensor:
    x = x.clone()
    x._pinned = True
    return x


class _Calls(TorchFunctionMode):
    """Sends calls that name a device, or read values, to the double."""

    def __torch_function__(self, func: Callable, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name, kwargs = getattr(func, "__name__", ""), dict(kwargs or {})
        own = args[0] if args and isinstance(args[0], torch.Tensor) else None
        if name == "to" and own is not None:
            return self._to(own, *args[1:], **kwargs)
        if name == "cpu":
            return _moved(args[0], "cpu")
        if name == "cuda":
            return _moved(args[0], CUDA)
        if name == "pin_memory":
            return _pinned(args[0])
        if isinstance(own, OnGpu):
            if name in ("numpy", "__array__"):
                raise TypeError(NOT_NUMPY)
            if name == "tolist":
                return _moved(own, "cpu").tolist()
            if name in ("item", "__float__", "__int__", "__bool__"):
                _counts.waits += 1
                return func(own.detach().held)
            if name in ("quantile", "nanquantile"):  # composed in C++, which asks the tensor for its device
                return _on_gpu(func(own.detach().held, *args[1:], **kwargs))
        device = kwargs.get("device")
        if device is None or name == "_parse_to":
            return func(*args, **kwargs)
        if name in ("as_tensor", "tensor", "asarray"):
            del kwargs["device"]
            made = own if own is not None else func(*args, **kwargs)
            return self._to(made, device, kwargs.get("dtype"))
        return self._factory(func, name, args, kwargs) if _is_gpu(device) else func(*args, **kwargs)

    def _factory(self, func: Callable, name: str, args: Any, kwargs: dict[str, Any]) -> torch.Tensor:
        if isinstance(kwargs.get("generator"), torch.Generator):
            raise RuntimeError(WRONG_GENERATOR)
        del kwargs["device"]
        with _own_generator(name in DRAWING):
            made = func(*args, **kwargs)
        return made if isinstance(made, OnGpu) else _on_gpu(made)

    def _to(self, x: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        device, dtype = kwargs.get("device"), kwargs.get("dtype")
        for given in args:
            if isinstance(given, torch.dtype):
                dtype = given
            elif isinstance(given, torch.Tensor):
                device, dtype = given.device, given.dtype
            elif given is not None and not isinstance(given, bool):
                device = given
        x = _moved(x, device, kwargs.get("non_blocking", False))
        with torch._C.DisableTorchFunctionSubclass():
            x = x if dtype in (None, x.dtype) else torch.Tensor.to(x, dtype)
            layout = kwargs.get("memory_format")
            return x if layout is None or x.dim() != 4 else x.contiguous(memory_format=layout)


class _Autocast(torch.amp.autocast_mode.autocast):
    def __init__(self, device_type: str, dtype: Any = None, enabled: bool = True, cache_enabled: Any = None):
        super().__init__("cpu", dtype or torch.bfloat16, enabled, cache_enabled)


@contextmanager
def _current(device: Any) -> Iterator[None]:
    yield


def _seed(seed: int) -> None:
    _drawn_by[0] = torch.Generator().manual_seed(seed).get_state()


@contextmanager
def cuda_double(float64: bool = True) -> Iterator[Counts]:
    """Within the block torch finds one GPU, the double; yields the counts of this block.

    Args:
        float64: whether the GPU has float64; Apple's have not.
    """
    global _counts, _has_float64
    _counts, _has_float64 = Counts(), float64
    _seed(0)
    nothing: Callable[..., None] = lambda *_, **__: None  # noqa: E731
    replaced: list[tuple[Any, str, Any]] = [
        (torch.cuda, "is_available", lambda: True),
        (torch.cuda, "device_count", lambda: 1),
        (torch.cuda, "current_device", lambda: 0),
        (torch.cuda, "device", _current),
        (torch.cuda, "_lazy_init", nothing),
        (torch.cuda, "synchronize", nothing),
        (torch.cuda, "empty_cache", nothing),
        (torch.cuda, "manual_seed", _seed),
        (torch.cuda, "manual_seed_all", _seed),
        (torch.cuda, "get_rng_state", lambda device="cuda": _drawn_by[0].clone()),
        (torch.cuda, "set_rng_state", lambda state, device="cuda": _drawn_by.__setitem__(0, state.clone())),
        (torch, "autocast", _Autocast),
        (torch.nn.RNNBase, "flatten_parameters", nothing),
        (torch.optim.Optimizer, "_accelerator_graph_capture_health_check", nothing),
    ]
    overwrites = torch.__future__.get_overwrite_module_params_on_conversion()
    torch.__future__.set_overwrite_module_params_on_conversion(True)
    with ExitStack() as stack:
        for owner, name, instead in replaced:
            stack.enter_context(mock.patch.object(owner, name, instead, create=True))
        stack.enter_context(_Calls())
        try:
            yield _counts
        finally:
            _has_float64 = True
            torch.__future__.set_overwrite_module_params_on_conversion(overwrites)

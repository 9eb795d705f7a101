#!/usr/bin/env python3
"""Makes the files of weights that care-learn's tests read: as PyTorch writes them, tiny, their values from a formula.

    python3 scripts/reference/weights.py      # writes crates/care-learn/tests/fixtures/weights

Element i of the tensor NAME is ((7 i + length of NAME) mod 33 - 16) / 8, which every floating-point type holds exactly.
PyTorch's older layout holds addresses, and TorchScript writes in no fixed order: those files differ each time they are made.
"""

import collections
import io
import pathlib
import pickle
import struct
import sys
import zipfile

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))
import environment

environment.enter()

import torch
import torch._utils

OUT = environment.ROOT / "crates/care-learn/tests/fixtures/weights"
OLDER = {"_use_new_zipfile_serialization": False}


def tensor(name, *shape, dtype=torch.float32):
    i = torch.arange(torch.Size(shape).numel())
    return (((7 * i + len(name)) % 33 - 16) / 8).to(dtype).reshape(shape)


def network():
    """A convolution, its normalisation and a classifier, with the `_metadata` that a module's state dict has."""
    net = torch.nn.Sequential(
        collections.OrderedDict(
            conv=torch.nn.Conv2d(3, 4, 3, bias=False),
            bn=torch.nn.BatchNorm2d(4),
            fc=torch.nn.Linear(4, 5),
        )
    )
    values = {k: tensor(k, *v.shape) if v.is_floating_point() else v for k, v in net.state_dict().items()}
    net.load_state_dict(values)
    return net


def views():
    """Tensors that are parts of others, and of other types."""
    whole = tensor("whole", 6, 8)
    return {
        "whole": whole,
        "row": whole[2],
        "transposed": whole.t(),
        "strided": whole[1::2, ::3],
        "scalar": whole[3, 5],
        "f64": tensor("f64", 5, dtype=torch.float64),
        "f16": tensor("f16", 5, dtype=torch.float16),
        "bf16": tensor("bf16", 5, dtype=torch.bfloat16),
    }


class Storage:
    def __init__(self, key, values):
        self.key, self.values = key, values


class FirstTensor:
    """As torch 0.1.12 to 0.3 pickled a tensor."""

    def __init__(self, key, values):
        self.storage = Storage(key, values)

    def __reduce__(self):
        values = self.storage.values
        return torch._utils._rebuild_tensor, (self.storage, 0, tuple(values.shape), values.stride())


class FirstParameter(FirstTensor):
    """As torch 0.1.12 to 0.3 pickled a parameter: with an attribute dictionary of its own."""

    def __reduce__(self):
        return torch.nn.parameter.Parameter, (FirstTensor(self.storage.key, self.storage.values),), (
            True,
            False,
            collections.OrderedDict(),
        )


class Pairs(dict):
    """As Python 2 pickled an ordered dictionary."""

    def __reduce__(self):
        return collections.OrderedDict, ([[key, value] for key, value in self.items()],)


class FirstPickler(pickle.Pickler):
    def persistent_id(self, thing):
        if isinstance(thing, Storage):
            return "storage", torch.FloatStorage, thing.key, "cpu", thing.values.numel(), None
        return None


def save_as_2017(path):
    """What torchvision's VGG files are: written by hand, since no torch of that age installs any more."""
    state = {k: v for k, v in network().state_dict().items() if v.is_floating_point()}
    keys = {name: str(94_000 + i) for i, name in enumerate(state)}
    types = [FirstTensor if "running" in name else FirstParameter for name in state]
    with open(path, "wb") as file:
        pickle.dump(0x1950A86A20F9469CFC6C, file, protocol=2)
        pickle.dump(1001, file, protocol=2)
        sizes = {"short": 2, "int": 4, "long": 4}
        pickle.dump({"protocol_version": 1001, "little_endian": True, "type_sizes": sizes}, file, protocol=2)
        old = Pairs((name, kind(keys[name], state[name])) for name, kind in zip(state, types))
        FirstPickler(file, protocol=2).dump(old)
        pickle.dump(sorted(keys.values()), file, protocol=2)
        for name in sorted(state, key=keys.get):
            file.write(struct.pack("<q", state[name].numel()) + state[name].numpy().tobytes())


def save_torchscript(net, path):
    """Without the places in the source that it was made from, which name folders of the machine, and what hashes them."""
    made = io.BytesIO()
    torch.jit.save(torch.jit.script(net), made)
    with zipfile.ZipFile(made) as whole, zipfile.ZipFile(path, "w") as file:
        for member in whole.infolist():
            if not member.filename.endswith((".debug_pkl", "/serialization_id")):
                # With a header of its own: what aligned the data there has no meaning here.
                name = member.filename.replace("archive/", "torchscript/", 1)
                file.writestr(zipfile.ZipInfo(name), whole.read(member))
    torch.jit.load(path)


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    net = network()
    parallel = torch.nn.DataParallel(net).state_dict()
    optimiser = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9).state_dict()
    checkpoint = {"epoch": 3, "best": 0.5, "arch": "tiny", "state_dict": parallel, "optimizer": optimiser}
    torch.save(net.state_dict(), OUT / "zip.pth")
    torch.save(net.state_dict(), OUT / "older.pth", **OLDER)
    torch.save(net.state_dict(), OUT / "protocol4.pth", pickle_protocol=4)
    torch.save(net.state_dict(), OUT / "older_protocol4.pth", pickle_protocol=4, **OLDER)
    torch.save(dict(net.named_parameters()) | dict(net.named_buffers()), OUT / "parameters.pth")
    torch.save(checkpoint, OUT / "checkpoint.pth")
    torch.save({"model": net.state_dict()}, OUT / "older_checkpoint.pth", **OLDER)
    torch.save(views(), OUT / "views.pth")
    torch.save(views(), OUT / "older_views.pth", **OLDER)
    save_as_2017(OUT / "2017.pth")
    torch.save(net, OUT / "whole_module.pth")
    save_torchscript(net, OUT / "torchscript.pth")
    # The one by hand is as torch reads it, too.
    read = torch.load(OUT / "2017.pth", weights_only=True)
    for name, values in read.items():
        assert torch.equal(values, net.state_dict()[name]), name
    print(f"wrote {OUT.relative_to(environment.ROOT)}")


if __name__ == "__main__":
    main()

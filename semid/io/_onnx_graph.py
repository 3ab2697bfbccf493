"""An ONNX graph under construction, whose values are added and multiplied as tensors are.

Holds plain arrays and names; `onnx` itself is needed by `Graph.to_model` alone.
"""

import numpy as np
import torch

OPSET = 17
_IR_VERSION = 8  # that of opset 17: newer ones are read by newer runtimes only
# Numbers of TensorProto.DataType, https://onnx.ai/onnx/api/classes.html
_ELEMENT_TYPES = {"float32": 1, "uint8": 2, "int64": 7, "bool": 9, "float64": 11}
_LARGEST_MODEL = 2**31 - 2**20  # bytes; protobuf refuses 2 GiB


class Graph:
    """Inputs, constants, operations and outputs, in the order in which they were asked for.

    Parameters
    ----------
    dtype : {"float32", "float64"}
        What is computed in: that of weights and of Python floats.
    """

    def __init__(self, dtype):
        self.dtype = np.dtype(dtype)
        self.operations = []  # (kind, names of the inputs, names of the outputs, attributes)
        self.constants = {}  # name → array
        self.inputs, self.outputs = {}, {}  # name → (dtype, shape)

    def input(self, name, dtype, shape):
        """Return a new input as a `Value`; a text in `shape` is the name of a length that may vary."""
        self.inputs[name] = (dtype, shape)
        return Value(self, name)

    def output(self, name, value, dtype, shape):
        """Make `value` the output `name`."""
        self.operations.append(("Identity", [value.name], [name], {}))
        self.outputs[name] = (dtype, shape)

    def constant(self, array):
        """Return an array of any dtype, as it is."""
        name = f"constant_{len(self.constants)}"
        self.constants[name] = np.asarray(array)
        return Value(self, name)

    def weights(self, tensor):
        """Return a torch tensor in the dtype of the graph.

        What float32 holds to the bit is stored so, and cast when the model is loaded: half the file.
        """
        array = tensor.detach().cpu().numpy()
        small = array.astype(np.float32)
        if self.dtype == np.float32 or np.array_equal(small, array):
            array = small
        value = self.constant(array)
        return value if array.dtype == self.dtype else value.cast(self.dtype)

    def call(self, kind, *inputs, n_outputs=1, **attributes):
        """Return the output of an operation, several as a list; inputs that are no `Value` become constants."""
        names = [self._as_value(entry).name for entry in inputs]
        outputs = [f"{kind}_{len(self.operations)}_{n}" for n in range(n_outputs)]
        self.operations.append((kind, names, outputs, attributes))
        values = [Value(self, name) for name in outputs]
        return values[0] if n_outputs == 1 else values

    def concat(self, values, axis):
        """Return values side by side along an axis that they have."""
        return values[0] if len(values) == 1 else self.call("Concat", *values, axis=axis)

    def stack(self, values, axis):
        """Return values side by side along a new axis."""
        return self.concat([value.unsqueeze(axis) for value in values], axis)

    def to_model(self, onnx, metadata):
        """Return the `onnx.ModelProto`, checked, with `metadata`, a dict of texts.

        Raises
        ------
        ValueError
            If the weights are more than one ONNX file can hold.
        """
        n_bytes = sum(array.nbytes for array in self.constants.values())
        if n_bytes > _LARGEST_MODEL:
            raise ValueError(
                f"estimator must have less than 2 GiB of weights for one ONNX file, got {n_bytes / 2**30:.1f} GiB. Fit "
                "it with a smaller embedding_dim, or a larger min_frequency."
            )
        helper = onnx.helper
        graph = helper.make_graph(
            [helper.make_node(*operation[:3], **operation[3]) for operation in self.operations],
            "semid",
            [self._described(helper, name, *entry) for name, entry in self.inputs.items()],
            [self._described(helper, name, *entry) for name, entry in self.outputs.items()],
            [onnx.numpy_helper.from_array(array, name) for name, array in self.constants.items()],
        )
        opsets = [helper.make_opsetid("", OPSET)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=_IR_VERSION, producer_name="semid")
        helper.set_model_props(model, metadata)
        onnx.checker.check_model(model, full_check=True)
        return model

    def _described(self, helper, name, dtype, shape):
        return helper.make_tensor_value_info(name, _ELEMENT_TYPES[dtype], shape)

    def _as_value(self, entry):
        if isinstance(entry, Value):
            return entry
        if isinstance(entry, torch.Tensor):
            return self.weights(entry)
        if isinstance(entry, float):
            return self.constant(self.dtype.type(entry))
        return self.constant(np.asarray(entry, dtype=None if isinstance(entry, np.ndarray) else np.int64))


def _binary(operator):
    def call(self, other):
        return self.graph.call(operator, self, other)

    return call


class Value:
    """A tensor that the graph will hold; the methods are those of `torch.Tensor`, where there are any."""

    def __init__(self, graph, name):
        self.graph, self.name = graph, name

    __add__, __sub__, __mul__, __matmul__ = _binary("Add"), _binary("Sub"), _binary("Mul"), _binary("MatMul")
    __truediv__ = _binary("Div")  # rounds towards zero between integers
    __mod__ = _binary("Mod")
    __le__, __lt__, __ge__, __gt__ = map(_binary, ("LessOrEqual", "Less", "GreaterOrEqual", "Greater"))
    __radd__ = __add__
    __rmul__ = __mul__

    def __neg__(self):
        return self.graph.call("Neg", self)

    def cast(self, dtype):
        return self.graph.call("Cast", self, to=_ELEMENT_TYPES[np.dtype(dtype).name])

    def to_float(self):
        return self.cast(self.graph.dtype)

    def abs(self):
        return self.graph.call("Abs", self)

    def floor(self):
        return self.graph.call("Floor", self)

    def relu(self):
        return self.graph.call("Relu", self)

    def sigmoid(self):
        return self.graph.call("Sigmoid", self)

    def softmax(self, axis):
        return self.graph.call("Softmax", self, axis=axis)

    def sqrt(self):
        return self.graph.call("Sqrt", self)

    def square(self):
        return self * self

    def tanh(self):
        return self.graph.call("Tanh", self)

    def maximum(self, other):
        return self.graph.call("Max", self, other)

    def minimum(self, other):
        return self.graph.call("Min", self, other)

    def sum(self, axis, keepdim=False):
        return self.graph.call("ReduceSum", self, [axis], keepdims=int(keepdim))

    def mean(self, axis, keepdim=False):
        return self.graph.call("ReduceMean", self, axes=[axis], keepdims=int(keepdim))

    def amin(self, axis, keepdim=False):
        return self.graph.call("ReduceMin", self, axes=[axis], keepdims=int(keepdim))

    def amax(self, axis, keepdim=False):
        return self.graph.call("ReduceMax", self, axes=[axis], keepdims=int(keepdim))

    def argmax(self, axis):
        """The first of equal entries."""
        return self.graph.call("ArgMax", self, axis=axis, keepdims=0)

    def smallest(self, n):
        """Return the `n` smallest entries of each row, ascending, and their places."""
        return self.graph.call("TopK", self, [n], n_outputs=2, axis=1, largest=0, sorted=1)

    def rows(self, indices):
        """Return entries along the first axis, in the shape of `indices`."""
        return self.graph.call("Gather", self, indices, axis=0)

    def gather(self, axis, indices):
        return self.graph.call("GatherElements", self, indices, axis=axis)

    def slice(self, axis, start, stop):
        return self.graph.call("Slice", self, [start], [stop], [axis])

    def flatten(self):
        """All axes but the first as one."""
        return self.graph.call("Flatten", self, axis=1)

    def reshape(self, *shape):
        """0 stands for the length that the axis has."""
        return self.graph.call("Reshape", self, list(shape))

    def view_as(self, other):
        return self.graph.call("Reshape", self, self.graph.call("Shape", other))

    def squeeze(self, axis):
        return self.graph.call("Squeeze", self, [axis])

    def unsqueeze(self, axis):
        return self.graph.call("Unsqueeze", self, [axis])

    def permute(self, *axes):
        return self.graph.call("Transpose", self, perm=list(axes))

    def where(self, condition, other):
        return self.graph.call("Where", condition, self, other)

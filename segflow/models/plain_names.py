"""Names in Keras that make numbers of numbers, and nothing else while a model is loaded.

Left out are those that keep state of a size of their own, as metrics do, call functions that they
are given, or make large arrays of small numbers.
"""

ACTIVATIONS = frozenset(
    (
        *("celu", "elu", "exponential", "gelu", "glu", "hard_shrink", "hard_sigmoid", "hard_silu"),
        *("hard_swish", "hard_tanh", "leaky_relu", "linear", "log_sigmoid", "log_softmax", "mish"),
        *("relu", "relu6", "selu", "sigmoid", "silu", "soft_shrink", "softmax", "softplus"),
        *("softsign", "sparse_plus", "sparse_sigmoid", "sparsemax", "squareplus", "swish", "tanh"),
        *("tanh_shrink", "threshold"),
    )
)
"""Functions that are activations, in `keras.activations` or `keras.ops`."""

_INITIALIZERS = (
    *("Constant", "GlorotNormal", "GlorotUniform", "HeNormal", "HeUniform", "Identity"),
    *("IdentityInitializer", "LecunNormal", "LecunUniform", "Ones", "Orthogonal"),
    *("OrthogonalInitializer", "RandomNormal", "RandomUniform", "TruncatedNormal"),
    *("VarianceScaling", "Zeros"),
)

_NUMPY = (
    *("Abs", "Absolute", "Add", "All", "Amax", "Amin", "Any", "Arccos", "Arccosh", "Arcsin"),
    *("Arcsinh", "Arctan", "Arctan2", "Arctanh", "Argmax", "Argmin", "Argsort", "Average"),
    *("BroadcastTo", "Cbrt", "Ceil", "Clip", "Concatenate", "Copy", "Cos", "Cosh", "CountNonzero"),
    *("Cumprod", "Cumsum", "Deg2rad", "Diff", "Digitize", "Divide", "DivideNoNan", "Dot", "Dstack"),
    *("Einsum", "Equal", "Exp", "Exp2", "ExpandDims", "Expm1", "Flip", "Fliplr", "Flipud", "Floor"),
    *("FloorDivide", "Fmax", "Fmin", "Fmod", "FullLike", "GetItem", "Greater", "GreaterEqual"),
    *("Heaviside", "Hstack", "Hypot", "Isclose", "Isfinite", "Isinf", "Isnan", "Less", "LessEqual"),
    *("Log", "Log10", "Log1p", "Log2", "Logaddexp", "LogicalAnd", "LogicalNot", "LogicalOr"),
    *("LogicalXor", "Matmul", "Max", "Maximum", "Mean", "Median", "Min", "Minimum", "Mod"),
    *("Moveaxis", "Multiply", "NanToNum", "Negative", "NotEqual", "OnesLike", "Pad", "Percentile"),
    *("Power", "Prod", "Quantile", "Rad2deg", "Ravel", "Reciprocal", "Repeat", "Reshape", "Roll"),
    *("Rot90", "Round", "Select", "Sign", "Sin", "Sinc", "Sinh", "Sort", "Split", "Sqrt", "Square"),
    *("Squeeze", "Stack", "Std", "Subtract", "Sum", "Swapaxes", "Take", "TakeAlongAxis", "Tan"),
    *("Tanh", "Tensordot", "Tile", "Transpose", "Tril", "Triu", "TrueDivide", "Trunc", "Var"),
    *("Vstack", "Where", "ZerosLike"),
)

_NN = (
    *("AdaptiveAveragePool", "AdaptiveMaxPool", "AveragePool", "BatchNorm", "Celu", "Conv"),
    *("ConvTranspose", "DepthToSpace", "DepthwiseConv", "DotProductAttention", "Elu", "Fold"),
    *("Gelu", "Glu", "HardShrink", "HardSigmoid", "HardSilu", "HardTanh", "LayerNorm", "LeakyRelu"),
    *("LogSigmoid", "LogSoftmax", "MaxPool", "Moments", "Normalize", "OneHot", "RMSNorm", "Relu"),
    *("Relu6", "Selu", "SeparableConv", "Sigmoid", "Silu", "SoftShrink", "Softmax", "Softplus"),
    *("Softsign", "SpaceToDepth", "Sparsemax", "SparsePlus", "SparseSigmoid", "Squareplus"),
    *("TanhShrink", "Threshold", "Unfold"),
)

_IMAGE = (
    *("AffineTransform", "CropImages", "ExtractPatches", "GaussianBlur", "HSVToRGB"),
    *("MapCoordinates", "PadImages", "RGBToGrayscale", "RGBToHSV", "Resize", "ScaleAndTranslate"),
    *("SobelEdges",),
)

# What a model inside another was compiled with is made, too: an optimiser grows with the weights.
_OPTIMIZERS = (
    *("Adadelta", "Adafactor", "Adagrad", "Adam", "AdamW", "Adamax", "Ftrl", "Lamb", "Lion"),
    *("LossScaleOptimizer", "Nadam", "RMSprop", "SGD"),
)
_SCHEDULES = (
    *("CosineDecay", "CosineDecayRestarts", "ExponentialDecay", "InverseTimeDecay"),
    *("PiecewiseConstantDecay", "PolynomialDecay"),
)
_LOSSES = (
    *("BinaryCrossentropy", "BinaryFocalCrossentropy", "CategoricalCrossentropy"),
    *("CategoricalFocalCrossentropy", "Dice", "Huber", "MeanAbsoluteError", "MeanSquaredError"),
    *("SparseCategoricalCrossentropy", "Tversky"),
)

CLASSES = {
    "keras.constraints": frozenset(("MaxNorm", "MinMaxNorm", "NonNeg", "UnitNorm")),
    "keras.initializers": frozenset(_INITIALIZERS),
    "keras.losses": frozenset(_LOSSES),
    "keras.optimizers": frozenset(_OPTIMIZERS),
    "keras.optimizers.schedules": frozenset(_SCHEDULES),
    "keras.regularizers": frozenset(("L1", "L1L2", "L2", "OrthogonalRegularizer")),
    "keras.src.ops.core": frozenset(
        ("Cast", "SaturateCast", "Slice", "SliceUpdate", "StopGradient", "Unstack")
    ),
    "keras.src.ops.einops": frozenset(("Rearrange",)),
    "keras.src.ops.image": frozenset(_IMAGE),
    "keras.src.ops.linalg": frozenset(("Norm",)),
    "keras.src.ops.math": frozenset(("Erf", "Erfc", "Logsumexp", "Rsqrt", "TopK")),
    "keras.src.ops.nn": frozenset(_NN),
    "keras.src.ops.numpy": frozenset(_NUMPY),
}
"""Classes by module."""

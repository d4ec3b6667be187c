"""How far exported forms may be from Keras; embeddings have unit norm."""

# The same kernels in another order: rounding of float32.
SAVEDMODEL = 1e-5
# Other kernels; found up to 4e-7 over all encoders and backbones of the tests.
ONNX = 1e-4
# Weights of 8 bits: an embedding moves, retrieval hardly does. As 1 - cosine.
INT8 = 0.05
# Float32 as ONNX, by converters of Keras.
LITERT = OPENVINO = 1e-4
# Pixels of Pillow against those of the graph, in grey levels of 255.
PIXELS = 0.05
# A 16-bit image and lossy WebP are decoded by other code.
DECODED = 1.0
# Embeddings of Pillow's pixels against those of Keras, as 1 - cosine.
REFERENCE = 1e-4

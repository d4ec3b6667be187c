"""How far exported forms may be from Keras; embeddings have unit norm."""

# The same operations; a batch of another size takes other kernels. Found: up to 4e-6.
SAVEDMODEL = 1e-4
# Other kernels. Found: up to 2e-6 over all encoders and backbones of the tests.
ONNX = 1e-4
# 8 bits move an embedding, odd images most; what it costs in recall is measured apart.
# As 1 - cosine, the mean of the cases.
INT8 = 0.1
# Float32 as ONNX, by converters of Keras.
LITERT = OPENVINO = 1e-4
# Pixels of Pillow against those of the graph, in grey levels of 255, the mean of an image.
PIXELS = 0.01
# Embeddings of Pillow's pixels against those of Keras, as 1 - cosine.
REFERENCE = 1e-4
